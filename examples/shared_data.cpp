// Data that many share: guarded, concurrent_map, atomic_snapshot, striped_counter, pool.
#include <runnel/runnel.hpp>
#include <runnel/sync/atomic_snapshot.hpp>
#include <runnel/sync/concurrent_map.hpp>
#include <runnel/sync/guarded.hpp>
#include <runnel/sync/pool.hpp>
#include <runnel/sync/striped_counter.hpp>

#include <cstdio>
#include <string>
#include <vector>

using namespace std::chrono_literals;

namespace {

void guarded_log() {
  runnel::guarded<std::vector<std::string>> log;
  runnel::with_task_group([&](runnel::task_group& group) {
    for (int i = 0; i < 3; ++i)
      group.go([&, i] { log.lock()->push_back("part " + std::to_string(i)); });
  });
  const auto lines = log.with([](auto& l) { return l.size(); });  // one thing, under the lock
  auto held = log.lock();                                         // several
  held->push_back("end");
  std::printf("%zu lines, then %zu\n", lines, held->size());
}

void cache_of_pages() {
  runnel::concurrent_map<std::string, std::string> pages;
  int rendered = 0;
  runnel::with_task_group([&](runnel::task_group& group) {
    for (int i = 0; i < 10; ++i)
      group.go([&] {
        pages.get_or_create("index", [&] {
          ++rendered;
          runnel::sleep_for(1ms);  // no lock is held; the others wait for this one
          return std::string("<h1>welcome</h1>");
        });
      });
  });
  std::printf("rendered %d time(s): %s\n", rendered, pages.find("index")->c_str());
  pages.visit("index", [](std::string& page) { page += "<hr>"; });  // in place; may not wait
  pages.for_each([&](const std::string& name, const std::string& page) {
    std::printf("%s: %zu bytes\n", name.c_str(), page.size());
    pages.erase(name);  // it may use the map
  });
}

struct configuration {
  int limit = 10;
  std::string host = "localhost";
};

void configuration_reload() {
  runnel::atomic_snapshot<configuration> current;
  const auto mine = current.load();  // for the whole request
  current.update([](configuration c) {
    c.limit *= 2;
    c.host = "example.org";
    return c;
  });
  std::printf("this request: %s %d, the next: %s %d\n", mine->host.c_str(), mine->limit,
              current.load()->host.c_str(), current.load()->limit);
}

void requests_counted() {
  runnel::striped_counter requests;
  runnel::with_task_group([&](runnel::task_group& group) {
    for (int i = 0; i < 10; ++i)
      group.go([&] {
        for (int k = 0; k < 100; ++k) requests.add();
      });
  });
  std::printf("requests: %lld\n", static_cast<long long>(requests.sum()));
}

void buffers_used_again() {
  int made = 0;
  runnel::pool<std::vector<char>> buffers([&] {
    ++made;
    return std::vector<char>(4096);
  });
  for (int i = 0; i < 100; ++i) {
    auto buffer = buffers.get();  // goes back at the end of the scope
    (*buffer)[0] = 'x';
  }
  std::printf("buffers made: %d\n", made);
}

}  // namespace

int main() {
  return runnel::run({.workers = 1}, [] {
    guarded_log();
    cache_of_pages();
    configuration_reload();
    requests_counted();
    buffers_used_again();
  });
}
