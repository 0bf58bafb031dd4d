// shared_mutex and its variants: who comes in while others wait.
#include "support/fixture.hpp"

#include <runnel/sync/reader_preferring_shared_mutex.hpp>
#include <runnel/sync/scalable_shared_mutex.hpp>
#include <runnel/sync/shared_mutex.hpp>

#include <atomic>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class rwmutex_conformance : public behaviour {};
RUNNEL_EVERY_CALLER(rwmutex_conformance);

/// Runs f(lock) with a fresh lock of each kind.
template <class F>
void with_each_fair_lock(F f) {
  shared_mutex one;
  f(one);
  scalable_shared_mutex other;
  f(other);
}
template <class F>
void with_each_lock(F f) {
  with_each_fair_lock(f);
  reader_preferring_shared_mutex m;
  f(m);
}

TEST_P(rwmutex_conformance, rwmutex_02_a_writer_waits_until_every_lock_of_a_reader_is_released) {
  in_runtime([this] {
    with_each_lock([this](auto& m) {
      for (std::size_t round = scaled(10); round-- > 0;) {
        std::atomic<bool> written{false};
        std::shared_lock first(m);
        std::shared_lock second(m);
        auto writer = start([&] {
          const std::unique_lock lock(m);
          written = true;
        });
        until_waiting(1);
        first.unlock();
        until_waiting(1);
        EXPECT_FALSE(written);
        second.unlock();
        writer.join();
        EXPECT_TRUE(written);
      }
    });
  });
}

TEST_P(rwmutex_conformance, rwmutex_02_neighbour_a_reader_locks_again_behind_a_waiting_writer_only_where_readers_are_preferred) {
  in_runtime([this] {
    reader_preferring_shared_mutex m;
    std::shared_lock first(m);
    auto writer = start([&] { const std::unique_lock lock(m); });
    until_waiting(1);
    std::shared_lock second(m);
    EXPECT_TRUE(second.owns_lock());
    first.unlock();
    second.unlock();
    writer.join();
    with_each_fair_lock([this](auto& fair) {
      std::shared_lock one(fair);
      auto waits = start([&] { const std::unique_lock lock(fair); });
      until_waiting(1);
      EXPECT_FALSE(fair.try_lock_shared_for(1ms));
      one.unlock();
      waits.join();
    });
  });
}

TEST_P(rwmutex_conformance, rwmutex_04_a_newcomer_reads_before_a_waiting_writer_only_where_readers_are_preferred) {
  in_runtime([this] {
    const auto enters = [this](auto& m) {
      m.lock_shared();
      auto writer = start([&] { const std::unique_lock lock(m); });
      until_waiting(1);
      bool entered = false;
      start([&] {
        entered = m.try_lock_shared();
        if (entered) m.unlock_shared();
      }).join();
      m.unlock_shared();
      writer.join();
      return entered;
    };
    reader_preferring_shared_mutex readers_first;
    EXPECT_TRUE(enters(readers_first));
    with_each_fair_lock([&](auto& m) { EXPECT_FALSE(enters(m)); });
  });
}

TEST_P(rwmutex_conformance, rwmutex_04_neighbour_readers_and_writers_take_turns) {
  in_runtime([this] {
    with_each_lock([this](auto& m) {
      mutex guards;
      std::string order;
      const auto note = [&](char c) {
        const std::scoped_lock lock(guards);
        order += c;
      };
      m.lock();
      std::vector<party> parties;
      for (const char who : std::string("rwrw")) {
        parties.push_back(start([&, who] {
          if (who == 'w') {
            const std::unique_lock lock(m);
            note('w');
          } else {
            const std::shared_lock lock(m);
            note('r');
          }
        }));
        until_waiting(parties.size());
      }
      m.unlock();
      for (party& p : parties) p.join();
      EXPECT_EQ(order, "rrww") << "all readers that wait, then the writers";
    });
  });
}

TEST_P(rwmutex_conformance, rwmutex_06_a_writer_that_becomes_a_reader_lets_nobody_write_before_it_has_read) {
  in_runtime([this] {
    with_each_lock([this](auto& m) {
      int value = 0;
      m.lock();
      value = 1;
      auto writer = start([&] {
        const std::unique_lock lock(m);
        EXPECT_EQ(value, 1);
        value = 2;
      });
      until_waiting(1);
      m.unlock_and_lock_shared();
      EXPECT_FALSE(m.try_lock());
      EXPECT_EQ(value, 1);
      m.unlock_shared();
      writer.join();
      const std::shared_lock lock(m);
      EXPECT_EQ(value, 2);
    });
  });
}

TEST_P(rwmutex_conformance, rwmutex_06_neighbour_readers_that_wait_read_beside_who_became_a_reader) {
  in_runtime([this] {
    with_each_lock([this](auto& m) {
      m.lock();
      auto reader = start([&] { const std::shared_lock lock(m); });
      until_waiting(1);
      auto writer = start([&] { const std::unique_lock lock(m); });
      until_waiting(2);
      m.unlock_and_lock_shared();
      reader.join();
      EXPECT_FALSE(m.try_lock());
      m.unlock_shared();
      writer.join();
      EXPECT_TRUE(m.try_lock());
      m.unlock();
    });
  });
}

TEST_P(rwmutex_conformance, rwmutex_08_a_thousand_readers_are_in_and_the_writer_waits_for_the_last) {
  in_runtime([this] {
    with_each_lock([this](auto& m) {
      constexpr int readers = 1'024;
      for (int i = 0; i < readers; ++i) ASSERT_TRUE(m.try_lock_shared());
      auto writer = start([&] { const std::unique_lock lock(m); });
      until_waiting(1);
      for (int i = 0; i < readers - 1; ++i) m.unlock_shared();
      until_waiting(1);
      EXPECT_FALSE(m.try_lock());
      m.unlock_shared();
      writer.join();
      EXPECT_TRUE(m.try_lock());
      m.unlock();
    });
  });
}

TEST_P(rwmutex_conformance, rwmutex_08_neighbour_readers_that_come_and_go_anywhere_never_add_up_to_a_writer) {
  in_runtime([] {
    with_each_lock([](auto& m) {
      int value = 0;
      std::vector<party> parties;
      for (int n = 0; n < 6; ++n) {
        parties.push_back(start([&, n] {
          for (std::size_t i = scaled(500); i-- > 0;) {
            if (n == 0) {
              const std::unique_lock lock(m);
              ++value;
            } else {
              const std::shared_lock lock(m);
              const int seen = value;
              if (i % 8 == 0) yield();  // and perhaps go on elsewhere
              EXPECT_EQ(value, seen);
            }
          }
        }));
      }
      for (party& p : parties) p.join();
      EXPECT_EQ(value, static_cast<int>(scaled(500)));
    });
  });
}

}  // namespace
}  // namespace runnel::test
