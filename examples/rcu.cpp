// RCU: a configuration that is reloaded under load, and a list whose nodes are unlinked while others walk it.
#include <runnel/lockfree/rcu.hpp>
#include <runnel/runnel.hpp>

#include <atomic>
#include <cstdio>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace {

struct configuration {
  int version = 1;
  std::vector<std::string> hosts = {"a.example.org"};
};

runnel::rcu<configuration> current;

/// What a request needs of the configuration, taken out of it in one section: behind it the request may wait.
std::string host_for(int request) {
  const auto c = current.read();
  return c->hosts[static_cast<std::size_t>(request) % c->hosts.size()];
}

void reload_under_load() {
  std::atomic<int> served{0}, wrong{0};
  runnel::with_task_group([&](runnel::task_group& group) {
    for (int worker = 0; worker < 4; ++worker)
      group.go([&] {
        for (int request = 0; request < 250; ++request) {
          const std::string host = host_for(request);
          runnel::yield();  // the request goes on: no section is open here
          if (host.empty()) ++wrong;
          ++served;
        }
      });
    group.go([&] {
      for (int n = 0; n < 100; ++n) {
        current.update([](configuration c) {  // a copy, changed, put in the old one's place
          ++c.version;
          c.hosts.assign(static_cast<std::size_t>(c.version % 3 + 1), std::string(1, static_cast<char>('a' + c.version % 26)));
          return c;
        });
        runnel::yield();
      }
    });
  });
  runnel::rcu_barrier();  // the old configurations are gone
  const int version = current.read([](const configuration& c) { return c.version; });
  std::printf("served %d, wrong %d, version %d\n", served.load(), wrong.load(), version);
}

// ---- a list of one's own

struct route : runnel::rcu_obj_base<route> {
  route(std::string p, route* n) : prefix(std::move(p)), next(n) {}
  const std::string prefix;
  std::atomic<route*> next;
};

class routes {
 public:
  ~routes() {
    for (route* r = first_.load(); r;) delete std::exchange(r, r->next.load());
  }
  void add(std::string prefix) {
    const std::lock_guard writer(writers_);
    first_.store(new route(std::move(prefix), first_.load()), std::memory_order_release);
  }
  void remove(const std::string& prefix) {
    const std::lock_guard writer(writers_);
    for (std::atomic<route*>* link = &first_; route* r = link->load(std::memory_order_relaxed); link = &r->next) {
      if (r->prefix != prefix) continue;
      link->store(r->next.load(std::memory_order_relaxed), std::memory_order_release);  // nobody new can find it
      return r->retire();                                                               // deleted when nobody has it
    }
  }
  bool contains(const std::string& prefix) const {
    const std::scoped_lock section(runnel::rcu_default_domain());
    for (const route* r = first_.load(std::memory_order_acquire); r; r = r->next.load(std::memory_order_acquire))
      if (r->prefix == prefix) return true;
    return false;
  }

 private:
  runnel::mutex writers_;
  std::atomic<route*> first_{nullptr};
};

void a_list_that_is_read_while_it_changes() {
  routes all;
  all.add("/index");
  int found = 0;
  runnel::with_task_group([&](runnel::task_group& group) {
    group.go([&] {
      for (int i = 0; i < 1'000; ++i) {
        all.add("/tmp");
        all.remove("/tmp");
        runnel::yield();
      }
    });
    group.go([&] {
      for (int i = 0; i < 1'000; ++i) {
        found += all.contains("/index");
        runnel::yield();
      }
    });
  });
  runnel::rcu_barrier();
  std::printf("found %d times, left over: %s\n", found, all.contains("/tmp") ? "something" : "nothing");
}

}  // namespace

int main() {
  return runnel::run([] {
    reload_under_load();
    a_list_that_is_read_while_it_changes();
  });
}
