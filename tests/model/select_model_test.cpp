// Select: exactly one case takes place, whoever its partners are, and nobody is left waiting.
#include "around/around.hpp"
#include "brittle.hpp"
#include "checker/expect.hpp"

#include <runnel/channel.hpp>
#include <runnel/select.hpp>

namespace {

using model::bounds;
using model::check;
using model::expect_passes;
using model::explore;
using runnel::detail::channel_core;
using runnel::detail::select_case;

/// A receive or send case on a core, as select.hpp makes them from handles.
struct receive_case final : runnel::detail::receive_case_core {
  explicit receive_case(channel_core* c) {
    core_ = c;
    element_ = &value;
  }
  std::optional<int> value;
};
struct send_case final : runnel::detail::send_case_core {
  send_case(channel_core* c, int v) : value(v) {
    core_ = c;
    element_ = &value;
  }
  bool sent() const { return status_ == runnel::channel_status::ok; }
  int value;
};

struct pipe {
  explicit pipe(std::size_t capacity) : core(runnel::detail::make_channel_core(runnel::detail::element_ops_of<int>::ops, capacity)) {}
  ~pipe() { runnel::detail::channel_release(core); }
  pipe(const pipe&) = delete;
  pipe& operator=(const pipe&) = delete;
  bool send(int v, runnel::time_point deadline = runnel::never) {
    return runnel::detail::channel_send(core, &v, {true, deadline, nullptr}) == runnel::channel_status::ok;
  }
  std::optional<int> receive(runnel::time_point deadline = runnel::never) {
    std::optional<int> v;
    static_cast<void>(runnel::detail::channel_receive(core, &v, {true, deadline, nullptr}));
    return v;
  }
  channel_core* const core;
};

template <class... Cases>
std::size_t select_of(Cases&... cases) {
  select_case* const all[] = {&cases...};
  return runnel::detail::run_select(all, nullptr);
}

constexpr runnel::time_point soon{std::chrono::nanoseconds(1000)};

TEST(select, of_two_senders_one_is_served) {
  expect_passes(explore(bounds{2, 1}, [] {
    around::world w;
    around::choose_at_random();
    pipe a(0), b(0);
    model::thread first([&] { check(a.send(1), "sent"); });
    model::thread second([&] { check(b.send(2), "sent"); });
    receive_case from_a(a.core), from_b(b.core);
    const std::size_t i = select_of(from_a, from_b);
    check(i == 0 ? from_a.value == 1 && !from_b.value : from_b.value == 2 && !from_a.value, "one value, of the case");
    check(i == 0 ? b.receive() == 2 : a.receive() == 1, "the other sender still waits");
  }));
}

TEST(select, a_sender_that_gives_up_and_a_select_agree) {
  int outcomes = 0;
  expect_passes(explore(bounds{3, 1}, [&] {
    around::world w;
    pipe a(0), b(0);
    bool sent = false;
    model::thread sender([&] {
      sent = a.send(1, soon);
      runnel::detail::channel_close(b.core);
    });
    receive_case from_a(a.core), from_b(b.core);
    const std::size_t i = select_of(from_a, from_b);
    sender.join();
    check(sent == (i == 0) && sent == from_a.value.has_value(), "lost, or there twice");
    outcomes |= sent ? 1 : 2;
  }));
  EXPECT_EQ(outcomes, 3);
}

TEST(select, two_selects_meet_once) {
  // One sends on a or b, the other receives from a or b.
  expect_passes(explore(bounds{3, 2}, [] {
    around::world w;
    around::choose_at_random();
    pipe a(0), b(0);
    std::size_t sent = 9;
    model::thread sender([&] {
      send_case to_a(a.core, 1), to_b(b.core, 2);
      sent = select_of(to_a, to_b);
    });
    receive_case from_a(a.core), from_b(b.core);
    const std::size_t received = select_of(from_a, from_b);
    sender.join();
    check(sent == received, "they met on two channels");
    check(received == 0 ? from_a.value == 1 && !from_b.value : from_b.value == 2 && !from_a.value, "the value");
  }));
}

TEST(select, two_selects_over_the_same_locks_in_two_orders) {
  expect_passes(explore(bounds{4, 2}, [] {
    around::world w;
    pipe a(1), b(1);
    model::thread other([&] {
      send_case to_b(b.core, 2), to_a(a.core, 1);
      check(select_of(to_b, to_a) <= 1, "one");
    });
    send_case to_a(a.core, 3), to_b(b.core, 4);
    check(select_of(to_a, to_b) <= 1, "one");
    other.join();
    check(runnel::detail::channel_size(a.core) + runnel::detail::channel_size(b.core) == 2, "two values");
  }));
}

TEST(select, a_cancellation_that_was_refused_during_a_throwing_move_is_made_up_for) {
  struct brittle_case final : runnel::detail::receive_case_core {
    explicit brittle_case(channel_core* c) {
      core_ = c;
      element_ = &value;
    }
    std::optional<brittle> value;
  };
  struct otherwise_case final : select_case {
    otherwise_case() { otherwise = true; }
  };
  for (const bool all_locks : {false, true}) expect_passes(explore(bounds{2, 1}, [&] {
    around::world w;
    brittle::failures = 1;
    channel_core* core = runnel::detail::make_channel_core(runnel::detail::element_ops_of<brittle>::ops, 0);
    runnel::derived_context d = runnel::derive_cancel(runnel::context::background());
    bool canceled = false;
    brittle mine;
    model::thread sender([&] {
      try {
        runnel::detail::channel_send(core, &mine, {true, runnel::never, &runnel::detail::node_of(d.ctx)});
      } catch (const runnel::canceled&) {
        canceled = true;
      }
    });
    model::thread canceler([&] { d.cancel.cancel(); });
    brittle_case receive(core);
    pipe silent(0);
    receive_case from_silent(silent.core);
    from_silent.enabled = all_locks;  // what `otherwise` says of two needs all locks
    otherwise_case otherwise;
    try {
      check(select_of(receive, from_silent, otherwise) == 2, "the first move throws");
    } catch (int) {
    }
    sender.join(), canceler.join();
    check(canceled, "canceled");
    runnel::detail::channel_release(core);
  }));
}

TEST(select, a_close_ends_it) {
  expect_passes(explore(bounds{3, 1}, [] {
    around::world w;
    pipe a(0), b(0);
    model::thread closer([&] { runnel::detail::channel_close(b.core); });
    receive_case from_a(a.core), from_b(b.core);
    check(select_of(from_a, from_b) == 1 && !from_b.value, "b is closed");
  }));
}

}  // namespace
