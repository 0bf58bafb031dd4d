// A routing table that every request reads, and that is replaced now and then.
#include <runnel/lockfree/hazard_pointer.hpp>
#include <runnel/runnel.hpp>

#include <atomic>
#include <cstdio>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>

namespace {

struct routes : runnel::hazard_pointer_obj_base<routes> {
  explicit routes(std::map<std::string, int> p) : ports(std::move(p)) {}
  const std::map<std::string, int> ports;
};

class router {
 public:
  ~router() { delete current_.load(); }

  /// Writes nothing that others read: any number of processors look up at the same time.
  int port(const std::string& host) const {
    runnel::hazard_pointer h = runnel::make_hazard_pointer();
    const routes* const now = h.protect(current_);  // stays until h ends
    const auto at = now->ports.find(host);
    return at == now->ports.end() ? 0 : at->second;
  }
  void replace(std::map<std::string, int> ports) {
    routes* const old = current_.exchange(new routes(std::move(ports)));
    old->retire();  // deleted once nobody protects it
  }

 private:
  std::atomic<routes*> current_{new routes({})};
};

}  // namespace

int main() {
  return runnel::run([] {
    router r;
    r.replace({{"a", 80}, {"b", 81}});
    runnel::with_task_group([&](runnel::task_group& group) {
      for (int i = 0; i < 4; ++i)
        group.go([&] {
          for (int n = 0; n < 1000; ++n)
            if (const int p = r.port("a"); p != 80 && p != 90) throw std::logic_error("a table that never was");
        });
      group.go([&] { r.replace({{"a", 90}, {"b", 91}}); });
    });
    std::printf("a: %d, b: %d\n", r.port("a"), r.port("b"));
    runnel::hazard_pointer_clean_up();
  });
}
