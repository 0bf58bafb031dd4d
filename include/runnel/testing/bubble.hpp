// A bubble: a function and everything that it starts, in a world with a clock of its own that never makes anybody wait.
//
//   TEST(...) { runnel::bubble([] { runnel::sleep_for(24h); }); }  // takes no time at all
//
// Use when: a test is about time-outs, periods, retries, or about an order of events that only time gives. When not: the code
// waits for descriptors, signals or threads of its own; they know nothing of the bubble's time.
// Guarantees: inside, every clock of the library starts at 2000-01-01 00:00 UTC and stands still while anybody can run. When
// every fiber of the bubble is blocked it jumps to the next timer. What was done before a jump happens before what is done
// after it. When nothing can ever happen again, bubble() throws instead of hanging.
// What belongs to it: the body, and every fiber that is started from inside, by whatever means. Locks, wait groups, joins and
// everything else that a fiber of the bubble waits for counts as blocked, except what the outside may end: a blocking()
// call, readiness of a descriptor, and channels, tasks, groups, wait groups and contexts made outside. While somebody waits for
// one of those the clock stands still. (A mutex does not know where it was made: do not share one with the outside.)
// From outside: channels, tasks and other objects of the bubble may be used; a timer of the bubble cannot be reset.
// Errors: bubble_error; misuse inside another bubble.
#pragma once

#include <runnel/runtime.hpp>

#include <stdexcept>

namespace runnel::inline RUNNEL_ABI {

/// A bubble in which nothing could ever happen again (a deadlock), or whose body left fibers behind (a leak). what() names
/// each fiber: name, what it waits for, where it was started.
class bubble_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

namespace detail {
void run_bubble(void (*call)(void* body), void* body, const site& at);
}  // namespace detail

/// Runs body as the first fiber of a new bubble and waits for everything in it. The body's context is canceled at its end;
/// time stands still from then on, and who is blocked then was left behind. Fibers of a failed bubble are canceled; those that
/// cannot be (in mutex::lock) never run again.
/// Throws what leaves the body; else bubble_error for a deadlock or a leak.
/// - blocks: until every fiber of the bubble has ended
/// - cancel: cancels the bubble, waits for its end, then throws canceled
/// - threads: any that is not in a bubble
template <class F>
RUNNEL_PARKS void bubble(F&& body, source_location at = source_location::current()) {
  auto call = [&] { static_cast<void>(body()); };
  detail::run_bubble([](void* c) { (*static_cast<decltype(call)*>(c))(); }, &call, at);
}

}  // namespace runnel::inline RUNNEL_ABI
