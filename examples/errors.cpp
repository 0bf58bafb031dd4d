// Errors: which exception says what.
#include <runnel/runnel.hpp>

#include <cstdio>
#include <stdexcept>

using namespace std::chrono_literals;

namespace {

template <class F>
void show(const char* what, F f) {
  try {
    f();
    std::printf("%s: nothing\n", what);
  } catch (const runnel::deadline_exceeded&) {  // before its base class
    std::printf("%s: deadline_exceeded\n", what);
  } catch (const runnel::canceled&) {
    std::printf("%s: canceled\n", what);
  } catch (const runnel::task_canceled&) {
    std::printf("%s: task_canceled\n", what);
  } catch (const runnel::channel_closed&) {
    std::printf("%s: channel_closed\n", what);
  } catch (const runnel::misuse& e) {
    std::printf("%s: misuse: %s\n", what, e.what());
  } catch (const std::exception& e) {
    std::printf("%s: %s\n", what, e.what());
  }
}

/// Logs what nobody takes, instead of the default (print once, or end the process for a detached
/// fiber).
void log_unhandled(std::exception_ptr e, runnel::fiber_info who) noexcept {
  try {
    std::rethrow_exception(e);
  } catch (const std::exception& x) {
    std::printf("unhandled: %s%s\n", x.what(), who.id ? " in a fiber" : "");
  }
}

}  // namespace

int main() {
  runnel::set_unhandled_hook(&log_unhandled);
  return runnel::run([] {
    show("time limit", [] { runnel::with_timeout(1ms, [] { runnel::sleep_for(1h); }); });
    show("cancelled task", [] {
      auto t = runnel::go([] { runnel::sleep_for(1h); });
      t.cancel();
      t.get();
    });
    show("task that failed",
         [] { runnel::go([] { throw std::runtime_error("its own exception"); }).get(); });
    show("send to nobody", [] {
      const runnel::channel<int> c;
      c.close();
      c.send(1);
    });
    show("null handle", [] { runnel::send_channel<int>().send(1); });
    show("run in a fiber", [] { runnel::run([] {}); });
    show("a limit of 0", [] { runnel::task_group group({.limit = 0}); });
    show("dropped task", [] {
      auto dropped = runnel::go([] { throw std::runtime_error("nobody took this"); });
      while (!dropped.done()) runnel::yield();
    });
  });
}
