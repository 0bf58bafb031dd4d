// Contexts: a cancellation reaches everything below it and happens before what sees it; nodes go with their last reference.
#include "around/around.hpp"
#include "checker/expect.hpp"

#include <runnel/context.hpp>
#include <runnel/detail/joined_scope.hpp>

#include <optional>

namespace {

using model::bounds;
using model::check;
using model::expect_passes;
using model::explore;
using runnel::context;
using runnel::derive_cancel;
using runnel::derived_context;
using runnel::detail::context_node;
using runnel::detail::node_of;

constexpr runnel::time_point at(int ns) { return runnel::time_point(std::chrono::nanoseconds(ns)); }

TEST(context, what_came_before_a_cancellation_is_seen_with_it) {
  expect_passes(explore(bounds{6, 4}, [] {
    around::world w;
    derived_context d = derive_cancel(context::background());
    int before = 0;
    model::thread t([&] {
      before = 1;
      d.cancel.cancel();
    });
    if (d.ctx.is_canceled()) check(before == 1, "late");
    t.join();
  }));
  expect_passes(explore(bounds{6, 4}, [] {  // the form for the layers above
    around::world w;
    derived_context d = derive_cancel(context::background());
    int before = 0;
    model::thread t([&] {
      before = 1;
      d.cancel.cancel();
    });
    if (node_of(d.ctx).is_canceled()) check(before == 1, "late");
    t.join();
  }));
}

TEST(context, the_last_handle_frees_the_node) {
  expect_passes(explore(bounds{6, 4}, [] {
    around::world w;
    std::optional<derived_context> d(derive_cancel(context::background()));
    std::optional<context> copy(d->ctx);
    model::thread t([&] {
      check(!copy->deadline(), "none");
      copy.reset();
    });
    d.reset();
  }));
}

TEST(context, a_child_that_is_made_during_the_cancellation_is_canceled) {
  expect_passes(explore(bounds{4, 2}, [] {
    around::world w;
    derived_context parent = derive_cancel(context::background());
    model::thread t([&] { parent.cancel.cancel(); });
    derived_context child = derive_cancel(parent.ctx);
    t.join();
    check(child.ctx.is_canceled(), "the child was missed");
  }));
}

TEST(context, a_child_that_goes_during_the_cancellation_is_left_alone) {
  expect_passes(explore(bounds{3, 2}, [] {
    around::world w;
    derived_context parent = derive_cancel(context::background());
    std::optional<derived_context> child(derive_cancel(parent.ctx));
    model::thread t([&] { parent.cancel.cancel(); });
    child.reset();
  }));
}

TEST(context, a_hook_fires_or_is_removed) {
  struct hook : runnel::detail::cancel_hook {
    int fired = 0;
  };
  int outcomes = 0;
  expect_passes(explore(bounds{4, 2}, [&] {
    around::world w;
    derived_context d = derive_cancel(context::background());
    hook h;
    h.fire = [](runnel::detail::cancel_hook& c) noexcept { ++static_cast<hook&>(c).fired; };
    model::thread t([&] { d.cancel.cancel(); });
    const bool added = node_of(d.ctx).add_hook(h);
    const bool removed = added && node_of(d.ctx).remove_hook(h);
    t.join();
    check(h.fired == (added && !removed ? 1 : 0), "fired and removed, or neither");
    outcomes |= removed ? 1 : h.fired ? 2 : 4;
  }));
  EXPECT_EQ(outcomes, 7);
}

// ---- links are made late: the parent learns of a child when something is registered with it

struct counting_hook : runnel::detail::cancel_hook {
  counting_hook() {
    fire = [](runnel::detail::cancel_hook& c) noexcept { ++static_cast<counting_hook&>(c).fired; };
  }
  int fired = 0;
};

TEST(context, a_hook_below_is_fired_or_refused_when_the_parent_is_canceled) {
  int outcomes = 0;
  expect_passes(explore(bounds{4, 3}, [&] {
    around::world w;
    derived_context parent = derive_cancel(context::background());
    derived_context child = derive_cancel(parent.ctx);
    counting_hook h;
    model::thread t([&] { parent.cancel.cancel(); });
    const bool added = node_of(child.ctx).add_hook(h);
    t.join();
    check(h.fired == (added ? 1 : 0), "the cancellation was lost");
    check(child.ctx.is_canceled(), "the child was missed");
    outcomes |= added ? 1 : 2;
  }));
  EXPECT_EQ(outcomes, 3);
}

TEST(context, a_hook_below_is_fired_or_refused_when_the_grandparent_is_canceled) {
  int outcomes = 0;
  expect_passes(explore(bounds{3, 2}, [&] {
    around::world w;
    derived_context top = derive_cancel(context::background());
    derived_context middle = derive_cancel(top.ctx);
    counting_hook h;
    model::thread t([&] { top.cancel.cancel(); });
    derived_context child = derive_cancel(middle.ctx);
    const bool added = node_of(child.ctx).add_hook(h);
    t.join();
    check(h.fired == (added ? 1 : 0), "the cancellation was lost");
    check(child.ctx.is_canceled(), "the child was missed");
    outcomes |= added ? 1 : 2;
  }));
  EXPECT_EQ(outcomes, 3);
}

TEST(context, what_came_before_the_cancellation_of_the_parent_is_seen_with_it) {
  expect_passes(explore(bounds{4, 4}, [] {
    around::world w;
    derived_context parent = derive_cancel(context::background());
    derived_context child = derive_cancel(parent.ctx);
    int before = 0;
    model::thread t([&] {
      before = 1;
      parent.cancel.cancel();
    });
    if (node_of(child.ctx).is_canceled()) {
      check(before == 1, "late");
      check(node_of(child.ctx).origin() == &node_of(parent.ctx), "another origin");
    }
    t.join();
  }));
}

TEST(context, who_has_seen_the_parent_canceled_sees_the_child_canceled_from_then_on) {
  expect_passes(explore(bounds{4, 3}, [] {
    around::world w;
    derived_context parent = derive_cancel(context::background());
    derived_context child = derive_cancel(parent.ctx);
    context_node& n = node_of(child.ctx);
    model::thread canceler([&] { parent.cancel.cancel(); });
    model::thread linker([&] { n.ensure_linked(); });
    const bool first = n.is_canceled();
    check(!first || n.is_canceled(), "live again");
    canceler.join();
    linker.join();
    check(n.is_canceled(), "the child was missed");
  }));
}

TEST(context, of_two_cancellations_the_first_to_be_seen_stays) {
  int outcomes = 0;
  expect_passes(explore(bounds{3, 2}, [&] {
    around::world w;
    derived_context parent = derive_cancel(context::background());
    derived_context child = derive_cancel(parent.ctx);
    context_node& n = node_of(child.ctx);
    model::thread above([&] { parent.cancel.cancel(); });
    model::thread itself([&] { child.cancel.cancel(); });
    context_node* first = n.origin();
    above.join();
    itself.join();
    check(!first || n.origin() == first, "another one");
    check(n.origin() == &n || n.origin() == &node_of(parent.ctx), "of no one");
    outcomes |= n.origin() == &n ? 1 : 2;
  }));
  EXPECT_EQ(outcomes, 3);
}

TEST(context, a_cancellation_from_above_that_was_seen_comes_before_a_later_one) {
  expect_passes(explore(bounds{4, 3}, [&] {
    around::world w;
    derived_context parent = derive_cancel(context::background());
    derived_context child = derive_cancel(parent.ctx);
    parent.cancel.cancel();
    model::thread t([&] { child.cancel.cancel(); });
    check(node_of(child.ctx).origin() == &node_of(parent.ctx), "the first was lost");
    t.join();
    check(node_of(child.ctx).origin() == &node_of(parent.ctx), "the first was lost");
  }));
}

TEST(context, a_canceled_child_does_not_stay_in_the_list_of_its_parent) {
  expect_passes(explore(bounds{4, 3}, [&] {
    around::world w;
    derived_context parent = derive_cancel(context::background());
    derived_context child = derive_cancel(parent.ctx);
    model::thread t([&] { child.cancel.cancel(); });
    node_of(child.ctx).ensure_linked();
    t.join();
    check(node_of(parent.ctx).child_count() == 0, "left behind");
  }));
}

TEST(context, two_who_link_do_it_once) {
  expect_passes(explore(bounds{4, 3}, [&] {
    around::world w;
    derived_context parent = derive_cancel(context::background());
    derived_context child = derive_cancel(parent.ctx);
    model::thread t([&] { node_of(child.ctx).ensure_linked(); });
    node_of(child.ctx).ensure_linked();
    check(node_of(parent.ctx).child_count() == 1, "not found");
    t.join();
    check(node_of(parent.ctx).child_count() == 1, "not found, or twice");
  }));
}

TEST(context, what_is_linked_may_be_asked_for_its_state_under_its_lock) {
  expect_passes(explore(bounds{4, 3}, [&] {
    around::world w;
    derived_context parent = derive_cancel(context::background());
    derived_context child = derive_cancel(parent.ctx);
    context_node& n = node_of(child.ctx);
    model::thread t([&] { parent.cancel.cancel(); });
    n.ensure_linked();
    {
      runnel::detail::raw_guard hold(n.lock);
      const bool canceled = n.state() != runnel::detail::cancel_state::live;
      check(canceled == n.is_canceled(), "it has changed under the lock");
    }
    t.join();
  }));
}

TEST(context, a_linked_child_that_goes_during_the_cancellation_is_left_alone) {
  expect_passes(explore(bounds{3, 2}, [] {
    around::world w;
    derived_context parent = derive_cancel(context::background());
    std::optional<derived_context> child(derive_cancel(parent.ctx));
    node_of(child->ctx).ensure_linked();
    model::thread t([&] { parent.cancel.cancel(); });
    child.reset();
  }));
}

TEST(context, of_two_extensions_one_is_kept) {
  struct extension : runnel::detail::node_extension {
    explicit extension(int v) : value(v) {}
    int value;
  };
  expect_passes(explore(bounds{4, 4}, [] {
    around::world w;
    derived_context d = derive_cancel(context::background());
    context_node& n = node_of(d.ctx);
    const auto attach = [&](int v) {
      auto* e = static_cast<extension*>(n.attach(std::make_unique<extension>(v)));
      check(e->value == 1 || e->value == 2, "half made");
      check(n.extension() == e, "another one later");
    };
    model::thread t([&] { attach(1); });
    if (auto* early = static_cast<extension*>(n.extension())) check(early->value == 1, "half made");
    attach(2);
    t.join();
  }));
}

TEST(context, a_deadline_that_is_set_during_the_cancellation_from_above) {
  expect_passes(explore(bounds{3, 2}, [] {
    around::world w;
    w.keep_running();
    derived_context parent = derive_cancel(context::background());
    model::thread t([&] { parent.cancel.cancel(); });
    derived_context child = runnel::derive_deadline(parent.ctx, at(5));
    t.join();
    check(child.ctx.is_canceled(), "the child was missed");
  }));
}

TEST(context, the_deadline_and_a_cancellation_end_it_once) {
  expect_passes(explore(bounds{2, 1}, [] {
    around::world w;
    w.keep_running();
    {
      derived_context d = runnel::derive_deadline(context::background(), at(5));
      around::set_time(at(10));
      model::thread timers([] { runnel::sched::run_due_timers(); });
      d.cancel.cancel();
      check(d.ctx.is_canceled(), "canceled");
    }
    check(runnel::sched::armed_timers() == 0, "a timer is left");
  }));
}

/// Something that is given once, to who waits for it under the ambient context.
struct gift {
  runnel::detail::raw_lock lock;
  runnel::sched::wait_queue queue;
  bool given = false;

  void give() {
    runnel::sched::wake_list woken;
    {
      const runnel::detail::raw_guard hold(lock);
      if (auto* n = queue.claim_front()) {
        woken.push(*n->owner);
      } else {
        given = true;
      }
    }
    woken.wake_all();
  }
  runnel::sched::claim_token take() {
    runnel::sched::waiter w;
    runnel::sched::wait_node n(w);
    {
      const runnel::detail::raw_guard hold(lock);
      if (std::exchange(given, false)) return runnel::sched::granted;
      queue.push_back(n);
    }
    const auto t = runnel::detail::wait(w, runnel::sched::wait_reason::mutex_lock, this);
    const runnel::detail::raw_guard hold(lock);
    queue.remove(n);
    return t;
  }
};

TEST(context, a_wait_under_it_is_ended_by_its_cancellation) {
  expect_passes(explore(bounds{3, 3}, [] {
    around::world w;
    derived_context d = derive_cancel(context::background());
    model::thread canceler([&] { d.cancel.cancel(); });
    const runnel::context_scope scope(d.ctx);
    gift never;
    check(never.take() == runnel::sched::was_canceled, "canceled");
  }));
}

// ---- two contexts joined ------------------------------------------------------------------------------------------

TEST(context, a_wait_under_two_joined_ones_is_ended_by_either) {
  for (const bool by_given : {false, true}) {
    expect_passes(explore(bounds{2, 2}, [by_given] {
      around::world w;
      derived_context ambient = derive_cancel(context::background()), given = derive_cancel(context::background());
      derived_context& ends = by_given ? given : ambient;
      model::thread canceler([&] { ends.cancel.cancel(); });
      const runnel::context_scope outer(ambient.ctx);
      const runnel::detail::joined_scope both(given.ctx);
      gift never;
      check(never.take() == runnel::sched::was_canceled, "canceled");
      check(node_of(context::current()).origin() == &node_of(ends.ctx), "of another one");
      canceler.join();
    }));
  }
}

TEST(context, a_joined_one_that_goes_during_a_cancellation_is_left_alone) {
  for (const bool by_given : {false, true}) {
    expect_passes(explore(bounds{3, 2}, [by_given] {
      around::world w;
      derived_context ambient = derive_cancel(context::background()), given = derive_cancel(context::background());
      model::thread canceler([&] { (by_given ? given : ambient).cancel.cancel(); });
      const runnel::context_scope outer(ambient.ctx);
      {
        const runnel::detail::joined_scope both(given.ctx);
        node_of(context::current()).ensure_linked();
      }
      canceler.join();
    }));
  }
}

TEST(context, of_both_cancellations_of_a_joined_one_the_first_stays) {
  int outcomes = 0;
  expect_passes(explore(bounds{2, 2}, [&] {
    around::world w;
    derived_context ambient = derive_cancel(context::background()), given = derive_cancel(context::background());
    const runnel::context_scope outer(ambient.ctx);
    const runnel::detail::joined_scope both(given.ctx);
    context_node& n = node_of(context::current());
    model::thread first([&] { ambient.cancel.cancel(); });
    model::thread second([&] { given.cancel.cancel(); });
    const context_node* const seen = n.origin();
    first.join();
    second.join();
    check(n.is_canceled() && (!seen || n.origin() == seen), "another one");
    outcomes |= n.origin() == &node_of(given.ctx) ? 1 : 2;
  }));
  EXPECT_EQ(outcomes, 3);
}

TEST(context, a_later_wait_under_it_is_ended_by_its_cancellation) {
  expect_passes(explore(bounds{2, 2}, [] {
    around::world w;
    derived_context d = derive_cancel(context::background());
    gift first, never;
    model::thread other([&] {
      first.give();
      d.cancel.cancel();
    });
    const runnel::context_scope scope(d.ctx);
    const auto t = first.take();
    check(t == runnel::sched::granted || t == runnel::sched::was_canceled, "ended");
    check(never.take() == runnel::sched::was_canceled, "canceled");
  }));
}

TEST(context, a_cancellation_that_looks_at_one_wait_may_end_the_next) {
  expect_passes(explore(bounds{2, 1}, [] {
    around::world w;
    derived_context d = derive_cancel(context::background());
    gift first, never;
    model::thread giver([&] { first.give(); });
    const runnel::context_scope scope(d.ctx);
    model::thread canceler([&] { d.cancel.cancel(); });
    static_cast<void>(first.take());
    check(never.take() == runnel::sched::was_canceled, "canceled");
  }));
}

TEST(context, a_grant_and_a_cancellation_end_a_wait_under_it_once) {
  expect_passes(explore(bounds{2, 2}, [] {
    around::world w;
    derived_context d = derive_cancel(context::background());
    gift g;
    model::thread giver([&] { g.give(); });
    model::thread canceler([&] { d.cancel.cancel(); });
    runnel::sched::claim_token t;
    {
      const runnel::context_scope scope(d.ctx);
      t = g.take();
    }
    giver.join(), canceler.join();
    check(g.given == (t == runnel::sched::was_canceled), "given once");
  }));
}

TEST(context, a_listener_that_waits_under_a_shield_is_left_alone) {
  expect_passes(explore(bounds{2, 2}, [] {
    around::world w;
    derived_context d = derive_cancel(context::background());
    gift first, second;
    model::thread canceler([&] { d.cancel.cancel(); });
    const runnel::context_scope scope(d.ctx);
    model::thread giver([&] {
      first.give();
      second.give();
    });
    static_cast<void>(first.take());
    {
      const runnel::cancel_shield shield;
      check(second.take() == runnel::sched::granted, "granted");
    }
  }));
}

TEST(context, the_end_of_a_scope_and_its_cancellation) {
  expect_passes(explore(bounds{2, 2}, [] {
    around::world w;
    derived_context d = derive_cancel(context::background());
    gift inside, outside;
    model::thread canceler([&] { d.cancel.cancel(); });
    model::thread giver([&] {
      inside.give();
      outside.give();
    });
    {
      const runnel::context_scope scope(d.ctx);
      static_cast<void>(inside.take());
    }
    check(outside.take() == runnel::sched::granted, "granted");
  }));
}

}  // namespace
