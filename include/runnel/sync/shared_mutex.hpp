// A lock for many readers or one writer, for fibers and threads alike: std's SharedLockable and TimedLockable, for
// std::shared_lock and std::unique_lock.
//
// Use when: a structure is read often and for longer than the lock costs, and seldom changed. For short sections a mutex is
// as fast; where many workers read at once, scalable_shared_mutex.
// Guarantees: a writer excludes everybody, readers exclude writers only; what happened before an unlock happens before the
// lock that follows. Phase-fair: readers and writers take turns. Who reads lets in the writers that wait before other
// readers; who has written lets in all readers that wait by then. So a reader waits for one writer at most, and a writer for
// one phase of readers for each writer before it; writers come in their order. Not recursive: a reader that locks again
// waits for a writer that came in between, which waits for it. May be unlocked by another fiber or thread. May be destroyed by
// whoever has it last. The number of readers has no limit that could be reached (2^61).
// Blocking and cancellation: as mutex: the forms with a context observe it, the others observe none. A writer that gives up
// lets in the readers that wait behind it.
// Errors: unlocking what is not locked and destroying one with waiters end the process with a message.
// Cost: one compare-exchange to lock and one to unlock while nobody waits, for readers and writers, all on one word.
// Source: B. Brandenburg, J. Anderson, "Spin-based reader-writer synchronization for multiprocessor real-time systems"
// (2010), https://doi.org/10.1007/s11241-010-9097-2, for phase-fairness.
#pragma once

#include <runnel/detail/shared_lock.hpp>

namespace runnel::inline RUNNEL_ABI {

class RUNNEL_CAPABILITY("shared_mutex") shared_mutex : public detail::shared_lock {
 public:
  shared_mutex() : shared_lock(kind::fair) {}
};

}  // namespace runnel::inline RUNNEL_ABI
