// What lives where and for how long: alignment, thread-locals and fiber-locals, fibers and threads on one object, run().
#include "support/fixture.hpp"

#include <runnel/fiber_local.hpp>
#include <runnel/sync/mutex.hpp>
#include <runnel/sync/shared_mutex.hpp>
#include <runnel/sync/wait_group.hpp>
#include <runnel/time.hpp>

#include <dirent.h>
#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <shared_mutex>
#include <stdexcept>
#include <string>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class lifetime_runtime_conformance : public behaviour {};
RUNNEL_EVERY_CALLER(lifetime_runtime_conformance);

class lifetime_conformance_on_fibers : public behaviour {};
RUNNEL_EVERY_WIDTH(lifetime_conformance_on_fibers);

// ---- 06: over-aligned objects ------------------------------------------------------------------------------------

/// Notes whether it ever stood at an address that is not a multiple of A.
template <std::size_t A>
struct alignas(A) aligned {
  explicit aligned(int n) : number(n) { look(); }
  aligned(const aligned& o) : number(o.number) { look(); }
  aligned(aligned&& o) noexcept : number(o.number) { look(); }
  aligned& operator=(aligned&&) = default;
  // The address goes through a volatile: from the type the compiler would conclude that the test cannot fail.
  void look() const {
    const volatile auto address = reinterpret_cast<std::uintptr_t>(this);
    misplaced += address % A != 0;
  }
  int number;
  static inline std::atomic<int> misplaced{0};
};

template <std::size_t A, class Start>
void pass_aligned(Start begin) {
  for (const std::size_t capacity : {std::size_t{0}, std::size_t{3}, std::size_t{1} << 20}) {  // the last is segmented
    const channel<aligned<A>> c(capacity);
    auto sender = begin([c] {
      for (int i = 0; i < 50; ++i) c.send(aligned<A>(i));
      c.close();
    });
    int n = 0;
    for (const auto& v : c) {
      v.look();
      EXPECT_EQ(v.number, n++);
    }
    EXPECT_EQ(n, 50);
    sender.join();
  }
  EXPECT_EQ(aligned<A>::misplaced, 0);
}

TEST_P(lifetime_runtime_conformance, lifetime_06_over_aligned_elements) {
  in_runtime([] {
    pass_aligned<128>(&start);
    pass_aligned<4096>(&start);
  });
}

TEST_P(lifetime_conformance_on_fibers, lifetime_06_over_aligned_objects_on_fiber_stacks) {
  in_runtime([] {
    std::vector<task<void>> fibers;
    for (int i = 0; i < 64; ++i)  // more than there are colours of stacks
      fibers.push_back(go([] {
        const aligned<128> one(1);
        const aligned<4096> two(2);
        yield();
        one.look();
        two.look();
      }));
    for (auto& f : fibers) f.get();
    EXPECT_EQ(aligned<128>::misplaced + aligned<4096>::misplaced, 0);
  });
}

TEST_P(lifetime_runtime_conformance, lifetime_06_neighbour_over_aligned_captures_results_and_values) {
  in_runtime([] {
    const aligned<4096> captured(5);
    auto t = go([captured] {
      captured.look();
      return aligned<4096>(captured.number + 1);
    });
    const auto result = t.get();
    result.look();
    EXPECT_EQ(result.number, 6);
    EXPECT_EQ(blocking([captured] { return aligned<128>(captured.number + 2); }).number, 7);
    with_task_group([&](task_group& g) { g.go([captured] { captured.look(); }); });
    static constexpr context_key<aligned<4096>> key;
    const context ctx = derive_value(context::current(), key, captured);
    ctx.value(key)->look();
    static fiber_local<aligned<128>> local{+[] { return aligned<128>(8); }};
    start([] { local->look(); }).join();
    EXPECT_EQ(aligned<128>::misplaced + aligned<4096>::misplaced, 0);
  });
}

// ---- 10: thread ends ---------------------------------------------------------------------------------------------

std::atomic<int> timed_out_at_exit{0};

void select_with_timeout(void*) {
  const channel<int> nobody_sends;
  timed_out_at_exit += select(on_receive(nobody_sends), on_timeout(2ms)) == 1;
}

struct selects_when_destroyed {
  ~selects_when_destroyed() { select_with_timeout(nullptr); }
};

TEST_P(lifetime_conformance_on_fibers, lifetime_10_select_in_a_thread_local_destructor) {
  in_runtime([] {
    timed_out_at_exit = 0;
    blocking([] {
      std::thread([] {
        thread_local selects_when_destroyed before;  // first made, last destroyed
        static_cast<void>(&before);
        select_with_timeout(nullptr);
      }).join();
    });
    EXPECT_EQ(timed_out_at_exit, 2);
  });
}

TEST_P(lifetime_conformance_on_fibers, lifetime_10_select_after_the_librarys_own_thread_locals_are_gone) {
  in_runtime([] {
    timed_out_at_exit = 0;
    pthread_key_t later;  // a key's destructor runs after those of keys that were made before it
    ASSERT_EQ(pthread_key_create(&later, &select_with_timeout), 0);
    blocking([&] {
      std::thread([&] {
        select_with_timeout(nullptr);
        pthread_setspecific(later, &later);
      }).join();
    });
    pthread_key_delete(later);
    EXPECT_EQ(timed_out_at_exit, 2);
  });
}

TEST_P(lifetime_conformance_on_fibers, lifetime_10_neighbour_a_thread_local_destructor_sends_to_a_fiber) {
  in_runtime([] {
    static const channel<int>* destination = nullptr;
    struct sends_when_destroyed {
      ~sends_when_destroyed() { destination->send(1); }
    };
    const channel<int> c;
    destination = &c;
    std::thread other([] {
      thread_local sends_when_destroyed at_end;
      static_cast<void>(&at_end);
    });
    EXPECT_EQ(c.receive(), 1);
    other.join();
  });
}

// ---- 14: thread-local and fiber-local ----------------------------------------------------------------------------

thread_local int of_the_worker = 0;
int* address_here() { return &of_the_worker; }
// Through a volatile pointer: clang takes a thread_local's address for a constant, even as the result of a call.
int* (*volatile worker_address)() = &address_here;

TEST_P(lifetime_conformance_on_fibers, lifetime_14_a_fiber_local_stays_where_a_thread_local_changes) {
  in_runtime([] {
    static fiber_local<int> of_the_fiber;
    std::atomic<long> moved{0}, wrong{0};
    with_task_group([&](task_group& g) {
      for (int id = 1; id <= 16; ++id)
        g.go([&, id] {
          *of_the_fiber = id;
          int* const address = &*of_the_fiber;
          for (std::size_t i = 0; i < scaled(2000) || (moved == 0 && GetParam().workers > 1); ++i) {
            const int* const before = worker_address();
            if (i % 16 == 0) {
              blocking([] {});  // comes back through the shared queue, to any worker
            } else {
              yield();
            }
            moved += worker_address() != before;
            wrong += &*of_the_fiber != address || *of_the_fiber != id;
          }
        });
    });
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(moved > 0, GetParam().workers > 1);
  });
}

TEST_P(lifetime_runtime_conformance, lifetime_14_neighbour_each_key_and_each_fiber_has_a_value_of_its_own) {
  in_runtime([] {
    static fiber_local<int> one{+[] { return 10; }}, two{+[] { return 20; }};
    *one = 11;
    start([] {
      EXPECT_EQ(*one, 10);
      EXPECT_EQ(*two, 20);
      *two = 21;
    }).join();
    EXPECT_EQ(*one, 11);
    EXPECT_EQ(*two, 20);
  });
}

// ---- 16: fibers and threads on one object ------------------------------------------------------------------------

TEST_P(lifetime_conformance_on_fibers, lifetime_16_threads_and_fibers_share_locks_and_wait_groups) {
  in_runtime([] {
    const std::size_t rounds = scaled(20'000);
    mutex m;
    wait_group all;
    long under_lock = 0;
    int inside = 0;
    std::atomic<long> overlaps{0};
    auto work = [&] {
      for (std::size_t i = 0; i < rounds; ++i) {
        if (i % 5 == 0) {
          while (!m.try_lock_for(1us)) {
          }
        } else {
          m.lock();
        }
        overlaps += ++inside != 1;
        ++under_lock;
        --inside;
        m.unlock();
        if (i % 100 == 0) yield();
      }
    };
    std::vector<std::thread> threads;
    all.add(3);
    for (int i = 0; i < 3; ++i)
      threads.emplace_back([&] {
        work();
        all.done();
      });
    for (int i = 0; i < 5; ++i) all.go(work);
    auto thread_too = blocking([&] {
      all.wait();
      return under_lock;
    });
    all.wait();
    EXPECT_EQ(under_lock, static_cast<long>(8 * rounds));
    EXPECT_EQ(thread_too, under_lock);
    EXPECT_EQ(overlaps, 0);
    for (auto& t : threads) t.join();
  });
}

TEST_P(lifetime_conformance_on_fibers, lifetime_16_threads_and_fibers_share_every_kind_of_lock) {
  in_runtime([] {
    const std::size_t rounds = scaled(4'000);
    shared_mutex m;
    semaphore slots(3);
    mutex turn;
    condition_variable changed;
    wait_group all;
    long written = 0;
    std::size_t steps = 0;
    std::atomic<int> in{0};
    auto work = [&](std::size_t n) {
      for (std::size_t i = 0; i < rounds; ++i) {
        const permit p(slots);
        EXPECT_LE(++in, 3);
        if (i % 4 == 0) {
          const std::unique_lock lock(m);
          ++written;
        } else {
          const std::shared_lock lock(m);
          EXPECT_GE(written, 0);
        }
        --in;
      }
      for (std::size_t i = 0; i < scaled(200); ++i) {  // one after the other, in a ring
        std::unique_lock lock(turn);
        changed.wait(lock, [&] { return steps % 8 == n; });
        ++steps;
        changed.notify_all();
      }
      all.done();
    };
    all.add(8);
    std::vector<std::thread> threads;
    std::vector<task<void>> fibers;
    for (std::size_t n = 0; n < 8; ++n) {
      if (n % 2) {
        threads.emplace_back([&, n] { work(n); });
      } else {
        fibers.push_back(go([&, n] { work(n); }));
      }
    }
    all.wait();
    for (auto& f : fibers) f.get();
    for (auto& t : threads) t.join();
    EXPECT_EQ(written, static_cast<long>(8 * ((rounds + 3) / 4)));
    EXPECT_EQ(steps, 8 * scaled(200));
  });
}

TEST_P(lifetime_conformance_on_fibers, lifetime_16_no_worker_sleeps_while_fibers_are_runnable) {
  in_runtime([] {
    const unsigned width = GetParam().workers;
    for (int round = 0; round < 20; ++round) {
      std::atomic<unsigned> running{0};
      std::vector<task<void>> fibers;
      for (unsigned i = 0; i < width; ++i)
        fibers.push_back(go([&] {
          ++running;
          while (running < width) {  // needs a worker for each, at the same time
          }
        }));
      for (auto& f : fibers) f.get();
      EXPECT_EQ(running, width);
    }
  });
}

TEST_P(lifetime_conformance_on_fibers, lifetime_16_neighbour_threads_and_fibers_share_channels_in_selects) {
  in_runtime([] {
    const long rounds = static_cast<long>(scaled(5000));
    const channel<long> left, right(4);
    auto send = [&] {
      for (long i = 1; i <= rounds; ++i) select(on_send(left, i), on_send(right, i));
    };
    auto receive = [&] {
      long sum = 0;
      for (long i = 0; i < rounds; ++i) {
        auto add = [&](std::optional<long> v) { sum += *v; };
        select(on_receive(left, add), on_receive(right, add));
      }
      return sum;
    };
    std::thread thread(send);
    auto fiber = go(send);
    auto received = go(receive);
    const long sum = blocking(receive) + received.get();
    EXPECT_EQ(sum, rounds * (rounds + 1));
    fiber.get();
    thread.join();
  });
}

// ---- 18: run() again ---------------------------------------------------------------------------------------------

std::size_t threads_of_the_process() {
  std::size_t n = 0;
  DIR* d = opendir("/proc/self/task");
  while (const dirent* e = readdir(d)) n += e->d_name[0] != '.';
  closedir(d);
  return n;
}

TEST_P(lifetime_conformance_on_fibers, lifetime_18_run_twice_and_from_two_threads_leaves_no_thread) {
  const hang_guard guard("lifetime_18");
  const unsigned width = GetParam().workers;
  run({.workers = width}, [] { blocking([] {}); });
  const std::size_t before = threads_of_the_process();
  for (int round = 0; round < 5; ++round) {
    EXPECT_EQ(run({.workers = width}, [] { return blocking([] { return 3; }); }), 3);
    EXPECT_EQ(stats().workers, 0u) << "nothing runs between two runs";
    const channel<int> meet;
    std::thread other([&] { EXPECT_EQ(run({.workers = width}, [&] { return *meet.receive(); }), 4); });
    EXPECT_THROW(run({.workers = width},
                     [&] {
                       meet.send(4);
                       throw std::runtime_error("this root's alone");
                     }),
                 std::runtime_error);
    other.join();
  }
  // A thread that was joined may be listed for another moment: the guard judges one that stays.
  while (threads_of_the_process() > before) std::this_thread::yield();
}

TEST_P(lifetime_conformance_on_fibers, lifetime_18_run_inside_a_fiber_is_misuse) {
  in_runtime([] {
    EXPECT_THROW(run([] {}), misuse);
    EXPECT_THROW(go([] { return run([] {}); }).get(), misuse);
    EXPECT_EQ(go([] { return 1; }).get(), 1) << "and harms nothing";
  });
}

TEST_P(lifetime_conformance_on_fibers, lifetime_18_neighbour_detached_fibers_live_until_the_last_run_ends) {
  const hang_guard guard("lifetime_18_neighbour");
  const unsigned width = GetParam().workers;
  const channel<int> started, first_has_ended, answers(1);
  std::thread other([&] {
    run({.workers = width}, [&] {
      started.receive();
      first_has_ended.receive();
      EXPECT_FALSE(answers.try_receive()) << "the detached fiber was canceled with the run that started it";
    });
  });
  run({.workers = width}, [&] {
    started.send(1);
    go_detached([&] {
      try {
        channel<int>().receive();
      } catch (const canceled&) {
        static_cast<void>(answers.try_send(1));  // a send would throw again
        throw;
      }
    });
  });
  first_has_ended.send(1);
  other.join();
  EXPECT_TRUE(answers.try_receive()) << "but with the last";
}

TEST_P(lifetime_conformance_on_fibers, lifetime_18_neighbour_two_runs_that_end_at_once_end_the_detached_fibers) {
  const hang_guard guard("lifetime_18_neighbour");
  for (std::size_t round = 0; round < scaled(300); ++round) {
    std::atomic<int> unwound{0}, inside{0};
    auto one_of_two = [&] {
      run({.workers = GetParam().workers}, [&] {
        go_detached([&] {
          struct at_end {
            std::atomic<int>& n;
            ~at_end() { ++n; }
          } counted{unwound};
          channel<int>().receive();
        });
        ++inside;
        while (inside < 2) yield();
      });
    };
    std::thread other(one_of_two);
    one_of_two();
    other.join();
    ASSERT_EQ(unwound, 2) << "in round " << round;
  }
}

}  // namespace
}  // namespace runnel::test
