// RCU: a reader sees the old value or the new one and never a freed one; grace periods wait for whoever began before them.
#include "../conformance/captured_stderr.hpp"
#include "lockfree/rcu_state.hpp"
#include "support/fixture.hpp"

#include <runnel/lockfree/rcu.hpp>
#include <runnel/testing/bubble.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

namespace runnel::test {
namespace {

class rcu_laws : public behaviour {};
RUNNEL_EVERY_CALLER(rcu_laws);

struct figures {
  int requests = 0, errors = 0;
};

// ---- the cell

TEST_P(rcu_laws, a_reader_sees_a_whole_value_and_no_update_is_lost) {
  in_runtime([] {
    rcu<figures> cell;
    const int each = static_cast<int>(scaled(4'000));
    std::atomic<int> writing{2};
    std::vector<party> parties;
    for (int n = 0; n < 2; ++n)
      parties.push_back(start([&] {
        for (int i = 0; i < each; ++i) cell.update([](const figures& f) { return figures{f.requests + 2, f.errors + 1}; });
        --writing;
      }));
    for (int n = 0; n < 4; ++n)  // more than there are processors
      parties.push_back(start([&] {
        for (int last = 0; writing > 0; yield()) {
          const auto f = cell.read();
          EXPECT_EQ(f->requests, 2 * f->errors);
          EXPECT_GE(f->errors, last);
          last = f->errors;
        }
      }));
    for (party& p : parties) p.join();
    EXPECT_EQ(cell.load().errors, 2 * each);
    EXPECT_EQ(cell.read([](const figures& f) { return f.requests; }), 4 * each);
    rcu_barrier();
  });
}

TEST_P(rcu_laws, a_guard_keeps_its_value_and_may_be_moved_and_nested) {
  in_runtime([] {
    rcu<std::string> cell("old");
    {
      auto outer = cell.read();
      cell.store("new");
      auto inner = cell.read();
      EXPECT_EQ(*outer, "old");
      EXPECT_EQ(*inner, "new");
      outer = std::move(inner);
      EXPECT_EQ(*outer, "new");
      EXPECT_EQ(outer->size(), 3u);
      EXPECT_THROW(static_cast<void>(*inner), misuse);
    }
    rcu_barrier();
    EXPECT_EQ(cell.load(), "new");
  });
}

TEST_P(rcu_laws, what_throws_changes_nothing) {
  in_runtime([] {
    struct fussy {
      explicit fussy(int v) : value(v) {}
      fussy(const fussy& o) : value(o.value) {
        if (value == 13) throw std::runtime_error("no copy");
      }
      int value;
    };
    rcu<fussy> cell(fussy(1));
    EXPECT_THROW(cell.update([](const fussy&) -> fussy { throw std::runtime_error("no"); }), std::runtime_error);
    const fussy unlucky(13);
    EXPECT_THROW(cell.store(unlucky), std::runtime_error);
    EXPECT_THROW(cell.read([](const fussy&) -> int { throw std::runtime_error("no"); }), std::runtime_error);
    EXPECT_EQ(cell.load().value, 1);
    rcu_synchronize();  // no section is left open
    cell.update([](const fussy& f) { return fussy(f.value + 1); });
    EXPECT_EQ(cell.load().value, 2);
    rcu_barrier();
  });
}

TEST_P(rcu_laws, values_may_only_move_be_large_or_aligned) {
  in_runtime([] {
    rcu<std::unique_ptr<int>> only_moves(std::make_unique<int>(1));
    only_moves.store(std::make_unique<int>(2));
    only_moves.update([](const std::unique_ptr<int>& p) { return std::make_unique<int>(*p + 1); });
    EXPECT_EQ(only_moves.read([](const auto& p) { return *p; }), 3);
    struct alignas(64) aligned {
      char bytes[1024] = {};
    };
    rcu<aligned> cell;
    cell.update([](const aligned& a) { return aligned(a); });
    const auto address = cell.read([](const aligned& a) { return reinterpret_cast<std::uintptr_t>(&a); });
    EXPECT_EQ(address % 64, 0u);
    rcu_barrier();
  });
}

// ---- grace periods and retired objects

TEST_P(rcu_laws, retired_objects_are_deleted_once_and_by_themselves) {
  in_runtime([] {
    static std::atomic<int> deleted;
    struct node : rcu_obj_base<node> {
      ~node() { ++deleted; }
    };
    deleted = 0;
    constexpr int n = 200;
    for (int i = 0; i < n; ++i) {
      (new node)->retire();
      EXPECT_GE(deleted, i - 2 * 32) << "nobody reads, and so many are kept";
    }
    rcu_barrier();
    EXPECT_EQ(deleted, n);
  });
}

TEST_P(rcu_laws, nothing_is_deleted_in_a_section_of_the_caller) {
  in_runtime([] {
    int deleted = 0;
    std::vector<int> objects(200);
    {
      const std::scoped_lock section(rcu_default_domain());
      for (int& o : objects) rcu_retire(&o, [&](int*) { ++deleted; });
      EXPECT_EQ(deleted, 0);
    }
    rcu_barrier();
    EXPECT_EQ(deleted, 200);
  });
}

TEST_P(rcu_laws, a_deleter_that_cannot_be_stored_leaves_the_object_to_the_caller) {
  in_runtime([] {
    struct fussy {
      explicit fussy(bool* d) : deleted(d) {}
      fussy(fussy&&) noexcept(false) { throw std::runtime_error("no"); }
      void operator()(int*) const { *deleted = true; }
      bool* deleted = nullptr;
    };
    bool deleted = false;
    int object = 0;
    EXPECT_THROW(rcu_retire(&object, fussy(&deleted)), std::runtime_error);
    rcu_barrier();
    EXPECT_FALSE(deleted);
  });
}

TEST_P(rcu_laws, many_lists_are_read_while_their_nodes_are_replaced) {
  in_runtime([] {
    struct node : rcu_obj_base<node> {
      node(int v, node* n) : value(v), next(n) {}
      ~node() { value = -1; }
      int value;
      std::atomic<node*> next;
    };
    // 0 → 1 → … → 7; the writer replaces one node after the other by a copy.
    std::atomic<node*> head{nullptr};
    for (int v = 7; v >= 0; --v) head = new node(v, head);
    std::atomic<bool> over{false};
    std::vector<party> readers;
    for (int n = 0; n < 3; ++n)
      readers.push_back(start([&] {
        for (; !over; yield()) {
          const std::scoped_lock section(rcu_default_domain());
          int expected = 0;
          for (const node* at = head; at; at = at->next) EXPECT_EQ(at->value, expected++);
          EXPECT_EQ(expected, 8);
        }
      }));
    for (std::size_t round = scaled(300); round > 0; --round) {
      for (std::atomic<node*>* link = &head; node* old = *link; link = &link->load()->next) {
        *link = new node(old->value, old->next);
        old->retire();
      }
      yield();
    }
    over = true;
    for (party& r : readers) r.join();
    rcu_barrier();
    for (const node* at = head; at;) delete std::exchange(at, at->next);
  });
}

TEST_P(rcu_laws, many_writers_wait_while_many_read) {
  in_runtime([] {
    std::atomic<int*> current{new int(1)};
    const std::size_t each = scaled(200);
    std::atomic<int> writing{3};
    std::vector<party> parties;
    for (int n = 0; n < 3; ++n)
      parties.push_back(start([&] {
        for (std::size_t i = 0; i < each; ++i) {
          std::unique_ptr<int> old(current.exchange(new int(1)));
          rcu_synchronize();
          *old = 0;
        }
        --writing;
      }));
    for (int n = 0; n < 4; ++n)
      parties.push_back(start([&] {
        for (; writing > 0; yield()) {
          const std::scoped_lock section(rcu_default_domain());
          EXPECT_EQ(*current.load(), 1);
        }
      }));
    for (party& p : parties) p.join();
    delete current.load();
  });
}

TEST_P(rcu_laws, the_end_of_a_turn_does_not_suspend_a_section) {
  in_runtime([] {
    channel<int> c(1);
    const std::scoped_lock section(rcu_default_domain());
    for (int i = 0; i < 1'000; ++i) {
      c.send(i);
      EXPECT_EQ(c.receive(), i);
    }
  });
}

TEST(rcu, what_a_thread_leaves_at_its_end_is_deleted_by_others) {
  std::atomic<int> deleted{0};
  int object = 0;
  std::thread([&] { rcu_retire(&object, [&](int*) { ++deleted; }); }).join();
  EXPECT_EQ(deleted, 0);
  std::vector<int> more(64);
  for (int& o : more) rcu_retire(&o, [&](int*) { ++deleted; });
  EXPECT_GE(deleted, 33) << "the first batch takes it along";
  rcu_barrier();
  EXPECT_EQ(deleted, 65);
}

TEST(rcu, a_section_works_in_the_destructor_of_a_thread_local) {
  static rcu<int> cell(1);
  static std::atomic<int> seen;
  struct late {
    ~late() { seen = cell.load(); }
  };
  std::thread([] {
    thread_local late l;
    static_cast<void>(&l);
  }).join();
  EXPECT_EQ(seen, 1);
}

TEST(rcu, in_a_bubble_a_grace_period_takes_no_time) {
  run({.workers = 2}, [] {
    bubble([] {
      const auto before = steady_clock::now();
      rcu<int> cell(1);
      auto reader = go([&] {
        for (int i = 0; i < 100; ++i) {
          EXPECT_GE(cell.load(), 1);
          sleep_for(std::chrono::seconds(1));
        }
      });
      for (int i = 2; i < 100; ++i) {
        cell.store(i);
        rcu_synchronize();
      }
      EXPECT_EQ(steady_clock::now(), before);
      reader.join();
      rcu_barrier();
    });
  });
}

TEST(rcu, a_section_that_lasts_long_is_reported_once_with_its_owner) {
  const auto patience = detail::rcu_patience_ns.load(std::memory_order_relaxed);
  detail::rcu_patience_ns.store(1, std::memory_order_relaxed);  // relaxed: nobody waits yet
  run({.workers = 2}, [] {
    captured_stderr err;
    std::atomic<bool> began{false}, leave{false};
    auto reader = go({.name = "dawdler"}, [&] {
      const std::scoped_lock section(rcu_default_domain());
      began = true;
      while (!leave) std::this_thread::yield();
    });
    while (!began) yield();
    std::thread waits([] { rcu_synchronize(); });
    err.wait_for("an RCU read section holds up");
    leave = true;
    waits.join();
    reader.join();
    EXPECT_EQ(err.count("an RCU read section holds up a grace period for"), 1u) << err.text();
    EXPECT_EQ(err.count("\"dawdler\", started at"), 1u) << err.text();
    EXPECT_EQ(err.count("copy what takes long out of it"), 1u) << err.text();
  });
  detail::rcu_patience_ns.store(patience, std::memory_order_relaxed);
}

TEST(rcu, a_forked_child_does_not_wait_for_sections_that_it_does_not_have) {
  std::atomic<bool> began{false}, leave{false};
  std::jthread reader([&] {
    const std::scoped_lock section(rcu_default_domain());
    began = true;
    while (!leave) std::this_thread::yield();
  });
  while (!began) std::this_thread::yield();
  int deleted = 0;
  rcu_retire(&deleted, [](int* d) { ++*d; });
  const pid_t child = fork();
  if (child == 0) {
    rcu_synchronize();
    rcu_barrier();
    _exit(deleted);
  }
  int status = 0;
  waitpid(child, &status, 0);
  leave = true;
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 1);
  rcu_barrier();
}

TEST(rcu_end_death_test, what_is_retired_at_the_end_of_the_process_is_no_leak) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        struct node : rcu_obj_base<node> {};
        (new node)->retire();
        rcu_retire(new std::string("left"));
        std::exit(7);
      },
      ::testing::ExitedWithCode(7), "^$");
}

// ---- misuse

class rcu_death_test : public ::testing::Test {
 protected:
  rcu_death_test() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

void in_fiber(void (*body)()) {
  run({.workers = 1}, [body] { go({.name = "reader"}, body).get(); });
}

TEST_F(rcu_death_test, whoever_suspends_in_a_section_ends_the_process) {
  const auto receives = [] {
    const channel<int> c;
    const std::scoped_lock section(rcu_default_domain());
    c.receive();
  };
  EXPECT_DEATH(in_fiber(receives),
               "a wait .channel receive, 0x.*inside an RCU read section.*copy what it needs.*fiber .*reader");
  EXPECT_DEATH(receives(), "a wait .channel receive.*inside an RCU read section.*a thread outside the runtime");
  EXPECT_DEATH(in_fiber([] {
                 const rcu<int> cell(1);
                 const auto guard = cell.read();
                 yield();
               }),
               "yield inside an RCU read section");
  EXPECT_DEATH(in_fiber([] {
                 const rcu<int> cell(1);
                 cell.read([](int v) {
                   sleep_for(std::chrono::seconds(v));
                   return v;
                 });
               }),
               "a wait .sleep.*inside an RCU read section");
}

TEST_F(rcu_death_test, sections_begin_and_end_in_pairs_on_their_own_fiber) {
  EXPECT_DEATH(rcu_default_domain().unlock(), "unlock.. without a read section of the caller");
  EXPECT_DEATH(in_fiber([] { rcu_default_domain().unlock(); }), "unlock.. without a read section");
  EXPECT_DEATH(in_fiber([] { rcu_default_domain().lock(); }), "a fiber ends inside an RCU read section.*reader");
  EXPECT_DEATH(std::thread([] { rcu_default_domain().lock(); }).join(), "a thread ends inside an RCU read section");
}

TEST_F(rcu_death_test, whoever_would_wait_for_itself_ends_the_process) {
  EXPECT_DEATH(
      {
        const std::scoped_lock section(rcu_default_domain());
        rcu_synchronize();
      },
      "rcu_synchronize.. inside an RCU read section");
  EXPECT_DEATH(
      {
        const std::scoped_lock section(rcu_default_domain());
        rcu_barrier();
      },
      "rcu_barrier.. inside an RCU read section");
  EXPECT_DEATH(
      {
        int object = 0;
        rcu_retire(&object, [](int*) { rcu_barrier(); });
        rcu_barrier();
      },
      "rcu_barrier.. inside a deleter");
}

}  // namespace
}  // namespace runnel::test
