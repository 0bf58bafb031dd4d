// Exceptions in flight belong to the fiber: they follow it to other workers, and nobody else sees them.
#include "support/fixture.hpp"

#include <runnel/time.hpp>

#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

/// Blocks in a way that lets another worker resume the caller; parks on every fourth call. What comes back from the blocking
/// pool goes through the shared queue to whichever worker looks first.
void change_places(std::size_t i) {
  if (i % 32 == 0) {
    blocking([] {});
  } else if (i % 4 == 0) {
    const channel<int> c;
    auto other = go([=] { c.send(1); });
    c.receive();
    other.get();
  } else {
    yield();
  }
}

// The asm keeps the compiler from taking it for a function of nothing, whose result it could keep over a wait.
[[gnu::noinline]] std::thread::id where() {
  asm volatile("" ::: "memory");
  return std::this_thread::get_id();
}

std::string current_message() {
  try {
    throw;
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "something else";
  }
}

class exceptions_conformance : public behaviour {};
RUNNEL_EVERY_WIDTH(exceptions_conformance);

// ---- 01: uncaught exceptions follow the fiber --------------------------------------------------------------------

class exceptions_conformance_wide : public behaviour {};
INSTANTIATE_TEST_SUITE_P(widths, exceptions_conformance_wide, ::testing::Values(four_workers, caller{8, false}),
                         [](const auto& i) { return "workers_" + std::to_string(i.param.workers); });

struct blocks_when_destroyed {
  std::size_t round;
  int expected;  // uncaught exceptions
  std::atomic<long>& wrong;
  std::atomic<long>& moved;
  ~blocks_when_destroyed() {
    wrong += std::uncaught_exceptions() != expected;
    const auto before = where();
    change_places(round);
    moved += where() != before;
    wrong += std::uncaught_exceptions() != expected;
  }
};

/// Throws and unwinds in several fibers, `depth` exceptions deep, beside fibers that must see none of it.
template <class Unwind>
void unwind_beside_others(std::size_t rounds, const Unwind& unwind) {
  std::atomic<long> wrong{0}, moved{0}, seen_by_others{0};
  std::atomic<bool> over{false};
  with_task_group([&](task_group& observers) {
    for (int i = 0; i < 4; ++i)
      observers.go([&] {
        while (!over) {
          seen_by_others += std::uncaught_exceptions() != 0 || std::current_exception() != nullptr;
          yield();
        }
      });
    with_task_group([&](task_group& g) {
      for (int i = 0; i < 8; ++i)
        g.go([&] {
          // Which worker resumes a fiber is chance: go on until some have moved.
          for (std::size_t r = 0; r < rounds || moved == 0; ++r) unwind(r, wrong, moved);
        });
    });
    over = true;
  });
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(seen_by_others, 0);
}

TEST_P(exceptions_conformance_wide, exceptions_01_a_fiber_that_unwinds_takes_its_exception_along) {
  in_runtime([] {
    unwind_beside_others(scaled(100'000) / 8, [](std::size_t r, auto& wrong, auto& moved) {
      try {
        const blocks_when_destroyed b{r, 1, wrong, moved};
        throw r;
      } catch (std::size_t caught) {
        wrong += caught != r;
      }
      wrong += std::uncaught_exceptions() != 0;
    });
  });
}

struct throws_inside_when_destroyed {
  std::size_t round;
  std::atomic<long>& wrong;
  std::atomic<long>& moved;
  ~throws_inside_when_destroyed() {
    try {
      const blocks_when_destroyed b{round, 2, wrong, moved};
      throw std::string("inner");
    } catch (const std::string& s) {
      change_places(round);
      wrong += s != "inner" || std::uncaught_exceptions() != 1;
    }
  }
};

TEST_P(exceptions_conformance_wide, exceptions_01_neighbour_two_exceptions_in_flight) {
  in_runtime([] {
    unwind_beside_others(scaled(20'000) / 8, [](std::size_t r, auto& wrong, auto& moved) {
      try {
        const throws_inside_when_destroyed t{r, wrong, moved};
        throw r;
      } catch (std::size_t caught) {
        wrong += caught != r || std::uncaught_exceptions() != 0;
      }
    });
  });
}

// ---- 03: run() below an exception --------------------------------------------------------------------------------

struct runs_when_destroyed {
  unsigned workers;
  int& code;
  ~runs_when_destroyed() {
    code = run({.workers = workers}, [] {
      EXPECT_EQ(std::uncaught_exceptions(), 0);
      auto t = go([] {
        yield();
        return 5;
      });
      return t.get();
    });
    EXPECT_EQ(std::uncaught_exceptions(), 1);
  }
};

TEST_P(exceptions_conformance, exceptions_03_run_in_a_catch_block) {
  const hang_guard guard("exceptions_03");
  try {
    throw std::runtime_error("outer");
  } catch (...) {
    const int code = run({.workers = GetParam().workers}, [] {
      EXPECT_EQ(std::current_exception(), nullptr);
      EXPECT_THROW(go([] { throw std::logic_error("inner"); }).get(), std::logic_error);
      return 4;
    });
    EXPECT_EQ(code, 4);
    EXPECT_EQ(current_message(), "outer");
    EXPECT_THROW(run({.workers = GetParam().workers}, [] { throw 7; }), int);
    EXPECT_EQ(current_message(), "outer");
  }
}

TEST_P(exceptions_conformance, exceptions_03_run_in_a_destructor_during_unwinding) {
  const hang_guard guard("exceptions_03");
  int code = 0;
  try {
    const runs_when_destroyed r{GetParam().workers, code};
    throw std::runtime_error("outer");
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(), "outer");
  }
  EXPECT_EQ(code, 5);
}

TEST_P(exceptions_conformance, exceptions_03_neighbour_a_task_group_in_a_catch_block_of_a_fiber) {
  in_runtime([] {
    try {
      throw std::runtime_error("outer");
    } catch (...) {
      std::atomic<int> clean{0};
      with_task_group([&](task_group& g) {
        for (int i = 0; i < 10; ++i)
          g.go([&] {
            yield();
            clean += std::current_exception() == nullptr && std::uncaught_exceptions() == 0;
          });
      });
      EXPECT_EQ(clean, 10);
      EXPECT_EQ(current_message(), "outer");
    }
  });
}

// ---- 05: nested handlers -----------------------------------------------------------------------------------------

struct counted_error {
  explicit counted_error(int d, std::atomic<int>& l) : depth(d), live(&l) { ++*live; }
  counted_error(const counted_error& o) : depth(o.depth), live(o.live) { ++*live; }
  ~counted_error() { --*live; }
  int depth;
  std::atomic<int>* live;
};

TEST_P(exceptions_conformance, exceptions_05_three_nested_handlers_with_a_wait_in_each) {
  in_runtime([] {
    std::atomic<int> live{0};
    std::atomic<long> wrong{0};
    with_task_group([&](task_group& g) {
      for (int f = 0; f < 8; ++f)
        g.go([&] {
          for (std::size_t r = 0; r < scaled(2000); ++r) {
            try {
              throw counted_error(1, live);
            } catch (const counted_error& first) {
              change_places(r);
              try {
                throw counted_error(2, live);
              } catch (const counted_error& second) {
                change_places(r + 1);
                try {
                  throw counted_error(3, live);
                } catch (const counted_error& third) {
                  change_places(r + 2);
                  wrong += third.depth != 3;
                }
                wrong += second.depth != 2;
                change_places(r + 3);
              }
              wrong += first.depth != 1;
              change_places(r);
            }
            wrong += std::current_exception() != nullptr;
          }
        });
    });
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(live, 0) << "exception objects are left, or were destroyed twice";
  });
}

TEST_P(exceptions_conformance, exceptions_05_neighbour_throw_without_operand_takes_the_innermost) {
  in_runtime([] {
    std::atomic<int> live{0};
    std::atomic<long> wrong{0};
    with_task_group([&](task_group& g) {
      for (int f = 0; f < 8; ++f)
        g.go([&] {
          for (std::size_t r = 0; r < scaled(2000); ++r) {
            try {
              try {
                throw counted_error(1, live);
              } catch (...) {
                change_places(r);
                try {
                  try {
                    throw counted_error(2, live);
                  } catch (...) {
                    change_places(r + 1);
                    throw;
                  }
                } catch (const counted_error& e) {
                  wrong += e.depth != 2;
                }
                change_places(r + 2);
                throw;
              }
            } catch (const counted_error& e) {
              wrong += e.depth != 1;
            }
          }
        });
    });
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(live, 0);
  });
}

TEST_P(exceptions_conformance, exceptions_05_neighbour_an_exception_pointer_outlives_the_fiber_that_threw) {
  in_runtime([] {
    std::atomic<int> live{0};
    std::exception_ptr kept;
    go([&] {
      try {
        throw counted_error(1, live);
      } catch (...) {
        yield();
        kept = std::current_exception();
      }
    }).get();
    EXPECT_EQ(live, 1);
    EXPECT_THROW(std::rethrow_exception(kept), counted_error);
    kept = nullptr;
    EXPECT_EQ(live, 0);
  });
}

// ---- 17: through frames of other libraries -----------------------------------------------------------------------

// A comparison that waits and throws from libstdc++, called by libc: three objects between throw and handler. The pointer is
// volatile so that no inlined copy of bsearch takes libc's place.
int throws_out_of_range(const void* key, const void*) {
  const auto round = *static_cast<const std::size_t*>(key);
  change_places(round);
  return static_cast<int>(std::string("abc").at(100 + round % 2));
}

TEST_P(exceptions_conformance, exceptions_17_an_exception_crosses_the_frames_of_other_libraries) {
  in_runtime([] {
    std::atomic<long> caught{0};
    const std::size_t rounds = scaled(1000);
    with_task_group([&](task_group& g) {
      for (int f = 0; f < 4; ++f)
        g.go([&] {
          void* (*volatile search)(const void*, const void*, size_t, size_t, int (*)(const void*, const void*)) = &std::bsearch;
          for (std::size_t r = 0; r < rounds; ++r) {
            try {
              const int one = 1;
              search(&r, &one, 1, sizeof one, &throws_out_of_range);
            } catch (const std::out_of_range&) {
              change_places(r);
              ++caught;
            }
          }
        });
    });
    EXPECT_EQ(caught, static_cast<long>(4 * rounds));
  });
}

TEST_P(exceptions_conformance, exceptions_17_neighbour_blocking_brings_an_exception_from_another_thread) {
  in_runtime([] {
    try {
      blocking([]() -> int { throw std::out_of_range("from the pool"); });
      ADD_FAILURE() << "nothing was thrown";
    } catch (const std::out_of_range& e) {
      yield();
      EXPECT_STREQ(e.what(), "from the pool");
    }
    EXPECT_EQ(std::uncaught_exceptions(), 0);
  });
}

}  // namespace
}  // namespace runnel::test
