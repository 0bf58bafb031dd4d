// The compiled part of select: what a case is, and the algorithm.
#pragma once

#include <runnel/detail/channel_core.hpp>
#include <runnel/detail/spsc_core.hpp>
#include <runnel/detail/task_core.hpp>
#include <runnel/sched/poller.hpp>

#include <span>

namespace runnel::inline RUNNEL_ABI::detail {

/// What a look without the lock tells of a case.
enum class glance : std::uint8_t {
  not_ready,  ///< there was an instant during the look at which it was not ready
  ready,      ///< it was ready a moment ago
  unknown,    ///< only the lock can tell
};

/// One case. The functions are called with the lock of object() held, unless they say otherwise.
class select_case {
 public:
  /// The object waited for; null: there is none (a time-out, `otherwise`). Without the lock.
  virtual sched::wait_object* object() noexcept { return nullptr; }
  virtual bool ready() { return false; }
  /// Without the lock.
  virtual glance look() noexcept { return glance::unknown; }
  /// Does it. False when it was not ready after all (who waited there is being woken by somebody else); ready() says so
  /// from then on. May throw, with nothing changed.
  virtual bool commit(sched::wake_list&) { return true; }
  /// False: it has become ready meanwhile, without the lock, and is not registered.
  virtual bool enqueue(sched::wait_node&) { return true; }
  virtual void dequeue(sched::wait_node&) noexcept {}
  /// The parked select was ended by this case. Without the lock.
  virtual void finish(sched::wait_node&) {}
  /// Keeps the object from the beginning of a wait until returned(), or until this case has ended the wait.
  virtual void expect_return() noexcept {}
  /// True: the object is to be destroyed by destroy_object(), without the lock.
  virtual bool returned() noexcept { return false; }
  virtual void destroy_object() noexcept {}
  /// When the case becomes ready by time.
  virtual time_point deadline() const noexcept { return never; }

  bool enabled = true;
  bool otherwise = false;
  bool gone = false;  ///< its object is to be destroyed
  sched::wait_node node;

 protected:
  select_case() noexcept = default;
  select_case(const select_case&) = default;
  ~select_case() = default;
};

/// The index of the case that took place. Throws what a commit throws, or canceled, also for `extra`.
std::size_t run_select(std::span<select_case* const> cases, context_node* extra);

class receive_case_core : public select_case {
 public:
  sched::wait_object* object() noexcept final;
  bool ready() final;
  glance look() noexcept final;
  bool commit(sched::wake_list&) final;
  bool enqueue(sched::wait_node&) final;
  void dequeue(sched::wait_node&) noexcept final;
  void finish(sched::wait_node&) final;
  void expect_return() noexcept final;
  bool returned() noexcept final;
  void destroy_object() noexcept final;

 protected:
  channel_core* core_ = nullptr;
  void* element_ = nullptr;  ///< a std::optional<T>; written only when the case takes place
  channel_status status_ = channel_status::ok;
};

class send_case_core : public select_case {
 public:
  sched::wait_object* object() noexcept final;
  bool ready() final;
  glance look() noexcept final;
  bool commit(sched::wake_list&) final;
  bool enqueue(sched::wait_node&) final;
  void dequeue(sched::wait_node&) noexcept final;
  void finish(sched::wait_node&) final;
  void expect_return() noexcept final;
  bool returned() noexcept final;
  void destroy_object() noexcept final;

 protected:
  channel_core* core_ = nullptr;
  void* element_ = nullptr;  ///< the value
  channel_status status_ = channel_status::ok;
  std::exception_ptr error_;  ///< of a move that a receiver made for this case
};

/// A case of a one-to-one channel; one that waits is woken to look again.
template <bool Sending>
class spsc_case_core : public select_case {
 public:
  sched::wait_object* object() noexcept final { return core_; }
  bool ready() final { return spsc_ready(*core_, Sending); }
  glance look() noexcept final { return spsc_ready(*core_, Sending) ? glance::ready : glance::not_ready; }
  bool commit(sched::wake_list& woken) final {
    status_ = spsc_try_locked(*core_, Sending, element_, woken);
    return status_ != channel_status::would_block;
  }
  bool enqueue(sched::wait_node& n) final { return spsc_register_wait(*core_, Sending, n); }
  void dequeue(sched::wait_node& n) noexcept final { spsc_withdraw(*core_, Sending, n); }

 protected:
  spsc_core* core_ = nullptr;
  void* element_ = nullptr;
  channel_status status_ = channel_status::ok;
};

class done_case_core : public select_case {
 public:
  sched::wait_object* object() noexcept final { return node_.get(); }
  bool ready() final { return node_->is_canceled(); }
  glance look() noexcept final { return node_->is_canceled() ? glance::ready : glance::not_ready; }
  bool commit(sched::wake_list&) final { return node_->state() != cancel_state::live; }
  void finish(sched::wait_node&) final { static_cast<void>(node_->state()); }
  bool enqueue(sched::wait_node& n) final {
    if (node_.get() != &background_node()) n.owner->may_be_ended_by(*node_);  // that one never ends a wait
    node_->watch(n);
    return true;
  }
  void dequeue(sched::wait_node& n) noexcept final { node_->unwatch(n); }

 protected:
  explicit done_case_core(context_node& n) noexcept : node_(&n) { n.ensure_linked(); }
  ref_ptr<context_node> node_;
};

class join_case_core : public select_case {
 public:
  sched::wait_object* object() noexcept final { return task_; }
  bool ready() final;
  bool enqueue(sched::wait_node& n) final {
    task_->add_joiner(n);
    return true;
  }
  void dequeue(sched::wait_node& n) noexcept final { task_->remove_joiner(n); }
  void finish(sched::wait_node&) final { task_->see_end(); }

 protected:
  explicit join_case_core(task_core* t) noexcept : task_(t) { enabled = t != nullptr; }
  task_core* task_;
};

class readiness_case_core : public select_case {
 public:
  sched::wait_object* object() noexcept final { return &sched::poller_object(); }
  bool ready() final { return sched::ready_now(fd_, what_); }
  bool enqueue(sched::wait_node& n) final;
  void dequeue(sched::wait_node& n) noexcept final { sched::unwatch(fd_, what_, n); }

 protected:
  readiness_case_core(int fd, sched::readiness what) noexcept : fd_(fd), what_(what) {}
  int fd_;
  sched::readiness what_;
};

}  // namespace runnel::inline RUNNEL_ABI::detail
