// A condition variable for fibers and threads alike: waits until something that a mutex guards has changed.
//
//   std::unique_lock lock(m);                          // one:   std::unique_lock lock(m);
//   changed.wait(lock, [&] { return !jobs.empty(); });  //        jobs.push_back(job);
//                                                       //        changed.notify_one();
//
// Use when: a condition over guarded state is awaited that no ready-made object expresses. Use a channel to pass values on, a
// semaphore to count, a wait_group to wait for ends.
// Guarantees: no wake-up without a notification, a time limit or a cancellation. First come, first served: a notification
// goes to one who waits at that moment, a newcomer cannot steal it, and who gives up uses none up. notify_one and
// notify_all may be called with or without the mutex; whoever changes the condition under it loses no notification.
// May be destroyed once all are notified, as std's.
// Blocking and cancellation: the waits observe cancellation, and leave, however they end, with the mutex locked; to lock it
// again is not cancellable.
// Errors: a lock that does not own its mutex throws misuse; destroying one with waiters ends the process with a message that
// names them.
// Cost: a short lock for each wait and each notification; nothing but a load while nobody waits.
#pragma once

#include <runnel/sync/mutex.hpp>

#include <condition_variable>
#include <mutex>

namespace runnel::inline RUNNEL_ABI {

class condition_variable {
 public:
  condition_variable() noexcept = default;
  condition_variable(const condition_variable&) = delete;
  condition_variable& operator=(const condition_variable&) = delete;
  ~condition_variable();

  /// Ends the wait of the first who waits.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  void notify_one() noexcept;
  /// Ends the waits of all who wait now.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  void notify_all() noexcept;

  /// Unlocks, waits for a notification, locks again. With a predicate: until it holds.
  /// - blocks: until the notification, and until the mutex is free
  /// - cancel: throws canceled, with the mutex locked
  /// - threads: any
  RUNNEL_PARKS void wait(std::unique_lock<mutex>& lock) { static_cast<void>(wait_simply(lock, never, nullptr)); }
  template <class Predicate>
  RUNNEL_PARKS void wait(std::unique_lock<mutex>& lock, Predicate holds) {
    static_cast<void>(wait_while(lock, never, nullptr, holds));
  }
  /// The same, observing ctx and the ambient context.
  /// - blocks: until the notification, and until the mutex is free
  /// - cancel: throws canceled, with the mutex locked
  /// - threads: any
  RUNNEL_PARKS void wait(const context& ctx, std::unique_lock<mutex>& lock) {
    static_cast<void>(wait_simply(lock, never, &detail::node_of(ctx)));
  }
  template <class Predicate>
  RUNNEL_PARKS void wait(const context& ctx, std::unique_lock<mutex>& lock, Predicate holds) {
    static_cast<void>(wait_while(lock, never, &detail::node_of(ctx), holds));
  }
  /// `timeout` when the limit came first. With a predicate: what it says in the end.
  /// - blocks: at most for the limit, and until the mutex is free
  /// - cancel: throws canceled, with the mutex locked
  /// - threads: any
  RUNNEL_PARKS std::cv_status wait_for(std::unique_lock<mutex>& lock, duration limit) {
    return wait_simply(lock, limit.from_now(), nullptr);
  }
  template <class Predicate>
  RUNNEL_PARKS bool wait_for(std::unique_lock<mutex>& lock, duration limit, Predicate holds) {
    return wait_while(lock, limit.from_now(), nullptr, holds);
  }
  RUNNEL_PARKS std::cv_status wait_until(std::unique_lock<mutex>& lock, time_point deadline) {
    return wait_simply(lock, deadline, nullptr);
  }
  template <class Predicate>
  RUNNEL_PARKS bool wait_until(std::unique_lock<mutex>& lock, time_point deadline, Predicate holds) {
    return wait_while(lock, deadline, nullptr, holds);
  }

 private:
  void begin(const std::unique_lock<mutex>& lock, detail::context_node* extra);
  RUNNEL_PARKS std::cv_status wait_once(std::unique_lock<mutex>& lock, time_point deadline, detail::context_node* extra);
  void leave(sched::wait_node& n) noexcept;

  std::cv_status wait_simply(std::unique_lock<mutex>& lock, time_point deadline, detail::context_node* extra) {
    begin(lock, extra);
    return wait_once(lock, deadline, extra);
  }
  template <class Predicate>
  bool wait_while(std::unique_lock<mutex>& lock, time_point deadline, detail::context_node* extra, Predicate& holds) {
    begin(lock, extra);
    while (!holds())
      if (wait_once(lock, deadline, extra) == std::cv_status::timeout) return holds();
    return true;
  }

  sched::wait_object object_;
  // Under object_.lock.
  sched::wait_queue waiters_;
  std::uint32_t inside_ = 0;  ///< who waits, or has given up and not left yet
};

}  // namespace runnel::inline RUNNEL_ABI
