// Contexts: time limits, cancellation with a cause, clean-up under a shield, values.
#include <runnel/runnel.hpp>

#include <cstdio>
#include <stdexcept>
#include <string>

using namespace std::chrono_literals;

namespace {

void time_limit() {
  try {
    runnel::with_timeout(1ms, [] { runnel::sleep_for(1h); });
  } catch (const runnel::deadline_exceeded& e) {
    std::printf("limit: %s\n", e.what());
  }
}

void own_limit_or_somebody_elses() {
  runnel::timeout_scope outer(1h);
  try {
    const runnel::timeout_scope inner(1ms);
    runnel::sleep_for(1h);
  } catch (const runnel::canceled&) {
    // The scope has ended: what is ambient here is the outer limit again.
    const bool outer_too = runnel::context::current().is_canceled();
    std::printf("the %s limit was reached\n", outer_too ? "outer" : "inner");
  }
}

void with_a_cause() {
  auto [ctx, cancel] = runnel::derive_cancel(runnel::context::current());
  const runnel::context_scope installed(ctx);
  auto worker = runnel::go([] { runnel::sleep_for(1h); });  // runs under ctx
  cancel(std::make_exception_ptr(std::runtime_error("user went away")));
  try {
    runnel::sleep_for(1h);
  } catch (const runnel::canceled& c) {
    try {
      std::rethrow_exception(c.cause());
    } catch (const std::runtime_error& why) {
      std::printf("cause: %s\n", why.what());
    }
  }
  const runnel::cancel_shield shield(1min);  // clean-up may block, for a minute at most
  worker.join();
  std::puts("worker joined under the shield");
}

const runnel::context_key<std::string> request_id;  // the object is the key

void serve() {
  if (const std::string* id = runnel::context::current().value(request_id))
    std::printf("request %s\n", id->c_str());
}

void values() {
  const runnel::context_scope request(
      runnel::derive_value(runnel::context::current(), request_id, "r-17"));
  runnel::go([] { serve(); }).get();  // tasks inherit values
}

void on_cancellation() {
  auto [ctx, cancel] = runnel::derive_cancel(runnel::context::current());
  auto [tx, rx] = runnel::make_channel<runnel::unit>(1);
  auto handle = runnel::after_func(ctx, [tx = tx] { tx.send({}); });
  cancel();
  rx.receive();
  std::printf("after_func ran, too late to stop: %s\n", handle.stop() ? "no" : "yes");
}

}  // namespace

int main() {
  return runnel::run([] {
    time_limit();
    own_limit_or_somebody_elses();
    with_a_cause();
    values();
    on_cancellation();
  });
}
