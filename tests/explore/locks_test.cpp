// Condition variables, semaphores and locks for readers in many orders: right programs stay right, wrong ones are found.
#include "explored.hpp"

#include <runnel/atomic.hpp>
#include <runnel/runnel.hpp>
#include <runnel/sync/lock_all.hpp>
#include <runnel/sync/scalable_shared_mutex.hpp>
#include <runnel/sync/shared_mutex.hpp>

#include <deque>
#include <mutex>
#include <shared_mutex>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

/// A buffer of one place with two senders and two receivers.
auto bounded_buffer(bool one_for_all) {
  return [one_for_all] {
    mutex m;
    condition_variable not_empty, not_full;
    condition_variable& room = one_for_all ? not_empty : not_full;
    std::deque<int> buffer;
    int received = 0;
    with_task_group([&](task_group& group) {
      for (int n = 0; n < 2; ++n) {
        group.go([&] {
          for (int i = 0; i < 2; ++i) {
            std::unique_lock lock(m);
            room.wait(lock, [&] { return buffer.empty(); });
            buffer.push_back(1);
            not_empty.notify_one();
          }
        });
        group.go([&] {
          for (int i = 0; i < 2; ++i) {
            std::unique_lock lock(m);
            not_empty.wait(lock, [&] { return !buffer.empty(); });
            received += buffer.front();
            buffer.pop_front();
            room.notify_one();
          }
        });
      }
    });
    require(received == 4, "lost");
  };
}

TEST(explore_locks, two_conditions_for_a_buffer_are_right_and_one_with_single_notifications_is_a_deadlock) {
  holds_in(300, bounded_buffer(false));
  found(verdict::deadlock, bounded_buffer(true));
}

auto wait_for_flag(bool with_predicate) {
  return [with_predicate] {
    mutex m;
    condition_variable changed;
    bool ready = false;
    auto t = go([&] {
      const std::scoped_lock lock(m);
      ready = true;
      changed.notify_one();
    });
    {
      std::unique_lock lock(m);
      if (with_predicate) {
        changed.wait(lock, [&] { return ready; });
      } else {
        changed.wait(lock);
      }
    }
    t.get();
  };
}

TEST(explore_locks, a_wait_without_a_look_at_the_condition_may_come_too_late) {
  holds_in(300, wait_for_flag(true));
  found(verdict::deadlock, wait_for_flag(false));
}

TEST(explore_locks, permits_are_neither_lost_nor_doubled_whoever_gives_up) {
  holds_in(300, [] {
    semaphore s(2);
    atomic<int> inside(0);
    with_task_group([&](task_group& group) {
      for (const int weight : {1, 2, 1}) {
        group.go([&, weight] {
          if (!s.try_acquire_for(1ms, weight)) return;
          require(inside.fetch_add(weight) + weight <= 2, "too many");
          inside.fetch_add(-weight);
          s.release(weight);
        });
      }
      group.go([&] { select(on_acquire(s, 2, [&] { s.release(2); }), on_timeout(1ms)); });
    });
    require(s.available() == 2, "lost");
  });
}

template <class Lock>
void readers_and_writers() {
  holds_in(300, [] {
    Lock m;
    atomic<int> readers(0);
    int value = 0;
    bool writes = false;
    with_task_group([&](task_group& group) {
      for (int n = 0; n < 2; ++n) {
        group.go([&] {
          const std::shared_lock lock(m);
          readers.fetch_add(1);
          require(!writes, "a writer beside a reader");
          readers.fetch_add(-1);
        });
        group.go([&, n] {
          if (n == 0) {
            m.lock();
          } else if (!m.try_lock_for(1ms)) {
            return;
          }
          require(readers.load() == 0 && !writes, "a writer is not alone");
          writes = true;
          ++value;
          yield();
          writes = false;
          m.unlock_and_lock_shared();
          const int mine = value;
          yield();
          require(value == mine, "somebody wrote before who had written had read");
          m.unlock_shared();
        });
      }
    });
    require(m.try_lock(), "it is free in the end");
    m.unlock();
  });
}

TEST(explore_locks, readers_and_writers_exclude_each_other_in_every_order) {
  readers_and_writers<shared_mutex>();
  readers_and_writers<scalable_shared_mutex>();
}

TEST(explore_locks, a_reader_that_locks_again_behind_a_writer_is_a_deadlock) {
  found(verdict::deadlock, [] {
    shared_mutex m;
    auto writer = go([&] { const std::unique_lock lock(m); });
    {
      const std::shared_lock first(m);
      const std::shared_lock second(m);
    }
    writer.get();
  });
}

TEST(explore_locks, lock_all_in_any_order_is_right) {
  holds_in(300, [] {
    mutex a, b, c;
    int value = 0;
    with_task_group([&](task_group& group) {
      group.go([&] {
        const auto held = lock_all(a, b);
        ++value;
      });
      group.go([&] {
        const auto held = lock_all(b, a, b);
        ++value;
      });
      group.go([&] {
        const auto held = lock_all(c, b, a);
        ++value;
      });
    });
    require(value == 3, "lost");
  });
}

}  // namespace
}  // namespace runnel::test
