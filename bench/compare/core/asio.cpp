// The core cases that Asio has the means for: the same work as in go.go, in stackless coroutines
// over its experimental channels. One worker: the channels without a lock; several:
// concurrent_channel, and as many threads in one io_context. Its coroutines are started with
// co_spawn, which is what can wait; a posted handler could not. Some counts are smaller than in
// go.go, to bound the time.
#include "../program.hpp"

#include <asio.hpp>
#include <asio/experimental/channel.hpp>
#include <asio/experimental/concurrent_channel.hpp>

#include <atomic>
#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;
using asio::awaitable;
using asio::error_code;
using asio::use_awaitable;
using bench::keep;
using bench::result;
using bench::scaled;
using bench::stopwatch;

using signature = void(error_code, int);
using plain = asio::experimental::channel<signature>;
using shared = asio::experimental::concurrent_channel<signature>;

unsigned threads = 1;
std::optional<asio::io_context> context;

template <class F>
void start(F&& f) {
  asio::co_spawn(*context, std::forward<F>(f), [](std::exception_ptr e) {
    if (e) std::rethrow_exception(e);
  });
}

template <class Channel>
auto send(Channel& c, int v) {
  return c.async_send(error_code{}, v, use_awaitable);
}
/// False once the channel is closed.
template <class Channel>
awaitable<bool> receive(Channel& c, int& v) {
  error_code failed;
  v = co_await c.async_receive(asio::redirect_error(use_awaitable, failed));
  co_return !failed;
}
/// The last of `count` announces the end of all.
template <class Channel>
class countdown {
 public:
  explicit countdown(std::size_t count) : left_(count) {}
  void done() {
    if (left_.fetch_sub(1) != 1) return;
    const auto kept =
        ended_;  // the one that waits may go on, and destroy this, before the send returns
    kept->try_send(error_code{}, 0);
  }
  auto wait() { return ended_->async_receive(use_awaitable); }

 private:
  std::atomic<std::size_t> left_;
  std::shared_ptr<Channel> ended_ = std::make_shared<Channel>(*context, 1);
};

// ---- Coroutines

template <class Channel>
awaitable<result> spawn(std::size_t batch) {
  const auto spawn_batch = [batch]() -> awaitable<void> {
    countdown<Channel> all(batch);
    for (std::size_t i = 0; i < batch; ++i) {
      start([&all]() -> awaitable<void> {
        all.done();
        co_return;
      });
    }
    co_await all.wait();
  };
  co_await spawn_batch();
  const std::size_t batches = scaled(1'000'000 / batch);
  const stopwatch time;
  for (std::size_t i = 0; i < batches; ++i) co_await spawn_batch();
  co_return result{time.per(batches * batch), "co_spawn"};
}

template <class Channel>
awaitable<result> yield2() {
  const std::size_t n = scaled(2'000'000);
  countdown<Channel> all(2);
  const stopwatch time;
  for (int k = 0; k < 2; ++k) {
    start([n, &all]() -> awaitable<void> {
      for (std::size_t i = 0; i < n; ++i) co_await asio::post(use_awaitable);
      all.done();
    });
  }
  co_await all.wait();
  co_return result{time.per(2 * n), "post"};
}

// ---- Channels

template <class Channel>
awaitable<result> pingpong(std::size_t capacity) {
  const auto n = static_cast<int>(scaled(1'000'000));
  Channel ping(*context, capacity), pong(*context, capacity);
  countdown<Channel> ended(1);
  start([&]() -> awaitable<void> {
    for (int v = 0; co_await receive(ping, v);) co_await send(pong, v);
    ended.done();
  });
  const stopwatch time;
  for (int i = 0; i < n; ++i) {
    co_await send(ping, i);
    keep(co_await pong.async_receive(use_awaitable));
  }
  const double ns = time.ns();
  ping.close();
  co_await ended.wait();
  co_return result{ns / (2.0 * n)};
}

template <class Channel>
awaitable<result> stream(std::size_t producers, std::size_t consumers, std::size_t capacity,
                         std::size_t total) {
  const std::size_t each = scaled(total / producers);
  Channel channel(*context, capacity);
  std::atomic<std::size_t> received{0};
  countdown<Channel> sending(producers), receiving(consumers);
  const stopwatch time;
  for (std::size_t i = 0; i < consumers; ++i) {
    start([&]() -> awaitable<void> {
      std::size_t sum = 0;
      while (const int v = co_await channel.async_receive(use_awaitable))
        sum += static_cast<std::size_t>(v);
      received += sum;
      receiving.done();
    });
  }
  for (std::size_t i = 0; i < producers; ++i) {
    start([&]() -> awaitable<void> {
      for (std::size_t k = 0; k < each; ++k) co_await send(channel, 1);
      sending.done();
    });
  }
  co_await sending.wait();
  for (std::size_t i = 0; i < consumers; ++i)
    co_await send(channel, 0);  // close() would drop what is buffered
  co_await receiving.wait();
  const double ns = time.per(each * producers);
  bench::require(received == each * producers, "the sum of what was received");
  co_return result{ns};
}

/// The chain is left as it is: close() and cancel() do not end a send that waits while others go
/// on.
template <class Channel>
awaitable<result> sieve2000() {
  const std::size_t primes = scaled(2'000);
  const bench::sieve_work work(primes);
  const stopwatch time;
  auto* in = new Channel(*context);
  start([in]() -> awaitable<void> {
    for (int i = 2;; ++i) co_await send(*in, i);
  });
  int prime = 0;
  for (std::size_t i = 0; i < primes; ++i) {
    prime = co_await in->async_receive(use_awaitable);
    auto* out = new Channel(*context);
    start([in, out, prime]() -> awaitable<void> {
      for (;;) {
        const int v = co_await in->async_receive(use_awaitable);
        if (v % prime != 0) co_await send(*out, v);
      }
    });
    in = out;
  }
  const double ns = time.ns();
  bench::require(prime == work.last_prime, "the sieve's last prime");
  co_return result{ns / static_cast<double>(work.messages),
                   bench::format("total_ms=%.1f", ns / 1e6)};
}

template <class Channel>
awaitable<result> trysel_empty() {
  const std::size_t n = scaled(50'000'000);
  Channel channel(*context, 4);
  const stopwatch time;
  for (std::size_t i = 0; i < n; ++i) keep(channel.try_receive([](error_code, int) {}));
  co_return result{time.per(n), "try_receive"};
}

template <class Channel>
awaitable<result> chan_buf_1task() {
  const auto n = static_cast<int>(scaled(3'000'000));
  Channel channel(*context, 1);
  const stopwatch time;
  for (int i = 0; i < n; ++i) {
    co_await send(channel, i);
    keep(co_await channel.async_receive(use_awaitable));
  }
  co_return result{time.per(static_cast<std::size_t>(n)), "send+receive"};
}

template <class Channel>
awaitable<result> chan_create() {
  const auto n = static_cast<int>(scaled(2'000'000));
  const stopwatch time;
  for (int i = 0; i < n; ++i) {
    Channel channel(*context, 1);
    co_await send(channel, i);
    keep(co_await channel.async_receive(use_awaitable));
  }
  co_return result{time.per(static_cast<std::size_t>(n)), "create+send+receive+destroy"};
}

// ---- Timers

template <class>
awaitable<result> timer_churn() {
  std::vector<asio::steady_timer> pending;
  pending.reserve(100'000);
  const auto ignore = [](error_code) {};
  std::uint64_t x = 88172645463325252;
  for (std::size_t i = 0; i < pending.capacity(); ++i) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    pending.emplace_back(*context, 1h + std::chrono::microseconds(x % 1'000'000))
        .async_wait(ignore);
  }
  const auto n = static_cast<int>(scaled(1'000'000));
  const stopwatch time;
  for (int i = 0; i < n; ++i) {
    asio::steady_timer timer(*context, std::chrono::milliseconds(1000 + i % 1000));
    timer.async_wait(ignore);
    timer.cancel();
    if (i % 64 == 0) co_await asio::post(use_awaitable);  // lets the canceled waits end
  }
  const double ns = time.per(static_cast<std::size_t>(n));
  co_return result{ns, "async_wait+cancel"};
}

// ---- The list

result outcome;

/// Runs the coroutine that f() makes for the kind of channel that the number of threads asks for.
template <class F>
result run(F f) {
  context.emplace(static_cast<int>(threads));
  start([f]() -> awaitable<void> {
    if (threads == 1) {
      outcome = co_await f.template operator()<plain>();
    } else {
      outcome = co_await f.template operator()<shared>();
    }
    context->stop();  // whatever is left
  });
  std::vector<std::thread> others;
  for (unsigned i = 1; i < threads; ++i) others.emplace_back([] { context->run(); });
  context->run();
  for (auto& t : others) t.join();
  return outcome;
}

constexpr bench::one_case cases[] = {
    {"spawn_1k", "12", [] { return run([]<class C>() { return spawn<C>(1'000); }); }},
    {"spawn_100k", "12", [] { return run([]<class C>() { return spawn<C>(100'000); }); }},
    {"yield2", "12", [] { return run([]<class C>() { return yield2<C>(); }); }},
    {"pingpong_unbuf", "12", [] { return run([]<class C>() { return pingpong<C>(0); }); }},
    {"pingpong_cap1", "12", [] { return run([]<class C>() { return pingpong<C>(1); }); }},
    {"stream_unbuf", "12",
     [] { return run([]<class C>() { return stream<C>(1, 1, 0, 1'000'000); }); }},
    {"spsc_cap1", "12",
     [] { return run([]<class C>() { return stream<C>(1, 1, 1, 1'000'000); }); }},
    {"spsc_cap64", "12",
     [] { return run([]<class C>() { return stream<C>(1, 1, 64, 1'000'000); }); }},
    {"spsc_cap1024", "12",
     [] { return run([]<class C>() { return stream<C>(1, 1, 1024, 1'000'000); }); }},
    {"mpmc4x4_cap64", "12",
     [] { return run([]<class C>() { return stream<C>(4, 4, 64, 1'000'000); }); }},
    {"mpmc4x4_cap1024", "12",
     [] { return run([]<class C>() { return stream<C>(4, 4, 1024, 1'000'000); }); }},
    {"mpmc64x64_cap64", "12",
     [] { return run([]<class C>() { return stream<C>(64, 64, 64, 1'000'000); }); }},
    {"mpmc64x64_cap1024", "12",
     [] { return run([]<class C>() { return stream<C>(64, 64, 1024, 1'000'000); }); }},
    {"trysel_empty", "1", [] { return run([]<class C>() { return trysel_empty<C>(); }); }},
    {"chan_buf_1task", "1", [] { return run([]<class C>() { return chan_buf_1task<C>(); }); }},
    {"chan_create", "1", [] { return run([]<class C>() { return chan_create<C>(); }); }},
    {"sieve2000", "12", [] { return run([]<class C>() { return sieve2000<C>(); }); }},
    {"timer_churn", "12", [] { return run([]<class C>() { return timer_churn<C>(); }); }},
};

}  // namespace

int main(int argc, char** argv) {
  return bench::run_program(argc, argv, "asio", cases, [](unsigned workers, auto run_case) {
    threads = workers;
    run_case();
    std::fflush(stdout);
    std::_Exit(0);  // coroutines and timers may be left
  });
}
