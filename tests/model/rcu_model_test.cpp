// RCU: nobody reads what was freed, a grace period waits for who began before it, and whoever waits for one is woken.
#include "around/around.hpp"
#include "checker/expect.hpp"

#include "lockfree/rcu_state.hpp"

#include <runnel/base/heavy_fence.hpp>
#include <runnel/lockfree/rcu.hpp>

#include <cstdlib>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

namespace {

using model::bounds;
using model::check;
using model::expect_passes;
using model::explore;
using runnel::rcu_barrier;
using runnel::rcu_default_domain;
using runnel::rcu_synchronize;
using runnel::detail::rcu_reader;
using runnel::detail::rcu_state;
using runnel::detail::the_rcu;
namespace order = runnel::shim::order;

/// A world with a domain of its own, which its end gives back.
struct domain_world : around::world {
  explicit domain_world(std::int64_t patience_ns = std::numeric_limits<std::int64_t>::max()) {
    ::new (static_cast<void*>(&the_rcu())) rcu_state;
    // relaxed: nothing runs yet
    runnel::detail::rcu_patience_ns.store(patience_ns, order::relaxed);
  }
  ~domain_world() {
    the_rcu().for_each_reader([&](rcu_reader& r) { used.push_back(&r); });
    the_rcu().~rcu_state();
    for (rcu_reader* r : used) r->~rcu_reader(), std::free(r);
  }
  std::vector<rcu_reader*> used;
};

/// What readers look at: a freed one fails as a use of freed memory.
struct object {
  explicit object(int v) : value(v) {}
  int value;
};

using pointer = runnel::shim::atomic<object*>;

int read(const pointer& p) {
  const std::scoped_lock section(rcu_default_domain());
  return p.load(order::acquire)->value;  // acquire: pairs with replace()
}
/// The old one, which readers may still have.
std::unique_ptr<object> replace(pointer& p, int v) {
  // acq_rel: publishes the new one, and takes over the old one
  return std::unique_ptr<object>(p.exchange(new object(v), order::acq_rel));
}
void end(pointer& p) { delete p.load(order::acquire); }  // acquire: after its last writer

TEST(rcu, a_reader_sees_the_old_one_or_the_new_one_and_never_a_freed_one) {
  expect_passes(explore(bounds{3, 3}, [] {
    domain_world w;
    pointer p(new object(1));
    model::thread reader([&] {
      const int v = read(p);
      check(v == 1 || v == 2, "torn");
    });
    const auto old = replace(p, 2);
    rcu_synchronize();
    old->value = 3;  // races with a reader that still looks at it
    reader.join();
    end(p);
  }));
}

TEST(rcu, the_second_section_of_a_reader_is_no_reason_to_wait_and_none_to_forget_the_first) {
  expect_passes(explore(bounds{3, 3}, [] {
    domain_world w;
    pointer p(new object(1));
    model::thread reader([&] {
      const int first = read(p), second = read(p);
      check(first <= second && second <= 2, "backwards");
    });
    const auto old = replace(p, 2);
    rcu_synchronize();
    old->value = 3;
    reader.join();
    end(p);
  }));
}

TEST(rcu, an_inner_section_ends_nothing) {
  expect_passes(explore(bounds{3, 3}, [] {
    domain_world w;
    pointer p(new object(1));
    model::thread reader([&] {
      const std::scoped_lock outer(rcu_default_domain());
      const object* const o = p.load(order::acquire);  // acquire: pairs with replace()
      check(read(p) >= o->value, "backwards");
      check(o->value <= 2, "freed");
    });
    const auto old = replace(p, 2);
    rcu_synchronize();
    old->value = 3;
    reader.join();
    end(p);
  }));
}

TEST(rcu, two_wait_at_the_same_time_and_each_for_its_own) {
  expect_passes(explore(bounds{2, 1}, [] {
    domain_world w;
    pointer p(new object(1)), q(new object(1));
    model::thread reader([&] {
      const std::scoped_lock section(rcu_default_domain());
      // acquire: pairs with replace()
      check(p.load(order::acquire)->value + q.load(order::acquire)->value <= 4, "freed");
    });
    model::thread other([&] {
      const auto old = replace(q, 2);
      rcu_synchronize();
      old->value = 10;
    });
    const auto old = replace(p, 2);
    rcu_synchronize();
    old->value = 10;
    reader.join(), other.join();
    end(p), end(q);
  }));
}

TEST(rcu, of_two_readers_the_last_one_wakes) {
  expect_passes(explore(bounds{2, 1}, [] {
    domain_world w;
    pointer p(new object(1));
    model::thread first([&] { check(read(p) <= 2, "freed"); });
    model::thread second([&] { check(read(p) <= 2, "freed"); });
    const auto old = replace(p, 2);
    rcu_synchronize();
    old->value = 3;
    first.join(), second.join();
    end(p);
  }));
}

TEST(rcu, without_a_heavy_fence_both_sides_execute_one_of_their_own) {
  runnel::detail::heavy_fence_forbidden = true;
  expect_passes(explore(bounds{3, 3}, [] {
    domain_world w;
    pointer p(new object(1));
    model::thread reader([&] {
      check(read(p) <= 2, "freed");
      check(read(p) <= 2, "freed");
    });
    const auto old = replace(p, 2);
    rcu_synchronize();
    old->value = 3;
    reader.join();
    end(p);
  }));
  runnel::detail::heavy_fence_forbidden = false;
}

TEST(rcu, a_report_of_a_long_section_takes_nothing_with_it) {
  expect_passes(explore(bounds{2, 1}, [] {
    domain_world w(1);
    around::allow_reports();
    pointer p(new object(1));
    model::thread reader([&] { check(read(p) <= 2, "freed"); });
    const auto old = replace(p, 2);
    rcu_synchronize();
    old->value = 3;
    reader.join();
    end(p);
  }));
}

/// Deleted after a grace period: what readers look at then would be freed memory.
struct linked : runnel::rcu_obj_base<linked> {
  explicit linked(int v) : value(v) {}
  ~linked() { value = 10; }
  int value;
};

TEST(rcu, what_is_retired_is_deleted_when_no_reader_has_it) {
  expect_passes(explore(bounds{2, 1}, [] {
    domain_world w;
    runnel::shim::atomic<linked*> p(new linked(0));
    model::thread reader([&] {
      const std::scoped_lock section(rcu_default_domain());
      check(p.load(order::acquire)->value <= 3, "freed");  // acquire: pairs with the exchange
    });
    // acq_rel: publishes the new one, and takes over the old one
    for (int v = 1; v <= 3; ++v) p.exchange(new linked(v), order::acq_rel)->retire();
    reader.join();
    rcu_barrier();
    delete p.load(order::relaxed);  // relaxed: nobody else is left
  }));
}

TEST(rcu, a_barrier_waits_for_what_others_delete) {
  expect_passes(explore(bounds{2, 1}, [] {
    domain_world w;
    int ended = 0;  // not atomic: the barrier orders it
    const auto note_end = [&ended](int*) { ++ended; };
    int objects[2];
    runnel::shim::atomic<bool> retired(false);
    model::thread other([&] {
      runnel::rcu_retire(&objects[0], note_end);
      retired.store(true, order::release);  // release: what was retired before is retired before the barrier
      runnel::rcu_retire(&objects[1], note_end);
    });
    if (retired.load(order::acquire)) {  // acquire: as said
      rcu_barrier();
      other.join();
      rcu_barrier();
      check(ended == 2, "not deleted");
    } else {
      other.join();
      rcu_barrier();
      check(ended == 2, "not deleted");
    }
  }));
}

TEST(rcu, two_barriers_do_not_wait_for_each_other) {
  expect_passes(explore(bounds{2, 1}, [] {
    domain_world w;
    int ended = 0;
    int object = 0;
    runnel::rcu_retire(&object, [&ended](int*) { ++ended; });
    model::thread other([&] {
      rcu_barrier();
      check(ended == 1, "not deleted");
    });
    rcu_barrier();
    check(ended == 1, "not deleted");
    other.join();
  }));
}

TEST(rcu, what_a_thread_leaves_is_deleted_by_another_and_its_record_used_again) {
  expect_passes(explore(bounds{2, 1}, [] {
    domain_world w;
    int ended = 0;
    int objects[3];
    const auto note_end = [&ended](int*) { ++ended; };
    {
      model::thread leaves([&] {
        runnel::rcu_retire(&objects[0], note_end);
        around::end_thread();
      });
      model::thread reads([&] {
        { const std::scoped_lock section(rcu_default_domain()); }
        around::end_thread();
      });
      runnel::rcu_retire(&objects[1], note_end);
    }
    runnel::rcu_retire(&objects[2], note_end);
    rcu_barrier();
    check(ended == 3, "not deleted");
    int records = 0;
    the_rcu().for_each_reader([&](rcu_reader&) { ++records; });
    check(records <= 3, "not used again");
  }));
}

TEST(rcu, a_cell_loses_no_update_and_its_readers_see_whole_values) {
  expect_passes(explore(bounds{2, 1}, [] {
    domain_world w;
    runnel::rcu<std::pair<int, int>> cell({0, 0});
    model::thread writer([&] { cell.update([](const auto& v) { return std::pair(v.first + 1, v.second + 1); }); });
    model::thread reader([&] {
      const auto v = cell.read();
      check(v->first == v->second, "torn");
    });
    cell.update([](const auto& v) { return std::pair(v.first + 2, v.second + 2); });
    writer.join(), reader.join();
    check(cell.load().first == 3, "lost");
    rcu_barrier();
  }));
}

TEST(rcu, a_store_frees_what_another_has_stored) {
  expect_passes(explore(bounds{2, 1}, [] {
    domain_world w;
    runnel::rcu<int> cell(0);
    model::thread writer([&] {
      cell.store(1);
      cell.store(2);
    });
    cell.store(3);
    cell.store(4);
    writer.join();
    rcu_barrier();
  }));
}

}  // namespace
