// The one way to wait: whoever blocks, fiber or thread, for whatever reason, makes a `waiter` on its own stack,
// links `wait_node`s of it into the `wait_queue`s of the objects it waits for, and parks.
//
// Guarantees
//  - Exactly one party ends a wait. A grant, a cancellation and a time-out are all the same compare-exchange on
//    the waiter's word (try_claim); the losers go away and nothing was consumed on their behalf.
//  - The one who claimed a waiter owns its frame until it calls wake(), which is its last access.
//
// Protocol (who may touch what)
//  1. A node is linked and unlinked under the lock of the object whose queue it stands in. Whoever holds that
//     lock may read the node and try to claim its waiter: the waiting party cannot leave its frame before it has
//     taken every such lock once more to unlink its nodes.
//  2. After a successful claim the claimer may release the lock and still use waiter and node until wake().
//  3. A waiter can be *held* for a moment (an element's move may throw): held waiters refuse claims but
//     remember that one was missed; revert() then ends the wait with `retry`.
//  4. The ambient context is not waited for anew each time: its node knows the agents that wait under it, for as long as
//     they do (src/context.cpp). It ends the wait of an agent that listens() at that moment, under the node's lock: an
//     agent stops listening to a node under that lock, so whatever wait is found listening is one under that node.
//     That is why the word, and the way from it to the frame, stand in the agent, whose memory is never freed.
//
// No lost wake-up: the condition is tested and the node linked under the object's lock, and every change of the
// condition takes the same lock before it looks for nodes. park() cannot miss wake(), because a fiber that is made
// runnable while it still leaves its stack is only resumed once it has left it, and a thread's wake-up is a
// permit that outlives the call.
#pragma once

#include <runnel/base/atomic.hpp>
#include <runnel/base/clock.hpp>
#include <runnel/base/intrusive_list.hpp>
#include <runnel/base/raw_lock.hpp>

#include <cstdint>

namespace runnel::inline RUNNEL_ABI::sched {

struct agent;  // a fiber or a thread that may wait
class world;   // a bubble of virtual time, see src/sched/world.hpp
struct wait_object;

/// What ended a wait: a number chosen by the one who registered the node (a select case's index), or one of these.
using claim_token = std::uint32_t;
inline constexpr claim_token granted = 0;
inline constexpr claim_token timed_out = 0x1fff'fff0;
inline constexpr claim_token was_canceled = 0x1fff'fff1;
inline constexpr claim_token retry = 0x1fff'fff2;

/// Why a fiber or thread waits: what reports print. `names` in src/sched/waiter.cpp follows this order.
enum class wait_reason : std::uint8_t {
  none, channel_send, channel_receive, select, sleep, task_join, group_wait, group_slot, wait_group,
  mutex_lock, blocking_call, fd_readable, fd_writable, root_join, after_func_stop,
  bubble, condition, semaphore, shared_lock, exclusive_lock, once, lazy, latch, barrier, event, rcu, fork_join,
  rate_limit, shared_execution,
};
const char* to_string(wait_reason) noexcept;

/// One at a time for each fiber or thread.
class waiter {
 public:
  /// Belongs to the calling fiber or thread.
  waiter() noexcept;
  explicit waiter(agent& caller) noexcept;
  waiter(const waiter&) = delete;
  waiter& operator=(const waiter&) = delete;

  /// Ends the wait with `token`; false when somebody else did, or holds it.
  bool try_claim(claim_token token) noexcept;
  /// Keeps others from ending the wait until commit() or revert().
  bool try_hold() noexcept;
  void commit(claim_token token) noexcept;
  /// Lets others end the wait again. True when one was refused meanwhile: the wait is then claimed with
  /// `retry` and the caller must wake().
  bool revert() noexcept;
  /// Makes the waiting party run. Only after a claim, once; the waiter may be gone when it returns.
  void wake() noexcept;
  /// Makes it ready for another wait, after one that has ended and been unlinked everywhere.
  void rearm() noexcept;
  /// From now on listeners' claims end this wait too. False: it has ended already.
  bool listen() noexcept;
  /// The wait of `a` if it was listening, and is now claimed with `was_canceled`; else null.
  static waiter* claim_listening(agent& a) noexcept;
  /// The token of the claim; only after park() has returned.
  claim_token token() const noexcept;
  /// This wait may be ended by o. Under its lock, or before it is known there; only bubbles take notice.
  void may_be_ended_by(const wait_object& o) noexcept;
  /// This wait may be ended from outside every bubble: by the kernel, by a thread of the pool.
  void may_be_ended_from_outside() noexcept { outside_ = true; }
  /// Who waits, for reports.
  const agent& who() const noexcept { return *target_; }

 private:
  bool try_change(std::uint32_t to) noexcept;
  friend class wake_list;
  friend claim_token park(waiter&, wait_reason, const void*, time_point) noexcept;
  agent* target_;
  bool outside_ = false;  ///< waiting for it lets no virtual time pass
  waiter* next_to_wake_ = nullptr;
};

struct wait_tag;
/// One registration of a waiter with one object.
struct wait_node : detail::list_hook<wait_tag> {
  waiter* owner = nullptr;
  claim_token token = granted;
  void* slot = nullptr;    ///< what the operation brings or takes
  std::uint64_t note = 0;  ///< for the object: an outcome, an amount

  wait_node() noexcept = default;
  wait_node(waiter& w, claim_token t = granted, void* s = nullptr) noexcept : owner(&w), token(t), slot(s) {}
};

/// The waiters of one object, first come first served. All calls under that object's lock.
class wait_queue {
 public:
  bool empty() const noexcept { return list_.empty(); }
  void push_back(wait_node& n) noexcept;
  void push_front(wait_node& n) noexcept;
  /// Unlinks n where it is still linked.
  void remove(wait_node& n) noexcept;
  /// Unlinks and claims the first that can be claimed (with its node's token); null when there is none.
  wait_node* claim_front() noexcept;
  /// The same with a token of the caller's choice.
  wait_node* claim_front_as(claim_token token) noexcept;
  /// Claims the first that can be claimed, as long as `wanted(node)` says so of each that comes to the front.
  template <class Wanted>
  wait_node* claim_front_if(Wanted wanted) noexcept {
    for (wait_node* n = front(); n && wanted(*n); n = front()) {
      if (wait_node* claimed = try_claim_front()) return claimed;
    }
    return nullptr;
  }
  /// The same, but holds it: the caller commits or reverts.
  wait_node* hold_front() noexcept;
  wait_node* front() noexcept { return list_.front(); }
  template <class F>
  void for_each(F f) {
    list_.for_each(f);
  }

  /// Without the lock: whether anybody waited a moment ago.
  bool seems_empty() const noexcept {
    return !any_.load(shim::order::acquire);  // acquire: what the caller looks at next is looked at later
  }

 private:
  wait_node* pop_front() noexcept;
  wait_node* try_claim_front() noexcept;
  void linked(std::int64_t change) noexcept;

  detail::intrusive_list<wait_node, wait_tag> list_;
  shim::atomic<bool> any_{false};
};

/// The same in one pointer, for an object that has room for no more: the first node, in a ring.
class wait_ring {
 public:
  explicit wait_ring(wait_node* first) noexcept : first_(first) {}
  wait_node* first() const noexcept { return first_; }
  void push_back(wait_node& n) noexcept;
  void push_front(wait_node& n) noexcept {
    push_back(n);
    first_ = &n;
  }
  /// Unlinks n where it is still linked.
  void remove(wait_node& n) noexcept;
  wait_node* claim_front_as(claim_token token) noexcept;
  template <class F>
  void for_each(F f) {
    if (!first_) return;
    wait_node* n = first_;
    do {
      f(*n);
      n = static_cast<wait_node*>(n->next);
    } while (n != first_);
  }

 private:
  wait_node* first_;
};

/// Claimed waiters, woken in order once the locks are released.
class wake_list {
 public:
  wake_list() noexcept = default;
  wake_list(const wake_list&) = delete;
  wake_list& operator=(const wake_list&) = delete;
  void push(waiter& w) noexcept;
  /// Claims every waiter of the queue and takes them over.
  void claim_all(wait_queue& q) noexcept;
  void wake_all() noexcept;
  bool empty() const noexcept { return first_ == nullptr; }

 private:
  waiter* first_ = nullptr;
  waiter* last_ = nullptr;
};

/// Suspends the caller until w has been claimed and woken; with a deadline, claims it itself at that instant
/// with `timed_out`. Returns the token of the claim.
/// - blocks: until the wake-up
/// - cancel: ignores; see detail::context_node's wait() for the form that observes contexts
/// - threads: any, the one that made w
claim_token park(waiter& w, wait_reason reason, const void* object, time_point deadline = never) noexcept;

/// The calling fiber, else the calling thread. Never inlined: a fiber may be on another thread after any wait.
[[gnu::noinline]] agent& this_agent();

/// A scope in which the caller holds something that must not be held across a wait: a wait in it ends the process with a
/// message, and a turn does not end in it; an RCU read section is another. Scopes may nest; they end in the reverse order, on the same fiber or thread.
class no_parking {
 public:
  no_parking() noexcept;
  ~no_parking();
  no_parking(const no_parking&) = delete;
  no_parking& operator=(const no_parking&) = delete;

 private:
  agent& owner_;
};

/// Lets the other runnable fibers go first.
void yield_turn() noexcept;
/// The same for a caller that knows itself.
void yield_turn(agent& caller) noexcept;

/// Counts one completed operation against the caller's turn; yields when the turn is used up, so that a loop over
/// operations that are always ready does not keep a worker for itself.
void spend_turn() noexcept;

/// The number of the caller's bubble; 0 outside of every bubble.
std::uint32_t number_of_this_world() noexcept;

/// An object that can be waited for: its lock, and its number.
struct wait_object {
  wait_object() noexcept = default;
  wait_object(const wait_object&) = delete;
  wait_object& operator=(const wait_object&) = delete;

  /// By which select orders several objects, and contexts are told apart. Given when first asked for: most objects live
  /// without.
  std::uint64_t order() const noexcept {
    const std::uint64_t known = order_.load(shim::order::acquire);  // acquire: pairs with give_order(); locks are taken by it
    return known ? known : give_order();
  }

  detail::raw_lock lock;
  /// The number of the bubble that it was made in; 0: none.
  std::uint32_t made_in() const noexcept { return made_in_; }

 private:
  std::uint64_t give_order() const noexcept;
  const std::uint32_t made_in_ = number_of_this_world();
  mutable shim::atomic<std::uint64_t> order_{0};
};

/// Live registrations in wait queues; counted in checked builds, else 0.
std::int64_t registered_nodes() noexcept;

}  // namespace runnel::inline RUNNEL_ABI::sched
