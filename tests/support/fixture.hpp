// The one fixture of the behaviour tests: runs a body with 1, 2 and 4 workers and from plain threads, and proves at the end
// that no fiber, timer, waiter or allocation is left. A test that hangs prints every fiber and ends the process.
#pragma once

#include <runnel/runnel.hpp>

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <random>
#include <thread>
#include <vector>

namespace runnel::test {

/// Live blocks from operator new, and of the library's pool; see allocations.cpp.
std::int64_t live_allocations() noexcept;
/// How many blocks have been asked of the heap.
std::uint64_t allocations_made() noexcept;

/// n divided by RUNNEL_TEST_SCALE, at least 1: sizes of stress tests in slow builds.
std::size_t scaled(std::size_t n);
/// RUNNEL_TEST_SEED, or a random one; printed once.
std::uint64_t seed();

/// Who calls: fibers on that many workers, or plain threads.
struct caller {
  unsigned workers;
  bool threads;
};
void PrintTo(const caller& c, std::ostream* out);
inline constexpr caller one_worker{1, false}, two_workers{2, false}, four_workers{4, false}, plain_threads{2, true};

/// Something started by a test: a fiber, or a thread where the test runs from threads. Joins at its end.
class party {
 public:
  party(party&&) = default;
  party& operator=(party&&) = default;
  ~party();
  /// Waits for the end; rethrows what left the body.
  void join();

 private:
  friend class behaviour;
  party() = default;
  struct thread_state;
  task<void> fiber_;
  std::shared_ptr<thread_state> thread_;
};

class behaviour : public ::testing::TestWithParam<caller> {
 protected:
  /// Runs body as a fiber under run(), or on a plain thread beside the runtime; then checks that nothing is left.
  void in_runtime(const std::function<void()>& body) { in_runtime(run_options{}, body); }
  void in_runtime(run_options options, const std::function<void()>& body);
  bool from_threads() const { return GetParam().threads; }
  /// Starts f beside the caller, of the same kind as the caller. A thread inherits the ambient context.
  static party start(std::function<void()> f);
  /// Whether `n` parties besides the caller are blocked in operations of the library, and nobody has ended their waits.
  bool are_waiting(std::size_t n) const;
  /// Waits until they are.
  void until_waiting(std::size_t n) const;

  void SetUp() override;
};

/// The same where only one way of calling makes sense.
class plain : public ::testing::Test {
 protected:
  void in_runtime(run_options options, const std::function<void()>& body);
};

/// Ends a test that hangs: prints every fiber after ten seconds, ends the process after five minutes.
class hang_guard {
 public:
  explicit hang_guard(std::string what);
  ~hang_guard();
  hang_guard(const hang_guard&) = delete;
  hang_guard& operator=(const hang_guard&) = delete;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace runnel::test

/// Instantiates a suite derived from behaviour for every caller.
#define RUNNEL_EVERY_CALLER(Suite)                                                                                  \
  INSTANTIATE_TEST_SUITE_P(callers, Suite,                                                                          \
                           ::testing::Values(::runnel::test::one_worker, ::runnel::test::two_workers,              \
                                             ::runnel::test::four_workers, ::runnel::test::plain_threads),         \
                           [](const auto& param_info) {                                                             \
                             return param_info.param.threads ? std::string("threads")                               \
                                                             : "workers_" + std::to_string(param_info.param.workers); \
                           })
/// For fibers only.
#define RUNNEL_EVERY_WIDTH(Suite)                                                                                   \
  INSTANTIATE_TEST_SUITE_P(                                                                                         \
      widths, Suite,                                                                                                \
      ::testing::Values(::runnel::test::one_worker, ::runnel::test::two_workers, ::runnel::test::four_workers),    \
      [](const auto& param_info) { return "workers_" + std::to_string(param_info.param.workers); })
