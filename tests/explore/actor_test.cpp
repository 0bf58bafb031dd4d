// Actors, servers, circuit breakers and hedged calls, in many orders of events, with failures and cancellations at random:
// nothing is lost, nothing happens twice, nobody waits for ever.
#include "explored.hpp"

#include <runnel/patterns/actor.hpp>
#include <runnel/patterns/circuit_breaker.hpp>
#include <runnel/patterns/hedge.hpp>
#include <runnel/patterns/serve.hpp>
#include <runnel/runnel.hpp>
#include <runnel/sync/event.hpp>
#include <runnel/testing/shared_var.hpp>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <vector>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;
using testing::choose;

/// Counts its kind; each is seen by one handler at most.
struct letter {
  letter(std::atomic<int>& l, std::atomic<int>& s) : live(&l), seen(&s) { ++*live; }
  letter(letter&& o) noexcept : live(o.live), seen(o.seen) { ++*live; }
  ~letter() { --*live; }
  std::atomic<int>*live, *seen;
};

struct told {
  std::atomic<int> accepted{0}, live{0}, seen{0};
};

/// Tells a letter, if it is let in.
void tell_one(actor<letter>& a, told& t) {
  try {
    if (choose(2) == 0) {
      if (a.try_tell(letter(t.live, t.seen)) == tell_status::accepted) ++t.accepted;
    } else if (a.tell(letter(t.live, t.seen))) {
      ++t.accepted;
    }
  } catch (const actor_stopped&) {
  } catch (const mailbox_full&) {
  }
}

TEST(explored_actor, every_accepted_message_is_handled_failed_dropped_or_discarded_and_none_is_left) {
  holds_in(4'000, [] {
    told t;
    const auto policy = static_cast<overflow_policy>(choose(4));
    const auto on_failure = static_cast<supervision>(choose(3));
    actor_counters c;
    {
      actor<letter> a({.mailbox = 1 + choose(2), .overflow = policy, .on_failure = on_failure, .max_restarts = 1}, [&] {
        if (choose(8) == 0) throw std::runtime_error("factory");
        return [state = std::make_unique<shared_var<int>>(0)](letter l) {
          state->store(state->load() + 1);  // a race, were two handled at a time
          ++*l.seen;
          if (choose(4) == 0) throw std::runtime_error("handler");
          if (choose(4) == 0) sleep_for(1s);
        };
      });
      with_task_group([&](task_group& g) {
        for (int n = 0; n < 2; ++n)
          g.go([&] {
            for (int i = 0; i < 3; ++i) tell_one(a, t);
          });
        g.go([&] {
          if (choose(2) == 0) yield();
          if (choose(2) == 0) {
            a.stop();
          } else {
            a.abort();
          }
        });
      });
      try {
        a.join();
      } catch (const std::runtime_error&) {
        require(a.counters().failures > 0, "failed without a failure");
      }
      c = a.counters();
      require(c.queued == 0, "left in the mailbox");
    }
    require(t.live == 0, "a message is left");
    // A handler that was canceled has seen a message that nobody counts.
    const auto dropped = policy == overflow_policy::drop_oldest ? c.dropped : 0;
    const auto seen = static_cast<std::uint64_t>(t.seen.load());
    require(static_cast<std::uint64_t>(t.accepted.load()) == seen + dropped + c.discarded, "lost, or seen twice");
    require(c.handled <= seen && seen <= c.handled + c.failures + 1, "counted wrongly");
  });
}

TEST(explored_actor, every_question_ends_whatever_becomes_of_it) {
  holds_in(4'000, [] {
    struct question_about {
      reply<int> to;
    };
    actor<question_about> a({.mailbox = 1,
                             .overflow = static_cast<overflow_policy>(choose(4)),
                             .on_failure = static_cast<supervision>(choose(3))},
                            [] {
                              return [kept = std::optional<reply<int>>()](question_about q) mutable {
                                switch (choose(4)) {
                                  case 0:
                                    throw std::runtime_error("handler");
                                  case 1:
                                    kept = std::move(q.to);
                                    break;
                                  case 2:
                                    break;
                                  default:
                                    q.to(1);
                                }
                              };
                            });
    std::atomic<int> ends{0};
    with_task_group([&](task_group& g) {
      for (int n = 0; n < 3; ++n)
        g.go([&] {
          try {
            const auto make = [](reply<int> r) { return question_about{std::move(r)}; };
            const auto answer = choose(2) == 0 ? a.ask_for<int>(1s, make) : a.ask<int>(make);
            require(!answer || *answer == 1, "another answer");
          } catch (const no_reply&) {
          } catch (const actor_stopped&) {
          } catch (const mailbox_full&) {
          }
          ++ends;
        });
      g.go([&] {
        sleep_for(2s);  // who has kept a reply lets it go
        a.abort();
      });
    });
    require(ends == 3, "a question without an end");
    try {
      a.join();
    } catch (const std::runtime_error&) {
    }
  });
}

TEST(explored_server, every_request_is_handled_once_or_left_in_the_source_and_none_outlives_the_end) {
  holds_in(3'000, [] {
    channel<int> requests(2);
    std::atomic<int> sent{0}, handled{0}, running{0};
    const std::size_t limit = 1 + choose(2);
    const bool stops = choose(3) == 0;
    std::atomic<bool> failed{false}, above{false};
    {
      auto s = serve(requests,
                     [&](int) {
                       struct runs {
                         explicit runs(std::atomic<int>& r) : n(r) { ++n; }
                         ~runs() { --n; }
                         std::atomic<int>& n;
                       } at_end(running);
                       if (static_cast<std::size_t>(running.load()) > limit) above = true;
                       ++handled;
                       if (choose(3) == 0) sleep_for(choose(2) * 10s);
                       if (choose(4) == 0) {
                         failed = true;
                         throw std::runtime_error("handler");
                       }
                     },
                     {.limit = limit,
                      .on_failure = stops ? handler_failure::stop_serving : handler_failure::keep_serving,
                      .on_error = [](std::exception_ptr) {}});
      with_task_group([&](task_group& g) {
        for (int n = 0; n < 2; ++n)
          g.go([&] {
            for (int i = 0; i < 2; ++i)
              if (requests.send_for(i, 1s) == channel_status::ok) ++sent;
          });
        g.go([&] {
          if (choose(2) == 0) yield();
          shutdown_report r;
          bool threw = false;
          try {
            r = s.shutdown(5s);
          } catch (const std::runtime_error&) {
            threw = true;
          }
          require(threw == (stops && failed), "a failure was lost, or is none of the server's");
          require(r.drained + r.canceled <= limit && !above, "above the limit");
          require(running == 0, "a handler outlives the shutdown");
        });
      });
      const server_counters c = s.counters();
      require(c.active == 0 && c.accepted >= static_cast<std::size_t>(handled.load()), "counted wrongly");
    }
    int left = 0;
    while (requests.try_receive()) ++left;
    require(sent == handled + left, "lost, or handled twice");
  });
}

TEST(explored_circuit_breaker, each_call_counts_once_each_change_is_told_in_order_and_no_place_is_lost) {
  holds_in(3'000, [] {
    const std::size_t probes = 1 + choose(2);
    std::vector<circuit_state> heard{circuit_state::closed};
    std::atomic<int> called{0}, refused{0};
    bool in_order = true;
    circuit_breaker b({.consecutive_failures = 2,
                       .open_for = 1s,
                       .probes = probes,
                       .on_change = [&](circuit_state from, circuit_state to) {
                         in_order = in_order && heard.back() == from;
                         heard.push_back(to);
                       }});
    auto impatient = derive_cancel(context::current());
    const auto caller = [&](bool may_be_canceled) {
      const context_scope scope(may_be_canceled ? impatient.ctx : context::current());
      for (int i = 0; i < 3; ++i) {
        try {
          b.call([&] {
            ++called;
            yield();
            if (choose(2) == 0) throw std::runtime_error("trouble");
          });
        } catch (const circuit_open&) {
          ++refused;
          sleep_for(choose(2) * 1s);
        } catch (const std::runtime_error&) {
        }
      }
    };
    with_task_group([&](task_group& g) {
      for (int n = 0; n < 3; ++n)
        g.go([&, n] {
          try {
            caller(n == 0);
          } catch (const canceled&) {
          }
        });
      g.go([&] {
        yield();
        impatient.cancel();
      });
    });
    const circuit_counters c = b.counters();
    require(c.refused == static_cast<std::uint64_t>(refused.load()), "refused by nobody");
    const auto counted = c.succeeded + c.failed, calls = static_cast<std::uint64_t>(called.load());
    require(counted <= calls && calls <= counted + 1, "a call counted twice, or not");
    require(in_order, "a change was not told, or out of order");
    // Whatever has happened, it lets calls through again, and closes.
    sleep_for(1s);
    for (std::size_t i = 0; i < probes + 1 && b.state() != circuit_state::closed; ++i) b.call([] {});
    require(b.state() == circuit_state::closed, "a place was lost");
  });
}

TEST(explored_circuit_breaker, an_open_one_lets_nobody_in_and_a_half_open_one_its_probes) {
  holds_in(2'000, [] {
    const int probes = 1 + static_cast<int>(choose(2));
    circuit_breaker b({.consecutive_failures = 1, .open_for = 1h, .probes = static_cast<std::size_t>(probes)});
    try {
      b.call([] { throw std::runtime_error("trouble"); });
    } catch (const std::runtime_error&) {
    }
    std::atomic<int> inside{0};
    const auto all_call = [&] {
      event gate;
      wait_group asked;
      asked.add(4);
      with_task_group([&](task_group& g) {
        for (int n = 0; n < 4; ++n)
          g.go([&] {
            try {
              b.call([&] {
                ++inside;
                asked.done();
                gate.wait();
              });
            } catch (const circuit_open&) {
              asked.done();
            }
          });
        asked.wait();
        gate.set();  // nobody has an outcome before all have asked
      });
    };
    all_call();
    require(inside == 0, "let in while it is open");
    sleep_for(1h);
    all_call();
    require(inside == probes, "not as many as the probes");
    require(b.state() == circuit_state::closed, "all have succeeded");
  });
}

TEST(explored_hedge, one_answer_comes_back_and_no_attempt_outlives_the_call) {
  holds_in(4'000, [] {
    std::atomic<int> live{0}, running{0}, begun{0}, failures{0};
    auto c = derive_cancel(context::current());
    const std::size_t allowed = 1 + choose(3);
    const duration delay = choose(2) == 0 ? 0s : 1s;
    with_task_group([&](task_group& g) {
      g.go([&] {
        const context_scope scope(c.ctx);
        try {
          const letter answer = hedge({.delay = delay, .attempts = allowed}, [&] {
            ++begun;
            ++running;
            struct ends {
              std::atomic<int>& n;
              ~ends() { --n; }
            } at_end{running};
            if (choose(2) == 0) sleep_for(choose(3) * 1s);
            if (choose(3) == 0) {
              ++failures;
              throw std::runtime_error("attempt");
            }
            return letter(live, failures);
          });
          require(live == 1, "more answers than one are left");
        } catch (const std::runtime_error&) {
          require(failures == static_cast<int>(allowed) && begun == failures, "given up too early");
        } catch (const canceled&) {
        }
        require(running == 0, "an attempt outlives the call");
        require(begun <= static_cast<int>(allowed), "too many attempts");
      });
      g.go([&] {
        if (choose(3) == 0) c.cancel();
      });
    });
    require(live == 0, "an answer is left");
  });
}

}  // namespace
}  // namespace runnel::test
