// Who sleeps, who searches: the protocol by which work never waits while a worker sleeps unaware of it.
//
// States of a worker: running (has work), searching (has none, looks at the others), idle (in the set, about to
// sleep or asleep).
//
// Producer: makes work visible (release), then a seq_cst fence, then reads `searching` and `sleeping`. It wakes one
// idle worker, as a searcher, only if nobody searches and somebody is idle.
// Worker out of work: enters the set (sleeping + 1), gives up searching, then a seq_cst fence, then looks at every
// source once more; only if all are empty does it sleep.
// No lost wake-up: either the producer's fence comes first and the worker's last look finds the work, or the
// worker's comes first and the producer sees it idle. A producer that wakes nobody because one searches relies on
// that searcher: a searcher that finds work, and was the last, gives up searching, then a seq_cst fence, then looks
// whether more is left and wakes the next: either it finds the producer's work or the producer finds no searcher.
// The fences carry the protocol; the counters themselves order nothing.
// Source: the Go scheduler's protocol (src/runtime/proc.go, "Worker thread parking/unparking").
#pragma once

#include "sched/worker.hpp"

namespace runnel::inline RUNNEL_ABI::sched {

class idle_set {
 public:
  /// To be called after work was made visible to others: wakes an idle worker where that is needed.
  void notify() noexcept;

  /// A worker that found nothing: may it search? At most half of those awake do.
  bool begin_search(unsigned workers) noexcept;
  void join_search() noexcept {
    searching_.fetch_add(1, shim::order::relaxed);  // relaxed: who misses it wakes one too many
  }
  /// The searcher found work, or gives up. True: it was the last. Then, behind a seq_cst fence, it looks whether there is
  /// more, and notifies if so.
  bool end_search() noexcept;

  /// Enters w; behind a seq_cst fence it must look at every source once more before it sleeps.
  void enter(worker& w) noexcept;
  /// Takes w out again; false when somebody has taken it already: a wake-up is on its way.
  bool withdraw(worker& w) noexcept;

  std::uint32_t sleeping() const noexcept {
    return sleeping_.load(shim::order::relaxed);  // relaxed: a hint for the monitor and for begin_search()
  }
  void wake_all() noexcept;

 private:
  worker* take() noexcept;

  shim::atomic<std::uint32_t> sleeping_{0};
  shim::atomic<std::uint32_t> searching_{0};
  detail::raw_lock lock_;
  worker* first_ = nullptr;
};

}  // namespace runnel::inline RUNNEL_ABI::sched
