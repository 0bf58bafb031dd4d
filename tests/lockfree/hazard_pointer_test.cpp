// Hazard pointers: what is protected stays, what is not goes, and how much may wait.
#include "support/fixture.hpp"

#include <runnel/atomic.hpp>
#include <runnel/lockfree/hazard_pointer.hpp>
#include <runnel/sched/frame.hpp>
#include <runnel/sync/event.hpp>
#include <runnel/sync/mutex.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace runnel::test {
namespace {

class hazard_pointer_test : public behaviour {};
RUNNEL_EVERY_CALLER(hazard_pointer_test);

/// At most so many objects of one thread wait: twice as many as this program has hazard pointers at most. The exact bound:
/// conformance/lockfree_reclamation_conformance_test.cpp.
constexpr int bound = 2 * 4000;

/// Knows how many of its kind there are.
struct tracked : hazard_pointer_obj_base<tracked> {
  explicit tracked(int v = 0) : value(v) { ++live; }
  tracked(const tracked& o) : hazard_pointer_obj_base(o), value(o.value) { ++live; }
  tracked& operator=(const tracked&) = default;
  ~tracked() {
    value = -1;
    --live;
  }
  int value;
  static inline std::atomic<int> live{0};
};

static_assert(hazard_protectable<tracked> && hazard_protectable<const tracked> && !hazard_protectable<int>);
static_assert(std::is_nothrow_move_constructible_v<hazard_pointer> && !std::is_copy_constructible_v<hazard_pointer>);

TEST_P(hazard_pointer_test, an_object_stays_while_it_is_protected_and_goes_after) {
  in_runtime([] {
    std::atomic<tracked*> src{new tracked(1)};
    hazard_pointer h = make_hazard_pointer();
    EXPECT_FALSE(h.empty());
    tracked* const p = h.protect(src);
    ASSERT_EQ(p, src.load());
    src.exchange(nullptr)->retire();
    hazard_pointer_clean_up();
    EXPECT_EQ(p->value, 1);
    EXPECT_EQ(h.protect(src), nullptr) << "which ends the protection";
    hazard_pointer_clean_up();
    EXPECT_EQ(tracked::live, 0);
  });
}

TEST_P(hazard_pointer_test, each_way_to_end_a_protection_ends_it) {
  in_runtime([] {
    tracked other;
    const std::vector<std::function<void(hazard_pointer&)>> ways{
        [](hazard_pointer& h) { h.reset_protection(); },
        [](hazard_pointer& h) { h.reset_protection(static_cast<const tracked*>(nullptr)); },
        [&](hazard_pointer& h) { h.reset_protection(&other); },
        [](hazard_pointer& h) { h = hazard_pointer(); },
        [](hazard_pointer& h) { h = make_hazard_pointer(); },
        [](hazard_pointer& h) { const hazard_pointer ends = std::move(h); },
    };
    for (const auto& end : ways) {
      std::atomic<tracked*> src{new tracked(1)};
      hazard_pointer h = make_hazard_pointer();
      h.protect(src)->retire();
      hazard_pointer_clean_up();
      EXPECT_EQ(tracked::live, 2);
      end(h);
      hazard_pointer_clean_up();
      EXPECT_EQ(tracked::live, 1);
    }
  });
}

TEST_P(hazard_pointer_test, moving_and_swapping_take_the_protection_along) {
  in_runtime([] {
    std::array<std::atomic<tracked*>, 2> src{new tracked(1), new tracked(2)};
    hazard_pointer a = make_hazard_pointer(), b;
    EXPECT_TRUE(b.empty());
    a.protect(src[0])->retire();
    b = std::move(a);
    EXPECT_TRUE(a.empty());  // NOLINT: a moved-from one is empty
    a = make_hazard_pointer();
    a.protect(src[1])->retire();
    swap(a, b);
    a.swap(b);
    hazard_pointer& same = b;
    b = std::move(same);
    hazard_pointer_clean_up();
    EXPECT_EQ(tracked::live, 2);
    b = {};
    hazard_pointer_clean_up();
    EXPECT_EQ(tracked::live, 1) << "the one of a is left";
    EXPECT_EQ(src[1].load()->value, 2);
    a = {};
    hazard_pointer_clean_up();
    EXPECT_EQ(tracked::live, 0);
  });
}

TEST_P(hazard_pointer_test, try_protect_says_whether_the_pointer_was_still_the_same) {
  in_runtime([] {
    tracked one(1), two(2);
    std::atomic<tracked*> src{&two};
    hazard_pointer h = make_hazard_pointer();
    tracked* p = &one;
    EXPECT_FALSE(h.try_protect(p, src));
    EXPECT_EQ(p, &two) << "what it is now";
    EXPECT_TRUE(h.try_protect(p, src));
    src = nullptr;
    EXPECT_FALSE(h.try_protect(p, src));
    EXPECT_EQ(p, nullptr);
    EXPECT_TRUE(h.try_protect(p, src));
  });
}

TEST_P(hazard_pointer_test, the_source_may_be_an_atomic_of_the_library_and_the_pointer_one_to_const) {
  in_runtime([] {
    runnel::atomic<const tracked*> seen_by_explore{new tracked(1)};
    shim::atomic<tracked*> of_the_library{new tracked(2)};
    hazard_pointer a = make_hazard_pointer(), b = make_hazard_pointer();
    const tracked* p = a.protect(seen_by_explore);
    tracked* q = b.protect(of_the_library);
    const_cast<tracked*>(p)->retire();
    q->retire();
    hazard_pointer_clean_up();
    EXPECT_EQ(p->value + q->value, 3);
    a.reset_protection(), b.reset_protection();
    hazard_pointer_clean_up();
    EXPECT_EQ(tracked::live, 0);
  });
}

struct front {
  virtual ~front() = default;
  std::string text = "front";
};
struct with_bases : front, hazard_pointer_obj_base<with_bases> {
  ~with_bases() override { ++ended; }
  static inline int ended = 0;
};

TEST_P(hazard_pointer_test, the_base_need_not_be_the_first_one) {
  in_runtime([] {
    with_bases::ended = 0;
    std::atomic<with_bases*> src{new with_bases};
    hazard_pointer h = make_hazard_pointer();
    with_bases* const p = h.protect(src);
    p->retire();
    hazard_pointer_clean_up();
    EXPECT_EQ(p->text, "front");
    EXPECT_EQ(with_bases::ended, 0);
    h.reset_protection();
    hazard_pointer_clean_up();
    EXPECT_EQ(with_bases::ended, 1);
  });
}

struct given_back {
  void operator()(struct pooled_object* p) const;
  std::vector<pooled_object*>* pool = nullptr;
};
struct pooled_object : hazard_pointer_obj_base<pooled_object, given_back> {};
void given_back::operator()(pooled_object* p) const { pool->push_back(p); }

TEST_P(hazard_pointer_test, the_deleter_decides_and_the_object_may_be_retired_again_then) {
  in_runtime([] {
    std::vector<pooled_object*> pool;
    pooled_object o;
    for (int i = 0; i < 3; ++i) {
      o.retire({&pool});
      hazard_pointer_clean_up();
      EXPECT_EQ(pool, std::vector<pooled_object*>{&o});
      pool.clear();
    }
  });
}

TEST_P(hazard_pointer_test, a_copy_of_a_retired_object_is_not_retired) {
  in_runtime([] {
    std::atomic<tracked*> src{new tracked(1)};
    hazard_pointer h = make_hazard_pointer();
    tracked* const p = h.protect(src);
    p->retire();
    auto* const copy = new tracked(*p);
    *copy = *p;
    copy->retire();  // twice would end the process
    h.reset_protection();
    hazard_pointer_clean_up();
    EXPECT_EQ(tracked::live, 0);
  });
}

// ---- how much may wait

TEST_P(hazard_pointer_test, what_a_thread_has_retired_is_bounded) {
  in_runtime([] {
    std::atomic<tracked*> src{new tracked};
    hazard_pointer h = make_hazard_pointer();
    h.protect(src);
    for (int i = 0; i < 3 * bound; ++i) {
      src.exchange(new tracked(i))->retire();
      ASSERT_LE(tracked::live, 1 + bound);
    }
    delete src.load();
  });
}

TEST_P(hazard_pointer_test, the_bound_grows_with_the_hazard_pointers_and_all_that_they_protect_stay) {
  in_runtime([] {
    constexpr int holders = 1500;
    std::vector<hazard_pointer> h(holders);
    std::vector<tracked*> kept;
    for (int i = 0; i < holders; ++i) {
      std::atomic<tracked*> src{new tracked(i)};
      h[std::size_t(i)] = make_hazard_pointer();
      kept.push_back(h[std::size_t(i)].protect(src));
      kept.back()->retire();
    }
    for (int i = 0; i < 3 * bound; ++i) {
      (new tracked(i))->retire();
      ASSERT_LE(tracked::live, bound);
    }
    for (int i = 0; i < holders; ++i) ASSERT_EQ(kept[std::size_t(i)]->value, i);
    h.clear();
    hazard_pointer_clean_up();
    EXPECT_LE(tracked::live, bound) << "what others hold, if the fiber was on another worker meanwhile";
  });
  EXPECT_EQ(tracked::live, 0) << "when the threads have ended";
}

TEST_P(hazard_pointer_test, a_thread_that_ends_reclaims_and_leaves_what_is_protected_to_the_others) {
  in_runtime([] {
    std::atomic<tracked*> src{new tracked(1)};
    hazard_pointer h = make_hazard_pointer();
    tracked* const p = h.protect(src);
    std::thread([&] {
      p->retire();
      (new tracked)->retire();
    }).join();
    EXPECT_EQ(p->value, 1);
    EXPECT_EQ(tracked::live, 1);
    h.reset_protection();
    hazard_pointer_clean_up();
    EXPECT_EQ(tracked::live, 0);
  });
}

// ---- deleters

struct chained : hazard_pointer_obj_base<chained> {
  explicit chained(chained* n) : next(n) { ++live; }
  ~chained() {
    --live;
    if (!next) return;
    hazard_pointer h = make_hazard_pointer();
    h.reset_protection(next);
    next->retire();
  }
  chained* next;
  static inline int live = 0;
};

TEST_P(hazard_pointer_test, deleters_retire_and_do_not_nest) {
  in_runtime([] {
    chained* first = nullptr;
    for (std::size_t n = scaled(20'000); n > 0; --n) first = new chained(first);
    first->retire();
    hazard_pointer_clean_up();
    EXPECT_EQ(chained::live, 0);
  });
}

struct waits {
  void operator()(struct waited_for* p) const;
  event* go_on = nullptr;
};
struct waited_for : hazard_pointer_obj_base<waited_for, waits> {};
void waits::operator()(waited_for* p) const {
  go_on->wait();
  delete p;
}

TEST_P(hazard_pointer_test, a_deleter_may_wait_and_keeps_nobody_else_from_reclaiming) {
  in_runtime([] {
    event go_on;
    party slow = start([&] {
      (new waited_for)->retire({&go_on});
      hazard_pointer_clean_up();
    });
    for (int i = 0; i < 100; ++i) yield();
    for (int i = 0; i < 3 * bound; ++i) {
      (new tracked)->retire();
      EXPECT_LE(tracked::live, bound);
    }
    go_on.set();
    slow.join();
  });
}

TEST_P(hazard_pointer_test, a_deleter_that_waits_is_not_cancelled_with_whoever_retires) {
  in_runtime([] {
    event go_on;
    auto limited = derive_cancel(context::current());
    party canceled_one = start([&] {
      const context_scope scope(limited.ctx);
      limited.cancel.cancel();
      (new waited_for)->retire({&go_on});
      hazard_pointer_clean_up();
      EXPECT_THROW(this_fiber::checkpoint(), canceled) << "the shield is gone with the deleters";
    });
    for (int i = 0; i < 100; ++i) yield();
    go_on.set();
    canceled_one.join();
  });
}

TEST_P(hazard_pointer_test, deleters_run_outside_the_locks_of_the_library) {
  in_runtime([] {
    for (int i = 0; i < 3000; ++i) {
      struct uses_everything : hazard_pointer_obj_base<uses_everything> {
        ~uses_everything() {
          std::array<hazard_pointer, 20> some;
          for (hazard_pointer& h : some) h = make_hazard_pointer();
          hazard_pointer_clean_up();  // does nothing here
        }
      };
      (new uses_everything)->retire();
    }
  });
}

// ---- fibers and threads

TEST_P(hazard_pointer_test, it_may_be_held_across_waits_and_wherever_the_fiber_goes) {
  in_runtime([] {
    std::array<std::atomic<tracked*>, 4> cells;
    for (auto& c : cells) c = new tracked(1);
    std::atomic<bool> over{false};
    std::vector<party> parties;
    for (int n = 0; n < 8; ++n) {
      parties.push_back(start([&] {
        std::array<hazard_pointer, 4> h;
        std::array<tracked*, 4> p{};
        while (!over) {
          for (std::size_t i = 0; i < 4; ++i) {
            if (h[i].empty()) h[i] = make_hazard_pointer();
            p[i] = h[i].protect(cells[i]);
            yield();
          }
          for (const tracked* t : p) ASSERT_EQ(t->value, 1) << "reclaimed while it was protected";
          for (hazard_pointer& one : h)
            if (tracked::live % 3 == 0) one = {};
        }
      }));
    }
    for (std::size_t i = scaled(20'000); i-- > 0;) {
      cells[i % 4].exchange(new tracked(1))->retire();
      if (i % 64 == 0) yield();
    }
    over = true;
    for (party& p : parties) p.join();
    for (auto& c : cells) delete c.load();
  });
  EXPECT_EQ(tracked::live, 0);
}

TEST_P(hazard_pointer_test, it_goes_through_a_channel_with_what_it_protects) {
  in_runtime([] {
    struct held {
      hazard_pointer h;
      tracked* p;
    };
    std::atomic<tracked*> src{new tracked(1)};
    auto c = make_channel<held>(4);
    party reader = start([rx = std::move(c.rx)]() mutable {
      for (held& one : rx) {
        EXPECT_EQ(one.p->value, 1);
        one.h.reset_protection();
      }
    });
    for (std::size_t i = scaled(5000); i-- > 0;) {
      held one{make_hazard_pointer(), nullptr};
      one.p = one.h.protect(src);
      src.exchange(new tracked(1))->retire();
      c.tx.send(std::move(one));
    }
    c.tx = {};
    reader.join();
    delete src.load();
  });
  EXPECT_EQ(tracked::live, 0);
}

TEST_P(hazard_pointer_test, many_make_and_drop_them_and_they_are_used_again) {
  in_runtime([] {
    std::vector<party> parties;
    for (int n = 0; n < 8; ++n) {
      parties.push_back(start([] {
        std::vector<hazard_pointer> some;
        for (std::size_t i = scaled(3000); i-- > 0;) {
          some.push_back(make_hazard_pointer());
          if (some.size() == 40) some.erase(some.begin(), some.begin() + 30);
          if (i % 16 == 0) yield();
        }
      }));
    }
    for (party& p : parties) p.join();
  });
}

// ---- misuse, and a forked child

TEST(hazard_pointer_misuse, using_an_empty_one_says_what_to_do) {
  std::atomic<tracked*> src{nullptr};
  hazard_pointer h;
  EXPECT_DEATH(static_cast<void>(h.protect(src)), "empty one protects nothing: assign make_hazard_pointer");
  EXPECT_DEATH(h.reset_protection(), "empty one protects nothing");
}

TEST(hazard_pointer_misuse, retiring_twice_is_told) {
  EXPECT_DEATH(
      {
        pooled_object o;
        o.retire({nullptr});
        o.retire({nullptr});
      },
      "retired twice");
}

TEST_P(hazard_pointer_test, a_forked_child_uses_them_whatever_the_others_were_doing) {
  in_runtime([] {
    std::atomic<bool> over{false}, ready{false};
    std::thread busy([&] {
      std::vector<hazard_pointer> some(100);
      for (std::size_t i = 0; !over; ++i) {
        if (i % 100 == 0) {
          for (hazard_pointer& h : some) h = {};
          ready = i != 0;
        }
        some[i % 100] = make_hazard_pointer();
        // A sanitizer's allocator may be left locked in the child.
        if (sched::pools_frames()) (new tracked)->retire();
      }
    });
    while (!ready) std::this_thread::yield();
    for (int n = 0; n < 4; ++n) {
      const pid_t child = fork();
      if (child == 0) {
        alarm(120);  // a child that hangs must not outlive the test
        std::atomic<tracked*> src{new tracked(1)};
        {
          std::vector<hazard_pointer> some(50);
          for (hazard_pointer& h : some) h = make_hazard_pointer();
          tracked* const p = some[0].protect(src);
          for (int i = 0; i < 3000; ++i) src.exchange(new tracked(1))->retire();
          if (p->value != 1) _exit(1);
        }
        hazard_pointer_clean_up();
        _exit(0);
      }
      int status = 0;
      ASSERT_EQ(waitpid(child, &status, 0), child);
      EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
    }
    over = true;
    busy.join();
  });
}

}  // namespace
}  // namespace runnel::test
