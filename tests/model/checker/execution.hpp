// The state of the checker. One exploration at a time, on one thread of the process.
//
// Exploration: depth first over the choices that an execution makes (which thread takes the next step, which store a load
// reads, what choose() returns). An execution replays the choices of the one before up to the last that had another
// alternative, takes that, and goes on with first alternatives.
//
// Loads of the future: the order of execution would hide that a relaxed load may return a value that is stored later (load
// buffering). When a store is executed that does not come after an earlier load of the location, its value becomes one
// more alternative of that load. An execution that takes it has a promise: it counts only if the value is stored in time.
// Source: CDSChecker (see model.hpp).
//
// Memory: each location has its stores in modification order, which is the order in which they were executed. A view is
// what a party knows: for each location the oldest store that it may still read, and for each thread how far its past
// goes (a vector clock, for races of plain memory). A store carries the view that who acquires it joins.
#pragma once

#include "checker/model.hpp"

#include "fiber/sanitizer.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace model::detail {

inline constexpr unsigned max_threads = 8;
inline constexpr std::uint32_t max_locations = 512;
inline constexpr std::size_t stack_bytes = 256 * 1024;

class view {
 public:
  void clear() noexcept {
    size_ = 0;
    clock.fill(0);
  }
  void copy(const view& o) noexcept;
  void join(const view& o) noexcept {
    join_positions(o);
    for (unsigned t = 0; t < max_threads; ++t)
      if (clock[t] < o.clock[t]) clock[t] = o.clock[t];
  }
  void join_positions(const view& o) noexcept {
    grow(o.size_);
    for (std::uint32_t i = 0; i < o.size_; ++i)
      if (at_[i] < o.at_[i]) at_[i] = o.at_[i];
  }
  std::uint16_t at(std::uint32_t location) const noexcept { return location < size_ ? at_[location] : std::uint16_t{0}; }
  void raise(std::uint32_t location, std::size_t position) noexcept {
    grow(location + 1);
    if (at_[location] < position) at_[location] = static_cast<std::uint16_t>(position);
  }

  std::array<std::uint32_t, max_threads> clock{};

 private:
  void grow(std::uint32_t n) noexcept {
    for (; size_ < n; ++size_) at_[size_] = 0;
  }
  std::uint32_t size_ = 0;
  std::uint16_t at_[max_locations];
};

struct store_record {
  std::uint64_t value;
  view* message;  ///< null: nothing to acquire
};

struct location {
  std::vector<store_record> stores;
  std::array<std::uint32_t, max_threads> accessed;  ///< by each thread, its clock then; for races with the end
  std::uint32_t sc_position;                        ///< the newest store that a seq_cst access wrote or read
  unsigned made_by;                                 ///< max_threads: before the execution
  std::uint32_t made_at;
  bool ended;
};

enum class state : std::uint8_t { ready, paused, in_futex, joining, waiting, finished, stopped };

struct thread_record {
  void* sp = nullptr;
  void* exceptions[2] = {};
  std::byte* stack = nullptr;
  runnel::detail::sanitizer::context sanitizer;
  void (*f)(void*) = nullptr;
  void* argument = nullptr;
  state what = state::finished;
  bool timed = false;
  bool timed_out = false;
  const word* key = nullptr;  ///< in_futex
  unsigned target = 0;        ///< joining
  bool (*until)(void*) = nullptr;
  void* until_argument = nullptr;
  view current;       ///< happens before the next step
  view pending;       ///< read without acquire: an acquire fence joins it
  view fence_release; ///< at the last release fence: a relaxed store carries it
};

/// One line of a failure's report.
struct step {
  std::uint8_t thread;
  const char* what;
  site at;
  std::uint32_t location;
  std::uint64_t value;
  std::uint32_t age;  ///< a load: how many stores are newer than the one that it read
  order o;
};

struct choice {
  std::uint32_t chosen = 0;
  std::uint32_t count = 0;
  std::vector<std::uint64_t> values;  ///< a relaxed load: what it may return, first the `count` stores of its present
};

/// A relaxed load that may still turn out to be able to return what is stored later.
struct early_load {
  std::uint32_t location;
  std::uint32_t clock;
  std::uint32_t choice;
  std::uint8_t thread;
};

/// A load that has returned a value which is to be stored later.
struct promise {
  std::uint32_t location;
  std::uint32_t clock;
  std::uint64_t value;
  std::uint8_t thread;
};

class execution {
 public:
  static execution& instance() noexcept { return the_one ? *the_one : make(); }

  result explore(const bounds& b, void (*program)(void*), void* argument);

  bool active() const noexcept { return active_; }
  /// Whether the checker itself runs: plain accesses are not the program's.
  bool inside = true;

  // Steps, on the running thread.
  thread_record& self() noexcept { return threads_[current_]; }
  unsigned current() const noexcept { return current_; }
  /// Every step begins with it: here another thread may go first.
  void begin_step();
  /// The running thread cannot go on; returns when it is chosen again.
  void block(state s);
  void tick() noexcept { ++self().current.clock[current_]; }
  std::uint32_t choose(std::uint32_t n);
  /// A relaxed load chooses between the stores with these values (the first is free, the others cost a stale read) and
  /// values of the future; `from_future` tells that the value is of the latter.
  std::uint32_t choose_load(const std::uint64_t* present, std::uint32_t n, std::uint64_t& value, bool& from_future);
  void remember_load(std::uint32_t location);
  void make_promise(std::uint32_t location, std::uint64_t value);
  /// An open one of a load that happens before the present step.
  promise* known_promise(std::uint32_t location) noexcept;
  bool has_promise(unsigned thread) const noexcept;
  /// After a store: offers its value to earlier loads, and keeps promises.
  void offer(std::uint32_t location, std::uint64_t value, const view& message);
  /// This execution cannot happen: a promise was not kept.
  [[noreturn]] void discard();
  void note(const char* what, const site& at, std::uint32_t location = ~0u, std::uint64_t value = 0, order o = order::relaxed,
            std::uint32_t age = 0);
  [[noreturn]] void fail(const std::string& what, const site& at);
  [[noreturn]] void fail(const std::string& what) { fail(what, site{}); }

  location& find(const word& w);
  void add_location(word& w, std::uint64_t value, bool before_execution);
  view* new_view();
  std::uint64_t number() const noexcept { return number_; }
  bool knows(unsigned thread, std::uint32_t clock) noexcept { return self().current.clock[thread] >= clock; }

  unsigned add_thread(void (*f)(void*), void* argument);
  std::array<thread_record, max_threads>& threads() noexcept { return threads_; }
  unsigned thread_count() const noexcept { return thread_count_; }

  bounds limits;
  std::uint32_t stale_reads = 0;
  std::uint32_t spurious_wakes = 0;
  view sc_fences;  ///< what the seq_cst fences so far knew
  std::vector<location> locations;
  std::uint32_t location_count = 0;

  /// A context's first function.
  static void enter() noexcept;

 private:
  static inline execution* the_one = nullptr;
  static execution& make() noexcept;
  bool enabled(unsigned t) noexcept;
  void pick_next(bool self_ready);
  void switch_to(unsigned t);
  [[noreturn]] void leave_execution();
  void report_if_kept();
  void switch_raw(thread_record* from, thread_record* to, bool last);
  void start();
  bool advance() noexcept;
  std::string history() const;

  std::array<thread_record, max_threads> threads_{};
  thread_record outer_;            ///< explore() itself
  thread_record* left_ = nullptr;  ///< whom the last switch left
  unsigned thread_count_ = 0;
  unsigned current_ = 0;
  bool active_ = false;
  bool failed_ = false;
  std::vector<early_load> early_loads_;
  std::vector<promise> promises_;
  bool fails_if_kept_ = false;  ///< a failure was found while promises were open
  std::string failure_;
  std::uint64_t discarded_ = 0;
  std::uint64_t number_ = 0;
  std::uint32_t preemptions_ = 0;
  std::vector<choice> choices_;
  std::size_t position_ = 0;
  std::vector<step> steps_;
  std::uint64_t total_steps_ = 0;
  std::vector<std::unique_ptr<view>> views_;
  std::size_t views_used_ = 0;
  std::string message_;
};

// plain.cpp
void forget_plain_accesses() noexcept;
void check_plain(const void* address, std::size_t bytes, bool write, const site& at, const void* pc) noexcept;

// mutation.cpp: RUNNEL_MUTATE
enum class operation : std::uint8_t { load, store, modify, success, failure, fence, wake };
order mutated(operation what, order o, const site& at) noexcept;
bool dropped(const site& at) noexcept;
/// calls.cpp: the same for a call.
bool call_dropped(const void* returns_to) noexcept;

/// While the checker works on behalf of a thread.
class inside_checker {
 public:
  inside_checker() noexcept { execution::instance().inside = true; }
  ~inside_checker() { execution::instance().inside = false; }
  inside_checker(const inside_checker&) = delete;
  inside_checker& operator=(const inside_checker&) = delete;
};

}  // namespace model::detail
