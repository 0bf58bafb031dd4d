// Contexts and what waits for them: functions that run afterwards, blocked operations, shields.
#include "support/fixture.hpp"

#include <runnel/fd.hpp>
#include <runnel/sync/shared_mutex.hpp>

#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <vector>

#include <unistd.h>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class context_wait_conformance : public behaviour {};
RUNNEL_EVERY_CALLER(context_wait_conformance);

TEST_P(context_wait_conformance, context_18_after_func_runs_once_after_the_cancellation_unless_stopped) {
  in_runtime([] {
    std::atomic<int> ran{0};
    channel<unit> started;
    auto c = derive_cancel(context::current());
    auto registered = after_func(c.ctx, [&, started] {
      ran.fetch_add(1);
      started.send({});
    });
    sleep_for(10ms);
    EXPECT_EQ(ran.load(), 0) << "before the cancellation";
    c.cancel();
    started.receive();
    c.cancel();
    EXPECT_FALSE(registered.stop());
    EXPECT_EQ(ran.load(), 1);

    std::atomic<bool> ran_although_stopped{false};
    auto d = derive_cancel(context::current());
    {
      auto stopped = after_func(d.ctx, [&] { ran_although_stopped = true; });
      EXPECT_TRUE(stopped.stop());
      EXPECT_FALSE(stopped.stop());
      d.cancel();
      EXPECT_FALSE(stopped.stop());
    }
    // What is registered later with the same context has run: the stopped one would have begun before it.
    auto later = after_func(d.ctx, [started] { started.send({}); });
    started.receive();
    EXPECT_FALSE(ran_although_stopped);
  });
}

TEST_P(context_wait_conformance, context_18_neighbour_the_end_of_the_handle_waits_for_a_function_that_has_begun) {
  in_runtime([this] {
    channel<unit> begun, may_end;
    std::atomic<bool> ended{false};
    auto c = derive_cancel(context::current());
    c.cancel();
    auto owner = start([&] {
      {
        auto registered = after_func(c.ctx, [&] {
          EXPECT_FALSE(context::current().is_canceled()) << "it can clean up";
          begun.send({});
          may_end.receive();
          ended = true;
        });
        begun.receive();
        EXPECT_FALSE(registered.stop()) << "it does not wait";
      }
      EXPECT_TRUE(ended) << "the handle has to wait";
    });
    until_waiting(2);
    EXPECT_FALSE(ended);
    may_end.send({});
    owner.join();
  });
}

TEST_P(context_wait_conformance, context_22_every_blocked_operation_is_canceled_and_its_object_stays_usable) {
  in_runtime([this] {
    channel<int> full(1), empty;
    full.send(1);
    mutex locked;
    locked.lock();
    wait_group counting;
    counting.add();
    shared_mutex shared;
    shared.lock();
    semaphore none(0);
    mutex free;
    condition_variable never_notified;
    channel<unit> end_of_task;
    auto running = go([end_of_task] { end_of_task.receive(); });

    const std::vector<std::function<void(const context&)>> operations{
        [&](const context&) { full.send(2); },
        [&](const context&) { empty.receive(); },
        [&](const context&) { select(on_receive(empty), on_send(full, 3)); },
        [&](const context& c) { locked.lock(c); },
        [&](const context& c) { shared.lock(c); },
        [&](const context& c) { shared.lock_shared(c); },
        [&](const context&) { none.acquire(); },
        [&](const context&) {
          std::unique_lock lock(free);
          never_notified.wait(lock);
        },
        [&](const context&) { counting.wait(); },
        [&](const context&) { running.join(); },
        [&](const context&) { sleep_for(1h); },
        [&](const context& c) { empty.receive(c); },
    };
    auto c = derive_cancel(context::current());
    std::atomic<std::size_t> thrown{0};
    std::vector<party> blocked;
    for (const auto& operation : operations) {
      blocked.push_back(start([&thrown, &operation, ctx = c.ctx] {
        const context_scope scope(ctx);
        EXPECT_THROW(operation(ctx), canceled);
        thrown.fetch_add(1);
      }));
    }
    until_waiting(operations.size() + 1);
    EXPECT_EQ(thrown.load(), 0u);
    c.cancel();
    for (party& p : blocked) p.join();
    EXPECT_EQ(thrown.load(), operations.size());

    EXPECT_EQ(full.try_receive().value, 1);
    EXPECT_EQ(full.try_receive().status, channel_status::would_block) << "what was canceled has sent nothing";
    auto sender = start([&] { empty.send(4); });
    EXPECT_EQ(empty.receive(), 4);
    sender.join();
    EXPECT_FALSE(locked.try_lock());
    locked.unlock();
    EXPECT_TRUE(locked.try_lock());
    locked.unlock();
    shared.unlock();
    EXPECT_TRUE(shared.try_lock());
    shared.unlock();
    EXPECT_FALSE(none.try_acquire());
    EXPECT_TRUE(free.try_lock());
    free.unlock();
    counting.done();
    counting.wait();
    end_of_task.send({});
    running.get();
  });
}

TEST_P(context_wait_conformance, context_22_neighbour_tasks_groups_and_descriptors_are_left_by_a_cancellation) {
  in_runtime([this] {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    channel<unit> end_of_task;
    auto running = go([end_of_task] {
      end_of_task.receive();
      return 7;
    });
    task_group group;
    std::atomic<bool> child_canceled{false};
    group.go([&] {
      EXPECT_THROW(sleep_for(1h), canceled);
      child_canceled = true;
    });
    const timer pending(1h);
    auto c = derive_cancel(context::current());
    std::vector<party> blocked;
    for (const std::function<void()>& operation : std::vector<std::function<void()>>{
             [&] { running.get(); },
             [&] { group.wait(); },
             [&] { wait_readable(ends[0]); },
             [&] { pending.receive(); },
             [&] { select(); },
         }) {
      blocked.push_back(start([operation, ctx = c.ctx] {
        const context_scope scope(ctx);
        EXPECT_THROW(operation(), canceled);
      }));
    }
    until_waiting(blocked.size() + 2);
    c.cancel();
    for (party& p : blocked) p.join();
    EXPECT_TRUE(child_canceled) << "wait() takes the group along";
    end_of_task.send({});
    EXPECT_EQ(running.get(), 7) << "a get() that was canceled leaves the result";
    ASSERT_EQ(write(ends[1], "x", 1), 1);
    wait_readable(ends[0]);
    close(ends[0]);
    close(ends[1]);
  });
}

TEST_P(context_wait_conformance, context_24_a_shield_lets_operations_finish_and_ends_with_its_scope) {
  in_runtime([this] {
    auto c = derive_cancel(context::current());
    channel<int> values;
    auto cleaning = start([values, ctx = c.ctx] {
      const context_scope scope(ctx);
      {
        const cancel_shield outer;
        EXPECT_EQ(values.receive(), 1) << "canceled while it waits";
        {
          const cancel_shield inner;
          EXPECT_EQ(values.receive(), 2);
        }
        EXPECT_EQ(values.receive(), 3) << "the outer shield still counts";
        EXPECT_FALSE(context::current().is_canceled());
        yield();
      }
      EXPECT_TRUE(context::current().is_canceled());
      EXPECT_THROW(values.receive(), canceled);
      EXPECT_THROW(yield(), canceled);
    });
    until_waiting(1);
    c.cancel();
    for (int i = 1; i <= 3; ++i) values.send(i);
    cleaning.join();
  });
}

TEST_P(context_wait_conformance, context_24_neighbour_a_grace_and_contexts_inside_the_shield_count) {
  in_runtime([] {
    auto c = derive_cancel(context::current());
    c.cancel();
    const context_scope scope(c.ctx);
    channel<int> never_served;
    {
      const cancel_shield shield(1h);
      yield();
    }
    {
      const time_point start_of_grace = steady_clock::now();
      const cancel_shield shield(20ms);
      EXPECT_THROW(never_served.receive(), deadline_exceeded);
      EXPECT_GE(steady_clock::now(), start_of_grace + 20ms);
      EXPECT_THROW(yield(), deadline_exceeded);
    }
    const cancel_shield shield;
    EXPECT_THROW(with_timeout(1ms, [&] { never_served.receive(); }), deadline_exceeded);
    EXPECT_THROW(never_served.receive(c.ctx), canceled) << "a context that is given is observed";
    auto inside = derive_cancel(context::current());
    auto child = start([never_served, ctx = inside.ctx] {
      const context_scope here(ctx);
      EXPECT_THROW(never_served.receive(), canceled);
    });
    inside.cancel();
    child.join();
    yield();
  });
}

}  // namespace
}  // namespace runnel::test
