// RCU: a reader sees the old value or the new one and never a freed one; grace periods wait for whoever began before them.
#include "support/fixture.hpp"

#include <runnel/lockfree/rcu.hpp>

#include <atomic>
#include <mutex>
#include <stdexcept>
#include <string>

namespace runnel::test {
namespace {

class rcu_laws : public behaviour {};
RUNNEL_EVERY_CALLER(rcu_laws);

TEST_P(rcu_laws, a_reader_sees_a_whole_value_and_no_update_is_lost) {
  in_runtime([] {
    struct figures {
      int requests = 0, errors = 0;
    };
    rcu<figures> cell;
    const int each = static_cast<int>(scaled(1'000));
    std::atomic<bool> over{false};
    std::vector<party> writers;
    for (int n = 0; n < 2; ++n)
      writers.push_back(start([&] {
        for (int i = 0; i < each; ++i) cell.update([](const figures& f) { return figures{f.requests + 2, f.errors + 1}; });
      }));
    auto reader = start([&] {
      for (int last = 0; !over; yield()) {
        const auto f = cell.read();
        EXPECT_EQ(f->requests, 2 * f->errors);
        EXPECT_GE(f->errors, last);
        last = f->errors;
      }
    });
    for (party& p : writers) p.join();
    over = true;
    reader.join();
    EXPECT_EQ(cell.load().errors, 2 * each);
    rcu_barrier();
  });
}

}  // namespace
}  // namespace runnel::test
