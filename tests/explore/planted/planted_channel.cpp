// Ordinary programs over a channel in which a bug is planted (plant.py): exploration has to find it. PLANTED is 0 in the
// twin without a bug, where nothing may be found.
#include <runnel/atomic.hpp>
#include <runnel/runnel.hpp>
#include <runnel/testing/explore.hpp>

#include <gtest/gtest.h>

#include <iostream>

namespace runnel::test {
namespace {

void require(bool condition, const char* what) {
  if (!condition) throw std::runtime_error(what);
}

/// One sends and closes, two receive to the end.
void everything_arrives_once() {
  channel<int> c(1);
  atomic<int> sum(0);
  with_task_group([&](task_group& g) {
    for (int i = 0; i < 2; ++i)
      g.go([&] {
        for (int v : c) sum.fetch_add(v);
      });
    for (int i = 1; i <= 3; ++i) c.send(i);
    c.close();
  });
  require(sum.load() == 6, "not everything arrived");
}

/// What was sent and not refused is received, whoever closes when.
void what_is_accepted_arrives() {
  channel<int> c;
  int accepted = 0, received = 0;
  auto sender = go([&] {
    try {
      for (int i = 0; i < 3; ++i) {
        c.send(i);
        ++accepted;
      }
    } catch (const channel_closed&) {
    }
  });
  auto closer = go([&] { c.close(); });
  while (c.receive()) ++received;
  sender.get();
  closer.get();
  require(accepted == received, "a value that was accepted is lost");
}

/// A buffer of one: when one has been taken there is room for another.
void room_lets_a_sender_go() {
  channel<int> c(1);
  auto sender = go([&] {
    c.send(1);
    c.send(2);
  });
  c.receive();
  sender.get();
}

/// A receiver is canceled, or it has received; never both.
void a_cancellation_loses_nothing() {
  channel<int> c;
  auto limited = derive_cancel(context::current());
  int received = 0;
  auto receiver = go([&] {
    const context_scope ambient(limited.ctx);
    try {
      c.receive();
      ++received;
    } catch (const canceled&) {
    }
  });
  auto canceler = go([&] { limited.cancel.cancel(); });
  const int sent = c.try_send(1) == channel_status::ok;  // only to one that waits
  receiver.get();
  canceler.get();
  require(sent == received, "a value is lost");
}

TEST(planted_channel, is_found) {
  bool found = false;
  for (auto program : {&everything_arrives_once, &what_is_accepted_arrives, &room_lets_a_sender_go,
                       &a_cancellation_loses_nothing}) {
    const explore_result r = explore(program);
    if (!r.failed) continue;
    found = true;
    EXPECT_TRUE(PLANTED) << r.trace;
    EXPECT_ANY_THROW(replay(r.token, program));
    std::cout << to_string(r.verdict) << " after " << r.schedules << " schedules: " << r.token << "\n";
    break;
  }
  EXPECT_EQ(found, PLANTED != 0);
}

}  // namespace
}  // namespace runnel::test
