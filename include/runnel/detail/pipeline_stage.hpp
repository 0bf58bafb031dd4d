// A stage: a step, and where it is done. Four ways:
//   in_place   by whoever asks for the next value: plain calls
//   one_to_one on a fiber of its own, which hands its values over by a one-to-one channel
//   as_ready   by several workers, by a channel for several
//   in_order   by several workers; their results are put back into the order of their input
// Whoever asks is one at a time: the consumer, the fiber of the stage below, or one of its workers, under its crew's `turn`. So a
// stage above needs no protection, and a single worker's channel is one-to-one.
//
// in_order. Places stand in a ring of as many as may be under way. A worker takes, in its turn, a permit of the window and then
// a value, and with it the next number; its results go to the place of that number, whose permit comes back when they are
// taken. So of two numbers with the same place the first was taken before the second began, and a place is never
// full when somebody sends to it. Who finds the end of the input sends it to the place after the last.
#pragma once

#include <runnel/detail/pipeline_steps.hpp>
#include <runnel/sync/mutex.hpp>
#include <runnel/sync/semaphore.hpp>

#include <memory>
#include <mutex>
#include <string>

namespace runnel::inline RUNNEL_ABI {

/// In which order the results of a stage with several workers go on.
enum class stage_order : std::uint8_t {
  as_given,  ///< of what they were made of
  as_ready,  ///< that in which they are made
};

/// Where and how a stage runs. A stage with neither workers nor a buffer is done by the one that reads from it.
struct stage_options {
  std::size_t workers = 1;                    ///< fibers that call its function, at the same time
  std::optional<std::size_t> buffer = {};     ///< results that wait; 16 unless given
  stage_order order = stage_order::as_given;  ///< of the results of several workers
  std::string_view name = {};                 ///< in stats(), failed_stage() and reports
};
/// The same for what only one fiber can do.
struct serial_options {
  std::optional<std::size_t> buffer = {};
  std::string_view name = {};
};

/// What a stage has done and does now. Its numbers are read while it runs, one after the other.
struct stage_stats {
  unsigned number = 0;           ///< 0 is the source
  std::string name;
  std::uint64_t in = 0;          ///< values taken
  std::uint64_t out = 0;         ///< values made
  std::size_t workers = 0;       ///< that have begun and not ended
  std::size_t busy = 0;          ///< of them: in the stage's function
  std::size_t waiting = 0;       ///< of them: for a value of the stage above, or for time
  std::size_t handing_over = 0;  ///< of them: until the stage below has taken the result
};

namespace detail {

template <class Step>
class stage {
 public:
  using value_type = typename Step::value_type;
  static constexpr unsigned number = Step::number;

  stage(Step step, const stage_options& o)
      : step_(std::move(step)),
        name_(o.name.empty() ? std::string_view(Step::kind) : o.name),
        workers_(checked(o).workers),
        buffer_(o.buffer.value_or(default_buffer)),
        order_(o.order),
        in_place_(o.workers == 1 && !o.buffer),
        meters_(std::make_unique<cache_padded<stage_meter>[]>(workers_)) {}

  /// It gets a fiber of its own, whatever the options said.
  void use_fiber() noexcept { in_place_ = false; }
  void start(pipeline_core& core) {
    core_ = &core;
    step_.start(core);
    if (in_place_) return;
    if (workers_ == 1) {
      start_alone();
    } else if constexpr (Step::parallel) {
      start_crew();
    }
  }

  /// The next value, for one caller at a time.
  std::optional<value_type> next() { return in_place_ ? step_.pull(*meters_[0]) : receive(); }
  /// The same for the consumer, who is outside of the pipeline's context. What is done in its place runs inside, and so does
  /// what that starts; a mere wait observes the consumer's own context too.
  std::optional<value_type> next_for_consumer() {
    if (!in_place_) return receive(core_->get_context());
    const pipeline_scope inside(*core_);
    return step_.pull(*meters_[0]);
  }
  /// Only with fibers of its own. nullopt also when the limit came first.
  std::optional<value_type> next_until(time_point deadline) {
    auto r = alone_ ? alone_.receive_until(deadline) : several_ ? several_.receive_until(deadline) : next_in_order_until(deadline);
    if (r.status == channel_status::closed) core_->check_end();
    return std::move(r.value);
  }

  /// Values that next() would not have to wait for; those of one place are not seen.
  std::size_t waiting() const { return alone_ ? alone_.size() : several_ ? several_.size() : 0; }

  /// Lets go of the source; the fibers have ended.
  void release() noexcept {
    for (std::size_t i = 0; i < workers_; ++i) meters_[i]->ended();
    step_.release();
    alone_ = {};
    several_ = {};
  }
  void describe(std::vector<stage_stats>& out) const {
    step_.describe(out);
    stage_stats s{.number = number, .name = name_};
    for (std::size_t i = 0; i < workers_; ++i) {
      const stage_meter& m = *meters_[i];
      s.in += m.in();
      s.out += m.out();
      const auto now = m.now();
      s.workers += now != stage_meter::doing::nothing;
      s.busy += now == stage_meter::doing::busy;
      s.waiting += now == stage_meter::doing::waiting;
      s.handing_over += now == stage_meter::doing::handing_over;
    }
    out.push_back(std::move(s));
  }

 private:
  static constexpr std::size_t default_buffer = 16;
  static const stage_options& checked(const stage_options& o) {
    if (o.workers == 0) throw_misuse("runnel::pipeline: a stage without workers would never begin: give 1 or more");
    constexpr auto most = static_cast<std::size_t>(semaphore::max());  // the window of results under way
    if (o.workers > most || o.buffer.value_or(default_buffer) > most - o.workers)
      throw_misuse("runnel::pipeline: workers and buffer together are more results than can be counted");
    return o;
  }
  /// The results of one value in their place.
  struct results {
    std::optional<value_type> first;
    std::vector<value_type> more;
    bool end = false;
    void add(value_type&& v) {
      if (first) {
        more.push_back(std::move(v));
      } else {
        first.emplace(std::move(v));
      }
    }
  };
  /// What several workers share.
  struct crew {
    explicit crew(std::size_t under_way) : window(static_cast<std::ptrdiff_t>(under_way)) {}
    mutex turn;  ///< held while the stage above is asked, which may wait
    // In order:
    semaphore window;
    std::vector<channel<results>> places;
    std::size_t taken = 0;   ///< in turn
    bool ended = false;      ///< in turn
    std::size_t given = 0;   ///< by the reader
    results current;         ///< the reader's
    std::size_t next_more = 0;
    bool over = false;       ///< the reader's
  };

  template <class... Observed>
  std::optional<value_type> receive(const Observed&... ctx) {
    auto v = alone_ ? alone_.receive(ctx...) : several_ ? several_.receive(ctx...) : next_in_order(ctx...);
    if (!v) core_->check_end();
    return v;
  }

  /// On a fiber of the group, which ends with the pipeline's failure if it throws.
  template <class F>
  void run(F&& work) {
    core_->group().go([core = core_, body = std::forward<F>(work)]() mutable {
      try {
        body();
      } catch (...) {
        core->fail(number);
        throw;
      }
    });
  }

  void start_alone() {
    if (buffer_ == 0) {
      auto ends = make_channel<value_type>(0);
      several_ = std::move(ends.rx);
      run([this, tx = std::move(ends.tx)] { work_alone(tx); });
    } else {
      auto ends = make_channel<value_type, spsc>(buffer_);
      alone_ = std::move(ends.rx);
      run([this, tx = std::move(ends.tx)] { work_alone(tx); });
    }
  }
  void work_alone(const send_channel<value_type>& tx) {
    while (auto v = step_.pull(*meters_[0])) tx.send(std::move(*v));
  }
  void work_alone(const send_channel<value_type, spsc>& tx) {
    spsc_core* const below = tx.ref().get();
    while (auto v = step_.pull(*meters_[0]))
      if (spsc_pass_on(below, std::addressof(*v)) != channel_status::ok) throw channel_closed();
  }

  void start_crew() {
    crew_ = std::make_unique<crew>(workers_ + buffer_);
    if (order_ == stage_order::as_ready) {
      auto ends = make_channel<value_type>(buffer_);
      several_ = std::move(ends.rx);
      for (std::size_t i = 0; i < workers_; ++i) run([this, i, tx = ends.tx] { work_as_ready(*meters_[i], tx); });
    } else {
      crew_->places.reserve(workers_ + buffer_);
      for (std::size_t i = 0; i < workers_ + buffer_; ++i) crew_->places.emplace_back(std::size_t{1});
      for (std::size_t i = 0; i < workers_; ++i) run([this, i] { work_in_order(*meters_[i]); });
    }
  }
  auto take_in_turn() {
    const std::lock_guard mine(crew_->turn);
    return step_.take();
  }
  void work_as_ready(stage_meter& m, const send_channel<value_type>& tx) {
    for (;;) {
      m.waits();
      auto v = take_in_turn();
      if (!v) break;
      m.took();
      step_.apply(std::move(*v), [&](value_type&& r) {
        m.made();
        tx.send(std::move(r));
      });
    }
    m.ended();
  }

  /// The next value and its number; without a value there is no more.
  auto take_numbered(std::size_t& n) {
    const std::lock_guard mine(crew_->turn);
    decltype(step_.take()) v;
    if (crew_->ended) return v;
    crew_->window.acquire();
    refill(v, step_.take());
    n = crew_->taken++;
    if (v) return v;
    crew_->ended = true;
    crew_->places[n % crew_->places.size()].send(results{.first = {}, .more = {}, .end = true});
    return v;
  }
  void work_in_order(stage_meter& m) {
    for (;;) {
      m.waits();
      std::size_t n = 0;
      auto v = take_numbered(n);
      if (!v) break;
      m.took();
      results made;
      step_.apply(std::move(*v), [&](value_type&& r) {
        m.made();
        made.add(std::move(r));
      });
      crew_->places[n % crew_->places.size()].send(std::move(made));
    }
    m.ended();
  }
  /// What is left of the current results.
  std::optional<value_type> next_of_current() {
    crew& c = *crew_;
    if (c.current.first) return std::exchange(c.current.first, std::nullopt);
    if (c.next_more < c.current.more.size()) return std::move(c.current.more[c.next_more++]);
    return std::nullopt;
  }
  void begin_current(results&& r) {
    crew& c = *crew_;
    refill(c.current.first, std::move(r.first));
    c.current.more = std::move(r.more);
    c.next_more = 0;
    c.over = r.end;
    ++c.given;
    c.window.release();
  }
  template <class... Observed>
  std::optional<value_type> next_in_order(const Observed&... ctx) {
    for (;;) {
      if (auto v = next_of_current()) return v;
      if (crew_->over) return std::nullopt;
      begin_current(*crew_->places[crew_->given % crew_->places.size()].receive(ctx...));
    }
  }
  try_receive_result<value_type> next_in_order_until(time_point deadline) {
    for (;;) {
      if (auto v = next_of_current()) return {channel_status::ok, std::move(v)};
      if (crew_->over) return {channel_status::closed, std::nullopt};
      auto r = crew_->places[crew_->given % crew_->places.size()].receive_until(deadline);
      if (!r) return {r.status, std::nullopt};
      begin_current(std::move(*r.value));
    }
  }

  Step step_;
  std::string name_;
  std::size_t workers_;
  std::size_t buffer_;
  stage_order order_;
  bool in_place_;
  std::unique_ptr<cache_padded<stage_meter>[]> meters_;
  pipeline_core* core_ = nullptr;
  receive_channel<value_type, spsc> alone_;
  receive_channel<value_type> several_;
  std::unique_ptr<crew> crew_;
};

}  // namespace detail

}  // namespace runnel::inline RUNNEL_ABI
