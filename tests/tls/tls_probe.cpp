// Uses the public API broadly, so that tools/check_tls.py sees its templates instantiated. It is linked, not run.
#include <runnel/channel.hpp>
#include <runnel/context.hpp>
#include <runnel/fiber_local.hpp>
#include <runnel/go.hpp>
#include <runnel/select.hpp>
#include <runnel/sync/mutex.hpp>
#include <runnel/sync/wait_group.hpp>
#include <runnel/task_group.hpp>
#include <runnel/time.hpp>

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;

namespace {

runnel::fiber_local<int> slot;

int channels_and_select() {
  auto [tx, rx] = runnel::make_channel<std::unique_ptr<int>>(4);
  runnel::channel<std::string> words;
  auto producer = runnel::go([tx = std::move(tx), words]() mutable {
    tx.send(std::make_unique<int>(1));
    words.send("word");
    words.close();
    return 7;
  });
  std::optional<std::string> word;
  int sum = 0;
  runnel::select(
      runnel::on_receive(rx, [&](std::optional<std::unique_ptr<int>> value) { sum += value ? **value : 0; }),
      runnel::on_receive(words, word),
      runnel::on_done(runnel::context::current()),
      runnel::on_timeout(1s),
      runnel::otherwise([] { runnel::yield(); }));
  for (std::unique_ptr<int>& value : rx) sum += *value;
  while (auto more = words.receive_for(1ms).value) sum += static_cast<int>(more->size());
  return sum + producer.get();
}

int contexts_and_groups() {
  auto [ctx, cancel] = runnel::derive_cancel(runnel::context::current());
  runnel::context_scope scope(ctx);
  runnel::mutex lock;
  runnel::wait_group running;
  std::vector<int> results;
  runnel::with_timeout(1s, [&] {
    runnel::with_task_group([&](runnel::task_group& group) {
      for (int i = 0; i < 3; ++i) {
        running.add(1);
        group.go([&, i] {
          *slot = i;
          runnel::sleep_for(1ms);
          std::scoped_lock held(lock);
          results.push_back(*slot);
          running.done();
        });
      }
    });
  });
  running.wait();
  cancel.cancel();
  runnel::cancel_shield shield;
  return static_cast<int>(results.size()) + runnel::blocking([] { return 1; });
}

}  // namespace

int main() {
  return runnel::run([] {
    runnel::this_fiber::set_name("probe");
    runnel::this_fiber::checkpoint();
    return channels_and_select() + contexts_and_groups();
  });
}
