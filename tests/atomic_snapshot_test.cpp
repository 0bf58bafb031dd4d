// atomic_snapshot: complete values, no lost updates, old ones end outside the lock.
#include "support/fixture.hpp"

#include <runnel/sync/atomic_snapshot.hpp>

#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

namespace runnel::test {
namespace {

class atomic_snapshot_laws : public behaviour {};
RUNNEL_EVERY_CALLER(atomic_snapshot_laws);

struct figures {
  int requests = 0, errors = 0;
};

TEST_P(atomic_snapshot_laws, no_value_is_torn_and_no_update_lost) {
  in_runtime([] {
    atomic_snapshot<figures> s;
    const int each = static_cast<int>(scaled(1'000));
    std::atomic<bool> over{false};
    std::vector<party> parties;
    for (int n = 0; n < 2; ++n) {
      parties.push_back(start([&] {
        for (int i = 0; i < each; ++i) s.update([](figures f) { return figures{f.requests + 2, f.errors + 1}; });
      }));
    }
    auto reader = start([&] {
      int last = 0;
      while (!over) {
        const auto f = s.load();
        EXPECT_EQ(f->requests, 2 * f->errors);
        EXPECT_GE(f->errors, last);
        last = f->errors;
        yield();
      }
    });
    for (party& p : parties) p.join();
    over = true;
    reader.join();
    EXPECT_EQ(s.load()->errors, 2 * each);
  });
}

TEST_P(atomic_snapshot_laws, a_snapshot_stays_as_it_was_and_lives_as_long_as_it_is_kept) {
  in_runtime([] {
    atomic_snapshot<std::string> s("old");
    const auto kept = s.load();
    s.store("new");
    EXPECT_EQ(*kept, "old");
    EXPECT_EQ(*s.load(), "new");
    EXPECT_EQ(kept.use_count(), 1);
  });
}

TEST_P(atomic_snapshot_laws, an_update_that_throws_changes_nothing) {
  in_runtime([] {
    atomic_snapshot<int> s(1);
    EXPECT_THROW(s.update([](int) -> int { throw std::runtime_error("no"); }), std::runtime_error);
    EXPECT_EQ(*s.load(), 1);
    EXPECT_EQ(*s.update([](int v) { return v + 1; }), 2);
  });
}

TEST_P(atomic_snapshot_laws, the_end_of_an_old_value_may_use_the_snapshot) {
  struct nosy {
    explicit nosy(atomic_snapshot<nosy>** w) : where(w) {}
    nosy(nosy&& o) noexcept : where(std::exchange(o.where, nullptr)) {}
    ~nosy() {
      if (where && *where) {
        EXPECT_TRUE((*where)->load());
      }
    }
    atomic_snapshot<nosy>** where;
  };
  in_runtime([] {
    atomic_snapshot<nosy>* place = nullptr;
    atomic_snapshot<nosy> s{nosy(&place)};
    place = &s;
    s.store(nosy(&place));
    s.update([&](const nosy&) { return nosy(&place); });
    place = nullptr;
  });
}

}  // namespace
}  // namespace runnel::test
