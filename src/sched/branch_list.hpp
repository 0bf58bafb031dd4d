// Branches whose fiber has left its stack: they lie on no worker's deque, and all workers find them here.
#pragma once

#include <runnel/base/raw_lock.hpp>
#include <runnel/sched/fork_join.hpp>

namespace runnel::inline RUNNEL_ABI::sched {

/// For one that was taken and cannot be run here: its owner runs it.
void hand_back(branch& b) noexcept;

class branch_list {
 public:
  /// Behind those that are there.
  void add(branch& b) noexcept {
    const detail::raw_guard hold(lock_);
    list_.push_back(b);
    count(+1);
  }
  /// The owner takes it back; false when somebody has taken it.
  bool remove(branch& b) noexcept {
    const detail::raw_guard hold(lock_);
    if (!b.linked()) return false;
    list_.remove(b);
    count(-1);
    return true;
  }
  /// The first, or null.
  branch* take() noexcept {
    if (!any()) return nullptr;
    const detail::raw_guard hold(lock_);
    branch* b = list_.pop_front();
    if (b) count(-1);
    return b;
  }
  bool any() const noexcept {
    return count_.load(shim::order::relaxed) != 0;  // relaxed: a hint; idle workers look behind a fence
  }

 private:
  void count(int change) noexcept {
    // relaxed: written under the lock; who relies on it without the lock has a fence (idle_set.hpp)
    count_.store(count_.load(shim::order::relaxed) + static_cast<std::size_t>(change), shim::order::relaxed);
  }

  detail::raw_lock lock_;
  detail::intrusive_list<branch, branch_tag> list_;
  shim::atomic<std::size_t> count_{0};
};

}  // namespace runnel::inline RUNNEL_ABI::sched
