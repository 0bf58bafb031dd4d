// Deques, of new fibers and of anything: every element is taken exactly once, by one who sees what it was given.
#include "checker/expect.hpp"
#include "given_fibers.hpp"

#include "sched/spawn_deque.hpp"

#include <runnel/base/heavy_fence.hpp>
#include <runnel/lockfree/work_stealing_deque.hpp>

#include <utility>

namespace {

using model::bounds;
using model::check;
using model::expect_passes;
using model::explore;
using model::given_fibers;
using runnel::sched::fiber;
using runnel::sched::spawn_deque;

/// One that grows, with the interface of the other. Room for two to begin with.
struct growing_deque {
  void push(fiber* f) { inner.push(f); }
  fiber* pop() { return inner.try_pop().value_or(nullptr); }
  fiber* steal() { return inner.try_steal().value_or(nullptr); }
  runnel::lockfree::work_stealing_deque<fiber*> inner{2};
};

/// One of four, biased to its owner, which takes the marks away after the second pop without a thief.
struct biased_deque {
  bool push(fiber* f) { return inner.push_quickly(f) || inner.push(f); }
  fiber* pop() {
    fiber* f = nullptr;
    return inner.pop(f) ? f : nullptr;
  }
  fiber* steal() {
    fiber* f = nullptr;
    return inner.steal(f) ? f : nullptr;
  }
  runnel::detail::deque_core<fiber*, runnel::detail::bounded_slots<fiber*, 4>, 1> inner{true};
};

TEST(spawn_deque, owner_and_thief_share_without_loss) {
  expect_passes(explore(bounds{4, 3}, [] {
    given_fibers<3> f;
    spawn_deque mine;
    model::thread thief([&] {
      f.take(mine.steal());
      f.take(mine.steal());
    });
    for (int i = 0; i < 3; ++i) check(mine.push(f.give(i)), "full");
    f.drain(mine);
    thief.join();
    f.drain(mine);
    f.check_all(3);
  }));
}

TEST(spawn_deque, the_last_one_is_taken_by_one_of_three) {
  expect_passes(explore(bounds{3, 3}, [] {
    given_fibers<2> f;
    spawn_deque mine;
    const auto steal = [&] { f.take(mine.steal()); };
    check(mine.push(f.give(0)) && mine.push(f.give(1)), "full");
    model::thread a(steal), b(steal);
    f.drain(mine);
    a.join(), b.join();
    f.drain(mine);
    f.check_all(2);
  }));
}

TEST(spawn_deque, a_slot_is_used_again_while_a_thief_reads_it) {
  expect_passes(explore(bounds{3, 3}, [] {
    given_fibers<7> f;
    spawn_deque mine;
    for (int i = 0; i < 4; ++i) check(mine.push(f.give(i)), "full");
    model::thread thief([&] {
      f.take(mine.steal());
      f.take(mine.steal());
    });
    int put = 4;
    for (int i = 0; i < 2; ++i)
      if (mine.push(f.give(put))) ++put;
    f.take(mine.pop());
    if (mine.push(f.give(put))) ++put;
    thief.join();
    f.drain(mine);
    f.check_all(put);
  }));
}

TEST(spawn_deque, what_is_pushed_after_a_pop_is_seen_whole) {
  expect_passes(explore(bounds{4, 4}, [] {
    given_fibers<4> f;
    spawn_deque mine;
    model::thread thief([&] { f.take(mine.steal()); });
    check(mine.push(f.give(0)) && mine.push(f.give(1)), "full");
    f.take(mine.pop());
    check(mine.push(f.give(2)), "full");
    f.take(mine.pop());
    thief.join();
    f.drain(mine);
    f.check_all(3);
  }));
}

TEST(spawn_deque, the_older_half_goes_to_one_and_its_slots_are_used_again) {
  expect_passes(explore(bounds{3, 3}, [] {
    given_fibers<6> f;
    spawn_deque mine;
    for (int i = 0; i < 4; ++i) check(mine.push(f.give(i)), "full");
    model::thread thief([&] {
      f.take(mine.steal());
      f.take(mine.steal());
    });
    runnel::sched::fiber* last = nullptr;
    std::uint64_t n = 0;
    runnel::sched::fiber* at = mine.take_half(last, n);
    for (; at && n > 0; --n) f.take(std::exchange(at, at == last ? nullptr : at->next));
    check(!at, "first to last");
    int put = 4;
    for (int i = 0; i < 2; ++i)
      if (mine.push(f.give(put))) ++put;
    thief.join();
    f.drain(mine);
    f.check_all(put);
  }));
}

TEST(spawn_deque, newest_first_to_the_owner_and_oldest_first_to_others) {
  expect_passes(explore(bounds{1, 1}, [] {
    given_fibers<4> f;
    spawn_deque mine;
    for (int i = 0; i < 4; ++i) check(mine.push(f.give(i)), "full");
    check(!mine.push(&f.all[0]) && mine.size() == 4, "full");
    check(mine.pop() == &f.all[3] && mine.steal() == &f.all[0], "order");
    check(mine.pop() == &f.all[2] && mine.steal() == &f.all[1] && mine.empty(), "order");
    check(!mine.pop() && !mine.steal(), "empty");
  }));
}

TEST(growing_deque, it_grows_while_a_thief_reads) {
  expect_passes(explore(bounds{3, 3}, [] {
    given_fibers<4> f;
    growing_deque mine;
    for (int i = 0; i < 2; ++i) mine.push(f.give(i));
    model::thread thief([&] {
      f.take(mine.steal());
      f.take(mine.steal());
    });
    for (int i = 2; i < 4; ++i) mine.push(f.give(i));
    f.take(mine.pop());
    thief.join();
    f.drain(mine);
    f.check_all(4);
  }));
}

TEST(growing_deque, two_thieves_on_either_side_of_the_growth_take_each_once) {
  expect_passes(explore(bounds{2, 2}, [] {
    given_fibers<3> f;
    growing_deque mine;
    const auto steal = [&] { f.take(mine.steal()); };
    for (int i = 0; i < 2; ++i) mine.push(f.give(i));
    model::thread a(steal), b(steal);
    mine.push(f.give(2));
    f.take(mine.pop());
    a.join(), b.join();
    f.drain(mine);
    f.check_all(3);
  }));
}

TEST(growing_deque, a_slot_is_used_again_after_the_growth) {
  expect_passes(explore(bounds{2, 2}, [] {
    given_fibers<7> f;
    growing_deque mine;
    for (int i = 0; i < 3; ++i) mine.push(f.give(i));  // room for four
    model::thread thief([&] {
      f.take(mine.steal());
      f.take(mine.steal());
    });
    for (int i = 3; i < 7; ++i) mine.push(f.give(i));  // in place of what was stolen, or for eight
    thief.join();
    f.drain(mine);
    f.check_all(7);
  }));
}

TEST(growing_deque, newest_first_to_the_owner_and_oldest_first_to_others) {
  expect_passes(explore(bounds{1, 1}, [] {
    given_fibers<5> f;
    growing_deque mine;
    for (int i = 0; i < 5; ++i) mine.push(f.give(i));
    check(mine.pop() == &f.all[4] && mine.steal() == &f.all[0], "order");
    check(mine.pop() == &f.all[3] && mine.steal() == &f.all[1] && mine.inner.size() == 1, "order");
    check(mine.pop() == &f.all[2] && mine.inner.empty(), "order");
    check(!mine.pop() && !mine.steal(), "empty");
  }));
}

TEST(biased_deque, owner_and_thief_share_without_loss) {
  expect_passes(explore(bounds{3, 3}, [] {
    given_fibers<3> f;
    biased_deque mine;
    model::thread thief([&] {
      f.take(mine.steal());
      f.take(mine.steal());
    });
    for (int i = 0; i < 3; ++i) check(mine.push(f.give(i)), "full");
    f.drain(mine);
    thief.join();
    f.drain(mine);
    f.check_all(3);
  }));
}

TEST(biased_deque, a_thief_that_finds_the_mark_of_another_does_not_rely_on_it) {
  expect_passes(explore(bounds{3, 3}, [] {
    given_fibers<3> f;
    biased_deque mine;
    const auto steal = [&] { f.take(mine.steal()); };
    for (int i = 0; i < 3; ++i) check(mine.push(f.give(i)), "full");
    model::thread a(steal), b(steal);
    f.take(mine.pop());
    f.take(mine.pop());
    a.join(), b.join();
    f.drain(mine);
    f.check_all(3);
  }));
}

TEST(biased_deque, the_last_one_is_taken_by_one_of_three) {
  expect_passes(explore(bounds{3, 3}, [] {
    given_fibers<2> f;
    biased_deque mine;
    const auto steal = [&] { f.take(mine.steal()); };
    check(mine.push(f.give(0)) && mine.push(f.give(1)), "full");
    model::thread a(steal), b(steal);
    f.drain(mine);
    a.join(), b.join();
    f.drain(mine);
    f.check_all(2);
  }));
}

TEST(biased_deque, the_owner_takes_the_marks_away_while_thieves_come_and_go) {
  expect_passes(explore(bounds{2, 2}, [] {
    given_fibers<6> f;
    biased_deque mine;
    for (int i = 0; i < 4; ++i) check(mine.push(f.give(i)), "full");
    const auto steal = [&] { f.take(mine.steal()); };
    model::thread a([&] { steal(), steal(); });
    model::thread b(steal);
    f.take(mine.pop());
    check(mine.push(f.give(4)), "full");
    for (int i = 0; i < 3; ++i) f.take(mine.pop());
    a.join(), b.join();
    f.drain(mine);
    f.check_all(5);
  }));
}

TEST(biased_deque, a_slot_is_used_again_while_a_thief_reads_it) {
  expect_passes(explore(bounds{3, 3}, [] {
    given_fibers<7> f;
    biased_deque mine;
    for (int i = 0; i < 4; ++i) check(mine.push(f.give(i)), "full");
    model::thread thief([&] {
      f.take(mine.steal());
      f.take(mine.steal());
    });
    int put = 4;
    for (int i = 0; i < 2; ++i)
      if (mine.push(f.give(put))) ++put;
    f.take(mine.pop());
    if (mine.push(f.give(put))) ++put;
    thief.join();
    f.drain(mine);
    f.check_all(put);
  }));
}

TEST(biased_deque, a_slot_is_used_again_after_the_marks_were_taken_away) {
  expect_passes(explore(bounds{3, 2}, [] {
    given_fibers<7> f;
    biased_deque mine;
    for (int i = 0; i < 4; ++i) check(mine.push(f.give(i)), "full");
    model::thread thief([&] {
      f.take(mine.steal());
      f.take(mine.steal());
    });
    f.take(mine.pop());
    f.take(mine.pop());
    int put = 4;
    for (int i = 0; i < 3; ++i)
      if (mine.push(f.give(put))) ++put;
    thief.join();
    f.drain(mine);
    f.check_all(put);
  }));
}

TEST(biased_deque, without_a_heavy_fence_the_owner_executes_one_in_each_pop) {
  runnel::detail::heavy_fence_forbidden = true;
  expect_passes(explore(bounds{3, 3}, [] {
    given_fibers<3> f;
    biased_deque mine;
    model::thread thief([&] {
      f.take(mine.steal());
      f.take(mine.steal());
    });
    for (int i = 0; i < 3; ++i) check(mine.push(f.give(i)), "full");
    f.drain(mine);
    thief.join();
    f.drain(mine);
    f.check_all(3);
  }));
  runnel::detail::heavy_fence_forbidden = false;
}

TEST(biased_deque, newest_first_to_the_owner_and_oldest_first_to_others) {
  expect_passes(explore(bounds{1, 1}, [] {
    given_fibers<4> f;
    biased_deque mine;
    for (int i = 0; i < 4; ++i) check(mine.push(f.give(i)), "full");
    check(!mine.push(&f.all[0]) && mine.inner.size() == 4, "full");
    check(mine.pop() == &f.all[3] && mine.steal() == &f.all[0], "order");
    check(mine.pop() == &f.all[2] && mine.steal() == &f.all[1] && mine.inner.empty(), "order");
    check(!mine.pop() && !mine.steal(), "empty");
    for (int i = 0; i < 4; ++i) check(mine.push(&f.all[i]) && mine.pop() == &f.all[i], "in turns");
  }));
}

}  // namespace
