// actor: state of its own, a bounded mailbox, supervision, and an end that leaves nobody waiting.
#include "support/fixture.hpp"

#include <runnel/debug/dump_fibers.hpp>
#include <runnel/patterns/actor.hpp>
#include <runnel/sync/event.hpp>
#include <runnel/testing/bubble.hpp>

#include <atomic>
#include <cstdio>
#include <functional>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class actor_test : public behaviour {};
RUNNEL_EVERY_CALLER(actor_test);

const time_point epoch{std::chrono::seconds(946'684'800)};

/// A message that knows how many of its kind there are.
struct counted {
  counted(std::atomic<int>& l, int n) : live(&l), number(n) { ++*live; }
  counted(counted&& o) noexcept : live(o.live), number(o.number) { ++*live; }
  counted& operator=(counted&&) = delete;
  ~counted() { --*live; }
  std::atomic<int>* live;
  int number;
};

/// Keeps what it is told; waits at 0 until the gate opens.
struct gated {
  event begun, gate;
  std::vector<int> got;
  auto factory() {
    return [this] {
      return [this](int v) {
        if (v == 0) {
          begun.set();
          gate.wait();
        }
        got.push_back(v);
      };
    };
  }
};

std::string what_of(const std::exception_ptr& e) {
  try {
    if (e) std::rethrow_exception(e);
  } catch (const std::exception& x) {
    return x.what();
  }
  return "nothing";
}

template <class F>
std::string failure_of(F f) {
  try {
    f();
  } catch (...) {
    return what_of(std::current_exception());
  }
  return "nothing";
}

/// An account, in the words of the problem.
struct deposit {
  long euros;
};
struct withdraw {
  long euros;
  reply<bool> done;
};
struct balance {
  reply<long> to;
};
using account_message = std::variant<deposit, withdraw, balance>;
struct account {
  long euros = 0;
  void operator()(deposit d) { euros += d.euros; }
  void operator()(withdraw w) {
    const bool enough = w.euros <= euros;
    if (enough) euros -= w.euros;
    w.done(enough);
  }
  void operator()(balance b) { b.to(euros); }
};

TEST_P(actor_test, alternatives_reach_their_handlers_and_questions_are_answered_in_turn) {
  in_runtime([] {
    actor<account_message> a([] { return account{}; });
    const auto take = [&](long euros) { return a.ask<bool>([&](reply<bool> r) { return withdraw{euros, std::move(r)}; }); };
    EXPECT_TRUE(a.tell(deposit{100}));
    EXPECT_TRUE(take(70));
    EXPECT_FALSE(take(70));
    EXPECT_EQ(a.ask<long>([](reply<long> r) { return balance{std::move(r)}; }), 30);
    a.stop();
    a.join();
    EXPECT_EQ(a.counters().handled, 4u);
  });
}

TEST_P(actor_test, many_tell_one_and_each_one_is_handled_in_its_senders_order) {
  in_runtime([] {
    const int n = static_cast<int>(scaled(2'000));
    std::vector<int> last(3, -1);
    int handled = 0;
    struct message {
      std::size_t from;
      int number;
    };
    actor<message> a({.mailbox = 8}, [&] {
      return [&](message m) {
        EXPECT_EQ(std::exchange(last[m.from], m.number), m.number - 1);
        ++handled;
      };
    });
    std::vector<party> senders;
    for (std::size_t s = 0; s < 3; ++s)
      senders.push_back(start([&, s] {
        for (int i = 0; i < n; ++i) ASSERT_TRUE(a.tell({s, i}));
      }));
    for (party& p : senders) p.join();
    a.stop();
    a.join();
    EXPECT_EQ(handled, 3 * n);
    EXPECT_EQ(a.counters().handled, static_cast<std::uint64_t>(handled));
  });
}

TEST_P(actor_test, the_state_is_whatever_can_be_called) {
  in_runtime([] {
    struct order {
      std::atomic<int>* sum;
      void carry_out() { ++*sum; }
    };
    std::atomic<int> sum{0};
    actor<order> by_member([] { return &order::carry_out; });
    by_member.tell(order{&sum});
    actor<order> by_function([] { return +[](order o) { o.carry_out(); }; });
    by_function.tell(order{&sum});
    actor<std::function<void()>> by_message([] { return &std::function<void()>::operator(); });
    by_message.tell([&] { ++sum; });
    for (const auto& stop : {std::function([&] { by_member.stop(), by_member.join(); }),
                             std::function([&] { by_function.stop(), by_function.join(); }),
                             std::function([&] { by_message.stop(), by_message.join(); })})
      stop();
    EXPECT_EQ(sum, 3);
  });
}

TEST_P(actor_test, state_that_cannot_be_moved_lives_on_the_actors_fiber) {
  in_runtime([] {
    struct pinned {
      pinned() = default;
      pinned(const pinned&) = delete;
      std::unique_ptr<int> last;
      void operator()(std::unique_ptr<int> p) { last = std::move(p); }
    };
    actor<std::unique_ptr<int>> a([] { return pinned(); });
    a.tell(std::make_unique<int>(1));
    a.stop();
    a.join();
    EXPECT_EQ(a.counters().handled, 1u);
  });
}

TEST_P(actor_test, a_full_mailbox_makes_its_senders_wait) {
  in_runtime([] {
    bubble([] {
      actor<int> a({.mailbox = 1}, [] { return [](int) { sleep_for(1h); }; });
      for (int i = 0; i < 4; ++i) a.tell(i);  // one in hand, one queued; the others wait for an hour each
      EXPECT_EQ(steady_clock::now(), epoch + 2h);
      EXPECT_EQ(a.try_tell(4), tell_status::full);
      EXPECT_EQ(a.counters().rejected, 1u);
      a.stop();
      a.join();
      EXPECT_EQ(steady_clock::now(), epoch + 4h);
    });
  });
}

TEST_P(actor_test, a_canceled_sender_keeps_its_message) {
  in_runtime([] {
    gated g;
    actor<std::unique_ptr<int>> a({.mailbox = 1}, [&] {
      return [&](std::unique_ptr<int>) {
        g.begun.set();
        g.gate.wait();
      };
    });
    a.tell(std::make_unique<int>(0));
    g.begun.wait();
    a.tell(std::make_unique<int>(1));
    auto m = std::make_unique<int>(2);
    EXPECT_THROW(with_timeout(1ms, [&] { a.tell(std::move(m)); }), deadline_exceeded);
    EXPECT_TRUE(m);
    g.gate.set();
  });
}

TEST_P(actor_test, drop_newest_drops_what_finds_the_mailbox_full) {
  in_runtime([] {
    gated g;
    actor<int> a({.mailbox = 2, .overflow = overflow_policy::drop_newest}, g.factory());
    EXPECT_TRUE(a.tell(0));
    g.begun.wait();
    EXPECT_TRUE(a.tell(1));
    EXPECT_TRUE(a.tell(2));
    EXPECT_FALSE(a.tell(3));
    EXPECT_EQ(a.try_tell(4), tell_status::dropped);
    g.gate.set();
    a.stop();
    a.join();
    EXPECT_EQ(g.got, (std::vector{0, 1, 2}));
    EXPECT_EQ(a.counters().dropped, 2u);
    EXPECT_EQ(a.counters().queued, 0u);
  });
}

TEST_P(actor_test, drop_oldest_drops_what_has_waited_longest) {
  in_runtime([] {
    gated g;
    actor<int> a({.mailbox = 2, .overflow = overflow_policy::drop_oldest}, g.factory());
    EXPECT_TRUE(a.tell(0));
    g.begun.wait();
    for (int i = 1; i < 4; ++i) EXPECT_TRUE(a.tell(i));
    EXPECT_EQ(a.try_tell(4), tell_status::accepted);
    EXPECT_EQ(a.counters().queued, 2u);
    g.gate.set();
    a.stop();
    a.join();
    EXPECT_EQ(g.got, (std::vector{0, 3, 4}));
    EXPECT_EQ(a.counters().dropped, 2u);
  });
}

TEST_P(actor_test, reject_throws_and_leaves_the_message_with_its_sender) {
  in_runtime([] {
    gated g;
    actor<std::unique_ptr<int>> a({.mailbox = 1, .overflow = overflow_policy::reject}, [&] {
      return [&](std::unique_ptr<int> m) {
        g.got.push_back(*m);
        g.begun.set();
        g.gate.wait();
      };
    });
    a.tell(std::make_unique<int>(0));
    g.begun.wait();
    a.tell(std::make_unique<int>(1));
    auto m = std::make_unique<int>(2);
    EXPECT_THROW(a.tell(std::move(m)), mailbox_full);
    EXPECT_EQ(a.try_tell(std::move(m)), tell_status::full);
    EXPECT_TRUE(m);
    EXPECT_EQ(a.counters().rejected, 2u);
    g.gate.set();
  });
}

/// Does with a question what its number says.
struct asked {
  int what;
  reply<int> to;
};
struct clerk {
  std::optional<reply<int>> kept;
  void operator()(asked q) {
    switch (q.what) {
      case 0:
        q.to(7);
        break;
      case 1:
        break;  // dropped
      case 2:
        q.to.fail(std::make_exception_ptr(std::runtime_error("closed today")));
        break;
      case 3:
        kept = std::move(q.to);
        break;
      case 4:
        throw std::runtime_error("stumbled");
      default:
        EXPECT_TRUE(kept && !kept->wanted());
        EXPECT_FALSE((*kept)(1));
        EXPECT_THROW((*kept)(2), misuse);
        q.to(8);
    }
  }
};

TEST_P(actor_test, a_question_ends_by_its_answer_its_failure_its_loss_or_its_limit) {
  in_runtime([] {
    bubble([] {
      actor<asked> a({.on_failure = supervision::resume}, [] { return clerk{}; });
      const auto number = [](int n) { return [n](reply<int> r) { return asked{n, std::move(r)}; }; };
      EXPECT_EQ(a.ask<int>(number(0)), 7);
      EXPECT_THROW(a.ask<int>(number(1)), no_reply);
      EXPECT_EQ(failure_of([&] { a.ask<int>(number(2)); }), "closed today");
      EXPECT_EQ(a.ask_for<int>(1h, number(3)), std::nullopt);
      EXPECT_EQ(steady_clock::now(), epoch + 1h);
      EXPECT_THROW(a.ask<int>(number(4)), no_reply) << "the handler threw";
      EXPECT_EQ(what_of(a.last_failure()), "stumbled");
      EXPECT_EQ(a.ask_for<int>(1h, number(5)), 8) << "with the state that was there before";
      EXPECT_THROW(with_timeout(1h, [&] { a.ask<int>(number(3)); }), deadline_exceeded);
      a.stop();
      EXPECT_THROW(a.ask<int>(number(0)), actor_stopped);
    });
  });
}

TEST_P(actor_test, a_limit_counts_from_the_question_on_also_before_a_full_mailbox) {
  in_runtime([] {
    bubble([] {
      actor<reply<int>> a({.mailbox = 1}, [] {
        return [](reply<int> r) {
          sleep_for(1h);
          r(1);
        };
      });
      const auto same = [](reply<int> r) { return r; };
      auto in_hand = go([&] { return a.ask<int>(same); });
      auto queued = go([&] { return a.ask<int>(same); });
      sleep_for(1min);
      EXPECT_EQ(a.ask_for<int>(9min, same), std::nullopt) << "it never got into the mailbox";
      EXPECT_EQ(steady_clock::now(), epoch + 10min);
      EXPECT_EQ(a.ask_for<int>(60min, same), std::nullopt) << "in the mailbox after 50 minutes, in hand later";
      EXPECT_EQ(steady_clock::now(), epoch + 70min);
      EXPECT_EQ(in_hand.get() + queued.get(), 2);
      EXPECT_EQ(steady_clock::now(), epoch + 2h);
      a.stop();
      a.join();
      EXPECT_EQ(a.counters().handled, 3u) << "the one that was accepted is handled all the same";
    });
  });
}

TEST_P(actor_test, a_question_that_is_dropped_or_destroyed_with_the_mailbox_is_answered_by_no_reply) {
  in_runtime([] {
    event begun, gate;
    const auto body = [&] {
      return [&](reply<int> r) {
        begun.set();
        gate.wait();
        r(1);
      };
    };
    const auto same = [](reply<int> r) { return r; };
    for (const overflow_policy p : {overflow_policy::drop_newest, overflow_policy::drop_oldest, overflow_policy::block}) {
      begun.reset();
      std::string first, second, third = "not asked";
      actor<reply<int>> a({.mailbox = 1, .overflow = p}, body);
      auto in_hand = start([&] { first = failure_of([&] { a.ask<int>(same); }); });
      begun.wait();
      auto queued = start([&] { second = failure_of([&] { a.ask<int>(same); }); });
      while (a.counters().queued == 0) yield();
      if (p == overflow_policy::drop_newest) third = failure_of([&] { a.ask<int>(same); });
      auto last = start([&] {
        if (p == overflow_policy::drop_oldest) third = failure_of([&] { a.ask<int>(same); });
      });
      while (p == overflow_policy::drop_oldest && a.counters().dropped == 0) yield();
      a.abort();
      in_hand.join();
      queued.join();
      last.join();
      const std::string lost = no_reply().what();
      EXPECT_EQ(first, lost) << "canceled in the handler";
      EXPECT_EQ(second, lost) << "destroyed unhandled";
      EXPECT_EQ(third, p == overflow_policy::block ? "not asked" : lost);
    }
  });
}

TEST_P(actor_test, a_message_told_under_a_given_context_is_accepted_dropped_or_refused_as_any) {
  in_runtime([] {
    auto given = derive_cancel(context::background());
    channel<unit> begun, gate;
    const auto make = [&] {
      return [&](int) {
        begun.try_send({});
        gate.receive();
      };
    };
    const int message = 1;
    actor<int> drops({.mailbox = 1, .overflow = overflow_policy::drop_newest}, make);
    EXPECT_TRUE(drops.tell(given.ctx, message));
    while (drops.counters().queued != 0) yield();
    EXPECT_TRUE(drops.tell(given.ctx, message));
    EXPECT_FALSE(drops.tell(given.ctx, message));
    given.cancel();
    EXPECT_FALSE(drops.tell(given.ctx, message)) << "who does not wait does not look";
    actor<int> waits({.mailbox = 1}, make);
    EXPECT_THROW(waits.tell(given.ctx, message), canceled);
    waits.stop();
    EXPECT_THROW(waits.tell(context::background(), message), actor_stopped);
    EXPECT_THROW(waits.ask<int>(context::background(), [](reply<int>) { return 1; }), actor_stopped);
    gate.close();
  });
}

TEST_P(actor_test, an_actor_that_would_wait_for_itself_is_told_so) {
  in_runtime([] {
    std::string asks, tells, joins;
    struct self {
      actor<int>* a = nullptr;
    } s;
    actor<int> a({.mailbox = 1}, [&] {
      return [&](int v) {
        if (v != 0) return;
        asks = failure_of([&] { s.a->ask<int>([](reply<int>) { return 1; }); });
        joins = failure_of([&] { s.a->join(); });
        EXPECT_TRUE(s.a->tell(1)) << "there is room";
        tells = failure_of([&] { s.a->tell(2); });
      };
    });
    s.a = &a;
    a.tell(0);
    while (a.counters().handled < 2) yield();
    a.stop();
    a.join();
    EXPECT_NE(asks.find("asks itself"), std::string::npos);
    EXPECT_NE(joins.find("joins itself"), std::string::npos);
    EXPECT_NE(tells.find("its own mailbox"), std::string::npos) << tells;
  });
}

// ---- Supervision

/// Sums; throws at a negative number.
struct adder {
  int sum = 0;
  std::vector<int>* seen = nullptr;
  void operator()(int v) {
    if (v < 0) throw std::runtime_error("negative");
    seen->push_back(sum += v);
  }
};

TEST_P(actor_test, stop_ends_the_actor_and_join_throws_what_ended_it) {
  in_runtime([] {
    std::vector<int> seen;
    actor<int> a([&] { return adder{0, &seen}; });
    a.tell(1);
    a.tell(-1);
    EXPECT_EQ(failure_of([&] { a.join(); }), "negative");
    EXPECT_EQ(failure_of([&] { a.join(); }), "negative") << "each time";
    EXPECT_EQ(seen, (std::vector{1}));
    EXPECT_TRUE(a.stopped());
    EXPECT_EQ(a.try_tell(1), tell_status::stopped);
    EXPECT_EQ(a.counters().failures, 1u);
    EXPECT_EQ(a.counters().restarts, 0u);
  });
}

TEST_P(actor_test, restart_begins_with_a_fresh_state_and_resume_keeps_it) {
  in_runtime([] {
    for (const supervision s : {supervision::restart, supervision::resume}) {
      std::vector<int> seen;
      int made = 0;
      actor<int> a({.on_failure = s}, [&] {
        ++made;
        return adder{0, &seen};
      });
      for (const int v : {1, 2, -1, 3}) a.tell(v);
      a.stop();
      a.join();
      const bool fresh = s == supervision::restart;
      EXPECT_EQ(seen, (fresh ? std::vector{1, 3, 3} : std::vector{1, 3, 6}));
      EXPECT_EQ(made, fresh ? 2 : 1);
      EXPECT_EQ(a.counters().restarts, fresh ? 1u : 0u);
      EXPECT_EQ(a.counters().failures, 1u);
      EXPECT_EQ(a.counters().handled, 3u);
    }
  });
}

TEST_P(actor_test, more_restarts_than_allowed_within_the_period_end_the_actor) {
  in_runtime([] {
    bubble([] {
      std::vector<int> seen;
      actor<int> a({.on_failure = supervision::restart, .max_restarts = 2, .restart_period = 1h}, [&] {
        return adder{0, &seen};
      });
      for (int round = 0; round < 3; ++round) {  // two an hour, for three hours
        a.tell(-1);
        a.tell(-1);
        sleep_for(1h);
      }
      EXPECT_EQ(a.counters().restarts, 6u);
      for (int i = 0; i < 3; ++i) {  // three within an hour, the third at the end of it
        sleep_for(i == 0 ? 0s : i == 1 ? 30min : 30min - 1ns);
        a.tell(-1);
      }
      EXPECT_EQ(failure_of([&] { a.join(); }), "negative");
      EXPECT_EQ(a.counters().restarts, 8u);
      EXPECT_EQ(a.counters().failures, 9u);
    });
  });
}

TEST_P(actor_test, a_factory_that_fails_is_asked_again_only_where_restarts_are_allowed) {
  in_runtime([] {
    for (const supervision s : {supervision::stop, supervision::restart, supervision::resume}) {
      int asked_for = 0;
      std::vector<int> seen;
      actor<int> a({.on_failure = s, .max_restarts = 2}, [&] {
        if (++asked_for < 3) throw std::runtime_error("no database");
        return adder{0, &seen};
      });
      a.try_tell(1);
      a.stop();
      const bool again = s == supervision::restart;
      EXPECT_EQ(failure_of([&] { a.join(); }), again ? "nothing" : "no database");
      EXPECT_EQ(asked_for, again ? 3 : 1);
    }
  });
}

TEST_P(actor_test, options_that_make_no_sense_are_refused) {
  in_runtime([] {
    const auto f = [] { return [](int) {}; };
    EXPECT_THROW((actor<int>({.mailbox = 0}, f)), misuse);
    EXPECT_THROW((actor<int>({.on_failure = supervision::restart, .max_restarts = 0}, f)), misuse);
    EXPECT_THROW((actor<int>({.on_failure = supervision::restart, .restart_period = 0s}, f)), misuse);
  });
}

TEST_P(actor_test, name_and_stack_are_those_of_its_fiber) {
  in_runtime([] {
    event begun, gate;
    actor<int> a({.name = "the clerk", .stack = stack_class::huge}, [&] {
      return [&](int) {
        volatile char deep[2 * 1024 * 1024];  // more than any other class has
        for (std::size_t i = 0; i < sizeof deep; i += 4096) deep[i] = 1;
        begun.set();
        gate.wait();
      };
    });
    a.tell(1);
    begun.wait();
    char* text = nullptr;
    std::size_t size = 0;
    std::FILE* memory = ::open_memstream(&text, &size);
    dump_fibers(memory);
    std::fclose(memory);
    EXPECT_NE(std::string(text, size).find("\"the clerk\""), std::string::npos);
    std::free(text);
    gate.set();
  });
}

// ---- The end

TEST_P(actor_test, abort_cancels_the_handler_and_destroys_what_is_queued_once) {
  in_runtime([] {
    std::atomic<int> live{0}, canceled_handlers{0};
    event begun;
    actor<counted> a([&] {
      return [&](counted) {
        begun.set();
        try {
          sleep_for(1h);
        } catch (const canceled&) {
          ++canceled_handlers;
          throw;
        }
      };
    });
    for (int i = 0; i < 5; ++i) a.tell(counted(live, i));
    begun.wait();
    a.abort();
    a.join();  // it was meant to end so
    EXPECT_EQ(canceled_handlers, 1);
    EXPECT_EQ(live, 0);
    EXPECT_EQ(a.counters().discarded, 4u);
    EXPECT_EQ(a.counters().failures, 0u);
    EXPECT_THROW(a.tell(counted(live, 9)), actor_stopped);
  });
}

TEST_P(actor_test, its_end_and_the_cancellation_of_its_surroundings_end_it_and_release_its_senders) {
  in_runtime([] {
    std::atomic<int> live{0};
    auto surroundings = derive_cancel(context::current());
    {
      std::optional<context_scope> scope(surroundings.ctx);
      actor<counted> a({.mailbox = 1}, [] { return [](counted) { sleep_for(1h); }; });
      scope.reset();
      auto blocked = start([&] { EXPECT_THROW(for (int i = 0; i < 3; ++i) a.tell(counted(live, i)), actor_stopped); });
      while (a.counters().queued == 0) yield();
      surroundings.cancel();
      EXPECT_THROW(a.join(), task_canceled);
      blocked.join();
      EXPECT_EQ(live, 0);
    }
    {
      actor<counted> dropped([] { return [](counted) { sleep_for(1h); }; });
      for (int i = 0; i < 3; ++i) dropped.tell(counted(live, i));
    }
    EXPECT_EQ(live, 0);
  });
}

TEST_P(actor_test, a_join_that_is_canceled_leaves_the_actor_alone) {
  in_runtime([] {
    actor<int> a([] { return [](int) {}; });
    EXPECT_THROW(with_timeout(1ms, [&] { a.join(); }), deadline_exceeded);
    EXPECT_TRUE(a.tell(1));
    a.stop();
    a.join();
    EXPECT_EQ(a.counters().handled, 1u);
  });
}

TEST_P(actor_test, an_address_outlives_its_actor_and_keeps_no_message) {
  in_runtime([] {
    std::atomic<int> live{0};
    std::optional<actor_address<counted>> address;
    {
      actor<counted> a([] { return [](counted) { sleep_for(1h); }; });
      address.emplace(a);
      EXPECT_TRUE(*address == a);
      address->tell(counted(live, 1));
      address->tell(counted(live, 2));
    }
    EXPECT_EQ(live, 0);
    EXPECT_TRUE(address->stopped());
    EXPECT_EQ(address->try_tell(counted(live, 3)), tell_status::stopped);
  });
}

TEST_P(actor_test, a_failure_that_nobody_joined_for_goes_to_the_unhandled_hook) {
  static std::atomic<int> reported{0};
  reported = 0;
  const auto before = set_unhandled_hook([](std::exception_ptr, fiber_info) noexcept { ++reported; });
  in_runtime([] {
    {
      actor<int> a([] { return [](int) { throw std::runtime_error("unseen"); }; });
      a.tell(1);
      while (!a.stopped()) yield();
    }
    EXPECT_EQ(reported, 1);
    {
      actor<int> a([] { return [](int) { throw std::runtime_error("seen"); }; });
      a.tell(1);
      EXPECT_THROW(a.join(), std::runtime_error);
    }
    EXPECT_EQ(reported, 1);
  });
  set_unhandled_hook(before);
}

TEST_P(actor_test, a_time_limit_inside_the_handler_is_a_failure_and_no_cancellation) {
  in_runtime([] {
    bubble([] {
      actor<int> a([] { return [](int) { with_timeout(1h, [] { sleep_for(2h); }); }; });
      a.tell(1);
      EXPECT_THROW(a.join(), deadline_exceeded);
    });
  });
}

// ---- Rows of behaviours.tsv, and a neighbour

TEST_P(actor_test, pipeline_12_a_handler_that_throws_fails_later_tells_destroys_what_is_queued_and_releases_the_blocked) {
  in_runtime([this] {
    std::atomic<int> live{0};
    event begun, gate;
    actor<counted> a({.mailbox = 2}, [&] {
      return [&](counted) {
        begun.set();
        gate.wait();
        throw std::runtime_error("the cause");
      };
    });
    a.tell(counted(live, 0));
    begun.wait();
    a.tell(counted(live, 1));
    a.tell(counted(live, 2));
    std::string blocked_by;
    auto blocked = start([&] {
      try {
        a.tell(counted(live, 3));
      } catch (const actor_stopped& s) {
        blocked_by = what_of(s.cause());
      }
    });
    until_waiting(2);  // the sender, and the handler
    gate.set();
    blocked.join();
    EXPECT_EQ(blocked_by, "the cause");
    try {
      a.tell(counted(live, 4));
      ADD_FAILURE() << "accepted";
    } catch (const actor_stopped& s) {
      EXPECT_EQ(what_of(s.cause()), "the cause");
    }
    EXPECT_EQ(failure_of([&] { a.join(); }), "the cause");
    EXPECT_EQ(live, 0);
    EXPECT_EQ(a.counters().discarded, 2u);
  });
}

TEST_P(actor_test, neighbour_of_pipeline_12_a_stopped_one_handles_what_is_queued_and_has_no_cause) {
  in_runtime([] {
    gated g;
    actor<int> a(g.factory());
    for (int i = 0; i < 3; ++i) a.tell(i);
    g.begun.wait();
    a.stop();
    try {
      a.tell(3);
      ADD_FAILURE() << "accepted";
    } catch (const actor_stopped& s) {
      EXPECT_FALSE(s.cause());
    }
    g.gate.set();
    a.join();
    EXPECT_EQ(g.got, (std::vector{0, 1, 2}));
  });
}

}  // namespace
}  // namespace runnel::test
