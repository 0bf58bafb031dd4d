// pipeline: values that pass stages, written as it is said.
//
//   auto pages = runnel::from(urls)
//              | runnel::map(fetch, {.workers = 8, .buffer = 32})
//              | runnel::filter(is_html)
//              | runnel::batch(100, 1s);
//   for (auto& batch : pages) store(batch);
//
// Use when: a stream of values is read, changed, sorted out, grouped, paced, some of it by several at once. When not:
// stages have several inputs or outputs (merge, tee, fan_out, channels); it is one loop (write the loop).
// How: a pipeline is a description until a terminal runs it, once: range-for, collect(), for_each(f), drain(). A stage
// runs on fibers of its own if it has `workers` or a `buffer`, and hands its results over through that buffer; without,
// it is done in place, by plain calls of the one that reads from it. The last stage is read by the caller. What is
// given by name to from(), and a limiter, are borrowed.
// Guarantees: nothing that was started outlives the terminal: leaving early (break, return, an exception) cancels all
// that is above and joins it. Every value once; in order, but for stages with several workers and
// stage_order::as_ready. Bounded everywhere: who does not read stops those above. The first failure, of a stage or of
// the consumer, cancels everything; when all has ended it leaves the terminal as the exception that it was, once, and
// failed_stage() says where it came from.
// Thread-safety: the terminal runs on one fiber; stats() and failed_stage() from any at any time. Functions of stages
// with one worker are called by one at a time, in place above a stage with several by one of those after the other.
// Blocking and cancellation: everything runs under the context that is ambient where the terminal is called; canceled
// or too late, the terminal throws that.
// Errors: misuse for no workers, an empty batch, a second run. A failure that nobody saw because the consumer left
// before goes to the unhandled hook.
// Cost: in place a few loads and stores for the counters; on a fiber of its own a message of a one-to-one channel; with
// several workers a short lock and a message, in order three short locks and a message more.
// Source: Go's pipelines (go.dev/blog/pipelines); Rust's rayon and Java's streams for the names.
#pragma once

#include <runnel/detail/joined_scope.hpp>
#include <runnel/detail/pipeline_stage.hpp>

#include <iterator>

namespace runnel::inline RUNNEL_ABI {

/// Which stage failed: its number, 0 being the source, and its name. The consumer's own function has the number after
/// the last.
struct stage_info {
  unsigned number;
  std::string name;
};

template <class Last>
class [[nodiscard("a pipeline does nothing until it is read: range-for, collect, for_each, drain")]] pipeline {
 public:
  using value_type = typename Last::value_type;
  class iterator;

  explicit pipeline(Last&& last) : last_(std::move(last)) {}
  /// Throws misuse when it runs or has run.
  pipeline(pipeline&& o) : last_(std::move(o).take_last()) {}

  /// for (auto& v : p): leaving the loop, however that happens, ends the pipeline.
  /// - blocks: until there is a value
  /// - cancel: ends the pipeline, throws canceled
  /// - threads: any, once
  RUNNEL_PARKS RUNNEL_JOINS iterator begin() {
    start();
    return iterator(*this);
  }
  std::default_sentinel_t end() const noexcept { return {}; }

  /// All values, in a vector.
  /// - blocks: until the end
  /// - cancel: ends the pipeline, throws canceled
  /// - threads: any, once
  RUNNEL_PARKS RUNNEL_JOINS std::vector<value_type> collect() {
    std::vector<value_type> all;
    run([&](value_type&& v) { all.push_back(std::move(v)); });
    return all;
  }
  /// The same, observing ctx and the ambient context: all stages too.
  /// - blocks: until the end
  /// - cancel: ends the pipeline, throws canceled
  /// - threads: any, once
  RUNNEL_PARKS RUNNEL_JOINS std::vector<value_type> collect(const context& ctx) {
    const detail::joined_scope both(ctx);
    return collect();
  }
  /// f(value) for each, on the caller, under the pipeline's context.
  /// - blocks: until the end
  /// - cancel: ends the pipeline, throws canceled
  /// - threads: any, once
  template <class F>
  RUNNEL_PARKS RUNNEL_JOINS void for_each(F&& f) {
    run([&](value_type&& v) { std::invoke(f, std::move(v)); });
  }
  /// The same, observing ctx as collect() does.
  /// - blocks: until the end
  /// - cancel: ends the pipeline, throws canceled
  /// - threads: any, once
  template <class F>
  RUNNEL_PARKS RUNNEL_JOINS void for_each(const context& ctx, F&& f) {
    const detail::joined_scope both(ctx);
    for_each(std::forward<F>(f));
  }
  /// Reads to the end and drops the values; how many there were.
  /// - blocks: until the end
  /// - cancel: ends the pipeline, throws canceled
  /// - threads: any, once
  RUNNEL_PARKS RUNNEL_JOINS std::size_t drain() {
    std::size_t count = 0;
    run([&](value_type&&) { ++count; });
    return count;
  }

  /// The same, observing ctx as collect() does.
  /// - blocks: until the end
  /// - cancel: ends the pipeline, throws canceled
  /// - threads: any, once
  RUNNEL_PARKS RUNNEL_JOINS std::size_t drain(const context& ctx) {
    const detail::joined_scope both(ctx);
    return drain();
  }

  /// What every stage has done and does, the source first; also while it runs.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  std::vector<stage_stats> stats() const {
    check_not_moved();
    std::vector<stage_stats> all;
    last_.describe(all);
    return all;
  }
  /// Where the failure came from; nullopt: nothing has failed (a cancellation from outside is no failure of a stage).
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  std::optional<stage_info> failed_stage() const {
    const auto number = core_.failed();
    if (!number) return std::nullopt;
    if (*number == consumer) return stage_info{consumer, "consumer"};
    return stage_info{*number, stats()[*number].name};
  }

  /// For operator|.
  Last take_last() && {
    check_unused();
    moved_ = true;
    return std::move(last_);
  }

 private:
  static constexpr unsigned consumer = Last::number + 1;

  void check_not_moved() const {
    if (moved_) detail::throw_misuse("runnel::pipeline: used after it was moved from");
  }
  void check_unused() const {
    check_not_moved();
    if (started_) detail::throw_misuse("runnel::pipeline: it runs, or has run: build another one");
  }
  void start() {
    check_unused();
    started_ = true;
    try {
      last_.start(core_);
    } catch (...) {
      end_by_exception();
    }
  }
  [[noreturn]] void end_by_exception() {
    struct release_at_end {
      Last& last;
      ~release_at_end() { last.release(); }
    } then{last_};
    core_.stop_and_rethrow();
  }
  void finish() {
    core_.finish();
    last_.release();
  }
  template <class Body>
  void run(Body&& body) {
    start();
    try {
      const detail::pipeline_scope ambient(core_);
      while (auto v = last_.next())
        detail::guard_stage(core_, consumer, [&] { body(std::move(*v)); });
    } catch (...) {
      end_by_exception();
    }
    finish();
  }
  /// For the iterator.
  std::optional<value_type> next() {
    try {
      if (auto v = last_.next_for_consumer()) return v;
    } catch (...) {
      end_by_exception();
    }
    finish();
    return std::nullopt;
  }
  void leave() noexcept {
    core_.leave();
    last_.release();
  }

  Last last_;
  bool started_ = false, moved_ = false;
  detail::pipeline_core core_;  // its fibers use last_: they end first
};

/// Owns the run: its end is the end of the pipeline. Move-only.
template <class Last>
class pipeline<Last>::iterator {
 public:
  using value_type = typename Last::value_type;
  using difference_type = std::ptrdiff_t;
  using iterator_concept = std::input_iterator_tag;

  explicit iterator(pipeline& p) : value_(p.next()), running_(value_ ? &p : nullptr) {}
  iterator(iterator&& o) noexcept : value_(std::move(o.value_)), running_(std::exchange(o.running_, nullptr)) {}
  iterator& operator=(iterator&&) = delete;
  ~iterator() {
    if (running_) running_->leave();
  }
  value_type& operator*() const noexcept { return *value_; }
  RUNNEL_PARKS iterator& operator++() {
    value_.reset();
    pipeline* const p = std::exchange(running_, nullptr);
    if (auto v = p->next()) {
      running_ = p;
      value_.emplace(std::move(*v));
    }
    return *this;
  }
  void operator++(int) { ++*this; }
  friend bool operator==(const iterator& i, std::default_sentinel_t) noexcept { return !i.value_.has_value(); }

 private:
  mutable std::optional<value_type> value_;
  pipeline* running_;
};

// ---- stages ----------------------------------------------------------------------------------------------------

namespace detail {

template <class S>
concept pipeline_step = requires { typename std::remove_cvref_t<S>::is_pipeline_step; };

/// What stands behind the |: attach(above) gives the pipeline below.
template <class Attach>
struct step {
  using is_pipeline_step = void;
  Attach attach;
};
template <class Attach>
step(Attach) -> step<Attach>;

constexpr stage_options one_worker(const serial_options& o) noexcept {
  return {.workers = 1, .buffer = o.buffer, .name = o.name};
}

/// A pipeline that ends with `s`, done as `o` says.
template <class Step>
pipeline<stage<Step>> stage_of(Step s, const stage_options& o) {
  return pipeline<stage<Step>>(stage<Step>(std::move(s), o));
}

}  // namespace detail

template <class Last, detail::pipeline_step Step>
decltype(auto) operator|(pipeline<Last>&& p, Step&& s) {
  return std::forward<Step>(s).attach(std::move(p));
}
/// A pipeline is not copied: write std::move(p) | ...
template <class Last, detail::pipeline_step Step>
void operator|(pipeline<Last>& p, Step&& s) = delete;

/// The source: a receiving end, a stream, a range (by name: borrowed and copied from; by value: owned and moved from),
/// or a function that returns std::optional. With a buffer it is read on a fiber of its own.
template <detail::sourceable S>
auto from(S&& source, serial_options options = {}) {
  using step = detail::source_step<detail::source_of<S>>;
  return detail::stage_of(step(detail::make_source(std::forward<S>(source))), detail::one_worker(options));
}

/// f(value) in the place of each value.
template <class F>
auto map(F f, stage_options options = {}) {
  return detail::step{[f = std::move(f), options]<class Last>(pipeline<Last>&& p) mutable {
    static_assert(std::invocable<F&, typename Last::value_type>,
                  "runnel::map: the function cannot be called with the values above");
    static_assert(!std::is_void_v<std::invoke_result_t<F&, typename Last::value_type>>,
                  "runnel::map: the function returns what goes on in the place of the value; for none see for_each");
    using step = detail::single_step<Last, detail::map_act<F>>;
    return detail::stage_of(step(std::move(p).take_last(), {std::move(f)}), options);
  }};
}
/// Only values for which f(const value&) holds.
template <class F>
auto filter(F f, stage_options options = {}) {
  return detail::step{[f = std::move(f), options]<class Last>(pipeline<Last>&& p) mutable {
    static_assert(std::predicate<F&, const typename Last::value_type&>,
                  "runnel::filter: the function must say true or false of the values above");
    using step = detail::single_step<Last, detail::filter_act<F>>;
    return detail::stage_of(step(std::move(p).take_last(), {std::move(f)}), options);
  }};
}
/// All that f(value) brings, for each value, one after the other: f returns a range, a stream or another source. A
/// stage with several workers that keeps the order holds what comes of one value together.
template <class F>
auto flat_map(F f, stage_options options = {}) {
  return detail::step{[f = std::move(f), options]<class Last>(pipeline<Last>&& p) mutable {
    static_assert(std::invocable<F&, typename Last::value_type>,
                  "runnel::flat_map: the function cannot be called with the values above");
    using step = detail::flat_map_step<Last, F>;
    return detail::stage_of(step(std::move(p).take_last(), std::move(f)), options);
  }};
}
/// Vectors of `size` values; the last one of what is left.
inline auto batch(std::size_t size, serial_options options = {}) {
  return detail::step{[size, options]<class Last>(pipeline<Last>&& p) {
    using step = detail::batch_step<Last>;
    return detail::stage_of(step(std::move(p).take_last(), size, std::nullopt), detail::one_worker(options));
  }};
}
/// The same, and at the latest `age` after the first of them came. The stage above gets a fiber of its own.
inline auto batch(std::size_t size, duration age, serial_options options = {}) {
  return detail::step{[size, age, options]<class Last>(pipeline<Last>&& p) {
    using step = detail::batch_step<Last>;
    return detail::stage_of(step(std::move(p).take_last(), size, age), detail::one_worker(options));
  }};
}
/// At most `count` values in `period`, evenly: one every period / count; after a pause no burst. Throws misuse for
/// none.
inline auto throttle(std::size_t count, duration period, serial_options options = {}) {
  if (count == 0) detail::throw_misuse("runnel::throttle: 0 values let nothing through: give 1 or more");
  const auto interval = period.nanoseconds() / static_cast<std::chrono::nanoseconds::rep>(count);
  return detail::step{[interval, options]<class Last>(pipeline<Last>&& p) {
    using step = detail::throttle_step<Last, detail::interval_pace>;
    const detail::interval_pace pace(interval);
    return detail::stage_of(step(std::move(p).take_last(), pace), detail::one_worker(options));
  }};
}
/// As fast as limit.wait(), or limit(), lets it.
template <class L>
  requires detail::limiter<L> || std::invocable<std::decay_t<L>&>
auto throttle(L&& limit, serial_options options = {}) {
  static_assert(std::is_lvalue_reference_v<L> || std::move_constructible<L>,
                "runnel::throttle: a limiter that cannot be moved is given by name, and must be there as long");
  detail::limiter_pace<L> pace{[&]() -> typename detail::limiter_pace<L>::held {
    if constexpr (std::is_lvalue_reference_v<L>) {
      return std::addressof(limit);
    } else {
      return std::move(limit);
    }
  }()};
  return detail::step{[pace = std::move(pace), options]<class Last>(pipeline<Last>&& p) mutable {
    using step = detail::throttle_step<Last, detail::limiter_pace<L>>;
    return detail::stage_of(step(std::move(p).take_last(), std::move(pace)), detail::one_worker(options));
  }};
}

// The terminals, for the end of the line: from(xs) | map(f) | collect().
inline auto collect() {
  return detail::step{[]<class Last>(pipeline<Last>&& p) { return p.collect(); }};
}
inline auto collect(const context& ctx) {
  return detail::step{[ctx]<class Last>(pipeline<Last>&& p) { return p.collect(ctx); }};
}
template <class F>
auto for_each(F f) {
  return detail::step{[f = std::move(f)]<class Last>(pipeline<Last>&& p) mutable { p.for_each(f); }};
}
template <class F>
auto for_each(const context& ctx, F f) {
  return detail::step{[ctx, f = std::move(f)]<class Last>(pipeline<Last>&& p) mutable { p.for_each(ctx, f); }};
}
inline auto drain() {
  return detail::step{[]<class Last>(pipeline<Last>&& p) { return p.drain(); }};
}
inline auto drain(const context& ctx) {
  return detail::step{[ctx]<class Last>(pipeline<Last>&& p) { return p.drain(ctx); }};
}

}  // namespace runnel::inline RUNNEL_ABI
