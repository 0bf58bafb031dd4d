// Branches: each is run exactly once, by its owner or by another, and its owner goes on when it has ended.
#include "around/around.hpp"
#include "checker/expect.hpp"

#include "sched/agent.hpp"

#include <runnel/detail/context_node.hpp>
#include <runnel/sched/fork_join.hpp>

#include <optional>

namespace {

using model::bounds;
using model::check;
using model::expect_passes;
using model::explore;
namespace sched = runnel::sched;

constexpr sched::fork_label no_label{};

/// Counts how often it is run; with a function besides.
template <class F>
struct counted final : sched::branch {
  counted(sched::fork_scope& s, F f) : branch(s, &on_fiber), function(f) {}
  static void on_fiber(sched::job& j) noexcept {
    auto& self = static_cast<counted&>(j);
    self.on_own_fiber = true;
    self.call();
  }
  void call() {
    check(++runs == 1, "run twice");
    function();
  }
  /// As the layer above does.
  void join() {
    if (sched::join(*this, at)) call();
    check(runs == 1, "joined before it has run");
  }
  void fork() {
    at = sched::here();
    sched::fork(*this, at);
  }
  F function;
  sched::fork_place at{};
  int runs = 0;
  bool on_own_fiber = false;
};

/// A fiber that forks and joins in `body(scope)`, on workers that end when it has.
template <class Body>
void with_workers(unsigned n, Body body) {
  around::world w(n);
  auto whole = [&] {
    sched::fork_scope scope(no_label);
    sched::enter(scope);
    body(scope);
    sched::uncancel_owner(scope);
    sched::leave(scope);
  };
  around::test_fiber f(whole);
  check(w.worker(0).queue.push(&f), "full");
  const auto stop = [&] {
    model::wait_until([&] { return f.ended(); });
    w.stop(n);
  };
  model::thread first([&] { w.worker(0).main(); });
  if (n == 1) return stop();
  model::thread second([&] { w.worker(1).main(); });
  if (n == 2) return stop();
  model::thread third([&] { w.worker(2).main(); });
  stop();
}

TEST(fork, a_branch_is_run_by_its_owner_or_by_a_thief) {
  int outcomes = 0;
  expect_passes(explore(bounds{1, 0}, [&] {
    int before = 0, after = 0;
    with_workers(2, [&](sched::fork_scope& s) {
      around::spare_fiber one;
      before = 1;
      counted b(s, [&] { after = before + 1; });
      b.fork();
      b.join();
      check(after == 2, "seen whole, both ways");
      outcomes |= b.on_own_fiber ? 2 : 1;
    });
  }));
  EXPECT_EQ(outcomes, 3);
}

TEST(fork, an_owner_that_comes_first_is_woken_by_who_ends_the_branch) {
  expect_passes(explore(bounds{1, 0}, [] {
    bool joins = false;
    with_workers(2, [&](sched::fork_scope& s) {
      around::spare_fiber one;
      counted b(s, [&] { model::wait_until([&] { return joins; }); });
      b.fork();
      joins = true;
      b.join();
    });
  }));
}

TEST(fork, without_memory_for_a_fiber_it_goes_back_to_its_owner) {
  expect_passes(explore(bounds{1, 0}, [] {
    with_workers(2, [](sched::fork_scope& s) {
      counted b(s, [] {});
      b.fork();
      b.join();
      check(!b.on_own_fiber, "there was no fiber");
    });
  }));
}

/// Waits until somebody else calls set().
struct signal {
  void wait() {
    sched::waiter w;
    sched::wait_node n(w);
    {
      const runnel::detail::raw_guard hold(object.lock);
      if (isset) return;
      queue.push_back(n);
    }
    sched::park(w, sched::wait_reason::event, this);
  }
  void set() {
    sched::wake_list woken;
    {
      const runnel::detail::raw_guard hold(object.lock);
      isset = true;
      woken.claim_all(queue);
    }
    woken.wake_all();
  }
  sched::wait_object object;
  sched::wait_queue queue;
  bool isset = false;
};

TEST(fork, what_is_forked_before_a_wait_is_found_by_the_only_worker) {
  expect_passes(explore(bounds{2, 1}, [] {
    with_workers(1, [](sched::fork_scope& s) {
      around::spare_fiber one;
      signal came;
      counted b(s, [&] { came.set(); });
      b.fork();
      came.wait();
      b.join();
    });
  }));
}

TEST(fork, what_is_forked_before_a_wait_is_found_by_another_worker) {
  expect_passes(explore(bounds{1, 0}, [] {
    with_workers(2, [](sched::fork_scope& s) {
      around::spare_fiber one;
      signal came;
      counted b(s, [&] { came.set(); });
      b.fork();
      came.wait();
      b.join();
    });
  }));
}

TEST(fork, more_than_a_deque_holds_and_a_wait_in_between) {
  expect_passes(explore(bounds{1, 0}, [] {
    with_workers(2, [](sched::fork_scope& s) {
      around::spare_fiber one, two;
      signal came;
      counted a(s, [] {});
      counted b(s, [&] { came.set(); });
      counted c(s, [] {});
      a.fork();
      b.fork();
      c.fork();  // the deque has room for two
      c.join();
      came.wait();
      b.join();
      a.join();
    });
  }));
}

TEST(fork, a_stolen_branch_is_not_looked_for_among_those_of_another_fiber) {
  // The owner waits, and goes on where another fiber has branches, or has had.
  expect_passes(explore(bounds{1, 0}, [] {
    with_workers(2, [](sched::fork_scope& s) {
      around::spare_fiber one, two;
      signal came, inner;
      counted outer(s, [&] {
        sched::fork_scope own(no_label);
        sched::enter(own);
        counted b(own, [&] { inner.set(); });
        b.fork();
        came.set();
        inner.wait();
        b.join();
        sched::leave(own);
      });
      outer.fork();
      came.wait();
      outer.join();
    });
  }));
}

TEST(fork, who_finds_itself_canceled_from_the_side_may_read_by_what) {
  expect_passes(explore(bounds{2, 1}, [] {
    with_workers(1, [&](sched::fork_scope& s) {
      runnel::detail::context_node* made = nullptr;
      model::thread elsewhere([&] {
        made = new runnel::detail::plain_node(nullptr, nullptr);
        made->cancel(nullptr);
        sched::cancel_owner(s, *made);
      });
      check(!runnel::detail::is_callers_own(0), "it has read the context, and no context has that number");
      elsewhere.join();
      made->release_ref();
    });
  }));
}

TEST(fork, a_failure_elsewhere_ends_the_wait_of_the_owner) {
  expect_passes(explore(bounds{1, 1}, [] {
    auto canceled = runnel::detail::ref_ptr<runnel::detail::context_node>::adopt(
        new runnel::detail::plain_node(nullptr, nullptr));
    with_workers(1, [&](sched::fork_scope& s) {
      // The one who fails is a thread here, that knows the owner.
      bool failed = false;
      model::thread elsewhere([&] {
        canceled->cancel(nullptr);
        sched::cancel_owner(s, *canceled);
        failed = true;
      });
      sched::waiter w;
      check(runnel::detail::wait(w, sched::wait_reason::event, &s) == sched::was_canceled, "not ended");
      elsewhere.join();
      check(failed, "joined");
    });
  }));
}

}  // namespace
