// What the stages of a pipeline do: each takes values of the stage above by its next(), one after the other, and makes its own.
//
// pull(meter): the next value that comes out, for one caller at a time. Steps that several workers can do have apply() as well,
// which does it for one value and hands the results to a function; several may call it at once.
#pragma once

#include <runnel/base/refill.hpp>
#include <runnel/detail/pipeline_core.hpp>
#include <runnel/detail/source.hpp>
#include <runnel/time.hpp>

#include <functional>
#include <vector>

namespace runnel::inline RUNNEL_ABI::detail {

/// Runs f; what it throws is the failure of stage `number`.
template <class F>
decltype(auto) guard_stage(pipeline_core& core, unsigned number, F&& f) {
  try {
    return f();
  } catch (...) {
    core.fail(number);
    throw;
  }
}

template <class Source>
class source_step {
 public:
  using value_type = typename Source::value_type;
  static constexpr unsigned number = 0;
  static constexpr bool parallel = false;
  static constexpr const char* kind = "from";
  explicit source_step(Source s) : source_(std::move(s)) {}

  void start(pipeline_core& core) { core_ = &core; }
  std::optional<value_type> pull(stage_meter& m) {
    m.waits();
    auto v = guard_stage(*core_, number, [this] { return source_->next(); });
    if (!v) {
      m.ended();
      return v;
    }
    m.took();
    m.made();
    return v;
  }
  void release() noexcept { source_.reset(); }
  template <class Out>
  void describe(Out&) const {}

 private:
  pipeline_core* core_ = nullptr;
  std::optional<Source> source_;
};

/// What all the other steps have.
template <class Up>
class lower_step {
 public:
  static constexpr unsigned number = Up::number + 1;
  void start(pipeline_core& core) {
    core_ = &core;
    up_.start(core);
  }
  void release() noexcept { up_.release(); }
  template <class Out>
  void describe(Out& out) const {
    up_.describe(out);
  }
  /// The next value of the stage above.
  auto take() { return up_.next(); }

 protected:
  explicit lower_step(Up&& up) : up_(std::move(up)) {}
  template <class F>
  decltype(auto) guarded(F&& f) {
    return guard_stage(*core_, number, std::forward<F>(f));
  }
  Up up_;
  pipeline_core* core_ = nullptr;
};

/// map and filter: Act makes of a value another one, or none.
template <class Up, class Act>
class single_step : public lower_step<Up> {
 public:
  using in_type = typename Up::value_type;
  using value_type = typename Act::template result<in_type>;
  static constexpr bool parallel = true;
  static constexpr const char* kind = Act::kind;
  single_step(Up&& up, Act act) : lower_step<Up>(std::move(up)), act_(std::move(act)) {}

  std::optional<value_type> pull(stage_meter& m) {
    for (;;) {
      m.waits();
      auto v = this->take();
      if (!v) break;
      m.took();
      if (auto r = this->guarded([&]() -> std::optional<value_type> { return act_(std::move(*v)); })) {
        m.made();
        return r;
      }
    }
    m.ended();
    return std::nullopt;
  }
  template <class Emit>
  void apply(in_type&& v, Emit&& emit) {
    if (auto r = this->guarded([&]() -> std::optional<value_type> { return act_(std::move(v)); })) emit(std::move(*r));
  }

 private:
  Act act_;
};

template <class F>
struct map_act {
  static constexpr const char* kind = "map";
  template <class In>
  using result = std::decay_t<std::invoke_result_t<F&, In>>;
  F function;
  template <class In>
  std::optional<result<In>> operator()(In&& v) {
    return std::optional<result<In>>(std::in_place, std::invoke(function, std::move(v)));
  }
};

template <class F>
struct filter_act {
  static constexpr const char* kind = "filter";
  template <class In>
  using result = In;
  F function;
  template <class In>
  std::optional<In> operator()(In&& v) {
    if (!std::invoke(function, std::as_const(v))) return std::nullopt;
    return std::optional<In>(std::move(v));
  }
};

template <class Up, class F>
class flat_map_step : public lower_step<Up> {
 public:
  using in_type = typename Up::value_type;
  using many = std::decay_t<std::invoke_result_t<F&, in_type>>;
  using source = source_of<many>;
  using value_type = typename source::value_type;
  static constexpr bool parallel = true;
  static constexpr const char* kind = "flat_map";
  flat_map_step(Up&& up, F f) : lower_step<Up>(std::move(up)), function_(std::move(f)) {}

  std::optional<value_type> pull(stage_meter& m) {
    for (;;) {
      if (rest_) {
        if (auto v = this->guarded([this] { return rest_->next(); })) {
          m.made();
          return v;
        }
        rest_.reset();
      }
      m.waits();
      auto v = this->take();
      if (!v) break;
      m.took();
      this->guarded([&] { rest_.emplace(expand(std::move(*v))); });
    }
    m.ended();
    return std::nullopt;
  }
  template <class Emit>
  void apply(in_type&& v, Emit&& emit) {
    std::optional<source> rest;
    this->guarded([&] { rest.emplace(expand(std::move(v))); });
    while (auto r = this->guarded([&] { return rest->next(); })) emit(std::move(*r));
  }
  void release() noexcept {
    rest_.reset();
    lower_step<Up>::release();
  }

 private:
  source expand(in_type&& v) { return make_source(many(std::invoke(function_, std::move(v)))); }
  F function_;
  std::optional<source> rest_;  ///< of the newest value
};

template <class Up>
class batch_step : public lower_step<Up> {
 public:
  using in_type = typename Up::value_type;
  using value_type = std::vector<in_type>;
  static constexpr bool parallel = false;
  static constexpr const char* kind = "batch";
  batch_step(Up&& up, std::size_t size, std::optional<duration> age)
      : lower_step<Up>(std::move(up)), size_(size), age_(age) {
    if (size == 0) throw_misuse("runnel::batch: a batch of 0 is never full: give 1 or more");
  }

  void start(pipeline_core& core) {
    if (age_) this->up_.use_fiber();  // who waits with a limit needs something to wait for
    lower_step<Up>::start(core);
  }
  std::optional<value_type> pull(stage_meter& m) {
    value_type batch;
    m.waits();
    auto v = this->take();
    if (!v) {
      m.ended();
      return std::nullopt;
    }
    const time_point due = age_ ? age_->from_now() : never;
    std::size_t most = size_;
    batch.reserve(std::min<std::size_t>(size_, 1024));
    while (v) {
      m.took();
      batch.push_back(std::move(*v));
      // Late: what waits by now may still join it, but no more, else values that keep coming would put it off for ever.
      if (most == size_ && age_ && steady_clock::now() >= due) most = std::min(size_, batch.size() + this->up_.waiting());
      if (batch.size() == most) break;
      m.waits();
      refill(v, age_ ? this->up_.next_until(due) : this->take());
    }
    m.made();
    return batch;
  }

 private:
  std::size_t size_;
  std::optional<duration> age_;
};

/// Pace: called before each value is let through.
template <class Up, class Pace>
class throttle_step : public lower_step<Up> {
 public:
  using value_type = typename Up::value_type;
  static constexpr bool parallel = false;
  static constexpr const char* kind = "throttle";
  throttle_step(Up&& up, Pace pace) : lower_step<Up>(std::move(up)), pace_(std::move(pace)) {}

  std::optional<value_type> pull(stage_meter& m) {
    m.waits();
    auto v = this->take();
    if (!v) {
      m.ended();
      return v;
    }
    m.took();
    m.waits();
    this->guarded([this] { pace_(); });
    m.made();
    return v;
  }

 private:
  Pace pace_;
};

/// One every so often, and no burst after a pause.
class interval_pace {
 public:
  explicit interval_pace(std::chrono::nanoseconds interval) : interval_(interval) {}
  void operator()() {
    const time_point now = steady_clock::now();
    if (next_ > now) sleep_until(next_);
    next_ = duration(interval_).after(std::max(next_, now));
  }

 private:
  std::chrono::nanoseconds interval_;
  time_point next_ = time_point::min();
};

template <class L>
concept limiter = requires(std::remove_reference_t<L>& l) { l.wait(); };

/// By a limiter, borrowed where it was given by name, or by a function.
template <class L>
struct limiter_pace {
  using held = std::conditional_t<std::is_lvalue_reference_v<L>, std::remove_reference_t<L>*, std::decay_t<L>>;
  held limit;
  void operator()() {
    auto& l = [this]() -> auto& {
      if constexpr (std::is_lvalue_reference_v<L>) {
        return *limit;
      } else {
        return limit;
      }
    }();
    if constexpr (limiter<L>) {
      l.wait();
    } else {
      l();
    }
  }
};

}  // namespace runnel::inline RUNNEL_ABI::detail
