// What the guide warns of (docs/guide/pitfalls.md), where the explorer is who tells: each naive program is found, its repaired
// twin is not.
#include "explored.hpp"

#include <runnel/atomic.hpp>
#include <runnel/patterns/cache.hpp>
#include <runnel/patterns/pipeline.hpp>
#include <runnel/runnel.hpp>
#include <runnel/sync/guarded.hpp>
#include <runnel/sync/lock_all.hpp>

#include <array>
#include <memory>
#include <mutex>
#include <vector>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

TEST(pitfalls, counting_in_inside_the_task_lets_the_wait_return_too_early) {
  found(verdict::exception, [] {
    wait_group all;
    atomic<int> done(0);
    auto t = go([&] {
      all.add(1);
      done.store(1);
      all.done();
    });
    all.wait();
    require(done.load() == 1, "the wait has returned before the task was counted in");
    t.get();
  });
  holds_in(300, [] {
    wait_group all;
    atomic<int> done(0);
    all.go([&] { done.store(1); });
    all.wait();
    require(done.load() == 1, "go() counts in before it starts the task");
  });
}

TEST(pitfalls, two_locks_in_the_order_of_the_arguments_are_a_deadlock) {
  struct account {
    mutex m;
    int balance = 100;
  };
  const auto transfers = [](auto transfer) {
    return [transfer] {
      account a, b;
      with_task_group([&](task_group& g) {
        g.go([&] { transfer(a, b); });
        g.go([&] { transfer(b, a); });
      });
      require(a.balance == 100 && b.balance == 100, "the same went both ways");
    };
  };
  found(verdict::deadlock, transfers([](account& from, account& to) {
          const std::lock_guard first(from.m);
          const std::lock_guard second(to.m);
          --from.balance, ++to.balance;
        }));
  holds_in(300, transfers([](account& from, account& to) {
             const auto both = lock_all(from.m, to.m);
             --from.balance, ++to.balance;
           }));
}

TEST(pitfalls, a_lock_that_is_held_across_a_send_is_a_deadlock_with_who_needs_it_to_receive) {
  const auto reporting = [](bool holds_it) {
    return [holds_it] {
      mutex m;
      int total = 0;
      auto [tx, rx] = make_channel<int>();
      auto consumer = go([&m, &total, rx = std::move(rx)] {
        for (;;) {
          const std::lock_guard look(m);  // at the total, before each value
          if (total == 2) return;
          const auto v = rx.try_receive();
          if (v.status == channel_status::ok) total += *v.value;
          if (v.status == channel_status::closed) return;
        }
      });
      std::unique_lock hold(m);
      if (!holds_it) hold.unlock();
      tx.send(2);
      if (hold.owns_lock()) hold.unlock();
      consumer.get();
    };
  };
  found(verdict::deadlock, reporting(true));
  holds_in(300, reporting(false));
}

TEST(pitfalls, who_looks_loads_and_stores_loads_what_another_one_is_loading) {
  const auto asked_by_two = [](auto make_ask) {
    return [make_ask] {
      atomic<int> loads(0);
      const auto ask = make_ask([&loads] { return loads.fetch_add(1) + 1; });
      with_task_group([&](task_group& g) {
        for (int i = 0; i < 2; ++i) g.go([&] { ask(); });
      });
      require(loads.load() == 1, "it is loaded once");
    };
  };
  found(verdict::exception, asked_by_two([](auto load) {
          return [load, page = std::make_shared<guarded<int>>(0)] {
            if (page->with([](const int& p) { return p != 0; })) return;
            const int loaded = load();
            page->with([&](int& p) { p = loaded; });
          };
        }));
  holds_in(300, asked_by_two([](auto load) {
             return [load, pages = std::make_shared<cache<int, int>>()] { pages->get_or_load(0, load); };
           }));
}

TEST(pitfalls, workers_that_send_to_one_channel_mix_up_the_order) {
  const auto twice = [](int v) {
    yield();
    return 2 * v;
  };
  found(verdict::exception, [&] {
    const channel<int> jobs(2), results(2);
    for (int v : {1, 2}) jobs.send(v);
    jobs.close();
    with_task_group([&](task_group& g) {
      for (int worker = 0; worker < 2; ++worker)
        g.go([&] {
          for (int v : jobs) results.send(twice(v));
        });
    });
    require(results.receive() == 2 && results.receive() == 4, "in the order of the jobs");
  });
  holds_in(300, [&] {
    const auto results = (from(std::vector{1, 2}) | map(twice, {.workers = 2})).collect();
    require(results == std::vector{2, 4}, "in the order of the jobs");
  });
}

#if !defined(RUNNEL_TSAN)  // it would find the races first, and end the test

TEST(pitfalls, a_loop_variable_that_is_captured_by_reference_races_with_the_loop) {
  const auto started = [](bool by_reference) {
    return [by_reference] {
      shared_var<int> i(0);
      with_task_group([&](task_group& g) {
        for (; i.load() < 2; i.store(i.load() + 1)) {
          if (by_reference) {
            g.go([&] { static_cast<void>(i.load()); });
          } else {
            g.go([mine = i.load()] { require(mine < 2, "its own"); });
          }
        }
      });
    };
  };
  found(verdict::race, started(true));
  holds_in(300, started(false));
}

TEST(pitfalls, a_counter_without_a_lock_is_a_race) {
  const auto counted = [](bool locked) {
    return [locked] {
      shared_var<int> n(0);
      mutex m;
      with_task_group([&](task_group& g) {
        for (int k = 0; k < 2; ++k)
          g.go([&] {
            std::unique_lock hold(m, std::defer_lock);
            if (locked) hold.lock();
            n.store(n.load() + 1);
          });
      });
      require(n.load() == 2, "an addition is lost");
    };
  };
  found(verdict::race, counted(false));
  holds_in(300, counted(true));
}

#endif

TEST(pitfalls, a_select_that_is_never_without_something_to_do_does_not_end_while_it_waits_for_time) {
  const auto waits = [](bool busy) {
    return [busy] {
      auto [tx, rx] = make_channel<int>();
      bool stop = false;
      while (!stop) {  // nobody sends: it should wait for the time-out
        if (busy) {
          select(on_receive(rx, [](std::optional<int>) {}), otherwise());
          this_fiber::checkpoint();  // so that the explorer can end it
        } else {
          select(on_receive(rx, [](std::optional<int>) {}), on_timeout(1s, [&] { stop = true; }));
        }
      }
    };
  };
  found(verdict::livelock, waits(true), {.schedules = 1, .steps = 1000});
  holds_in(100, waits(false));
}

/// A stack over an array of nodes that are used again, as it is often written: a compare-exchange on the first node's number.
class naive_stack {
 public:
  static constexpr int none = -1;
  naive_stack() { push(0), push(1), push(2); }
  int pop() {
    for (;;) {
      int first = first_.load();
      if (first == none) return none;
      const int next = next_[static_cast<std::size_t>(first)].load();  // by now it may be another one's
      if (first_.compare_exchange(first, next)) return first;
    }
  }
  void push(int node) {
    int first = first_.load();
    do {
      next_[static_cast<std::size_t>(node)].store(first);
    } while (!first_.compare_exchange(first, node));
  }

 private:
  atomic<int> first_{none};
  std::array<atomic<int>, 3> next_{};
};

TEST(pitfalls, a_node_that_comes_back_between_the_look_and_the_exchange_breaks_a_naive_stack) {
  found(verdict::exception,
        [] {
          naive_stack free;
          std::array<atomic<int>, 3> taken{};
          const auto take = [&] {
            const int node = free.pop();
            if (node != naive_stack::none)
              require(taken[static_cast<std::size_t>(node)].fetch_add(1) == 0, "one node was given out twice");
            return node;
          };
          const auto give = [&](int node) {
            taken[static_cast<std::size_t>(node)].fetch_sub(1);
            free.push(node);
          };
          with_task_group([&](task_group& g) {
            g.go([&] {
              static_cast<void>(take());
              static_cast<void>(take());
            });
            g.go([&] {
              const int first = take();
              static_cast<void>(take());
              if (first != naive_stack::none) give(first);
            });
          });
        },
        {.schedules = 20'000});
}

}  // namespace
}  // namespace runnel::test
