// The select case of a semaphore.
#pragma once

#include <runnel/detail/select_core.hpp>
#include <runnel/sync/semaphore.hpp>

namespace runnel::inline RUNNEL_ABI::detail {

class acquire_case_core : public select_case {
 public:
  sched::wait_object* object() noexcept final { return &of_->object_; }
  bool ready() final { return of_->can_take(n_); }
  bool commit(sched::wake_list&) final {
    of_->take_locked(n_);
    return true;
  }
  bool enqueue(sched::wait_node& n) final {
    n.note = n_;
    of_->join_queue(n);
    return true;
  }
  void dequeue(sched::wait_node& n) noexcept final {
    sched::wake_list woken;
    of_->leave_queue(n, woken);
    woken.wake_all();  // under the lock: this select still uses the semaphore, so whoever is woken must not destroy it yet
  }
  void finish(sched::wait_node&) final { of_->see_release(); }

 protected:
  acquire_case_core(semaphore& s, std::ptrdiff_t n) : of_(&s), n_(s.checked(n)) {}

 private:
  semaphore* of_;
  std::uint64_t n_;
};

}  // namespace runnel::inline RUNNEL_ABI::detail
