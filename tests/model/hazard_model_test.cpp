// Hazard pointers and the stack: nothing is reclaimed while it is in use, everything is when it is not.
#include "around/around.hpp"
#include "checker/expect.hpp"

#include <runnel/base/heavy_fence.hpp>
#include <runnel/detail/stack_core.hpp>
#include <runnel/lockfree/hazard_pointer.hpp>

#include <array>
#include <optional>
#include <utility>

namespace {

using model::bounds;
using model::check;
using model::expect_passes;
using model::explore;
using runnel::hazard_pointer;
using runnel::hazard_pointer_clean_up;
using runnel::make_hazard_pointer;

namespace order = runnel::shim::order;
template <class T>
using atomic = runnel::shim::atomic<T>;

/// Its end is a write to all of it: a race with who still reads it.
struct object : runnel::hazard_pointer_obj_base<object> {
  explicit object(int v) noexcept : value(v) { count(1); }
  ~object() {
    value = 0;
    count(-1);
  }
  int value;
  // relaxed: read when all is over
  static void count(int n) noexcept { alive.fetch_add(n, order::relaxed); }
  static int left() noexcept { return alive.load(order::relaxed); }
  static inline atomic<int> alive{0};
};

/// On machines with a heavy fence, and without.
template <class Program>
void expect_passes_everywhere(const bounds& b, Program program) {
  for (const bool forbidden : {false, true}) {
    runnel::detail::heavy_fence_forbidden = forbidden;
    expect_passes(explore(b, [&] {
      around::world w;
      around::hazards h;
      program();
    }));
  }
  runnel::detail::heavy_fence_forbidden = false;
}

TEST(hazard, what_is_protected_is_not_reclaimed) {
  expect_passes_everywhere(bounds{2, 2}, [] {
    atomic<object*> src(new object(1));
    model::thread reader([&] {
      hazard_pointer h = make_hazard_pointer();
      const object* o = h.protect(src);
      check(o->value == 1 || o->value == 2, "read while it is there, and all of it");
    });
    // acq_rel: publishes the new object, and takes the old one over
    src.exchange(new object(2), order::acq_rel)->retire();
    hazard_pointer_clean_up();
    reader.join();
    hazard_pointer_clean_up();
    check(object::left() == 1, "the old one is gone when nobody protects it");
    delete src.load(order::relaxed);  // relaxed: all is over
  });
}

TEST(hazard, the_next_protection_ends_the_last_one_no_earlier_than_its_use) {
  expect_passes_everywhere(bounds{2, 2}, [] {
    atomic<object*> src(new object(1));
    object other(2);
    model::thread reader([&] {
      hazard_pointer h = make_hazard_pointer();
      if (const object* o = h.protect(src)) check(o->value == 1, "read");
      h.reset_protection(&other);
    });
    if (object* o = src.exchange(nullptr, order::acq_rel)) o->retire();  // acq_rel: as above
    hazard_pointer_clean_up();
    reader.join();
    hazard_pointer_clean_up();
    check(object::left() == 1, "the other one");
  });
}

TEST(hazard, a_second_protect_ends_the_first_no_earlier_than_its_use) {
  expect_passes_everywhere(bounds{2, 2}, [] {
    atomic<object*> src(new object(1));
    object second(2);
    atomic<object*> other(&second);
    model::thread reader([&] {
      hazard_pointer h = make_hazard_pointer();
      if (const object* o = h.protect(src)) check(o->value == 1, "read");
      check(h.protect(other)->value == 2, "read");
    });
    if (object* o = src.exchange(nullptr, order::acq_rel)) o->retire();  // acq_rel: as above
    hazard_pointer_clean_up();
    reader.join();
  });
}

TEST(hazard, a_protection_goes_to_another_thread_with_its_hazard_pointer) {
  expect_passes_everywhere(bounds{2, 1}, [] {
    atomic<object*> src(new object(1));
    hazard_pointer handed;
    atomic<bool> there(false);
    model::thread second([&] {
      if (!there.load(order::acquire)) return;  // acquire: pairs with the store below
      const hazard_pointer mine = std::move(handed);
      check(src.load(order::relaxed) == nullptr || !mine.empty(), "moved");  // relaxed: nothing is read through it
    });
    model::thread first([&] {
      hazard_pointer h = make_hazard_pointer();
      const object* o = h.protect(src);
      check(!o || o->value == 1, "read");
      handed = std::move(h);
      there.store(true, order::release);  // release: hands `handed` over
    });
    if (object* o = src.exchange(nullptr, order::acq_rel)) o->retire();  // acq_rel: as above
    hazard_pointer_clean_up();
    first.join(), second.join();
    handed = {};
    hazard_pointer_clean_up();
    check(object::left() == 0, "gone");
  });
}

TEST(hazard, a_moved_hazard_pointer_protects_what_its_new_owner_reads) {
  expect_passes_everywhere(bounds{2, 1}, [] {
    atomic<object*> src(new object(1));
    hazard_pointer h = make_hazard_pointer();
    const object* o = h.protect(src);
    model::thread reader([&] {
      const hazard_pointer mine = std::move(h);
      check(o->value == 1, "read elsewhere");
    });
    src.exchange(nullptr, order::acq_rel)->retire();  // acq_rel: as above
    hazard_pointer_clean_up();
    reader.join();
    hazard_pointer_clean_up();
    check(object::left() == 0, "gone");
  });
}

TEST(hazard, what_a_thread_that_ends_has_retired_is_reclaimed_by_others) {
  expect_passes_everywhere(bounds{2, 2}, [] {
    atomic<object*> src(new object(1));
    model::thread writer([&] {
      if (object* o = src.exchange(nullptr, order::acq_rel)) o->retire();  // acq_rel: as above
      around::end_thread();
    });
    {
      hazard_pointer h = make_hazard_pointer();
      const object* o = h.protect(src);
      check(!o || o->value == 1, "read");
    }
    hazard_pointer_clean_up();
    writer.join();
    hazard_pointer_clean_up();
    check(object::left() == 0, "gone");
  });
}

TEST(hazard, two_threads_that_end_leave_all_that_they_had) {
  expect_passes_everywhere(bounds{2, 2}, [] {
    atomic<object*> a(new object(1)), b(new object(2));
    hazard_pointer h = make_hazard_pointer(), i = make_hazard_pointer();
    check(h.protect(a)->value == 1 && i.protect(b)->value == 2, "read");
    const auto retire_one = [](atomic<object*>& src) {
      src.exchange(nullptr, order::acq_rel)->retire();  // acq_rel: as above
      around::end_thread();
    };
    model::thread first([&] { retire_one(a); });
    model::thread second([&] { retire_one(b); });
    first.join(), second.join();
    check(object::left() == 2, "both are protected");
    h.reset_protection(), i.reset_protection();
    hazard_pointer_clean_up();
    check(object::left() == 0, "both are found");
  });
}

TEST(hazard, a_slot_has_one_owner_whoever_had_it_before) {
  expect_passes_everywhere(bounds{1, 1}, [] {
    atomic<object*> src(new object(1));
    const auto reads = [&] {
      {
        hazard_pointer h = make_hazard_pointer();
        const object* o = h.protect(src);
        check(!o || o->value == 1, "read");
      }
      around::end_thread();
    };
    model::thread first(reads);
    model::thread second(reads);
    if (object* o = src.exchange(nullptr, order::acq_rel)) o->retire();  // acq_rel: as above
    hazard_pointer_clean_up();
    first.join(), second.join();
    hazard_pointer_clean_up();
    check(object::left() == 0, "gone");
  });
}

TEST(hazard, the_retire_that_reaches_the_limit_reclaims) {
  expect_passes_everywhere(bounds{2, 1}, [] {
    atomic<object*> src(new object(1));
    model::thread reader([&] {
      hazard_pointer h = make_hazard_pointer();
      check(h.protect(src)->value != 0, "read");
    });
    for (int i = 2; i <= 3; ++i) src.exchange(new object(i), order::acq_rel)->retire();  // acq_rel: as above
    check(object::left() <= 2, "at most the one that is protected is left, besides the new one");
    reader.join();
    hazard_pointer_clean_up();
    delete src.load(order::relaxed);  // relaxed: all is over
  });
}

// ---- the stack

struct element : runnel::detail::stack_node {
  int value = 0;
};

/// A stack of elements that are pushed once more when they are reclaimed, or counted.
struct recycled {
  static void put_back(runnel::detail::hazard_object& o) noexcept {
    auto& e = static_cast<element&>(static_cast<runnel::detail::stack_node&>(o));
    e.value += 10;
    core->push(e);
  }
  static inline runnel::detail::stack_core* core = nullptr;
};

TEST(stack, each_element_is_popped_once_and_what_came_before_its_push_is_seen) {
  expect_passes_everywhere(bounds{2, 1}, [] {
    runnel::detail::stack_core s;
    std::array<element, 3> all;
    std::array<int, 3> popped{};
    all[0].value = 1;
    s.push(all[0]);
    const auto pop = [&] {
      auto* e = static_cast<element*>(s.pop());
      if (!e) return 0;
      const int n = std::exchange(e->value, 0);
      retire(*e, [](runnel::detail::hazard_object&) noexcept {});
      return n;
    };
    model::thread pusher([&] {
      all[1].value = 2;
      s.push(all[1]);
    });
    model::thread popper([&] { popped[0] = pop(); });
    popped[1] = pop();
    pusher.join(), popper.join();
    popped[2] = pop();
    check(popped[0] + popped[1] + popped[2] == 3 && s.empty(), "each once");
    hazard_pointer_clean_up();
  });
}

TEST(stack, an_element_that_comes_back_is_not_taken_for_the_one_that_was_seen) {
  // One pops two elements, whose nodes are pushed again as soon as nobody protects them; the other has seen the first on top.
  expect_passes_everywhere(bounds{3, 1}, [] {
    runnel::detail::stack_core s;
    recycled::core = &s;
    std::array<element, 2> all;
    for (element& e : all) s.push(e);
    model::thread other([&] {
      if (auto* e = static_cast<element*>(s.pop())) e->value += 1;
    });
    auto* a = static_cast<element*>(s.pop());
    auto* b = static_cast<element*>(s.pop());
    check(a && a != b, "two nodes");
    retire(*a, &recycled::put_back);
    hazard_pointer_clean_up();
    if (b) b->value += 1;
    other.join();
    hazard_pointer_clean_up();
    int left = 0;
    for (auto* n = s.first(); n; n = n->next) check(++left <= 2, "a ring");
    check(left == (b ? 0 : 1) || left == 1, "lost or doubled");
  });
}

}  // namespace
