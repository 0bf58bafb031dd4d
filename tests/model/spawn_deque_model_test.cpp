// The deque of new fibers: every fiber is taken exactly once, by one who sees what it was given.
#include "checker/expect.hpp"
#include "given_fibers.hpp"

#include "sched/spawn_deque.hpp"

#include <utility>

namespace {

using model::bounds;
using model::check;
using model::expect_passes;
using model::explore;
using model::given_fibers;
using runnel::sched::spawn_deque;

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

}  // namespace
