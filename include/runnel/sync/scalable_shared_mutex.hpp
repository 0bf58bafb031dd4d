// shared_mutex whose readers do not meet: each worker counts its own in a cache line of its own.
//
// Use when: many workers read at the same time and hardly anybody writes: configuration, routing tables. When not: with
// writers now and then a shared_mutex is cheaper, as a writer here visits every line.
// Guarantees: those of shared_mutex, phase-fairness too. A reader may unlock on another worker than it locked on.
// Errors: an unlock_shared() too many is noticed by the next writer.
// Cost: one compare-exchange to lock for reading and one to unlock, on a line of the worker's own; for writing, two accesses
// of each line. 64 bytes for each processor, allocated by the constructor.
// Source: "big-reader" locks; D. Dice, A. Kogan, "BRAVO: Biased Locking for Reader-Writer Locks" (2019),
// https://arxiv.org/abs/1810.01553, for the alternative with a table of readers.
#pragma once

#include <runnel/detail/shared_lock.hpp>

namespace runnel::inline RUNNEL_ABI {

class RUNNEL_CAPABILITY("shared_mutex") scalable_shared_mutex : public detail::shared_lock {
 public:
  scalable_shared_mutex() : shared_lock(kind::striped) {}
};

}  // namespace runnel::inline RUNNEL_ABI
