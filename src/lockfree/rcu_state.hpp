// What the domain of RCU consists of: readers, grace periods, retired objects. See rcu_domain.cpp and rcu_retired.cpp.
//
// Who may touch what
//  - A reader's `sections` and `word` are written by its thread alone, `word` is read by whoever waits for a grace period.
//  - Its lists of retired objects are under its `lock`, its membership in `readers` is for ever.
//  - Queues and runs are under the state's `lock`. Order of locks: the state's, then a reader's. Deleters run under none.
#pragma once

#include "cancellation.hpp"

#include <runnel/base/raw_lock.hpp>
#include <runnel/lockfree/rcu_domain.hpp>
#include <runnel/sched/attachment.hpp>

#include <cstddef>
#include <limits>

namespace runnel::inline RUNNEL_ABI::detail {

/// Retired objects, the oldest first.
class rcu_list {
 public:
  rcu_list() noexcept = default;
  rcu_list(rcu_list&& o) noexcept { append(o); }
  rcu_list& operator=(const rcu_list&) = delete;

  bool empty() const noexcept { return first_ == nullptr; }
  std::size_t size() const noexcept { return size_; }
  void push(rcu_retired& r) noexcept {
    r.next = nullptr;
    (last_ ? last_->next : first_) = &r;
    last_ = &r;
    ++size_;
  }
  /// Takes over what is in o.
  void append(rcu_list& o) noexcept {
    if (o.empty()) return;
    (last_ ? last_->next : first_) = o.first_;
    last_ = o.last_;
    size_ += o.size_;
    o.first_ = o.last_ = nullptr;
    o.size_ = 0;
  }
  /// Null when there is none.
  rcu_retired* pop() noexcept {
    rcu_retired* const r = first_;
    if (!r) return nullptr;
    first_ = r->next;
    if (!first_) last_ = nullptr;
    --size_;
    return r;
  }

 private:
  rcu_retired* first_ = nullptr;
  rcu_retired* last_ = nullptr;
  std::size_t size_ = 0;
};

/// A thread that reads or retires. In the build for exploration, where a fiber may go on elsewhere in the middle of a
/// section, one of a fiber in a section, or one of a world that retires: see `key`. Never freed.
struct alignas(64) rcu_reader : sched::read_depth {
  /// 0: in no section; else the number of the period that was the current one when the outermost began.
  shim::atomic<std::uint64_t> word{0};
  bool fences = false;                        ///< there is no heavy fence: this side executes one of its own
  rcu_reader* next = nullptr;                 ///< written before it is published
  shim::atomic<const void*> key{nullptr};     ///< whose it is: itself, while a thread has it; null: free
  shim::atomic<const void*> thread{nullptr};  ///< that of the sched::place of who enlisted, for reports

  raw_lock lock;
  // Under `lock`.
  rcu_list fresh;                ///< retired, and no period begun since
  rcu_list pending;              ///< to be deleted once no reader is older than `period`
  std::uint64_t period = 0;
};

/// Deleters that are being run, on the stack of who runs them.
struct rcu_run_tag;
struct rcu_run : list_hook<rcu_run_tag> {
  explicit rcu_run(sched::agent& a) noexcept : who(&a) {}
  sched::agent* who;
  std::uint64_t number = 0;
};

struct rcu_state {
  static constexpr std::uint64_t nobody = std::numeric_limits<std::uint64_t>::max();

  // ---- readers
  rcu_reader& enlist(const void* key) noexcept;
  rcu_reader* find(const void* key) const noexcept;
  /// Every reader that there has been.
  template <class F>
  void for_each_reader(F f) const {
    // acquire: pairs with enlist(), for what was written into the record before
    for (rcu_reader* r = readers.load(shim::order::acquire); r; r = r->next) f(*r);
  }

  // ---- grace periods
  std::uint64_t begin_period() noexcept;
  /// The least number in any reader; `nobody` when none is in a section.
  std::uint64_t oldest() const noexcept;
  /// Whether all sections from before that period have ended; what was done in them happens before a yes.
  bool is_over(std::uint64_t period) const noexcept;
  void wait_for(std::uint64_t period, sched::agent& caller) noexcept;
  bool announce(sched::wait_node& n) noexcept;
  void withdraw(sched::wait_node& n) noexcept;
  /// A reader that somebody waits for has left.
  void reader_left() noexcept;
  void report_stalled(std::uint64_t period, duration waited) const noexcept;

  // ---- retired objects
  void reclaim(rcu_reader& r, sched::agent& caller) noexcept;
  bool begin_run(rcu_run& r, rcu_list& adopted) noexcept;
  void end_run(rcu_run& r) noexcept;
  bool in_run(const sched::agent& a) noexcept;
  void wait_for_runs(sched::agent& caller) noexcept;
  void barrier(sched::agent& caller) noexcept;
  /// Its thread ends: the record is free, and what was retired there is anybody's.
  void strike_off(rcu_reader& r) noexcept;
  void forget_others(const sched::agent& self) noexcept;

  shim::atomic<rcu_reader*> readers{nullptr};  ///< written under the lock
  shim::atomic<std::uint64_t> current{1};      ///< the period
  /// The newest period that somebody parked for; 0: nobody. Written under the lock.
  shim::atomic<std::uint64_t> awaited{0};

  raw_lock lock;
  // Under the lock.
  sched::wait_queue waiting;   ///< for the period in the note, which grows from node to node
  sched::wait_queue barriers;  ///< for the end of all runs up to the one in the note, which grows too
  intrusive_list<rcu_run, rcu_run_tag> runs;
  std::uint64_t last_run = 0;
  rcu_list orphans;  ///< of threads that have ended
};

rcu_state& the_rcu() noexcept;
/// From now on a forked child forgets the sections of threads that it does not have.
void watch_forks_of_rcu() noexcept;
/// In the build for exploration: whose record keeps what the members of a world retire.
inline const void* rcu_retirer_key(std::uint32_t number_of_world) noexcept {
  return reinterpret_cast<const void*>(std::uintptr_t{number_of_world} * 2 + 1);
}
/// The caller's, for what it retires. Never inlined: see sched::this_agent().
[[gnu::noinline]] rcu_reader& rcu_retirer() noexcept;

/// How long a grace period may take before a report says who holds it up; for tests.
extern shim::atomic<std::int64_t> rcu_patience_ns;

}  // namespace runnel::inline RUNNEL_ABI::detail
