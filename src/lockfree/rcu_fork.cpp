// fork, as RCU sees it: the child has one thread, and no sections, waits or runs of others. All locks are held over the fork,
// so that the child finds what they guard in order.
#include "lockfree/rcu_state.hpp"

#include <runnel/sched/attachment.hpp>

#include <pthread.h>

namespace runnel::inline RUNNEL_ABI::detail {

namespace {

void before_fork() noexcept {
  the_rcu().lock.lock();
  the_rcu().for_each_reader([](rcu_reader& r) { r.lock.lock(); });
}
void after_fork() noexcept {
  the_rcu().for_each_reader([](rcu_reader& r) { r.lock.unlock(); });
  the_rcu().lock.unlock();
}
void in_child() noexcept {
  const void* const own = sched::attached(sched::attachment::reader);
  the_rcu().for_each_reader([own](rcu_reader& r) {
    if (static_cast<const sched::read_depth*>(&r) == own) return;
    r.sections = 0;
    r.word.store(0, shim::order::relaxed);       // relaxed: there is nobody else
    r.key.store(nullptr, shim::order::relaxed);  // relaxed: as above
  });
  the_rcu().forget_others(sched::this_agent());
  after_fork();
}

}  // namespace

void watch_forks_of_rcu() noexcept {
  static const int registered = pthread_atfork(&before_fork, &after_fork, &in_child);
  static_cast<void>(registered);  // fails without memory: a child may then wait for readers that it does not have
}

}  // namespace runnel::inline RUNNEL_ABI::detail
