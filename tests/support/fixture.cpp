#include "failing_allocation.hpp"
#include "fixture.hpp"

#include <runnel/debug/dump_fibers.hpp>
#include <runnel/fd.hpp>

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <mutex>

namespace runnel::test {

using namespace std::chrono_literals;

std::size_t scaled(std::size_t n) {
  static const std::size_t scale = [] {
    const char* text = std::getenv("RUNNEL_TEST_SCALE");
    const unsigned long s = text ? std::strtoul(text, nullptr, 10) : 1;
    return s ? s : 1;
  }();
  return n / scale ? n / scale : 1;
}

std::uint64_t seed() {
  static const std::uint64_t s = [] {
    const char* text = std::getenv("RUNNEL_TEST_SEED");
    const std::uint64_t v = text ? std::strtoull(text, nullptr, 0) : (std::uint64_t{std::random_device{}()} << 32 | std::random_device{}());
    std::cout << "RUNNEL_TEST_SEED=" << v << std::endl;
    return v;
  }();
  return s;
}

void PrintTo(const caller& c, std::ostream* out) {
  *out << (c.threads ? "threads beside " : "fibers on ") << c.workers << " workers";
}

// ---- hang_guard ------------------------------------------------------------------------------------------------

namespace {
/// Where its reports go: what a test captures is the library's alone. Above the descriptors that tests close.
std::FILE* const terminal = fdopen(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 100), "w");
}  // namespace

struct hang_guard::state {
  std::string what;
  std::mutex m;
  std::condition_variable changed;
  bool over = false;
  std::thread watch;
};

hang_guard::hang_guard(std::string what) : state_(std::make_unique<state>()) {
  state_->what = std::move(what);
  state_->watch = std::thread([s = state_.get()] {
    const uncounted_allocations reports;
    std::unique_lock lock(s->m);
    for (int waited = 0; waited < 300; waited += 10) {
      if (s->changed.wait_for(lock, 10s, [s] { return s->over; })) return;
      std::fprintf(terminal, "%s has been running for %d s\n", s->what.c_str(), waited + 10);
      dump_fibers(terminal);  // which flushes it
    }
    std::fprintf(terminal, "%s hangs\n", s->what.c_str());
    std::fflush(terminal);
    std::abort();
  });
}

hang_guard::~hang_guard() {
  {
    const std::lock_guard lock(state_->m);
    state_->over = true;
  }
  state_->changed.notify_all();
  state_->watch.join();
}

// ---- running ---------------------------------------------------------------------------------------------------

namespace {

std::string current_test() {
  const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
  return info ? std::string(info->test_suite_name()) + "." + info->name() : "test";
}

/// Whatever is made once and kept is made before anything is counted.
void warm_up() {
  static const bool done = [] {
    seed();
    run({.workers = 2, .signals = {SIGUSR2}}, [] {
      int pipe_ends[2];
      if (pipe(pipe_ends) != 0) std::abort();
      static_cast<void>(wait_readable_for(pipe_ends[0], 1ms));
      blocking([] { sleep_for(1ms); });
      close(pipe_ends[0]);
      close(pipe_ends[1]);
    });
    return true;
  }();
  static_cast<void>(done);
}

void check_nothing_left(std::int64_t allocations_before) {
  const runtime_stats s = stats();
  EXPECT_EQ(s.live_fibers, 0u) << fiber_report();
  EXPECT_EQ(s.armed_timers, 0u);
  EXPECT_EQ(s.registered_waits, 0);
  if (!::testing::Test::HasFailure()) {
    EXPECT_EQ(live_allocations() - allocations_before, 0) << "blocks of memory are left";
  }
}

void run_guarded(const run_options& options, const std::function<void()>& body, bool on_thread) {
  warm_up();
  const hang_guard guard(current_test());
  const std::int64_t before = live_allocations();
  if (on_thread) {
    run(options, [&] { blocking(body); });
  } else {
    run(options, [&] { body(); });
  }
  check_nothing_left(before);
}

}  // namespace

void behaviour::SetUp() { seed(); }

void behaviour::in_runtime(run_options options, const std::function<void()>& body) {
  options.workers = GetParam().workers;
  run_guarded(options, body, GetParam().threads);
}

void plain::in_runtime(run_options options, const std::function<void()>& body) { run_guarded(options, body, false); }

bool behaviour::are_waiting(std::size_t n) const {
  // run()'s own thread is blocked, and so is the root fiber where the body runs on a thread.
  return stats().parked >= n + (from_threads() ? 2 : 1);
}

void behaviour::until_waiting(std::size_t n) const {
  const cancel_shield shield;
  while (!are_waiting(n)) sleep_for(100us);
}

// ---- party -----------------------------------------------------------------------------------------------------

struct party::thread_state {
  std::thread thread;
  std::exception_ptr error;
};

party behaviour::start(std::function<void()> f) {
  party p;
  if (this_fiber::in_fiber()) {
    p.fiber_ = runnel::go([f = std::move(f)] { f(); });
    return p;
  }
  p.thread_ = std::make_shared<party::thread_state>();
  p.thread_->thread = std::thread([f = std::move(f), s = p.thread_, ctx = context::current()] {
    {
      const context_scope ambient(ctx);
      try {
        f();
      } catch (...) {
        s->error = std::current_exception();
      }
    }
  });
  return p;
}

void party::join() {
  if (fiber_.valid()) {
    fiber_.get();
    return;
  }
  if (!thread_) return;
  const auto s = std::move(thread_);
  s->thread.join();
  if (s->error) std::rethrow_exception(s->error);
}

party::~party() {
  if (thread_ && thread_->thread.joinable()) thread_->thread.join();
}

}  // namespace runnel::test
