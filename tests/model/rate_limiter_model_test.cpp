// token_bucket: what is booked at the same time is booked once, and settings are never mixed.
#include "checker/expect.hpp"

#include <runnel/detail/token_bucket.hpp>

#include <limits>

namespace {

using model::bounds;
using model::check;
using model::expect_passes;
using model::explore;
using runnel::detail::token_bucket;

constexpr token_bucket::instant s = 1'000'000'000;
constexpr double unlimited = std::numeric_limits<double>::infinity();

bool book(token_bucket& b, token_bucket::instant now, std::uint64_t n) {
  return b.book(now, n, now).act != token_bucket::refused;
}
/// By either of the ways that there are.
bool take_or_book(token_bucket& b, token_bucket::instant now, std::uint64_t n) {
  return model::choose(2) == 0 ? b.take(now, n) : book(b, now, n);
}
void change(token_bucket& b, token_bucket::limits l, token_bucket::instant now) {
  const runnel::detail::raw_guard hold(b.changes.lock);
  b.change(l, now, nullptr);
}

TEST(token_bucket, no_token_is_taken_twice_and_none_is_lost) {
  expect_passes(explore(bounds{3, 2}, [] {
    token_bucket b({1, 3}, 0);
    int got = 0;
    int others = 0;
    model::thread t([&] {
      others += b.take(0, 1);
      others += book(b, 0, 1);
    });
    got += book(b, 0, 1);
    got += b.take(0, 1);
    t.join();
    check(got + others == 3, "three were there");
    check(b.tokens(0) == 0, "and none is left");
  }));
}

TEST(token_bucket, who_gives_back_and_who_takes_do_not_lose_each_others) {
  expect_passes(explore(bounds{3, 2}, [] {
    token_bucket b({1, 2}, 0);
    check(book(b, 0, 2), "full");
    const auto owed = b.book(0, 1, 10 * s);
    model::thread t([&] { b.give_back(owed, 0, 1, token_bucket::behind::stays); });
    const auto mine = b.book(0, 2, 10 * s);
    t.join();
    check(mine.act == 2 * s || mine.act == 3 * s, "behind the other one, or in its place");
    check(b.tokens(0) == (mine.act == 2 * s ? -2 : -3), "what was booked behind it stays");
  }));
}

// The change turns one token each second into one each millisecond or the reverse, the burst with it. A booking is made by the
// one or by the other, so the tokens afterwards are one of two numbers.
TEST(token_bucket, a_booking_is_made_before_or_after_a_change) {
  for (const bool faster : {true, false}) {
    expect_passes(explore(bounds{3, 3}, [faster] {
      const token_bucket::limits slow{1, 2}, fast{1000, 5};
      token_bucket b(faster ? slow : fast, 0);
      check(book(b, 0, 1), "full");
      model::thread t([&] { change(b, faster ? fast : slow, 0); });
      const bool one = take_or_book(b, 0, 1);
      t.join();
      check(one, "there is one, before and after");
      const double left = b.tokens(0);
      check(faster ? left == 0 : left == 1 || left == 2, "a token was lost or made");
    }));
  }
}

TEST(token_bucket, a_refusal_is_by_settings_that_were_there) {
  expect_passes(explore(bounds{3, 3}, [] {
    token_bucket b({1, 1000}, 0);
    check(book(b, 0, 999), "full");
    model::thread t([&] { change(b, {1000, 1000}, 0); });
    check(take_or_book(b, 0, 1), "there is one, before and after");
    t.join();
    check(!book(b, 0, 1), "and no more");
  }));
  expect_passes(explore(bounds{3, 3}, [] {
    token_bucket b({1, 1000}, 0);
    check(book(b, 0, 999), "full");
    model::thread t([&] { change(b, {1000, 1000}, 0); });
    check(b.tokens(0) == 1, "there is one, before and after");
    t.join();
  }));
  expect_passes(explore(bounds{3, 3}, [] {
    token_bucket b({1, 1}, 0);
    model::thread t([&] { change(b, {unlimited, 0}, 0); });
    check(take_or_book(b, 0, 1), "there is one, before and after");
    t.join();
  }));
}

TEST(token_bucket, two_changes_come_one_after_the_other) {
  expect_passes(explore(bounds{3, 2}, [] {
    token_bucket b({1, 10}, 0);
    check(book(b, 0, 9), "full");
    model::thread t([&] { change(b, {10, 10}, 0); });
    change(b, {100, 5}, 0);
    t.join();
    check(b.tokens(0) == 1, "a token was lost or made");
  }));
}

}  // namespace
