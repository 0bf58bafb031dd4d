// Bugs of real systems, as the GoBench collection (Yuan et al., CGO 2021, https://doi.org/10.1109/CGO51591.2021.9370317)
// describes them, written anew; each with a repaired twin. What is found names the fibers and what they wait for.
#include <runnel/runnel.hpp>
#include <runnel/testing/explore.hpp>

#include <gtest/gtest.h>

#include <initializer_list>
#include <memory>
#include <vector>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

template <class F>
void wrong(verdict v, std::initializer_list<const char*> named, F body) {
  const auto r = explore(body);
  ASSERT_TRUE(r.failed) << "nothing found in " << r.schedules << " schedules";
  EXPECT_EQ(r.verdict, v) << r.trace;
  for (const char* n : named) EXPECT_NE(r.trace.find(n), std::string::npos) << n << "\n" << r.trace;
  ::testing::Test::RecordProperty("schedules", static_cast<int>(r.schedules));
  if (v == verdict::misuse || v == verdict::exception) {
    EXPECT_ANY_THROW(replay(r.token, body));
  } else {
    EXPECT_THROW(replay(r.token, body), explored_failure);
  }
}

template <class F>
void repaired(F body) {
  const auto r = explore(body);
  EXPECT_FALSE(r.failed) << r.trace;
}

// etcd/6857: the loop that answers questions is stopped between two of them.
auto etcd_6857(bool asks_done) {
  return [asks_done] {
    channel<channel<int>> status;
    channel<int> stop, done;
    go_detached({.name = "run"}, [=]() mutable {
      for (bool running = true; running;)
        select(on_receive(status, [](std::optional<channel<int>> reply) { reply->send(1); }),
               on_receive(stop, [&](auto) { running = false; }));
      done.close();
    });
    go_detached({.name = "asker"}, [=]() mutable {
      channel<int> reply(1);
      if (asks_done) {
        select(on_send(status, reply, [&] { reply.receive(); }), on_receive(done, [](auto) {}));
      } else {
        status.send(reply);
        reply.receive();
      }
    });
    go_detached({.name = "stopper"}, [=]() mutable {
      select(on_send(stop, 1), on_receive(done, [](auto) {}));
      done.receive();
    });
  };
}
TEST(goker, etcd_6857) {
  wrong(verdict::leak, {"\"asker\": parked in channel send"}, etcd_6857(false));
  repaired(etcd_6857(true));
}

// kubernetes/10182: a delivery under the lock that the receiver takes between two deliveries.
auto kubernetes_10182(bool delivers_outside_the_lock) {
  return [=] {
    auto m = std::make_shared<mutex>();
    channel<int> c;
    go_detached({.name = "sync"}, [=]() mutable {
      for (int i = 0; i < 2; ++i) {
        c.receive();
        const std::lock_guard hold(*m);
      }
    });
    for (const char* name : {"first setter", "second setter"})
      go_detached({.name = name}, [=]() mutable {
        m->lock();
        if (delivers_outside_the_lock) m->unlock();
        c.send(1);
        if (!delivers_outside_the_lock) m->unlock();
      });
  };
}
TEST(goker, kubernetes_10182) {
  wrong(verdict::leak, {"\"sync\": parked in mutex", "setter\": parked in channel send"}, kubernetes_10182(false));
  repaired(kubernetes_10182(true));
}

// kubernetes/6632: one holds the lock while it sends to nobody, the other needs it to close.
auto kubernetes_6632(bool sends_if_possible) {
  return [=] {
    struct shared {
      mutex m;
      channel<int> reset, close_requests;
      bool closed = false;
    };
    auto s = std::make_shared<shared>();
    go_detached({.name = "helper"}, [s] { s->close_requests.send(1); });
    go_detached({.name = "monitor"}, [s] {
      s->close_requests.receive();
      const std::lock_guard hold(s->m);
      s->reset.close();
      s->closed = true;
    });
    go_detached({.name = "writer"}, [=] {
      const std::lock_guard hold(s->m);
      if (s->closed) return;
      if (sends_if_possible) {
        select(on_send(s->reset, 1), otherwise());
      } else {
        s->reset.send(1);
      }
    });
  };
}
TEST(goker, kubernetes_6632) {
  wrong(verdict::leak, {"\"monitor\": parked in mutex", "\"writer\": parked in channel send"}, kubernetes_6632(false));
  repaired(kubernetes_6632(true));
}

// etcd/7492: the keeper of tokens takes the lock on a tick, while a worker that has it waits for the keeper.
auto etcd_7492(std::size_t capacity) {
  return [capacity] {
    struct shared {
      explicit shared(std::size_t n) : add(n) {}
      mutex m;
      channel<int> add, stop;
      wait_group workers;
    };
    auto s = std::make_shared<shared>(capacity);
    auto keeper = go({.name = "keeper"}, [s] {
      int tokens = 0;
      ticker cleaning(1ns);
      for (bool running = true; running;)
        select(on_receive(s->add, [&](auto) { ++tokens; }),
               on_receive(cleaning,
                          [&](auto) {
                            for (int i = 0; i < tokens; ++i) const std::lock_guard hold(s->m);
                          }),
               on_receive(s->stop, [&](auto) { running = false; }));
    });
    s->workers.add(3);
    for (int i = 0; i < 3; ++i)
      go_detached({.name = "worker"}, [s] {
        {
          const std::lock_guard hold(s->m);
          s->add.send(1);
        }
        s->workers.done();
      });
    s->workers.wait();
    s->stop.send(1);
    keeper.get();
  };
}
TEST(goker, etcd_7492) {
  wrong(verdict::deadlock, {"\"keeper\": parked in mutex", "\"worker\": parked in channel send"}, etcd_7492(1));
  repaired(etcd_7492(3));
}

// moby/33293: an error that is both sent and returned.
auto moby_33293(std::size_t capacity) {
  return [capacity] {
    go_detached({.name = "container"}, [capacity] {
      channel<int> errors(capacity);
      if (testing::choose(2) == 1) errors.send(1);
    });
  };
}
TEST(goker, moby_33293) {
  wrong(verdict::leak, {"\"container\": parked in channel send"}, moby_33293(0));
  repaired(moby_33293(1));
}

// serving/2137: the second request takes the only active slot, and waits for a lock that is released after the first.
auto serving_2137(std::size_t slots) {
  return [slots] {
    struct shared {
      explicit shared(std::size_t n) : active(n) {}
      channel<int> pending{2}, active;
      mutex request[2];
      channel<int> accepted[2] = {channel<int>(1), channel<int>(1)};
    };
    auto s = std::make_shared<shared>(slots);
    for (mutex& m : s->request) m.lock();
    for (int i = 0; i < 2; ++i)
      go_detached({.name = i == 0 ? "first" : "second"}, [s, i] {
        if (s->pending.try_send(1) != channel_status::ok) return;
        s->active.send(1);
        s->request[i].lock();
        s->request[i].unlock();
        s->active.receive();
        s->pending.receive();
        s->accepted[i].send(1);
      });
    for (int i = 0; i < 2; ++i) {
      s->request[i].unlock();
      s->accepted[i].receive();
    }
  };
}
TEST(goker, serving_2137) {
  wrong(verdict::deadlock, {"\"second\": parked in mutex", "\"first\": parked in channel send", "\"body\": parked in channel receive"},
        serving_2137(1));
  repaired(serving_2137(2));
}

// grpc/1687: the status is written after the stream was closed.
auto grpc_1687(bool knows_the_end) {
  return [=] {
    channel<int> writes, closed;
    auto handler = go({.name = "handler"}, [=]() mutable {
      writes.send(1);
      writes.close();
      closed.close();
      if (knows_the_end) {
        closed.receive();
        return;
      }
      select(on_send(writes, 2), on_receive(closed, [](auto) {}));
    });
    while (writes.receive()) {
    }
    handler.get();
  };
}
TEST(goker, grpc_1687) {
  wrong(verdict::exception, {"send on a closed channel"}, grpc_1687(false));
  repaired(grpc_1687(true));
}

}  // namespace
}  // namespace runnel::test
