// shared_mutex and its variants: exclusion, order, and nobody waits for ever.
#include "around/around.hpp"
#include "checker/expect.hpp"

#include <runnel/sync/reader_preferring_shared_mutex.hpp>
#include <runnel/sync/scalable_shared_mutex.hpp>
#include <runnel/sync/shared_mutex.hpp>

#include <memory>

namespace {

using model::bounds;
using model::check;
using model::expect_passes;
using model::explore;

constexpr runnel::time_point soon{std::chrono::nanoseconds(1000)};

template <class Lock>
class shared_lock : public ::testing::Test {};
using locks = ::testing::Types<runnel::shared_mutex, runnel::reader_preferring_shared_mutex, runnel::scalable_shared_mutex>;
TYPED_TEST_SUITE(shared_lock, locks);

template <class Lock>
void write(Lock& m, int& shared) {
  m.lock();
  ++shared;
  m.unlock();
}
template <class Lock>
int read(Lock& m, const int& shared) {
  m.lock_shared();
  const int seen = shared;
  m.unlock_shared();
  return seen;
}

TYPED_TEST(shared_lock, a_writer_and_a_reader_exclude_each_other) {
  int outcomes = 0;
  expect_passes(explore(bounds{3, 2}, [&] {
    around::world w;
    TypeParam m;
    int shared = 0;
    model::thread t([&] { write(m, shared); });
    outcomes |= 1 << read(m, shared);
    t.join();
    check(read(m, shared) == 1, "the update is seen");
  }));
  EXPECT_EQ(outcomes, 3);
}

TYPED_TEST(shared_lock, two_writers_and_a_reader_and_none_is_left_waiting) {
  expect_passes(explore(bounds{2, 1}, [] {
    around::world w;
    TypeParam m;
    int shared = 0;
    model::thread a([&] { write(m, shared); });
    model::thread b([&] { static_cast<void>(read(m, shared)); });
    write(m, shared);
    a.join(), b.join();
    check(shared == 2, "an update was lost");
  }));
}

TYPED_TEST(shared_lock, two_readers_and_a_writer_and_none_is_left_waiting) {
  expect_passes(explore(bounds{2, 1}, [] {
    around::world w;
    TypeParam m;
    int shared = 0;
    model::thread a([&] { static_cast<void>(read(m, shared)); });
    model::thread b([&] { static_cast<void>(read(m, shared)); });
    write(m, shared);
    a.join(), b.join();
    check(shared == 1, "an update was lost");
  }));
}

TYPED_TEST(shared_lock, a_writer_that_gives_up_lets_the_readers_through) {
  int outcomes = 0;
  expect_passes(explore(bounds{2, 1}, [&] {
    around::world w;
    TypeParam m;
    int shared = 0;
    m.lock_shared();
    model::thread writer([&] {
      if (!m.try_lock_until(soon)) return;
      ++shared;
      m.unlock();
    });
    model::thread reader([&] { static_cast<void>(read(m, shared)); });
    if (std::is_same_v<TypeParam, runnel::reader_preferring_shared_mutex>) {
      reader.join();
      m.unlock_shared();
    } else {
      m.unlock_shared();
      reader.join();
    }
    writer.join();
    outcomes |= 1 << shared;
  }));
  EXPECT_EQ(outcomes, 3);
}

TYPED_TEST(shared_lock, a_reader_may_be_ended_by_another) {
  expect_passes(explore(bounds{3, 2}, [] {
    around::world w;
    TypeParam m;
    int shared = 0;
    m.lock_shared();
    const int before = shared;
    model::thread other([&] { m.unlock_shared(); });
    write(m, shared);
    other.join();
    check(before == 0 && shared == 1, "in this order");
  }));
}

TYPED_TEST(shared_lock, a_writer_becomes_a_reader_and_nobody_writes_in_between) {
  expect_passes(explore(bounds{2, 1}, [] {
    around::world w;
    TypeParam m;
    int shared = 0;
    model::thread other([&] { write(m, shared); });
    m.lock();
    const int mine = ++shared;
    m.unlock_and_lock_shared();
    check(shared == mine, "still as it was written");
    m.unlock_shared();
    other.join();
    check(shared == 2, "an update was lost");
  }));
}

TYPED_TEST(shared_lock, who_looks_without_waiting_sees_what_was_written) {
  expect_passes(explore(bounds{3, 2}, [] {
    around::world w;
    TypeParam m;
    int shared = 0;
    model::thread writer([&] { write(m, shared); });
    if (m.try_lock_shared()) {
      check(shared == 0 || shared == 1, "not in between");
      m.unlock_shared();
    }
    if (m.try_lock()) {
      ++shared;
      m.unlock();
    }
    writer.join();
  }));
}

TYPED_TEST(shared_lock, who_has_it_last_may_destroy_it) {
  expect_passes(explore(bounds{3, 2}, [] {
    around::world w;
    auto m = std::make_unique<TypeParam>();
    m->lock_shared();
    model::thread reader([one = m.get()] { one->unlock_shared(); });
    m->lock();
    m->unlock();
    m.reset();
    reader.join();
  }));
}

}  // namespace
