// The core cases that Boost.Fiber has the means for: the same work as in go.go.
//
// To treat it fairly: 16-KiB stacks, and a malloc that keeps freed ones, else each spawn pays for
// mapping its stack. One worker: round_robin; several: work_stealing, or shared_work when
// RUNNEL_BENCH_SHARED_WORK is set. Its buffered channel needs a power of two and holds one element
// less, so capacity 1 is buffered_channel(2).
#include "../program.hpp"

#include <boost/fiber/algo/round_robin.hpp>
#include <boost/fiber/algo/shared_work.hpp>
#include <boost/fiber/algo/work_stealing.hpp>
#include <boost/fiber/all.hpp>
#include <boost/fiber/protected_fixedsize_stack.hpp>

#include <malloc.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace {

namespace fibers = boost::fibers;
using bench::keep;
using bench::result;
using bench::scaled;
using bench::stopwatch;
using fibers::fiber;
constexpr auto success = fibers::channel_op_status::success;

fibers::fixedsize_stack stack(16 * 1024);

template <class F>
fiber start(F&& f) {
  return fiber(std::allocator_arg, stack, std::forward<F>(f));
}

void join_all(std::vector<fiber>& all) {
  for (fiber& f : all) f.join();
}

result spawn(std::size_t batch) {
  const auto spawn_batch = [batch] {
    std::vector<fiber> all;
    all.reserve(batch);
    for (std::size_t i = 0; i < batch; ++i) all.push_back(start([] {}));
    join_all(all);
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
  std::vector<fiber> all;
  for (int k = 0; k < 2; ++k) {
    all.push_back(start([n] {
      for (std::size_t i = 0; i < n; ++i) boost::this_fiber::yield();
    }));
  }
  join_all(all);
  return {time.per(2 * n)};
}

void skynet(fibers::unbuffered_channel<long>& up, long number, long size) {
  if (size == 1) {
    up.push(number);
    return;
  }
  fibers::unbuffered_channel<long> below;
  const long part = size / 10;
  for (long i = 0; i < 10; ++i) {
    fiber(fibers::launch::dispatch, std::allocator_arg, stack,
          [&below, first = number + i * part, part] { skynet(below, first, part); })
        .detach();
  }
  long sum = 0;
  for (int i = 0; i < 10; ++i) sum += below.value_pop();
  up.push(sum);
}

result skynet1m() {
  const long size = bench::divisor == 1 ? 1'000'000 : 10'000;
  fibers::unbuffered_channel<long> channel;
  const stopwatch time;
  fiber root = start([&] { skynet(channel, 0, size); });
  const long sum = channel.value_pop();
  const double ns = time.ns();
  root.join();
  bench::require(sum == size * (size - 1) / 2, "skynet's sum");
  return {ns / (static_cast<double>(size) * 10 / 9), bench::format("total_ms=%.1f;cold", ns / 1e6)};
}

result memory(std::size_t n) {
  std::vector<fiber> parked;
  parked.reserve(n);
  fibers::unbuffered_channel<int> gate;
  fibers::protected_fixedsize_stack guarded;
  const double before = bench::resident_bytes();
  const stopwatch creation;
  for (std::size_t i = 0; i < n; ++i) {
    parked.emplace_back(std::allocator_arg, guarded, [&gate] {
      int v = 0;
      gate.pop(v);
    });
  }
  boost::this_fiber::yield();
  const double creation_ns = creation.per(n);
  const double bytes = (bench::resident_bytes() - before) / static_cast<double>(n);
  const stopwatch waking;
  gate.close();
  join_all(parked);
  return {bytes,
          bench::format("bytes_per_task;create_ns=%.0f;wake_ns=%.0f", creation_ns, waking.per(n))};
}

template <class Channel>
result pingpong(Channel&& ping, Channel&& pong) {
  const auto n = static_cast<int>(scaled(1'000'000));
  fiber echo = start([&] {
    int v = 0;
    while (ping.pop(v) == success) pong.push(v);
  });
  const stopwatch time;
  for (int i = 0; i < n; ++i) {
    ping.push(i);
    keep(pong.value_pop());
  }
  const double ns = time.ns();
  ping.close();
  echo.join();
  return {ns / (2.0 * n)};
}

template <class Channel>
result stream(std::size_t producers, std::size_t consumers, std::size_t total, Channel&& channel) {
  const std::size_t each = scaled(total / producers);
  std::atomic<std::size_t> received{0};
  std::vector<fiber> sending, receiving;
  const stopwatch time;
  for (std::size_t i = 0; i < consumers; ++i) {
    receiving.push_back(start([&] {
      std::size_t sum = 0;
      int v = 0;
      while (channel.pop(v) == success) sum += static_cast<std::size_t>(v);
      received += sum;
    }));
  }
  for (std::size_t i = 0; i < producers; ++i) {
    sending.push_back(start([&] {
      for (std::size_t k = 0; k < each; ++k) channel.push(1);
    }));
  }
  join_all(sending);
  channel.close();
  join_all(receiving);
  const double ns = time.per(each * producers);
  bench::require(received == each * producers, "the sum of what was received");
  return {ns};
}

result buffered_stream(std::size_t producers, std::size_t consumers, std::size_t capacity,
                       std::size_t total) {
  return stream(producers, consumers, total, fibers::buffered_channel<int>(capacity));
}

result sieve2000() {
  using channel = fibers::unbuffered_channel<int>;
  const std::size_t primes = scaled(2'000);
  const bench::sieve_work work(primes);
  std::vector<std::unique_ptr<channel>> channels;
  std::vector<fiber> filters;
  const stopwatch time;
  channels.push_back(std::make_unique<channel>());
  filters.push_back(start([out = channels.back().get()] {
    for (int i = 2; out->push(i) == success; ++i) {
    }
  }));
  int prime = 0;
  for (std::size_t i = 0; i < primes; ++i) {
    channel* const in = channels.back().get();
    prime = in->value_pop();
    channels.push_back(std::make_unique<channel>());
    filters.push_back(start([in, out = channels.back().get(), prime] {
      int v = 0;
      while (in->pop(v) == success) {
        if (v % prime != 0 && out->push(v) != success) break;
      }
    }));
  }
  const double ns = time.ns();
  bench::require(prime == work.last_prime, "the sieve's last prime");
  for (auto& c : channels) c->close();
  join_all(filters);
  return {ns / static_cast<double>(work.messages), bench::format("total_ms=%.1f", ns / 1e6)};
}

result trysel_empty() {
  const std::size_t n = scaled(50'000'000);
  fibers::buffered_channel<int> channel(4);
  int v = 0;
  const stopwatch time;
  for (std::size_t i = 0; i < n; ++i) keep(channel.try_pop(v));
  return {time.per(n), "try_pop"};
}

result chan_buf_1task() {
  const auto n = static_cast<int>(scaled(10'000'000));
  fibers::buffered_channel<int> channel(2);
  int v = 0;
  const stopwatch time;
  for (int i = 0; i < n; ++i) {
    channel.push(i);
    channel.pop(v);
    keep(v);
  }
  return {time.per(static_cast<std::size_t>(n)), "push+pop"};
}

result chan_create() {
  const auto n = static_cast<int>(scaled(5'000'000));
  int v = 0;
  const stopwatch time;
  for (int i = 0; i < n; ++i) {
    fibers::buffered_channel<int> channel(2);
    channel.push(i);
    channel.pop(v);
    keep(v);
  }
  return {time.per(static_cast<std::size_t>(n)), "create+push+pop+destroy"};
}

result mutex_unc() {
  const std::size_t n = scaled(50'000'000);
  fibers::mutex mutex;
  const stopwatch time;
  for (std::size_t i = 0; i < n; ++i) {
    mutex.lock();
    mutex.unlock();
  }
  return {time.per(n)};
}

constexpr bench::one_case cases[] = {
    {"spawn_1k", "12", [] { return spawn(1'000); }},
    {"spawn_100k", "12", [] { return spawn(100'000); }},
    {"yield2", "12", yield2},
    {"pingpong_unbuf", "12",
     [] { return pingpong(fibers::unbuffered_channel<int>(), fibers::unbuffered_channel<int>()); }},
    {"pingpong_cap1", "12",
     [] { return pingpong(fibers::buffered_channel<int>(2), fibers::buffered_channel<int>(2)); }},
    {"stream_unbuf", "12",
     [] { return stream(1, 1, 1'000'000, fibers::unbuffered_channel<int>()); }},
    {"spsc_cap1", "12", [] { return buffered_stream(1, 1, 2, 1'000'000); }},
    {"spsc_cap64", "12", [] { return buffered_stream(1, 1, 64, 3'000'000); }},
    {"spsc_cap1024", "12", [] { return buffered_stream(1, 1, 1024, 3'000'000); }},
    {"mpmc4x4_cap64", "12", [] { return buffered_stream(4, 4, 64, 1'000'000); }},
    {"mpmc4x4_cap1024", "12", [] { return buffered_stream(4, 4, 1024, 1'000'000); }},
    {"mpmc64x64_cap64", "12", [] { return buffered_stream(64, 64, 64, 1'000'000); }},
    {"mpmc64x64_cap1024", "12", [] { return buffered_stream(64, 64, 1024, 1'000'000); }},
    {"trysel_empty", "1", trysel_empty},
    {"chan_buf_1task", "1", chan_buf_1task},
    {"chan_create", "1", chan_create},
    {"sieve2000", "12", sieve2000},
    {"skynet1m", "12", skynet1m},
    {"mutex_unc", "1", mutex_unc},
    {"mem_10k", "1", [] { return memory(10'000); }},
    {"mem_100k", "1", [] { return memory(100'000); }},
};

/// Runs the case among `workers` threads that run fibers. Ends the process: fibers on other threads
/// may be left.
template <class Run>
void host(unsigned workers, bool shared_work, Run&& run_case) {
  const auto join_scheduler = [=] {
    if (shared_work) {
      fibers::use_scheduling_algorithm<fibers::algo::shared_work>();
    } else {
      fibers::use_scheduling_algorithm<fibers::algo::work_stealing>(workers);
    }
  };
  if (workers == 1) {
    fibers::use_scheduling_algorithm<fibers::algo::round_robin>();
  } else {
    for (unsigned i = 1; i < workers; ++i) {
      std::thread([=] {
        join_scheduler();
        fibers::mutex mutex;
        fibers::condition_variable never;
        std::unique_lock lock(mutex);
        never.wait(lock, [] { return false; });
      }).detach();
    }
    join_scheduler();
  }
  run_case();
  std::_Exit(0);
}

}  // namespace

int main(int argc, char** argv) {
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 64 << 20);
  const bool shared_work = std::getenv("RUNNEL_BENCH_SHARED_WORK") != nullptr;
  std::vector<bench::one_case> mine(std::begin(cases), std::end(cases));
  if (shared_work) {  // makes a difference from two workers on
    std::erase_if(mine,
                  [](const bench::one_case& c) { return std::strchr(c.workers, '2') == nullptr; });
    for (bench::one_case& c : mine) c.workers = "2";
  }
  return bench::run_program(
      argc, argv, shared_work ? "boost-shared" : "boost", mine,
      [=](unsigned workers, auto run_case) { host(workers, shared_work, run_case); });
}
