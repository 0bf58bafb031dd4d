// Behaviours that only many orders of events can show.
#include "explored.hpp"

#include <runnel/atomic.hpp>
#include <runnel/runnel.hpp>

#include <atomic>
#include <memory>
#include <optional>

namespace runnel::test {
namespace {

TEST(explored_conformance, channel_34_what_was_handed_over_does_not_vanish) {
  holds_in(100'000, [] {
    channel<int> c;
    auto limited = derive_cancel(context::current());
    int received = 0;
    bool saw_it_next = false;
    auto receiver = go([&] {
      const context_scope ambient(limited.ctx);
      try {
        require(c.receive() == 7, "another value");
        ++received;
        c.receive();
      } catch (const canceled&) {
        saw_it_next = true;
      }
    });
    auto canceler = go([&] { limited.cancel.cancel(); });
    const int sent = c.try_send(7) == channel_status::ok;  // only to one that waits
    receiver.get();
    canceler.get();
    require(sent == received && saw_it_next, "the value or the cancellation is lost");
  });
}

TEST(explored_conformance, channel_34_neighbour_nor_does_what_a_canceled_sender_had_handed_over) {
  holds_in(20'000, [] {
    channel<int> c;
    auto limited = derive_cancel(context::current());
    int sent = 0;
    auto sender = go([&] {
      const context_scope ambient(limited.ctx);
      try {
        c.send(7);
        ++sent;
      } catch (const canceled&) {
      }
    });
    auto canceler = go([&] { limited.cancel.cancel(); });
    const int received = c.try_receive().status == channel_status::ok;
    sender.get();
    canceler.get();
    require(sent == received, "sent and received differ");
  });
}

/// An element that knows whether it still holds something, and counts its end.
struct element {
  explicit element(std::atomic<int>& e) : ended(&e) {}
  element(element&& o) noexcept : ended(std::exchange(o.ended, nullptr)) {}
  element& operator=(element&& o) noexcept {
    std::swap(ended, o.ended);
    return *this;
  }
  ~element() {
    if (ended) ++*ended;
  }
  std::atomic<int>* ended;
};

TEST(explored_conformance, channel_40_a_refused_element_stays_with_its_sender) {
  holds_in(20'000, [] {
    for (std::size_t capacity : {0u, 1u}) {
      std::atomic<int> ended = 0;
      auto ends = make_channel<element>(capacity);
      std::optional receiver(std::move(ends.rx));
      auto dropper = go([&] {
        if (testing::choose(2)) receiver->try_receive();
        receiver.reset();
      });
      element mine(ended);
      bool refused = false;
      try {
        ends.tx.send(std::move(mine));
      } catch (const channel_closed&) {
        refused = true;
        require(ended == 0 && mine.ended != nullptr, "refused, and gone");
      }
      dropper.get();
      require(refused ? ended == 0 : ended == 1 && mine.ended == nullptr, "an element has two owners, or none");
    }
  });
}

TEST(explored_conformance, channel_40_neighbour_what_is_left_in_the_buffer_ends_once) {
  holds_in(20'000, [] {
    std::atomic<int> ended = 0;
    int made = 0;
    {
      auto ends = make_channel<element>(2);
      std::optional sender(std::move(ends.tx));
      auto t = go([&] {
        try {
          while (made < 3) {
            ++made;
            sender->send(element(ended));
          }
        } catch (const channel_closed&) {
        }
        sender.reset();
      });
      ends.rx.try_receive();
      std::optional receiver(std::move(ends.rx));
      receiver.reset();
      t.get();
    }
    require(ended == made, "an element ended twice, or never");
  });
}

TEST(explored_conformance, context_20_cancellations_and_ends_of_handles_may_race) {
  holds_in(20'000, [] {
    auto parent = derive_cancel(context::current());
    std::optional child(derive_cancel(parent.ctx));
    const context seen = child->ctx;
    atomic<int> woken(0);
    with_task_group([&](task_group& g) {
      for (int i = 0; i < 2; ++i)
        g.go([&, ctx = i ? seen : parent.ctx] {
          select(on_done(ctx));
          woken.fetch_add(1);
        });
      g.go([&] { parent.cancel.cancel(); });
      g.go([&] { child->cancel.cancel(); });
      g.go([&] {
        select(on_done(seen));
        require(seen.is_canceled(), "woken, and not canceled");
      });
    });
    child.reset();
    require(woken.load() == 2 && parent.ctx.is_canceled(), "a waiter was woken twice, or not");
  });
}

TEST(explored_conformance, context_20_neighbour_a_child_may_be_made_while_its_parent_ends) {
  holds_in(20'000, [] {
    auto parent = derive_cancel(context::current());
    auto canceler = go([&] { parent.cancel.cancel(); });
    {
      auto child = derive_cancel(parent.ctx);
      auto waiter = go([ctx = child.ctx] { select(on_done(ctx)); });
      auto called = after_func(child.ctx, [] {});
      waiter.get();
      require(child.ctx.is_canceled(), "a child outlives its parent");
    }
    canceler.get();
  });
}

}  // namespace
}  // namespace runnel::test
