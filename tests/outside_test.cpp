// What waits for the world outside: calls on the blocking pool, descriptors.
#include "support/fixture.hpp"

#include <runnel/fd.hpp>
#include <runnel/time.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <stop_token>
#include <system_error>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

// ---- blocking ----------------------------------------------------------------------------------------------------

class blocking_laws : public behaviour {};
RUNNEL_EVERY_CALLER(blocking_laws);

TEST_P(blocking_laws, it_runs_on_a_thread_outside_the_workers) {
  in_runtime([] {
    EXPECT_FALSE(blocking([] { return this_fiber::in_fiber(); }));
    EXPECT_EQ(blocking([] { return this_fiber::get_id(); }), 0u);
    int object = 0;
    EXPECT_EQ(&blocking([&]() -> int& { return object; }), &object);
    EXPECT_EQ(*blocking([] { return std::make_unique<int>(4); }), 4);
    EXPECT_THROW(blocking([] { throw std::system_error(EIO, std::generic_category()); }), std::system_error);
    EXPECT_GE(stats().blocking_threads, 1u);
  });
}

TEST_P(blocking_laws, as_many_threads_as_calls_in_flight) {
  in_runtime([] {
    constexpr unsigned n = 20;
    std::atomic<unsigned> running{0};
    std::vector<party> parties;
    for (unsigned i = 0; i < n; ++i)
      parties.push_back(start([&] {
        blocking([&] {
          ++running;
          while (running < n) std::this_thread::yield();  // needs a thread for each
        });
      }));
    for (auto& p : parties) p.join();
    EXPECT_EQ(running, n);
  });
}

TEST_P(blocking_laws, cancellation_requests_stop_and_the_result_still_counts) {
  in_runtime([] {
    auto [ctx, cancel] = derive_cancel(context::current());
    const channel<int> begun;
    int result = 0;
    auto caller = start([&, ctx = ctx] {
      const context_scope ambient(ctx);
      result = blocking([&](std::stop_token stop) {
        begun.send(1);
        while (!stop.stop_requested()) std::this_thread::yield();
        return 5;
      });
      EXPECT_THROW(blocking([] { ADD_FAILURE() << "must not run"; }), canceled);
    });
    begun.receive();
    cancel();
    caller.join();
    EXPECT_EQ(result, 5);
  });
}

TEST_P(blocking_laws, canceled_in_the_queue_it_does_not_run) {
  in_runtime([this] {
    constexpr std::size_t threads = 512;  // the most the pool starts
    std::atomic<bool> over{false};
    std::atomic<std::size_t> running{0};
    std::vector<task<void>> fill;
    for (std::size_t i = 0; i < threads - (from_threads() ? 1 : 0); ++i)
      fill.push_back(go({.stack = stack_class::small}, [&] {
        blocking([&] {
          ++running;
          // The thread has to be blocked for real; 512 that spin would leave nobody else a processor.
          while (!over) std::this_thread::sleep_for(20ms);
        });
      }));
    while (running < fill.size()) sleep_for(1ms);
    std::atomic<bool> ran{false};
    auto queued = go([&] { blocking([&] { ran = true; }); });
    until_waiting(fill.size() + 1);
    queued.cancel();
    EXPECT_THROW(queued.get(), task_canceled);
    over = true;
    for (auto& t : fill) t.get();
    EXPECT_FALSE(ran);
  });
}

// ---- descriptors -------------------------------------------------------------------------------------------------

class fd_laws : public behaviour {
 protected:
  struct pair_of_sockets {
    pair_of_sockets() { EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0); }
    ~pair_of_sockets() {
      close(fds[0]);
      close(fds[1]);
    }
    pair_of_sockets(const pair_of_sockets&) = delete;
    pair_of_sockets& operator=(const pair_of_sockets&) = delete;
    void write_one() const { EXPECT_EQ(write(fds[1], "x", 1), 1); }
    void fill() const {
      char block[4096] = {};
      while (write(fds[0], block, sizeof block) > 0) {
      }
      EXPECT_EQ(errno, EAGAIN);
    }
    void drain() const {
      char block[4096];
      while (read(fds[1], block, sizeof block) > 0) {
      }
    }
    int fds[2];
  };
};
RUNNEL_EVERY_CALLER(fd_laws);

TEST_P(fd_laws, readable_and_writable_end_waits) {
  in_runtime([this] {
    const pair_of_sockets s;
    wait_writable(s.fds[0]);
    EXPECT_FALSE(wait_readable_for(s.fds[0], 1ms));
    auto reader = start([&] {
      wait_readable(s.fds[0]);
      char c = 0;
      EXPECT_EQ(read(s.fds[0], &c, 1), 1);
    });
    until_waiting(1);
    s.write_one();
    reader.join();

    s.fill();
    EXPECT_FALSE(wait_writable_for(s.fds[0], 1ms));
    auto writer = start([&] { EXPECT_TRUE(wait_writable_for(s.fds[0], 1h)); });
    until_waiting(1);
    s.drain();
    writer.join();
  });
}

TEST_P(fd_laws, a_hang_up_ends_every_wait) {
  in_runtime([this] {
    pair_of_sockets s;
    auto reader = start([&] { wait_readable(s.fds[0]); });
    until_waiting(1);
    close(std::exchange(s.fds[1], -1));
    reader.join();
    char c = 0;
    EXPECT_EQ(read(s.fds[0], &c, 1), 0);
  });
}

TEST_P(fd_laws, cancellation_leaves_the_descriptor_usable) {
  in_runtime([this] {
    const pair_of_sockets s;
    for (int i = 0; i < 50; ++i) {
      auto [ctx, cancel] = derive_cancel(context::current());
      auto reader = start([&, ctx = ctx] { EXPECT_THROW(wait_readable(ctx, s.fds[0]), canceled); });
      until_waiting(1);
      cancel();
      reader.join();
      EXPECT_THROW(wait_readable(ctx, s.fds[0]), canceled) << "on entry too";
    }
    s.write_one();
    wait_readable(s.fds[0]);
  });
}

TEST_P(fd_laws, waiters_of_one_descriptor_are_independent) {
  in_runtime([this] {
    const pair_of_sockets s;
    s.fill();
    std::atomic<int> readers{0};
    auto wait_and_count = [&] {
      wait_readable(s.fds[0]);
      ++readers;
    };
    auto one = start(wait_and_count), two = start(wait_and_count);
    auto writer = start([&] { wait_writable(s.fds[0]); });
    auto [ctx, cancel] = derive_cancel(context::current());
    auto gives_up = start([&, ctx = ctx] { EXPECT_THROW(wait_readable(ctx, s.fds[0]), canceled); });
    until_waiting(4);
    cancel();
    gives_up.join();
    until_waiting(3);
    s.drain();
    writer.join();
    EXPECT_EQ(readers, 0);
    s.write_one();
    one.join();
    two.join();
    EXPECT_EQ(readers, 2) << "readable for both: nobody has read";
  });
}

TEST_P(fd_laws, a_descriptor_that_is_not_open_is_an_error) {
  in_runtime([] {
    int closed[2];
    ASSERT_EQ(pipe(closed), 0);
    close(closed[0]);
    close(closed[1]);
    for (const int fd : {closed[0], -1, 1'000'000'000}) {
      try {
        wait_readable(fd);
        ADD_FAILURE() << fd << " was waited for";
      } catch (const std::system_error& e) {
        EXPECT_EQ(e.code(), std::errc::bad_file_descriptor) << fd;
      }
      EXPECT_THROW(wait_writable_for(fd, 1h), std::system_error);
      EXPECT_THROW(select(on_readable(fd), on_timeout(1h)), std::system_error);
    }
  });
}

TEST_P(fd_laws, a_closed_number_that_comes_back_is_another_descriptor) {
  in_runtime([this] {
    for (int i = 0; i < 20; ++i) {
      const pair_of_sockets s;  // the same numbers each time
      auto reader = start([&] { wait_readable(s.fds[0]); });
      until_waiting(1);
      s.write_one();
      reader.join();
      EXPECT_FALSE(wait_readable_for(s.fds[1], 0ms));
    }
  });
}

TEST_P(fd_laws, readiness_takes_part_in_select) {
  in_runtime([this] {
    const pair_of_sockets s;
    const channel<int> c;
    EXPECT_EQ(select(on_readable(s.fds[0]), on_receive(c), otherwise()), 2u);
    EXPECT_EQ(select(on_readable(s.fds[0]), on_writable(s.fds[0])), 1u);
    auto selecting = start([&] { EXPECT_EQ(select(on_receive(c), on_readable(s.fds[0])), 1u); });
    until_waiting(1);
    s.write_one();
    selecting.join();
  });
}

}  // namespace
}  // namespace runnel::test
