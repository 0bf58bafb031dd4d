// The core cases of runnel: the same work as in go.go, written as the guide shows users.
#include <runnel/runnel.hpp>

#include "../program.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using bench::keep;
using bench::result;
using bench::scaled;
using bench::stopwatch;

// ---- Fibers ------------------------------------------------------------------------------------

result spawn(std::size_t batch) {
  const auto spawn_batch = [batch] {
    runnel::with_task_group([batch](runnel::task_group& group) {
      for (std::size_t i = 0; i < batch; ++i) group.go([] {});
    });
  };
  spawn_batch();
  const std::size_t batches = scaled(1'000'000 / batch);
  const stopwatch time;
  for (std::size_t i = 0; i < batches; ++i) spawn_batch();
  return {time.per(batches * batch)};
}

result yield2() {
  const std::size_t n = scaled(2'000'000);
  const stopwatch time;
  runnel::with_task_group([n](runnel::task_group& group) {
    for (int k = 0; k < 2; ++k) {
      group.go([n] {
        for (std::size_t i = 0; i < n; ++i) runnel::yield();
      });
    }
  });
  return {time.per(2 * n)};
}

void skynet(const runnel::send_channel<long>& up, long number, long size) {
  if (size == 1) {
    up.send(number);
    return;
  }
  runnel::with_task_group([&](runnel::task_group& group) {
    auto below = runnel::make_channel<long>();
    const long part = size / 10;
    for (long i = 0; i < 10; ++i) {
      group.go([&tx = below.tx, first = number + i * part, part] { skynet(tx, first, part); });
    }
    long sum = 0;
    for (int i = 0; i < 10; ++i) sum += below.rx.receive().value();
    up.send(sum);
  });
}

result skynet1m() {
  const long size = bench::divisor == 1 ? 1'000'000 : 10'000;
  const auto channel = runnel::make_channel<long>();
  double ns = 0;
  for (int round = 0; round < 2; ++round) {  // the first warms stacks and memory
    const stopwatch time;
    const auto root = runnel::go([&] { skynet(channel.tx, 0, size); });
    const long sum = channel.rx.receive().value();
    ns = time.ns();
    bench::require(sum == size * (size - 1) / 2, "skynet's sum");
  }
  return {ns / (static_cast<double>(size) * 10 / 9), bench::format("total_ms=%.1f", ns / 1e6)};
}

result memory(std::size_t n) {
  std::vector<runnel::task<void>> parked;
  parked.reserve(n);
  auto gate = runnel::make_channel<int>();
  const double before = bench::resident_bytes();
  const stopwatch creation;
  for (std::size_t i = 0; i < n; ++i) {
    parked.push_back(runnel::go({.stack = runnel::stack_class::small},
                                [&rx = gate.rx] { static_cast<void>(rx.receive()); }));
  }
  while (runnel::stats().parked < n) runnel::sleep_for(10ms);  // those that have not begun hold no stack yet
  const double creation_ns = creation.per(n);
  const double bytes = (bench::resident_bytes() - before) / static_cast<double>(n);
  const stopwatch waking;
  gate.tx.close();
  for (auto& task : parked) task.join();
  return {bytes,
          bench::format("bytes_per_task;create_ns=%.0f;wake_ns=%.0f", creation_ns, waking.per(n))};
}

// ---- Channels ----------------------------------------------------------------------------------

result pingpong(std::size_t capacity) {
  const auto n = static_cast<int>(scaled(1'000'000));
  auto ping = runnel::make_channel<int>(capacity);
  auto pong = runnel::make_channel<int>(capacity);
  double ns = 0;
  runnel::with_task_group([&](runnel::task_group& group) {
    group.go([rx = std::move(ping.rx), tx = std::move(pong.tx)] {
      for (int v : rx) tx.send(v);
    });
    const stopwatch time;
    for (int i = 0; i < n; ++i) {
      ping.tx.send(i);
      keep(pong.rx.receive());
    }
    ns = time.ns();
    ping.tx.close();
  });
  return {ns / (2.0 * n)};
}

result stream(std::size_t producers, std::size_t consumers, std::size_t capacity,
              std::size_t total) {
  const std::size_t each = scaled(total / producers);
  std::atomic<std::size_t> received{0};
  const stopwatch time;
  runnel::with_task_group([&](runnel::task_group& group) {
    const auto channel = runnel::make_channel<int>(capacity);
    for (std::size_t i = 0; i < consumers; ++i) {
      group.go([rx = channel.rx, &received] {
        std::size_t sum = 0;
        for (int v : rx) sum += static_cast<std::size_t>(v);
        received += sum;
      });
    }
    for (std::size_t i = 0; i < producers; ++i) {
      group.go([tx = channel.tx, each] {
        for (std::size_t k = 0; k < each; ++k) tx.send(1);
      });
    }
  });
  const double ns = time.per(each * producers);
  bench::require(received == each * producers, "the sum of what was received");
  return {ns};
}

/// One to one, over the flavour of a channel that is for that.
result spsc_stream(std::size_t capacity, std::size_t n) {
  n = scaled(n);
  std::size_t received = 0;
  const stopwatch time;
  runnel::with_task_group([&](runnel::task_group& group) {
    auto channel = runnel::make_channel<int, runnel::spsc>(capacity);
    group.go([rx = std::move(channel.rx), &received] {
      for (int v : rx) received += static_cast<std::size_t>(v);
    });
    group.go([tx = std::move(channel.tx), n] {
      for (std::size_t k = 0; k < n; ++k) tx.send(1);
    });
  });
  const double ns = time.per(n);
  bench::require(received == n, "the sum of what was received");
  return {ns};
}

/// One to one, 32 elements an operation.
template <class Flavour>
result batch_stream(std::size_t capacity, std::size_t n) {
  constexpr std::size_t batch = 32;
  n = scaled(n) / batch * batch;
  std::size_t received = 0;
  const stopwatch time;
  runnel::with_task_group([&](runnel::task_group& group) {
    auto channel = runnel::make_channel<int, Flavour>(capacity);
    group.go([rx = std::move(channel.rx), &received] {
      int values[batch];
      while (const std::size_t came = rx.receive_n(values))
        for (std::size_t i = 0; i < came; ++i) received += static_cast<std::size_t>(values[i]);
    });
    group.go([tx = std::move(channel.tx), n] {
      int values[batch];
      for (std::size_t k = 0; k < n; k += batch) {
        for (int& v : values) v = 1;
        tx.send_n(values);
      }
    });
  });
  const double ns = time.per(n);
  bench::require(received == n, "the sum of what was received");
  return {ns};
}

result sieve2000() {
  const std::size_t primes = scaled(2'000);
  const bench::sieve_work work(primes);
  double ns = 0;
  runnel::with_task_group([&](runnel::task_group& group) {
    const stopwatch time;
    auto numbers = runnel::make_channel<int>();
    group.go([tx = std::move(numbers.tx)] {
      for (int i = 2;; ++i) tx.send(i);
    });
    auto in = std::move(numbers.rx);
    int prime = 0;
    for (std::size_t i = 0; i < primes; ++i) {
      prime = in.receive().value();
      auto next = runnel::make_channel<int>();
      group.go([rx = std::move(in), tx = std::move(next.tx), prime] {
        for (int v : rx) {
          if (v % prime != 0) tx.send(v);
        }
      });
      in = std::move(next.rx);
    }
    ns = time.ns();
    bench::require(prime == work.last_prime, "the sieve's last prime");
    group.cancel();
  });
  return {ns / static_cast<double>(work.messages), bench::format("total_ms=%.1f", ns / 1e6)};
}

result trysel_empty() {
  const std::size_t n = scaled(50'000'000);
  const auto channel = runnel::make_channel<int>(4);
  const stopwatch time;
  for (std::size_t i = 0; i < n; ++i) keep(channel.rx.try_receive().status);
  return {time.per(n)};
}

result chan_buf_1task() {
  const auto n = static_cast<int>(scaled(10'000'000));
  const auto channel = runnel::make_channel<int>(1);
  const stopwatch time;
  for (int i = 0; i < n; ++i) {
    channel.tx.send(i);
    keep(channel.rx.receive());
  }
  return {time.per(static_cast<std::size_t>(n)), "send+receive"};
}

result chan_create() {
  const auto n = static_cast<int>(scaled(5'000'000));
  const stopwatch time;
  for (int i = 0; i < n; ++i) {
    const auto channel = runnel::make_channel<int>(1);
    channel.tx.send(i);
    keep(channel.rx.receive());
  }
  return {time.per(static_cast<std::size_t>(n)), "create+send+receive+destroy"};
}

// ---- Select ------------------------------------------------------------------------------------

template <std::size_t N>
using receivers = std::array<runnel::receive_channel<int>, N>;

template <std::size_t N>
struct channels {
  std::array<runnel::send_channel<int>, N> tx;
  receivers<N> rx;

  channels() {
    for (std::size_t i = 0; i < N; ++i) {
      auto made = runnel::make_channel<int>();
      tx[i] = std::move(made.tx);
      rx[i] = std::move(made.rx);
    }
  }
};

/// Receives n times by a select that is written out, as in Go.
template <std::size_t N>
void receive_by_select(const receivers<N>& from, std::size_t n) {
  std::size_t sum = 0;
  const auto add = [&sum](std::optional<int> v) { sum += static_cast<std::size_t>(v.value()); };
  const auto select_among = [&]<std::size_t... I>(std::index_sequence<I...>) {
    runnel::select(runnel::on_receive(from[I], add)...);
  };
  for (std::size_t i = 0; i < n; ++i) select_among(std::make_index_sequence<N>());
  bench::require(sum == n, "the sum of what was received");
}

/// The same by a selector that is made once.
template <std::size_t N>
void receive_by_selector(const receivers<N>& from, std::size_t n) {
  std::size_t sum = 0;
  runnel::selector selector;
  for (const auto& rx : from) {
    selector.add(runnel::on_receive(
        rx, [&sum](std::optional<int> v) { sum += static_cast<std::size_t>(v.value()); }));
  }
  for (std::size_t i = 0; i < n; ++i) selector.run();
  bench::require(sum == n, "the sum of what was received");
}

template <std::size_t N>
using receive_function = void (*)(const receivers<N>&, std::size_t);

/// A producer for each channel.
template <std::size_t N>
result select_plain(std::size_t total, receive_function<N> receive = &receive_by_select<N>) {
  const std::size_t each = scaled(total / N);
  const channels<N> all;
  double ns = 0;
  runnel::with_task_group([&](runnel::task_group& group) {
    for (const auto& end : all.tx) {
      group.go([&end, each] {
        for (std::size_t k = 0; k < each; ++k) end.send(1);
      });
    }
    const stopwatch time;
    receive(all.rx, each * N);
    ns = time.per(each * N);
  });
  return {ns};
}

/// One producer that sends on a random one of the channels: the consumer mostly parks on all.
template <std::size_t N>
result select_one_producer(std::size_t total, receive_function<N> receive = &receive_by_select<N>) {
  const std::size_t n = scaled(total);
  const channels<N> all;
  double ns = 0;
  runnel::with_task_group([&](runnel::task_group& group) {
    group.go([&tx = all.tx, n] {
      std::uint64_t x = 88172645463325252;
      for (std::size_t k = 0; k < n; ++k) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        tx[x % N].send(1);
      }
    });
    const stopwatch time;
    receive(all.rx, n);
    ns = time.per(n);
  });
  return {ns};
}

/// The producers select too, over their channel and the end.
result select2_2way() {
  const std::size_t n = scaled(500'000);
  const channels<2> all;
  auto stop = runnel::make_channel<runnel::unit>();
  double ns = 0;
  runnel::with_task_group([&](runnel::task_group& group) {
    for (const auto& end : all.tx) {
      group.go([&end, &stopped = stop.rx] {
        while (runnel::select(runnel::on_send(end, 1), runnel::on_receive(stopped)) == 0) {
        }
      });
    }
    const stopwatch time;
    receive_by_select<2>(all.rx, n);
    ns = time.per(n);
    stop.tx.close();
  });
  return {ns};
}

result trysel2_empty() {
  const std::size_t n = scaled(10'000'000);
  const auto a = runnel::make_channel<int>(4);
  const auto b = runnel::make_channel<int>(4);
  const stopwatch time;
  for (std::size_t i = 0; i < n; ++i) {
    keep(runnel::select(runnel::on_receive(a.rx), runnel::on_receive(b.rx), runnel::otherwise()));
  }
  return {time.per(n)};
}

// ---- Timers, contexts, groups, locks -----------------------------------------------------------

result timer_churn() {
  std::vector<runnel::timer> pending;
  pending.reserve(100'000);
  std::uint64_t x = 88172645463325252;
  for (std::size_t i = 0; i < pending.capacity(); ++i) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    pending.emplace_back(1h + std::chrono::microseconds(x % 1'000'000));
  }
  const auto n = static_cast<int>(scaled(1'000'000));
  const stopwatch time;
  for (int i = 0; i < n; ++i) {
    runnel::timer timer(std::chrono::milliseconds(1000 + i % 1000));
    timer.stop();
  }
  return {time.per(static_cast<std::size_t>(n))};
}

result create_contexts(const runnel::context& parent) {
  const std::size_t n = scaled(1'000'000);
  const stopwatch time;
  for (std::size_t i = 0; i < n; ++i) {
    auto derived = runnel::derive_cancel(parent);
    derived.cancel();
  }
  return {time.per(n)};
}

result ctx_cancel_10k() {
  constexpr std::size_t n = 10'000;
  auto parent = runnel::derive_cancel(runnel::context::background());
  runnel::wait_group ready;
  runnel::wait_group ended;
  ready.add(n);
  ended.add(n);
  double setup = 0, cancel_call = 0, total = 0;
  runnel::with_task_group([&](runnel::task_group& group) {
    const stopwatch setup_time;
    for (std::size_t i = 0; i < n; ++i) {
      group.go([&ready, &ended, child = runnel::derive_cancel(parent.ctx)] {
        ready.done();
        runnel::select(runnel::on_done(child.ctx));
        ended.done();
      });
    }
    ready.wait();
    setup = setup_time.per(n);
    runnel::sleep_for(20ms);
    const stopwatch time;
    parent.cancel();
    cancel_call = time.ns();
    ended.wait();
    total = time.ns();
  });
  return {total / n, bench::format("total_ms=%.3f;cancel_call_ms=%.3f;setup_ns=%.0f", total / 1e6,
                                   cancel_call / 1e6, setup)};
}

result errgroup_1000_lim16() {
  const std::size_t rounds = scaled(300);
  const stopwatch time;
  for (std::size_t r = 0; r < rounds; ++r) {
    runnel::with_task_group({.limit = 16}, [](runnel::task_group& group) {
      for (int i = 0; i < 1000; ++i) group.go([] {});
    });
  }
  return {time.per(rounds * 1000)};
}

result waitgroup_adddone() {
  const std::size_t n = scaled(50'000'000);
  runnel::wait_group group;
  const stopwatch time;
  for (std::size_t i = 0; i < n; ++i) {
    group.add(1);
    group.done();
  }
  return {time.per(n)};
}

result mutex_unc() {
  const std::size_t n = scaled(50'000'000);
  runnel::mutex mutex;
  const stopwatch time;
  for (std::size_t i = 0; i < n; ++i) {
    mutex.lock();
    mutex.unlock();
  }
  return {time.per(n)};
}

// ---- The list ----------------------------------------------------------------------------------

constexpr bench::one_case cases[] = {
    {"spawn_1k", "12", [] { return spawn(1'000); }},
    {"spawn_100k", "12", [] { return spawn(100'000); }},
    {"yield2", "12", yield2},
    {"pingpong_unbuf", "12", [] { return pingpong(0); }},
    {"pingpong_cap1", "12", [] { return pingpong(1); }},
    {"stream_unbuf", "12", [] { return stream(1, 1, 0, 1'000'000); }},
    {"spsc_cap1", "12", [] { return stream(1, 1, 1, 1'000'000); }},
    {"spsc_cap64", "12", [] { return stream(1, 1, 64, 3'000'000); }},
    {"spsc_cap1024", "12", [] { return stream(1, 1, 1024, 3'000'000); }},
    {"spsc_cap1_flavour", "12", [] { return spsc_stream(1, 1'000'000); }},
    {"spsc_cap64_flavour", "12", [] { return spsc_stream(64, 3'000'000); }},
    {"spsc_cap1024_flavour", "12", [] { return spsc_stream(1024, 3'000'000); }},
    {"spsc_cap64_batch", "12", [] { return batch_stream<runnel::mpmc>(64, 10'000'000); }},
    {"spsc_cap64_flavour_batch", "12", [] { return batch_stream<runnel::spsc>(64, 10'000'000); }},
    {"mpmc4x4_cap64", "12", [] { return stream(4, 4, 64, 1'000'000); }},
    {"mpmc4x4_cap1024", "12", [] { return stream(4, 4, 1024, 1'000'000); }},
    {"mpmc64x64_cap64", "12", [] { return stream(64, 64, 64, 1'000'000); }},
    {"mpmc64x64_cap1024", "12", [] { return stream(64, 64, 1024, 1'000'000); }},
    {"select2", "12", [] { return select_plain<2>(1'000'000); }},
    {"select8", "12", [] { return select_plain<8>(500'000); }},
    {"select64", "12", [] { return select_plain<64>(128'000); }},
    {"select64_selector", "12", [] { return select_plain<64>(128'000, &receive_by_selector<64>); }},
    {"select64_1p", "12", [] { return select_one_producer<64>(100'000); }},
    {"select64_1p_selector", "12",
     [] { return select_one_producer<64>(100'000, &receive_by_selector<64>); }},
    {"select2_2way", "12", select2_2way},
    {"trysel_empty", "1", trysel_empty},
    {"trysel2_empty", "1", trysel2_empty},
    {"chan_buf_1task", "1", chan_buf_1task},
    {"chan_create", "1", chan_create},
    {"sieve2000", "12", sieve2000},
    {"skynet1m", "12", skynet1m},
    {"timer_churn", "12", timer_churn},
    {"ctx_create", "1", [] { return create_contexts(runnel::context::background()); }},
    {"ctx_create_child", "1",
     [] {
       const auto parent = runnel::derive_cancel(runnel::context::background());
       return create_contexts(parent.ctx);
     }},
    {"ctx_cancel_10k", "12", ctx_cancel_10k},
    {"errgroup_1000_lim16", "12", errgroup_1000_lim16},
    {"waitgroup_adddone", "1", waitgroup_adddone},
    {"mutex_unc", "1", mutex_unc},
    {"mem_10k", "12", [] { return memory(10'000); }},
    {"mem_100k", "12", [] { return memory(100'000); }},
    {"mem_1m", "1", [] { return memory(1'000'000); }},
};

}  // namespace

int main(int argc, char** argv) {
  return bench::run_program(argc, argv, "runnel", cases, [](unsigned workers, auto run_case) {
    runnel::run({.workers = workers}, run_case);
  });
}
