// Who owns an element: every one sent has one owner at every moment, and nobody loses it.
#include "conformance/meeting.hpp"
#include "support/fixture.hpp"

#include <atomic>
#include <functional>
#include <optional>
#include <stdexcept>
#include <thread>
#include <vector>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class channel_ownership_conformance : public behaviour {};
RUNNEL_EVERY_CALLER(channel_ownership_conformance);

/// Counts the ends of elements that still hold their value.
class counted {
 public:
  explicit counted(std::atomic<std::size_t>& ends) noexcept : ends_(&ends) {}
  counted(counted&& o) noexcept : ends_(std::exchange(o.ends_, nullptr)) {}
  counted& operator=(counted&&) = delete;
  ~counted() {
    if (ends_) ++*ends_;
  }

 private:
  std::atomic<std::size_t>* ends_;
};

// ---- 26: elements that nobody can receive any more

TEST_P(channel_ownership_conformance, channel_26_the_last_receiver_gone_destroys_what_is_queued_at_once) {
  in_runtime([] {
    auto [tx, rx] = make_channel<std::shared_ptr<int>>(4);
    std::weak_ptr<int> watched;
    {
      auto v = std::make_shared<int>(1);
      watched = v;
      tx.send(std::move(v));
    }
    auto second = rx;
    rx = {};
    EXPECT_FALSE(watched.expired()) << "somebody can still receive it";
    second = {};
    EXPECT_TRUE(watched.expired());
    EXPECT_TRUE(tx.is_closed());
    EXPECT_EQ(tx.size(), 0u);
    auto late = std::make_shared<int>(2);
    EXPECT_EQ(tx.try_send(std::move(late)), channel_status::closed);
    EXPECT_NE(late, nullptr);
  });
}

TEST_P(channel_ownership_conformance, channel_26_neighbour_a_queued_element_may_use_the_channel_in_its_destructor) {
  in_runtime([this] {
    struct talks {
      explicit talks(send_channel<std::shared_ptr<void>> t, int& n) : tx(std::move(t)), refused(&n) {}
      ~talks() { *refused += tx.is_closed() && tx.try_send(nullptr) == channel_status::closed; }
      send_channel<std::shared_ptr<void>> tx;
      int* refused;
    };
    int refused = 0;
    auto [tx, rx] = make_channel<std::shared_ptr<void>>(3);
    for (int i = 0; i < 3; ++i) tx.send(std::make_shared<talks>(tx, refused));
    auto blocked = start([tx = tx] { EXPECT_THROW(tx.send(nullptr), channel_closed); });
    until_waiting(1);
    rx = {};
    EXPECT_EQ(refused, 3);
    blocked.join();
  });
}

// ---- 28: many elements, little stack

constexpr std::size_t many = 1'000'000;

TEST_P(channel_ownership_conformance, channel_28_a_full_channel_of_a_million_is_destroyed_on_a_small_stack) {
  in_runtime([] {
    const std::size_t n = scaled(many);
    std::atomic<std::size_t> ends{0};
    std::optional<channel<counted>> c(many);
    for (std::size_t i = 0; i < n; ++i) ASSERT_EQ(c->try_send(counted(ends)), channel_status::ok);
    EXPECT_EQ(c->size(), n);
    EXPECT_EQ(ends, 0u);
    auto destroyer = go({.stack = stack_class::small}, [&c] { c.reset(); });
    destroyer.get();
    EXPECT_EQ(ends, n);
  });
}

TEST_P(channel_ownership_conformance, channel_28_neighbour_the_last_receiver_may_leave_a_million_behind_on_a_small_stack) {
  in_runtime([] {
    const std::size_t n = scaled(many);
    std::atomic<std::size_t> ends{0};
    auto [tx, rx] = make_channel<counted>(many);
    for (std::size_t i = 0; i < n; ++i) tx.send(counted(ends));
    auto receiver = go({.stack = stack_class::small}, [rx = std::move(rx)] {
      for (int i = 0; i < 3; ++i) EXPECT_TRUE(rx.receive().has_value());
    });
    receiver.get();
    EXPECT_EQ(ends, n);
    EXPECT_EQ(tx.size(), 0u);
  });
}

// ---- 32: unwinding

TEST_P(channel_ownership_conformance, channel_32_a_channel_destroyed_by_an_exception_destroys_its_elements) {
  in_runtime([] {
    std::atomic<std::size_t> ends{0};
    try {
      const channel<counted> c(3);
      for (int i = 0; i < 3; ++i) c.send(counted(ends));
      EXPECT_EQ(ends, 0u);
      throw std::runtime_error("unwinds");
    } catch (const std::runtime_error&) {
      EXPECT_EQ(ends, 3u);
    }
  });
}

TEST_P(channel_ownership_conformance, channel_32_neighbour_a_receiver_that_unwinds_frees_the_senders_too) {
  in_runtime([this] {
    std::atomic<std::size_t> ends{0};
    auto [tx, rx] = make_channel<counted>(3);
    for (int i = 0; i < 3; ++i) tx.send(counted(ends));
    auto blocked = start([tx = tx, &ends] { EXPECT_THROW(tx.send(counted(ends)), channel_closed); });
    until_waiting(1);
    auto [ctx, cancel] = derive_cancel(context::current());
    auto receiver = start([rx = std::move(rx), ctx = ctx] {
      const auto mine = std::move(rx);
      const context_scope ambient(ctx);
      for (;;) {
        select();  // its cancellation is what unwinds
      }
    });
    until_waiting(2);
    EXPECT_EQ(ends, 0u);
    cancel();
    EXPECT_THROW(receiver.join(), std::exception);
    blocked.join();
    EXPECT_EQ(ends, 4u);
  });
}

// ---- 34: a hand-off against a cancellation

TEST_P(channel_ownership_conformance, channel_34_a_receiver_that_was_served_keeps_its_value_and_meets_the_cancellation_later) {
  in_runtime([this] {
    for (std::size_t i = 0; i < scaled(200); ++i) {
      channel<std::unique_ptr<int>> c;
      auto [ctx, cancel] = derive_cancel(context::current());
      auto receiver = start([c, ctx = ctx] {
        const context_scope ambient(ctx);
        auto v = c.receive();
        EXPECT_TRUE(v && *v && **v == 34);
        EXPECT_THROW(c.receive(), canceled);
      });
      until_waiting(1);
      EXPECT_EQ(c.try_send(std::make_unique<int>(34)), channel_status::ok);
      cancel();
      receiver.join();
    }
  });
}

TEST_P(channel_ownership_conformance, channel_34_racing_cancellations_lose_no_element) {
  in_runtime([this] {
    std::size_t sent = 0, received = 0;
    for (std::size_t i = 0; i < scaled(from_threads() ? 1500 : 6000); ++i) {
      channel<int> c;
      auto [ctx, cancel] = derive_cancel(context::current());
      bool got = false;
      meeting begin(3);
      auto receiver = start([c, i, ctx = ctx, &got, &begin] {
        begin.arrive();
        try {
          if (i % 2 == 0) {
            got = c.receive(ctx).has_value();
          } else {
            const context_scope ambient(ctx);
            select(on_receive(c, [&got](std::optional<int>) { got = true; }));
          }
        } catch (const canceled&) {
        }
      });
      bool accepted = false;
      auto sender = start([c, &accepted, &begin] {
        begin.arrive();
        while (!c.is_closed() && !accepted) {
          accepted = c.try_send(1) == channel_status::ok;
          if (!accepted) yield();
        }
      });
      begin.arrive();
      for (std::size_t n = i % 4; n-- > 0;) yield();
      cancel();
      receiver.join();
      c.close();
      sender.join();
      EXPECT_EQ(accepted, got);
      sent += accepted;
      received += got;
    }
    EXPECT_EQ(sent, received);
  });
}

TEST_P(channel_ownership_conformance, channel_34_neighbour_a_canceled_sender_keeps_its_value_and_a_served_one_has_none) {
  in_runtime([this] {
    for (std::size_t i = 0; i < scaled(from_threads() ? 1500 : 6000); ++i) {
      channel<std::unique_ptr<int>> c;
      auto [ctx, cancel] = derive_cancel(context::current());
      bool kept = false;
      meeting begin(3);
      auto sender = start([c, i, ctx = ctx, &kept, &begin] {
        begin.arrive();
        auto v = std::make_unique<int>(1);
        try {
          if (i % 2 == 0) {
            c.send(ctx, std::move(v));
          } else {
            const context_scope ambient(ctx);
            select(on_send(c, std::move(v)));
          }
          EXPECT_EQ(v, nullptr);
        } catch (const canceled&) {
          EXPECT_NE(v, nullptr);
        }
        kept = v != nullptr;
      });
      bool got = false;
      auto receiver = start([c, &got, &begin] {
        begin.arrive();
        while (!c.is_closed() && !got) {
          got = c.try_receive().status == channel_status::ok;
          if (!got) yield();
        }
      });
      begin.arrive();
      for (std::size_t n = i % 4; n-- > 0;) yield();
      cancel();
      sender.join();
      c.close();
      receiver.join();
      EXPECT_NE(got, kept);
    }
  });
}

TEST_P(channel_ownership_conformance, channel_34_neighbour_a_timed_receive_that_gave_up_has_taken_nothing) {
  in_runtime([] {
    const std::size_t rounds = scaled(3000);
    channel<std::size_t> c;
    auto receiver = start([c] {
      std::size_t expected = 0;
      for (;;) {
        const auto r = c.receive_for(std::chrono::nanoseconds(expected % 5 * 1000));
        if (r.status == channel_status::closed) break;
        if (r) {
          EXPECT_EQ(r.value, expected);
          ++expected;
        }
      }
      EXPECT_EQ(expected, scaled(3000));
    });
    for (std::size_t i = 0; i < rounds;)
      if (c.send_for(i, std::chrono::nanoseconds(i % 7 * 1000)) == channel_status::ok) ++i;
    c.close();
    receiver.join();
  });
}

// ---- 40: a send against the last receiver's end

/// Who executes this: the fiber, or the thread where there is none.
struct executor {
  std::uint64_t fiber = this_fiber::get_id();
  std::thread::id thread = std::this_thread::get_id();
  bool operator==(const executor& o) const { return fiber == o.fiber && (fiber != 0 || thread == o.thread); }
};

/// Notes who destroys the value; shells that were moved from do not count.
class traced {
 public:
  explicit traced(std::optional<executor>& end) : end_(&end) {}
  traced(traced&& o) noexcept : end_(std::exchange(o.end_, nullptr)) {}
  traced& operator=(traced&&) = delete;
  ~traced() {
    if (!end_) return;
    EXPECT_FALSE(end_->has_value()) << "destroyed twice";
    end_->emplace();
  }
  bool whole() const { return end_ != nullptr; }

 private:
  std::optional<executor>* end_;
};

TEST_P(channel_ownership_conformance, channel_40_an_element_ends_with_the_sender_if_the_send_throws_and_never_there_if_it_succeeds) {
  in_runtime([this] {
    for (std::size_t i = 0; i < scaled(from_threads() ? 1500 : 6000); ++i) {
      auto [tx, rx] = make_channel<traced>(i % 3);
      std::optional<executor> end;
      bool accepted = false;
      std::optional<executor> who;
      meeting begin(2);
      auto sender = start([tx = std::move(tx), &end, &accepted, &who, &begin, i] {
        who.emplace();
        traced v(end);
        begin.arrive();
        try {
          if (i % 2 == 0) {
            tx.send(std::move(v));
          } else {
            select(on_send(tx, std::move(v)));
          }
          EXPECT_FALSE(v.whole());
          accepted = true;
        } catch (const channel_closed&) {
          EXPECT_TRUE(v.whole());
          EXPECT_FALSE(end.has_value()) << "it was never anybody else's";
        }
      });
      auto receiver = start([rx = std::move(rx), i, &begin]() mutable {
        begin.arrive();
        if (i % 5 == 0) yield();
        if (i % 4 == 0) static_cast<void>(rx.try_receive());
        rx = {};
      });
      sender.join();
      receiver.join();
      ASSERT_TRUE(end.has_value());
      EXPECT_EQ(*end == *who, !accepted);
    }
  });
}

TEST_P(channel_ownership_conformance, channel_40_neighbour_a_send_that_races_with_close_is_either_received_or_still_the_senders) {
  in_runtime([this] {
    for (std::size_t i = 0; i < scaled(from_threads() ? 1500 : 6000); ++i) {
      const channel<std::unique_ptr<int>> c(i % 3);
      bool accepted = false;
      meeting begin(2);
      auto sender = start([c, &accepted, &begin] {
        begin.arrive();
        auto v = std::make_unique<int>(40);
        try {
          c.send(std::move(v));
          EXPECT_EQ(v, nullptr);
          accepted = true;
        } catch (const channel_closed&) {
          EXPECT_NE(v, nullptr);
        }
      });
      auto closer = start([c, i, &begin] {
        begin.arrive();
        if (i % 5 == 0) yield();
        c.close();
      });
      std::size_t received = 0;
      for (auto& v : c) received += *v == 40;
      sender.join();
      closer.join();
      EXPECT_EQ(received, accepted ? 1u : 0u);
    }
  });
}

}  // namespace
}  // namespace runnel::test
