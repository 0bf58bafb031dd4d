// The lock-free queues: every element comes out once, in order and whole; "full" and "empty" are true.
#include "checker/expect.hpp"

#include <runnel/lockfree/mpmc_queue.hpp>
#include <runnel/lockfree/mpsc_queue.hpp>
#include <runnel/lockfree/spsc_queue.hpp>

namespace {

using model::bounds;
using model::check;
using model::expect_passes;
using model::explore;
using runnel::lockfree::mpmc_queue;
using runnel::lockfree::mpsc_queue;
using runnel::lockfree::spsc_queue;

/// An element whose content is plain memory: who gets it without being ordered after the push is in a race.
struct parcel {
  explicit parcel(int n) : number(n) {}
  int number;
};

template <class Queue>
int pop(Queue& q) {
  const auto v = q.try_pop();
  return v ? v->number : 0;
}
/// What one consumer took: in the order of each producer, whose numbers begin with 1 and with 11.
struct received {
  int last[2] = {0, 10};
  int count = 0;
  void take(int v) {
    if (v == 0) return;
    int& l = last[v > 10];
    check(v == l + 1, "in order, each once");
    l = v;
    ++count;
  }
};
template <class Queue>
int pop_waiting(Queue& q) {
  for (;;) {
    if (const int v = pop(q)) return v;
    runnel::shim::spin_pause();
  }
}
template <class Queue>
void push_waiting(Queue& q, int v) {
  while (!q.try_push(parcel(v))) runnel::shim::spin_pause();
}

// ---- many to many

TEST(mpmc_queue, two_producers_and_a_consumer_lose_nothing) {
  expect_passes(explore(bounds{2, 2}, [] {
    mpmc_queue<parcel> q(2);
    int pushed = 0;
    model::thread first([&] { push_waiting(q, 1), pushed += 1 + q.try_push(parcel(2)); });
    model::thread second([&] { push_waiting(q, 11); });
    received r;
    r.take(pop_waiting(q)), r.take(pop(q));
    first.join(), second.join();
    while (const int v = pop(q)) r.take(v);
    check(r.count == pushed + 1, "none is lost");
  }));
}

TEST(mpmc_queue, two_consumers_share_without_loss) {
  expect_passes(explore(bounds{2, 2}, [] {
    mpmc_queue<parcel> q(2);
    check(q.try_push(parcel(1)) && q.try_push(parcel(2)), "room");
    int taken[2] = {};
    model::thread first([&] { taken[0] = pop(q); });
    model::thread second([&] { taken[1] = pop(q); });
    push_waiting(q, 4);
    first.join(), second.join();
    check(taken[0] + taken[1] == 3, "the two oldest, one each");
    check(pop(q) == 4 && pop(q) == 0, "the rest");
  }));
}

TEST(mpmc_queue, the_place_of_a_capacity_of_one_is_used_again) {
  expect_passes(explore(bounds{2, 2}, [] {
    mpmc_queue<parcel> q(1);
    int before = 0;
    model::thread producer([&] {
      push_waiting(q, 1);
      before = 1;
      push_waiting(q, 2);
    });
    check(pop_waiting(q) == 1, "the first");
    check(pop_waiting(q) == 2 && before == 1, "the second, and what came before it");
  }));
}

TEST(mpmc_queue, whoever_pushes_and_then_pops_never_finds_it_empty) {
  expect_passes(explore(bounds{2, 2}, [] {
    mpmc_queue<parcel> q(2);
    const auto push_and_pop = [&](int v) {
      check(q.try_push(parcel(v)), "full");
      check(pop(q) != 0, "empty");
    };
    model::thread other([&] { push_and_pop(1); });
    push_and_pop(2);
  }));
}

TEST(mpmc_queue, whoever_pops_and_then_pushes_never_finds_it_full) {
  expect_passes(explore(bounds{2, 2}, [] {
    mpmc_queue<parcel> q(2);
    check(q.try_push(parcel(1)) && q.try_push(parcel(2)), "room");
    const auto pop_and_push = [&](int v) {
      check(pop(q) != 0, "empty");
      check(q.try_push(parcel(v)), "full");
    };
    model::thread other([&] { pop_and_push(3); });
    pop_and_push(4);
  }));
}

TEST(mpmc_queue, of_two_that_push_and_then_look_into_the_others_queue_one_finds_something) {
  expect_passes(explore(bounds{3, 4}, [] {
    mpmc_queue<parcel> a(1), b(1);
    bool sized = model::choose(2);
    int found[2] = {};
    const auto look = [&](mpmc_queue<parcel>& q) { return sized ? static_cast<int>(q.size()) : pop(q); };
    model::thread other([&] {
      check(b.try_push(parcel(1)), "room");
      found[1] = look(a);
    });
    check(a.try_push(parcel(1)), "room");
    found[0] = look(b);
    other.join();
    check(found[0] || found[1], "both saw nothing");
  }));
}

TEST(mpmc_queue, of_two_that_pop_and_then_push_into_the_others_queue_one_finds_room) {
  expect_passes(explore(bounds{3, 4}, [] {
    mpmc_queue<parcel> a(1), b(1);
    bool sized = model::choose(2);
    check(a.try_push(parcel(1)) && b.try_push(parcel(1)), "room");
    bool room[2] = {};
    const auto look = [&](mpmc_queue<parcel>& q) { return sized ? q.empty() : q.try_push(parcel(2)); };
    model::thread other([&] {
      check(pop(b) == 1, "there");
      room[1] = look(a);
    });
    check(pop(a) == 1, "there");
    room[0] = look(b);
    other.join();
    check(room[0] || room[1], "both saw no room");
  }));
}

TEST(mpmc_queue, a_size_was_right_at_one_instant) {
  expect_passes(explore(bounds{3, 3}, [] {
    mpmc_queue<parcel> q(3);
    check(q.try_push(parcel(1)), "room");
    model::thread other([&] {
      check(pop(q) == 1, "there");
      check(q.try_push(parcel(2)), "room");
    });
    check(q.size() <= 1, "never two at a time");
  }));
}

// ---- one to one

TEST(spsc_queue, elements_arrive_whole_and_in_order_over_few_places) {
  for (std::size_t capacity : {1u, 2u})
    expect_passes(explore(bounds{3, 3}, [capacity] {
      spsc_queue<parcel> q(capacity);
      int pushed = 0;
      model::thread producer([&] {
        for (int i = 0; i < 3; ++i)
          if (q.try_push(parcel(pushed + 1))) ++pushed;
      });
      received r;
      for (int i = 0; i < 3; ++i) r.take(pop(q));
      producer.join();
      while (const int v = pop(q)) r.take(v);
      check(r.count == pushed && pushed >= 1, "none is lost");
    }));
}

TEST(spsc_queue, batches_are_seen_whole) {
  expect_passes(explore(bounds{3, 3}, [] {
    spsc_queue<parcel> q(2);
    std::size_t pushed = 0;
    model::thread producer([&] {
      parcel all[3] = {parcel(1), parcel(2), parcel(3)};
      for (int i = 0; i < 2; ++i) pushed += q.try_push_n(std::span(all).subspan(pushed));
    });
    received r;
    const auto take = [&] {
      parcel got[3] = {parcel(0), parcel(0), parcel(0)};
      const std::size_t n = q.try_pop_n(got);
      for (std::size_t i = 0; i < n; ++i) r.take(got[i].number);
      return n;
    };
    take(), take();
    producer.join();
    while (take() > 0) {
    }
    check(r.count == static_cast<int>(pushed) && pushed >= 2, "none is lost");
  }));
}

TEST(spsc_queue, a_third_that_looks_never_counts_what_was_not_there) {
  expect_passes(explore(bounds{4, 4}, [] {
    spsc_queue<parcel> q(3);
    model::thread producer([&] { check(q.try_push(parcel(1)), "room"); });
    model::thread consumer([&] { pop(q); });
    check(q.size() <= 1, "there was one at most");
  }));
}

// ---- many to one

TEST(mpsc_queue, two_producers_lose_nothing_over_the_end_of_a_segment) {
  expect_passes(explore(bounds{2, 2}, [] {
    mpsc_queue<parcel, 4> q;
    q.push(parcel(1));
    model::thread first([&] { q.push(parcel(2)), q.push(parcel(3)); });
    model::thread second([&] { q.push(parcel(11)); });
    received r;
    for (int i = 0; i < 3; ++i) r.take(pop(q));
    first.join(), second.join();
    while (const int v = pop(q)) r.take(v);
    check(r.count == 4 && q.size() == 0, "none is lost");
  }));
}

TEST(mpsc_queue, a_segment_is_used_again_while_others_push) {
  // Three segments are needed: the second ends while the first one comes back.
  expect_passes(explore(bounds{2, 2}, [] {
    mpsc_queue<parcel, 4> q;
    received r;
    for (int i = 1; i <= 3; ++i) q.push(parcel(i));
    model::thread producer([&] {
      for (int i = 4; i <= 7; ++i) q.push(parcel(i));
    });
    for (int i = 1; i <= 4; ++i) r.take(pop(q));
    producer.join();
    while (const int v = pop(q)) r.take(v);
    check(r.count == 7 && q.size() == 0, "none is lost");
  }));
}

TEST(mpsc_queue, two_that_both_have_the_next_segment_in_hand_link_one) {
  expect_passes(explore(bounds{3, 2}, [] {
    mpsc_queue<parcel, 4> q;
    q.push(parcel(1)), q.push(parcel(2));
    model::thread other([&] { q.push(parcel(4)); });
    q.push(parcel(8));
    int sum = 0;
    for (int i = 0; i < 4; ++i) sum += pop(q);
    other.join();
    while (const int v = pop(q)) sum += v;
    check(sum == 15, "each once");
  }));
}

TEST(mpsc_queue, whoever_pushes_and_then_pops_never_finds_it_empty) {
  expect_passes(explore(bounds{3, 3}, [] {
    mpsc_queue<parcel, 4> q;
    model::thread other([&] { q.push(parcel(1)); });
    q.push(parcel(2));
    check(pop(q) != 0, "empty");
  }));
}

TEST(mpsc_queue, of_two_that_push_and_then_look_into_the_others_queue_one_finds_something) {
  expect_passes(explore(bounds{2, 3}, [] {
    mpsc_queue<parcel, 4> a, b;
    bool sized = model::choose(2);
    int found[2] = {};
    const auto look = [&](mpsc_queue<parcel, 4>& q) { return sized ? static_cast<int>(q.size()) : pop(q); };
    const bool at_the_end = model::choose(2);
    if (at_the_end) {
      for (auto* q : {&a, &b})
        for (int i = 0; i < 2; ++i) q->push(parcel(1)), pop(*q);
    }
    model::thread other([&] {
      b.push(parcel(1));
      found[1] = look(a);
    });
    a.push(parcel(1));
    found[0] = look(b);
    other.join();
    check(found[0] || found[1], "both saw nothing");
  }));
}

TEST(mpsc_queue, a_size_never_counts_what_was_not_there) {
  expect_passes(explore(bounds{3, 3}, [] {
    mpsc_queue<parcel, 4> q;
    q.push(parcel(1)), q.push(parcel(2));
    model::thread consumer([&] {
      check(pop(q) == 1 && pop(q) == 2, "there");
      q.push(parcel(3));
    });
    check(q.size() <= 2, "never more than two");
  }));
}

/// Cannot be made from a negative number.
struct choosy {
  explicit choosy(int n) : number(n) {
    if (n < 0) throw n;
  }
  choosy(choosy&& o) noexcept(false) : number(o.number) {}
  int number;
};

TEST(mpsc_queue, a_construction_that_throws_leaves_nothing_behind) {
  // And nothing is done any more to its segment, which is used again here.
  expect_passes(explore(bounds{2, 2}, [] {
    mpsc_queue<choosy, 4> q;
    q.emplace(1);
    model::thread other([&] {
      try {
        q.emplace(-1);
        check(false, "no exception");
      } catch (int) {
      }
    });
    int sum = 0;
    for (int i = 0; i < 8; ++i) {
      q.emplace(1);
      if (i > 0) sum += pop(q);
    }
    other.join();
    while (const int v = pop(q)) sum += v;
    check(sum == 9 && q.size() == 0, "each once, and nothing else");
  }));
}

TEST(mpsc_queue, a_third_that_looks_never_counts_what_was_not_there) {
  expect_passes(explore(bounds{3, 3}, [] {
    mpsc_queue<parcel, 4> q;
    model::thread producer([&] { q.push(parcel(1)); });
    model::thread consumer([&] { pop(q); });
    check(q.size() <= 1, "there was one at most");
  }));
}

}  // namespace
