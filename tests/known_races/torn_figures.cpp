// Figures that belong together are read while another fiber writes them one after the other.
#include <runnel/go.hpp>

namespace {
struct {
  int requests = 0, errors = 0;
} totals;
}  // namespace

int main() {
  return runnel::run([] {
    auto writer = runnel::go([] {
      ++totals.requests;
      ++totals.errors;
    });
    auto reader = runnel::go([] { return totals.requests - totals.errors; });
    writer.get();
    static_cast<void>(reader.get());
  });
}
