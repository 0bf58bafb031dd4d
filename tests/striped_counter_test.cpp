// striped_counter, and cache_padded, of which it is made.
#include "support/fixture.hpp"

#include <runnel/sync/striped_counter.hpp>

#include <array>
#include <limits>
#include <string>
#include <thread>
#include <vector>

namespace runnel::test {
namespace {

class striped_counter_laws : public behaviour {};
RUNNEL_EVERY_CALLER(striped_counter_laws);

TEST_P(striped_counter_laws, no_addition_is_lost) {
  in_runtime([] {
    striped_counter c;
    const auto each = static_cast<std::int64_t>(scaled(20'000));
    std::vector<party> parties;
    for (int n = 0; n < 4; ++n) {
      parties.push_back(start([&] {
        for (std::int64_t i = 0; i < each; ++i) {
          c.add(3);
          if (i % 64 == 0) yield();
          c.add(-2);
        }
      }));
    }
    std::thread outside([&] {
      for (std::int64_t i = 0; i < each; ++i) c.add();
    });
    for (party& p : parties) p.join();
    outside.join();
    EXPECT_EQ(c.sum(), 5 * each);
  });
}

TEST_P(striped_counter_laws, it_wraps_instead_of_overflowing) {
  in_runtime([] {
    striped_counter c;
    c.add(std::numeric_limits<std::int64_t>::max());
    c.add(1);
    EXPECT_EQ(c.sum(), std::numeric_limits<std::int64_t>::min());
  });
}

TEST(cache_padded, neighbours_share_no_line_and_the_value_is_made_in_place) {
  std::array<cache_padded<char>, 2> two;
  EXPECT_GE(reinterpret_cast<std::uintptr_t>(&*two[1]) - reinterpret_cast<std::uintptr_t>(&*two[0]), 128u);
  cache_padded<std::string> s(std::in_place, 3u, 'x');
  EXPECT_EQ(*s, "xxx");
  EXPECT_EQ(s->size(), 3u);
  const cache_padded<int> seven(7);
  EXPECT_EQ(*seven, 7);
}

}  // namespace
}  // namespace runnel::test
