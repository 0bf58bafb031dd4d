// serve: a handler for each request, so many at a time, and an end that is orderly and has a deadline.
#include "support/fixture.hpp"

#include <runnel/debug/dump_fibers.hpp>
#include <runnel/patterns/generate.hpp>
#include <runnel/patterns/serve.hpp>
#include <runnel/sync/event.hpp>
#include <runnel/testing/bubble.hpp>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class serve_test : public behaviour {};
RUNNEL_EVERY_CALLER(serve_test);

const time_point epoch{std::chrono::seconds(946'684'800)};

template <class F>
std::string failure_of(F f) {
  try {
    f();
  } catch (const std::exception& e) {
    return e.what();
  }
  return "nothing";
}

TEST_P(serve_test, every_request_of_a_channel_is_handled_once_and_wait_returns_when_it_is_closed) {
  in_runtime([] {
    const int n = static_cast<int>(scaled(2'000));
    std::vector<std::atomic<int>> handled(static_cast<std::size_t>(n));
    auto ends = make_channel<std::unique_ptr<int>>(4);
    auto s =
        serve(std::move(ends.rx), [&](std::unique_ptr<int> i) { ++handled[static_cast<std::size_t>(*i)]; }, {.limit = 3});
    for (int i = 0; i < n; ++i) ends.tx.send(std::make_unique<int>(i));
    ends.tx = {};
    s.wait();
    for (const auto& h : handled) EXPECT_EQ(h, 1);
    const server_counters c = s.counters();
    EXPECT_EQ(c.accepted, static_cast<std::size_t>(n));
    EXPECT_EQ(c.active, 0u);
    EXPECT_EQ(c.failed, 0u);
  });
}

TEST_P(serve_test, requests_come_from_whatever_can_be_received_from_and_handle_themselves) {
  in_runtime([] {
    struct request {
      std::atomic<int>* sum;
      void add() const { ++*sum; }
    };
    std::atomic<int> sum{0};
    auto from_stream = serve(generate<request>([&](auto& out) { out.send(request{&sum}); }), &request::add);
    from_stream.wait();
    auto from_function = serve([&, left = 2]() mutable { return left-- > 0 ? std::optional(request{&sum}) : std::nullopt; },
                               &request::add);
    from_function.wait();
    EXPECT_EQ(sum, 3);
  });
}

TEST_P(serve_test, no_more_run_than_the_limit_and_what_waits_waits_in_the_source) {
  in_runtime([] {
    bubble([] {
      channel<int> requests(10);
      std::atomic<int> running{0}, most{0};
      auto s = serve(requests,
                     [&](int) {
                       const int now = ++running;
                       for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
                       }
                       sleep_for(1h);
                       --running;
                     },
                     {.limit = 3});
      for (int i = 0; i < 10; ++i) requests.send(i);
      sleep_for(1min);
      EXPECT_EQ(running, 3);
      EXPECT_EQ(requests.size(), 7u);
      EXPECT_EQ(s.counters().active, 3u);
      requests.close();
      s.wait();
      EXPECT_EQ(most, 3);
      EXPECT_EQ(steady_clock::now(), epoch + 4h);
    });
  });
}

TEST_P(serve_test, shutdown_returns_when_the_handlers_have_ended_and_leaves_requests_in_the_source) {
  in_runtime([] {
    bubble([] {
      channel<int> requests(10);
      auto s = serve(requests, [](int hours) { sleep_for(hours * 1h); }, {.limit = 2});
      for (const int hours : {1, 2, 3}) requests.send(hours);
      sleep_for(1min);
      const shutdown_report r = s.shutdown(10h);
      EXPECT_EQ(steady_clock::now(), epoch + 2h);
      EXPECT_EQ(r.drained, 2u);
      EXPECT_EQ(r.canceled, 0u);
      EXPECT_EQ(requests.size(), 1u);
      EXPECT_EQ(s.counters().accepted, 2u);
      EXPECT_EQ(s.shutdown(10h).drained, 2u) << "once more: the same report";
      EXPECT_EQ(requests.try_receive().value, 3);
    });
  });
}

TEST_P(serve_test, shutdown_cancels_at_the_deadline_what_has_not_ended) {
  in_runtime([] {
    bubble([] {
      channel<int> requests;
      std::atomic<int> cut{0};
      auto s = serve(requests, [&](int hours) {
        try {
          sleep_for(hours * 1h);
        } catch (const canceled&) {
          ++cut;
          throw;
        }
      });
      for (const int hours : {1, 5, 6}) requests.send(hours);
      const shutdown_report r = s.shutdown(2h);
      EXPECT_EQ(steady_clock::now(), epoch + 2h);
      EXPECT_EQ(r.drained, 1u);
      EXPECT_EQ(r.canceled, 2u);
      EXPECT_EQ(cut, 2);
      EXPECT_EQ(s.counters().failed, 0u) << "a cancellation is no failure";
    });
  });
}

TEST_P(serve_test, the_limit_of_a_shutdown_counts_from_its_call) {
  in_runtime([] {
    bubble([] {
      int requests = 0;
      auto s = serve(
          [&]() -> std::optional<int> {
            if (++requests == 1) return 1;
            const cancel_shield deaf;
            sleep_for(2h);
            return std::nullopt;
          },
          [](int) { sleep_for(9h); });
      sleep_for(1h);
      EXPECT_EQ(s.shutdown(3h).canceled, 1u);
      EXPECT_EQ(steady_clock::now(), epoch + 4h) << "the first of them went with the source";
    });
  });
}

TEST_P(serve_test, a_handler_that_throws_ends_nothing_and_goes_to_on_error) {
  in_runtime([] {
    bubble([] {
      channel<int> requests;
      std::multiset<std::string> errors;
      auto s = serve(requests,
                     [](int i) {
                       if (i == 1) throw std::runtime_error("bad request");
                       if (i == 2) with_timeout(1h, [] { sleep_for(2h); });  // its own limit: a failure
                     },
                     {.limit = 1, .on_error = [&](std::exception_ptr e) {
                        errors.insert(failure_of([&] { std::rethrow_exception(e); }));
                      }});
      for (const int i : {1, 2, 1, 3}) requests.send(i);
      requests.close();
      s.wait();
      EXPECT_EQ(errors, (std::multiset<std::string>{"bad request", "bad request", "deadline exceeded"}));
      EXPECT_EQ(s.counters().failed, 3u);
      EXPECT_EQ(s.counters().accepted, 4u);
    });
  });
}

TEST_P(serve_test, without_on_error_and_for_one_that_throws_itself_the_unhandled_hook_hears_of_it) {
  static std::atomic<int> reported{0};
  reported = 0;
  const auto before = set_unhandled_hook([](std::exception_ptr, fiber_info) noexcept { ++reported; });
  in_runtime([] {
    const std::function<void(std::exception_ptr)> none,
        throws = [](std::exception_ptr) { throw std::runtime_error("log full"); };
    for (const auto& on_error : {none, throws}) {
      channel<int> requests;
      auto s = serve(requests, [](int) { throw std::runtime_error("bad request"); }, {.on_error = on_error});
      requests.send(1);
      requests.close();
      s.wait();
    }
    bubble([] {
      channel<int> requests;
      auto s = serve(requests, [](int) { throw std::runtime_error("bad request"); },
                     {.on_error = [](std::exception_ptr) { sleep_for(1h); }});
      requests.send(1);
      EXPECT_EQ(s.shutdown(1s).canceled, 1u) << "while it is told of a failure: that is none itself";
    });
  });
  EXPECT_EQ(reported, 2);
  set_unhandled_hook(before);
}

TEST_P(serve_test, with_stop_serving_the_first_failure_ends_the_server_and_is_thrown_by_wait) {
  in_runtime([] {
    bubble([] {
      channel<int> requests;
      auto s = serve(requests,
                     [](int i) {
                       if (i == 2) throw std::runtime_error("no database");
                       sleep_for(1h);
                     },
                     {.on_failure = handler_failure::stop_serving});
      for (const int i : {1, 2}) requests.send(i);
      EXPECT_EQ(failure_of([&] { s.wait(); }), "no database");
      EXPECT_EQ(steady_clock::now(), epoch) << "the other one was canceled";
      EXPECT_EQ(requests.try_send(3), channel_status::would_block) << "nobody accepts";
      EXPECT_EQ(failure_of([&] { s.shutdown(1h); }), "no database");
    });
  });
}

TEST_P(serve_test, a_source_that_throws_ends_the_accepting_and_the_handlers_end_by_themselves) {
  in_runtime([] {
    bubble([] {
      std::atomic<int> ended{0};
      int next = 0;
      auto s = serve(
          [&]() -> std::optional<int> {
            if (++next == 3) throw std::runtime_error("socket gone");
            return next;
          },
          [&](int) {
            sleep_for(1h);
            ++ended;
          });
      EXPECT_EQ(failure_of([&] { s.wait(); }), "socket gone");
      EXPECT_EQ(ended, 2);
      EXPECT_EQ(steady_clock::now(), epoch + 1h);
    });
  });
}

TEST_P(serve_test, a_source_failure_that_nobody_took_goes_to_the_unhandled_hook) {
  static std::atomic<int> reported{0};
  reported = 0;
  const auto before = set_unhandled_hook([](std::exception_ptr, fiber_info) noexcept { ++reported; });
  in_runtime([] {
    event tried;
    auto s = serve(
        [&]() -> std::optional<int> {
          tried.set();
          throw std::runtime_error("socket gone");
        },
        [](int) {});
    tried.wait();
  });
  EXPECT_EQ(reported, 1);
  set_unhandled_hook(before);
}

TEST_P(serve_test, a_handler_may_stop_the_server) {
  in_runtime([] {
    channel<int> requests;
    server* self = nullptr;
    auto s = serve(requests, [&](int i) {
      if (i == 2) self->stop();
    });
    self = &s;
    requests.send(1);
    requests.send(2);
    s.wait();
    EXPECT_EQ(s.counters().accepted, 2u);
    EXPECT_EQ(requests.try_send(3), channel_status::would_block);
  });
}

TEST_P(serve_test, a_handler_or_source_that_would_wait_for_its_own_server_is_told_so) {
  in_runtime([] {
    server* self = nullptr;
    std::atomic<int> told{0};
    const auto wait_for_itself = [&] {
      EXPECT_THROW(self->wait(), misuse);
      EXPECT_THROW(self->shutdown(1h), misuse);
      ++told;
    };
    channel<int> requests;
    auto s = serve(requests, [&](int) { wait_for_itself(); });
    self = &s;
    requests.send(1);
    requests.send(2);  // nothing was stopped
    requests.close();
    s.wait();
    EXPECT_EQ(told, 2);

    channel<unit> is_known;
    auto by_source = serve(
        [&]() -> std::optional<int> {
          is_known.receive();
          wait_for_itself();
          return std::nullopt;
        },
        [](int) {});
    self = &by_source;
    is_known.close();
    by_source.wait();
    EXPECT_EQ(told, 3);
  });
}

TEST_P(serve_test, a_shutdown_or_wait_that_is_canceled_cancels_the_handlers_and_joins_them) {
  in_runtime([] {
    bubble([] {
      for (const bool waits : {false, true}) {
        channel<int> requests;
        std::atomic<int> ended{0};
        auto s = serve(requests, [&](int) {
          struct ends {
            std::atomic<int>& n;
            ~ends() { ++n; }
          } at_end{ended};
          sleep_for(100h);
        });
        requests.send(1);
        const time_point before = steady_clock::now();
        EXPECT_THROW(with_timeout(1h,
                                  [&] {
                                    if (waits) {
                                      s.wait();
                                    } else {
                                      s.shutdown(10h);
                                    }
                                  }),
                     deadline_exceeded);
        EXPECT_EQ(ended, 1);
        EXPECT_EQ(steady_clock::now(), before + 1h);
      }
    });
  });
}

TEST_P(serve_test, its_end_cancels_what_runs_and_the_cancellation_of_its_surroundings_does_too) {
  in_runtime([] {
    std::atomic<int> ended{0};
    const auto handler = [&](int) {
      struct ends {
        std::atomic<int>& n;
        ~ends() { ++n; }
      } at_end{ended};
      sleep_for(100h);
    };
    channel<int> requests;
    {
      auto s = serve(requests, handler);
      requests.send(1);
    }
    EXPECT_EQ(ended, 1);
    auto surroundings = derive_cancel(context::current());
    std::optional<context_scope> scope(surroundings.ctx);
    auto s = serve(requests, handler);
    scope.reset();
    requests.send(2);
    surroundings.cancel();
    s.wait();
    EXPECT_EQ(ended, 2);
    EXPECT_EQ(s.counters().failed, 0u);
  });
}

TEST_P(serve_test, its_fibers_have_its_name_and_a_limit_of_0_is_refused) {
  in_runtime([] {
    channel<int> requests;
    EXPECT_THROW(static_cast<void>(serve(requests, [](int) {}, {.limit = 0})), misuse);
    event begun, gate;
    auto s = serve(requests,
                   [&](int) {
                     begun.set();
                     gate.wait();
                   },
                   {.name = "front desk"});
    requests.send(1);
    begun.wait();
    char* text = nullptr;
    std::size_t size = 0;
    std::FILE* memory = ::open_memstream(&text, &size);
    dump_fibers(memory);
    std::fclose(memory);
    const std::string report(text, size);
    std::free(text);
    const std::size_t first = report.find("front desk");
    EXPECT_NE(first, std::string::npos);
    EXPECT_NE(report.find("front desk", first + 1), std::string::npos) << "one accepts, one handles";
    gate.set();
  });
}

// ---- shutdown of a group

TEST_P(serve_test, shutdown_of_a_group_says_whether_its_tasks_ended_in_time) {
  in_runtime([] {
    bubble([] {
      task_group quick, slow, failing;
      quick.go([] { sleep_for(1h); });
      slow.go([] { sleep_for(1h); });
      slow.go([] { sleep_for(9h); });
      failing.go([] { throw std::runtime_error("its own"); });
      EXPECT_TRUE(shutdown(quick, 1h + 1s));
      EXPECT_EQ(steady_clock::now(), epoch + 1h);
      EXPECT_FALSE(shutdown(slow, 1h));
      EXPECT_EQ(steady_clock::now(), epoch + 2h);
      EXPECT_EQ(failure_of([&] { shutdown(failing, 1h); }), "its own");
    });
  });
}

// ---- Over sockets

connection connect_to(std::uint16_t port) {
  connection c(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (c.fd() < 0 || ::connect(c.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw std::system_error(errno, std::generic_category(), "connect");
  ::fcntl(c.fd(), F_SETFL, O_NONBLOCK);
  return c;
}

/// What comes until the other side closes.
std::string read_all(const connection& c) {
  std::string all;
  for (char part[64];;) {
    const ssize_t n = ::read(c.fd(), part, sizeof part);
    if (n > 0) {
      all.append(part, static_cast<std::size_t>(n));
    } else if (n == 0) {
      return all;
    } else if (errno == EAGAIN) {
      wait_readable(c.fd());
    } else {
      throw std::system_error(errno, std::generic_category(), "read");
    }
  }
}

void write_all(const connection& c, const std::string& text) {
  ASSERT_EQ(::send(c.fd(), text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
}

TEST_P(serve_test, connections_of_a_listener_are_served_and_shut_down) {
  in_runtime([] {
    listener l = listener::loopback();
    const std::uint16_t port = l.port();
    const int socket = l.fd();
    ASSERT_NE(port, 0);
    std::atomic<int> holding{0};
    auto s = serve(std::move(l),
                   [&](connection c) {
                     EXPECT_TRUE(::fcntl(c.fd(), F_GETFL) & O_NONBLOCK);
                     EXPECT_TRUE(::fcntl(c.fd(), F_GETFD) & FD_CLOEXEC);
                     char what = 0;
                     wait_readable(c.fd());
                     ASSERT_EQ(::read(c.fd(), &what, 1), 1);
                     write_all(c, std::string("got ") + what);
                     if (what != 'x') return;
                     ++holding;
                     sleep_for(1h);
                   },
                   {.limit = 4});
    std::vector<party> clients;
    for (char what = 'a'; what < 'i'; ++what)
      clients.push_back(start([=] {
        const connection c = connect_to(port);
        write_all(c, std::string(1, what));
        EXPECT_EQ(read_all(c), std::string("got ") + what);
      }));
    for (party& p : clients) p.join();
    auto held = start([=] {
      const connection c = connect_to(port);
      write_all(c, "x");
      EXPECT_EQ(read_all(c), "got x") << "closed by the cancellation";
    });
    while (holding == 0 || s.counters().active != 1) yield();
    const shutdown_report r = s.shutdown(1ms);
    EXPECT_EQ(r.canceled, 1u);
    held.join();
    // Not by a connection: the port is free, and may be another program's by now.
    EXPECT_EQ(::fcntl(socket, F_GETFD), -1) << "the listener is closed";
    EXPECT_EQ(s.counters().accepted, 9u);
  });
}

TEST_P(serve_test, a_canceled_accept_takes_no_connection) {
  in_runtime([] {
    const listener l = listener::loopback();
    EXPECT_THROW(with_timeout(1ms, [&] { l.accept(); }), deadline_exceeded);
    const connection client = connect_to(l.port());
    auto gone = derive_cancel(context::current());
    gone.cancel.cancel();
    {
      const context_scope scope(gone.ctx);
      EXPECT_THROW(l.accept(), canceled);
    }
    connection accepted = l.accept();
    EXPECT_GE(accepted.fd(), 0);
    const connection moved = std::move(accepted);
    EXPECT_EQ(accepted.fd(), -1);
  });
}

TEST_P(serve_test, a_shortage_of_descriptors_is_waited_out) {
  in_runtime([this] {
    const listener l = listener::loopback();
    const connection client = connect_to(l.port());
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
    const int lowest_free = ::dup(client.fd());
    ::close(lowest_free);
    const rlimit none{static_cast<rlim_t>(lowest_free), before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
    const int refused = ::dup(client.fd());
    EXPECT_EQ(refused, -1);
    auto waits = start([&] {
      const connection c = l.accept();
      EXPECT_GE(c.fd(), 0);
    });
    until_waiting(1);  // there is a connection: it pauses
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
    waits.join();
  });
}

TEST_P(serve_test, no_more_connections_wait_than_the_backlog_allows) {
  bool is_told = true;
  in_runtime([&] {
    for (const int backlog : {1, 7}) {
      const listener l = listener::loopback(0, backlog);
      tcp_info info{};
      socklen_t size = sizeof info;
      ASSERT_EQ(::getsockopt(l.fd(), IPPROTO_TCP, TCP_INFO, &info, &size), 0);
      is_told = size == sizeof info;
      if (!is_told) return;
      EXPECT_EQ(info.tcpi_sacked, static_cast<std::uint32_t>(backlog)) << "of a socket that listens: its limit";
    }
  });
  if (!is_told) GTEST_SKIP() << "an emulator tells less of a socket than the kernel does";
}

TEST_P(serve_test, what_cannot_listen_is_refused) {
  in_runtime([] {
    EXPECT_THROW(listener(-1), std::system_error);
    const listener l = listener::loopback();
    EXPECT_THROW(listener::loopback(l.port()), std::system_error) << "in use";
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const connection other(ends[1]);
    const listener no_socket(ends[0]);
    EXPECT_THROW(no_socket.accept(), std::system_error);
    EXPECT_THROW(no_socket.port(), std::system_error);
  });
}

}  // namespace
}  // namespace runnel::test
