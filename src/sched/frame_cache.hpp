// What a worker keeps of freed frames (see <runnel/sched/frame.hpp>), by size.
//
// Frames are kept in batches: a worker has one that it takes from and gives to, and a full or an empty one beside it, so
// that a worker at the border between two does not go to the others for each frame. Full ones that it has too many go to a
// shared stack, from which a worker that has none takes: one lock for each `batch` frames that move between workers.
#pragma once

#include <runnel/base/abi.hpp>

#include <cstddef>

namespace runnel::inline RUNNEL_ABI::sched {

/// A frame that nobody uses.
struct free_frame {
  free_frame* next;
  free_frame* next_batch;  ///< of the first one of a batch
};

/// Sizes in steps of 16 bytes from 24: what fits, with the word that allocators keep beside each piece, multiples of 16.
class frame_cache {
 public:
  static constexpr std::size_t smallest = 24, step = 16, classes = 32, largest = smallest + step * (classes - 1);

  frame_cache() noexcept = default;
  frame_cache(const frame_cache&) = delete;
  frame_cache& operator=(const frame_cache&) = delete;
  ~frame_cache();

  // On the worker's thread.
  /// Null: there is none.
  void* take(std::size_t size_class) noexcept;
  void give(void* p, std::size_t size_class) noexcept;

 private:
  struct list {
    free_frame* first = nullptr;
    std::size_t size = 0;
    free_frame* spare = nullptr;  ///< a full batch, or none
  };
  list lists_[classes];
};

}  // namespace runnel::inline RUNNEL_ABI::sched
