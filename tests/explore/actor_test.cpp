// Actors, servers, circuit breakers and hedged calls, in many orders of events, with failures and cancellations at random:
// nothing is lost, nothing happens twice, nobody waits for ever.
#include "explored.hpp"

#include <runnel/patterns/actor.hpp>
#include <runnel/patterns/serve.hpp>
#include <runnel/runnel.hpp>
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
    actor<question_about> a({.mailbox = 1, .overflow = static_cast<overflow_policy>(choose(4)),
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

}  // namespace
}  // namespace runnel::test
