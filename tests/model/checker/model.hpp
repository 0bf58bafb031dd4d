// A model checker for algorithms on the atomic shim: runs a small concurrent program again and again until every
// interleaving and every value that a load may return have been tried, within bounds.
//
// Use it for code whose correctness hangs on memory orders or on wake-ups, with two to four threads and a few dozen
// steps each. Not for whole programs: the number of executions grows exponentially.
// Guarantees: a failure is real for the memory model below, and is printed as the sequence of its steps. `passed` means
// that everything within the bounds was tried; a cap that was reached is `incomplete` and never a success.
// Finds: failed checks, data races on plain memory, deadlocks (so lost wake-ups), loops without end, atomics used after
// their end.
// Memory model: C++20's with two restrictions, see docs/internals/model_checking.md.
// Threads: one; the program's threads are contexts that the checker switches between.
// Source: D. Vyukov, Relacy (store histories); B. Norris, B. Demsky, "CDSChecker" (2013),
// https://doi.org/10.1145/2544173.2509514; M. Musuvathi, S. Qadeer, "Iterative Context Bounding" (2007),
// https://doi.org/10.1145/1273442.1250785 (the bound on preemptions); J. Kang et al., "A Promising Semantics" (2017),
// https://doi.org/10.1145/3093333.3009850 (views).
#pragma once

#include "checker/word.hpp"

#include <cstdint>
#include <string>

namespace model {

/// How far to look. What lies within is tried completely.
struct bounds {
  std::uint32_t preemptions = 2;     ///< switches away from a thread that could go on, in one execution
  std::uint32_t stale_reads = 2;     ///< loads that return something else than the newest value, in one execution
  std::uint32_t spurious_wakes = 0;  ///< futex waits that return for no reason, in one execution
  std::uint32_t steps = 5000;        ///< of one execution; more is reported as a loop without end
  std::uint64_t executions = 3'000'000;
};
/// For programs of a few steps.
inline constexpr bounds wide{20, 8, 1, 5000, 3'000'000};

enum class verdict : std::uint8_t { passed, failed, incomplete };

struct result {
  verdict what = verdict::passed;
  std::uint64_t executions = 0;
  std::uint64_t discarded = 0;  ///< of these: a load of the future whose store did not come
  std::uint64_t steps = 0;
  std::string message;  ///< what failed, and the steps that lead to it
};

/// Runs `program` in every way within the bounds; stops at the first failure. It must do the same when the same
/// choices are made: no clock, no addresses, no state kept from the run before.
result explore(const bounds& b, void (*program)(void*), void* argument);
template <class Program>
result explore(const bounds& b, Program program) {
  return explore(b, [](void* p) { (*static_cast<Program*>(p))(); }, &program);
}

// ---- inside a program

/// A thread of the program; the one that makes it joins it, at the latest at the end of the scope.
template <class F>
class thread {
 public:
  explicit thread(F f) : f_(static_cast<F&&>(f)), number_(detail::spawn(&run, this)) {}
  thread(const thread&) = delete;
  thread& operator=(const thread&) = delete;
  ~thread() { join(); }
  void join() {
    if (!joined_) detail::join(number_);
    joined_ = true;
  }

 private:
  static void run(void* self) { static_cast<thread*>(self)->f_(); }
  F f_;
  unsigned number_;
  bool joined_ = false;
};

/// Ends the execution as failed unless `ok`.
void check(bool ok, const char* what, detail::site at = detail::site::here());

/// A number below n; all of them are tried.
unsigned choose(unsigned n);

/// Blocks until f() holds; with `timed` only until nobody else can do anything, and then returns false: time passes when
/// nothing else happens. f looks at plain state only, is not a part of the program, and orders nothing.
template <class F>
bool wait_until(F f, bool timed = false) {
  return detail::wait_until([](void* p) -> bool { return (*static_cast<F*>(p))(); }, &f, timed);
}

/// The number of the running thread, from 0.
unsigned thread_number() noexcept;

/// A plain variable whose accesses are checked for races in every build. Without it plain memory is checked only where
/// the compiler reports accesses (RUNNEL_MODEL_PLAIN).
template <class T>
class var {
 public:
  var() = default;
  explicit var(T v) : value_(v) {}
  var(const var&) = delete;
  var& operator=(const var&) = delete;
  T get(detail::site at = detail::site::here()) const {
    detail::plain_access(&value_, sizeof value_, false, at);
    return value_;
  }
  void set(T v, detail::site at = detail::site::here()) {
    detail::plain_access(&value_, sizeof value_, true, at);
    value_ = v;
  }

 private:
  T value_{};
};

}  // namespace model
