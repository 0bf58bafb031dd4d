// What stacks cost: one page for a fiber that waits, and nothing for long when they lie idle.
#include "conformance/captured_stderr.hpp"
#include "fiber/sanitizer.hpp"
#include "fiber/stack_pool.hpp"
#include "sched/fiber_pool.hpp"
#include "support/fixture.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <limits>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

std::size_t page() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

/// Of each page of a stack, from the top down, whether it is in memory.
std::vector<bool> resident(std::byte* stack, stack_class c) {
  std::vector<unsigned char> pages(stack_bytes(c) / page());
  std::vector<bool> r;
  if (mincore(stack, stack_bytes(c), pages.data()) != 0) return r;
  for (auto p = pages.rbegin(); p != pages.rend(); ++p) r.push_back((*p & 1) != 0);
  return r;
}

/// Stacks of a class with at least so many pages in memory.
std::size_t stacks_with(std::size_t pages, stack_class c) {
  std::size_t n = 0;
  for (std::size_t k = 0; k < detail::slab_count(); ++k) {
    const detail::slab& s = detail::slab_at(k);
    for (std::size_t i = 0; s.size_class == c && i < s.slots; ++i) {
      const std::vector<bool> r = resident(s.slot(i), s.size_class);
      n += static_cast<std::size_t>(std::count(r.begin(), r.end(), true)) >= pages;
    }
  }
  return n;
}

/// Whether the kernel tells which pages are there, also of a guarded mapping, and takes one back when it is told to. An
/// emulator may do neither.
bool memory_can_be_watched() {
  auto* p = static_cast<volatile char*>(mmap(nullptr, 2 * page(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  auto* start = const_cast<char*>(p);
  unsigned char there[2] = {};
  mprotect(start, page(), PROT_NONE);
  p[page()] = 1;
  bool works = mincore(start, 2 * page(), there) == 0 && (there[1] & 1);
  works = works && madvise(start + page(), page(), MADV_DONTNEED) == 0 && p[page()] == 0;
  munmap(start, 2 * page());
  return works;
}

const char* reason_to_skip() {
  if (!memory_can_be_watched()) return "this emulator does not tell which pages are there, or gives none back";
  if (detail::sanitizer::fresh_stacks) return "every stack has a mapping of its own in this build";
  if (sanitized) return "a sanitizer's frames are larger, and it touches stacks itself";
  return nullptr;
}

[[gnu::noinline]] std::size_t use_stack(std::ptrdiff_t left) {
  volatile char frame[448];
  for (std::size_t i = 0; i < sizeof frame; i += 64) frame[i] = 1;
  return left <= 0 ? 0 : use_stack(left - 512) + static_cast<std::size_t>(frame[0]);
}

class stack_memory : public plain {
 protected:
  void SetUp() override {
    if (const char* why = reason_to_skip()) GTEST_SKIP() << why;
  }
  /// `n` fibers that have used half of their standard stacks, at the same time; `meanwhile` while they wait.
  static void use_deeply(int n, const std::function<void()>& meanwhile) {
    std::vector<task<void>> all;
    const channel<int> gate;
    std::atomic<int> deep{0};
    for (int i = 0; i < n; ++i)
      all.push_back(go([&] {
        use_stack(128 * 1024);
        ++deep;
        gate.receive();
      }));
    while (deep < n) yield();
    meanwhile();
    gate.close();
    for (auto& t : all) t.get();
  }
};

TEST_F(stack_memory, a_parked_small_fiber_holds_its_first_page_and_no_other) {
  in_runtime({.workers = 2}, [] {
    constexpr std::size_t n = 1000;
    std::vector<task<void>> parked;
    const channel<int> gate;
    for (std::size_t i = 0; i < n; ++i) parked.push_back(go({.stack = stack_class::small}, [&] { gate.receive(); }));
    while (stats().parked < n + 1) yield();  // and run()'s thread
    std::size_t seen = 0;
    for (std::size_t k = 0; k < detail::slab_count(); ++k) {
      const detail::slab& s = detail::slab_at(k);
      const auto* fibers = static_cast<const sched::fiber*>(s.records);
      for (std::size_t i = 0; s.size_class == stack_class::small && i < s.slots; ++i) {
        if (fibers[i].state.load(shim::order::relaxed) != sched::fiber_state::parked) continue;  // relaxed: it stays so
        // Not the slot of that number: fibers exchange their stacks.
        const std::vector<bool> r = resident(fibers[i].stack_top - stack_bytes(s.size_class), s.size_class);
        EXPECT_TRUE(r.at(0));
        EXPECT_EQ(std::count(r.begin(), r.end(), true), 1) << "fiber " << i << " of slab " << k;
        ++seen;
      }
    }
    EXPECT_EQ(seen, n);
    gate.close();
    for (auto& t : parked) t.get();
  });
}

// One worker keeps up to 64 stacks of this class for itself.
constexpr std::size_t kept = 64;
constexpr int many = 300;

TEST_F(stack_memory, idle_stacks_are_trimmed_and_work_again) {
  in_runtime({.workers = 1}, [] {
    for (int round = 0; round < 2; ++round) {
      use_deeply(many, [] { EXPECT_GE(stacks_with(16, stack_class::standard), std::size_t{many}); });
      sched::mark_idle_stacks();  // from here on nobody takes one
      sched::mark_idle_stacks();
      while (sched::trim_idle_stacks(50)) {
      }
      EXPECT_LE(stacks_with(16, stack_class::standard), kept);
      EXPECT_LE(stacks_with(1, stack_class::standard), kept + 1) << "and this fiber's";
      EXPECT_FALSE(sched::any_idle_stacks()) << "there is no more to do, so the monitor may sleep";
    }
  });
}

TEST_F(stack_memory, those_in_use_are_left_alone) {
  in_runtime({.workers = 1}, [] {
    use_deeply(many, [] {
      sched::mark_idle_stacks();
      sched::mark_idle_stacks();
      while (sched::trim_idle_stacks(50)) {
      }
      EXPECT_GE(stacks_with(16, stack_class::standard), std::size_t{many});
    });
  });
}

TEST_F(stack_memory, the_monitor_trims_while_nothing_runs) {
  const hang_guard guard("the_monitor_trims_while_nothing_runs");
  run({.workers = 1}, [] {
    use_deeply(many, [] {});
    while (stacks_with(16, stack_class::standard) > kept) sleep_for(50ms);  // it looks once a second
  });
}

TEST_F(stack_memory, huge_stacks_are_kept_by_the_handful) {
  in_runtime({.workers = 1}, [] {
    for (int i = 0; i < 5; ++i) {
      std::vector<task<void>> all;
      const channel<int> gate;
      for (int k = 0; k < 20; ++k)
        all.push_back(go({.stack = stack_class::huge}, [&] {
          use_stack(1024 * 1024);
          gate.receive();
        }));
      gate.close();
      for (auto& t : all) t.get();
    }
    sched::mark_idle_stacks();
    sched::mark_idle_stacks();
    while (sched::trim_idle_stacks(50)) {
    }
    EXPECT_LE(stacks_with(1, stack_class::huge), 4u);
  });
}

// ---- a guard in software costs no page ---------------------------------------------------------------------------

class software_guard_memory_death_test : public ::testing::Test {
 protected:
  software_guard_memory_death_test() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
  static std::size_t resident_bytes() {
    std::ifstream statm("/proc/self/statm");
    std::size_t total = 0, there = 0;
    statm >> total >> there;
    return there * page();
  }
};

TEST_F(software_guard_memory_death_test, nothing_is_written_at_the_far_end) {
  if (const char* why = reason_to_skip()) GTEST_SKIP() << why;
  EXPECT_EXIT(
      {
        detail::set_guard_limits({false, 0});
        std::size_t per_fiber = 0;
        run({.workers = 1}, [&] {
          constexpr std::size_t n = 4000;
          std::vector<task<void>> parked;
          parked.reserve(n);
          const channel<int> gate;
          const std::size_t before = resident_bytes();
          for (std::size_t i = 0; i < n; ++i)
            parked.push_back(go({.stack = stack_class::small}, [&] {
              yield();  // looked at when it leaves
              gate.receive();
            }));
          while (stats().parked < n + 1) yield();
          per_fiber = (resident_bytes() - before) / n;
          gate.close();
          for (auto& t : parked) t.get();
        });
        std::exit(per_fiber > page() && per_fiber < page() + page() / 2 ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace runnel::test
