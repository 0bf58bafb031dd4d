// One-to-one channels in many orders of events: nothing is lost or there twice, whoever gives up, closes or goes away.
#include "explored.hpp"

#include <runnel/runnel.hpp>
#include <runnel/testing/shared_var.hpp>

namespace runnel::test {
namespace {

TEST(explored_spsc, a_canceled_receive_takes_nothing_with_it) {
  holds_in(5'000, [] {
    auto c = make_channel<int, spsc>(2);
    auto limited = derive_cancel(context::current());
    auto sender = go([&] {
      for (int i = 1; i <= 3; ++i) c.tx.send(i);
      c.tx.close();
    });
    auto canceler = go([&] { limited.cancel.cancel(); });
    int sum = 0;
    try {
      for (;;) sum += c.rx.receive(limited.ctx).value_or(100);
    } catch (const canceled&) {
    }
    sum %= 100;  // it may have seen the close, again and again
    for (int v : c.rx) sum += v;
    sender.get();
    canceler.get();
    require(sum == 6, "a value was lost, or came twice");
  });
}

TEST(explored_spsc, a_select_among_two_of_them_gets_all) {
  holds_in(5'000, [] {
    auto a = make_channel<int, spsc>(1), b = make_channel<int, spsc>(1);
    auto first = go([&] {
      a.tx.send(1);
      a.tx.send(2);
      a.tx.close();
    });
    auto second = go([&] {
      select(on_send(b.tx, 4));
      b.tx.close();
    });
    int sum = 0;
    for (bool of_a = true, of_b = true; of_a || of_b;) {
      std::optional<int> v;
      const std::size_t i = select(on_receive(a.rx, v).when(of_a), on_receive(b.rx, v).when(of_b));
      if (!v) (i == 0 ? of_a : of_b) = false;
      sum += v.value_or(0);
    }
    first.get();
    second.get();
    require(sum == 7, "a value was lost, or came twice");
  });
}

TEST(explored_spsc, a_send_hands_on_what_came_before_it) {
  holds_in(5'000, [] {
    shared_var<int> plain;
    auto c = make_channel<unit, spsc>(2);
    auto sender = go([&] {
      plain.store(1);
      c.tx.send({});
    });
    c.rx.receive();
    require(plain.load() == 1, "not seen");
    sender.get();
  });
}

TEST(explored_spsc, and_nothing_that_comes_after_it) {
  const auto r = explore({.schedules = scaled(5'000)}, [] {
    shared_var<int> plain;
    auto c = make_channel<unit, spsc>(2);
    auto sender = go([&] {
      c.tx.send({});
      plain.store(1);
    });
    c.rx.receive();
    static_cast<void>(plain.load());
    sender.get();
  });
  EXPECT_TRUE(r.failed && r.verdict == verdict::race) << r.trace;
}

}  // namespace
}  // namespace runnel::test
