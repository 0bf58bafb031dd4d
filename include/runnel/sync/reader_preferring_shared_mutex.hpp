// shared_mutex that lets readers in whenever nobody writes, also while writers wait.
//
// Use when: readers lock again what they have locked, or may wait for each other; or when they must never wait for a writer
// that only waits. When not: readers that follow each other without a gap keep writers out for ever.
// Everything else is as with shared_mutex.
#pragma once

#include <runnel/detail/shared_lock.hpp>

namespace runnel::inline RUNNEL_ABI {

class RUNNEL_CAPABILITY("shared_mutex") reader_preferring_shared_mutex : public detail::shared_lock {
 public:
  reader_preferring_shared_mutex() : shared_lock(kind::readers_first) {}
};

}  // namespace runnel::inline RUNNEL_ABI
