// What is costly is done once: for all who ask at the same time, and for a while. In virtual time, so that the output is exact.
#include <runnel/patterns/cache.hpp>
#include <runnel/patterns/single_flight.hpp>
#include <runnel/runnel.hpp>
#include <runnel/sync/guarded.hpp>
#include <runnel/testing/bubble.hpp>

#include <atomic>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>

using namespace std::chrono_literals;

namespace {
/// A page takes a second to render, on however many fibers.
class renderer {
 public:
  std::string render(const std::string& name) {
    ++rendered;
    runnel::sleep_for(1s);
    return name + " v" + std::to_string(++version_);
  }
  std::atomic<int> rendered{0};

 private:
  std::atomic<int> version_{0};
};

void hundred_times_at_once(const std::function<void()>& ask) {
  runnel::with_task_group([&](runnel::task_group& group) {
    for (int i = 0; i < 100; ++i) group.go([&] { ask(); });
  });
}

/// What not to do: look, load, store. All who come while the first one loads load too.
void stampede() {
  renderer r;
  runnel::guarded<std::string> page;
  hundred_times_at_once([&] {
    if (!page.lock()->empty()) return;
    std::string made = r.render("home");
    page.with([&](std::string& p) { p = std::move(made); });
  });
  std::printf("look, load, store: rendered %d times\n", r.rendered.load());
}

void one_flight() {
  renderer r;
  runnel::single_flight<std::string, std::shared_ptr<const std::string>> flights;
  hundred_times_at_once([&] {
    const auto page = flights.run("home", [&] { return std::make_shared<const std::string>(r.render("home")); });
    static_cast<void>(page->size());  // the same page for all
  });
  std::printf("single_flight: rendered %d time(s)\n", r.rendered.load());
}

void kept_for_a_while() {
  renderer r;
  runnel::cache<std::string, std::string> pages({.capacity = 2, .ttl = 1min});
  const auto page = [&](const std::string& name) { return pages.get_or_load(name, [&] { return r.render(name); }); };
  hundred_times_at_once([&] { page("home"); });
  std::printf("cache: rendered %d time(s)\n", r.rendered.load());
  runnel::sleep_for(1min);
  std::printf("a minute later: %s\n", page("home").c_str());
  pages.invalidate("home");
  std::printf("invalidated: %s\n", page("home").c_str());
  for (const char* name : {"news", "blog"}) page(name);
  const runnel::cache_stats s = pages.stats();
  std::printf("%d misses, %d loads, %d evicted\n", int(s.misses), int(s.loads), int(s.evictions));
}

/// Nobody waits for a page that is only a little old: a fiber of the cache's own renders the next one.
void stale_while_it_renders() {
  renderer r;
  runnel::cache<std::string, std::string> pages({.ttl = 1min, .stale_for = 1h},
                                                [&](const std::string& name) { return r.render(name); });
  const auto timed = [&](const char* when) {
    const auto start = runnel::steady_clock::now();
    const std::string page = pages.get("home");
    std::printf("%s: %s after %d s\n", when, page.c_str(), int((runnel::steady_clock::now() - start) / 1s));
  };
  timed("first");
  runnel::sleep_for(1min);
  timed("stale");
  runnel::sleep_for(2s);
  timed("then");
}
}  // namespace

int main() {
  runnel::bubble([] {
    stampede();
    one_flight();
    kept_for_a_while();
    stale_while_it_renders();
  });
}
