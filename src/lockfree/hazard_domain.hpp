// All hazard pointers of the process, and what is retired.
//
// Invariants
//  1. Slots are in blocks, which are made and never freed; every scan finds every slot. A slot belongs to a hazard_pointer, to the
//     cache of a thread, or to free_.
//  2. An object that is retired is in exactly one list: of a cache, in left_, or on the stack of who scans or reclaims it.
//  3. A cache belongs to a running thread, which alone touches it, or to idle_. No reference to it is kept over a deleter: a
//     deleter may wait, and the fiber go on elsewhere.
//  4. At most one round of deleters is on the stack of a fiber or thread (agent::reclaims): what deleters retire waits for it.
//
// Why an unprotected object is nobody's. A reader stores the object in its slot and then loads the pointer once more; a writer
// changes the pointer, retires the object, and then somebody scans. Between the two steps of the reader is a light fence, between
// those of the scan a heavy one (or both are seq_cst). So if the reload still found the object, the scan finds it in the slot. A
// block that the reader has made for its slot is found for the same reason.
// Lock order: lock_ is taken alone, and nothing is called under it. It is held over a fork.
// Happens-before for ThreadSanitizer: the end of a protection, and retire(), come before the deleter, by the address of the object.
// Rejected: a lock-free list of free slots: the lock is taken once for 8 of them. A list of hazard pointers for each
// thread: they move between threads.
#pragma once

#include "base/sizes.hpp"

#include <runnel/base/raw_lock.hpp>
#include <runnel/detail/hazard_core.hpp>
#include <runnel/sched/attachment.hpp>

#include <cstddef>
#include <new>
#include <utility>

namespace runnel::inline RUNNEL_ABI::detail {

/// Objects that wait for their end, newest first.
class retired_list {
 public:
  retired_list() noexcept = default;
  retired_list(retired_list&& o) noexcept : first_(std::exchange(o.first_, nullptr)), size_(std::exchange(o.size_, 0)) {}
  retired_list& operator=(retired_list&& o) noexcept {
    first_ = std::exchange(o.first_, nullptr);
    size_ = std::exchange(o.size_, 0);
    return *this;
  }

  std::size_t size() const noexcept { return size_; }
  hazard_object* first() const noexcept { return first_; }
  void push(hazard_object& o) noexcept {
    o.next_ = first_;
    first_ = &o;
    ++size_;
  }
  hazard_object* pop() noexcept {
    hazard_object* const o = first_;
    if (o) {
      first_ = o->next_;
      --size_;
    }
    return o;
  }
  /// All of the chain that begins with o.
  void push_chain(hazard_object* o) noexcept {
    while (o) push(*std::exchange(o, o->next_));
  }

 private:
  hazard_object* first_ = nullptr;
  std::size_t size_ = 0;
};

/// What a thread has retired: nodes by their class, which need no deleter, and objects.
struct retired_things {
  static constexpr std::size_t step = 16, node_classes = (largest_hazard_node + step - 1) / step;

  retired_list nodes[node_classes];
  retired_list objects;
  std::size_t size = 0;  ///< of all; whoever moves whole lists counts again

  void count() noexcept {
    size = objects.size();
    for (const retired_list& n : nodes) size += n.size();
  }
};

/// What a thread has at hand.
struct hazard_cache {
  hazard_slot* own = nullptr;   ///< for operations of the library that protect nothing beyond their end
  hazard_slot* free = nullptr;  ///< linked by next_free
  std::size_t free_count = 0;
  retired_things retired;
  std::size_t limit = sizes::retired;  ///< of `retired`, before a scan
  retired_list free_nodes[retired_things::node_classes];  ///< not retired any more: memory for new ones
  hazard_cache* next_idle = nullptr;
};

/// Slots that were made together. Never destroyed.
struct hazard_block {
  explicit hazard_block(bool fencing) noexcept;
  hazard_slot& at(std::size_t i) noexcept { return *std::launder(reinterpret_cast<hazard_slot*>(memory + i * sizeof(hazard_slot))); }

  alignas(hazard_slot) std::byte memory[sizes::hazard_block * sizeof(hazard_slot)];
  hazard_block* next = nullptr;
};

class hazard_domain {
 public:
  /// The calling thread's; null without memory.
  hazard_cache* cache() noexcept {
    hazard_cache* const c = known_cache();
    return c ? c : new_cache();
  }
  /// The same; null if there is none yet.
  static hazard_cache* known_cache() noexcept { return static_cast<hazard_cache*>(sched::attached(sched::attachment::hazards)); }

  hazard_slot* take();
  void give(hazard_slot* s) noexcept;
  void retire(hazard_object& o, hazard_object::reclaimer reclaim) noexcept;
  void clean_up() noexcept;
  void end_of_thread(hazard_cache& c) noexcept;

  void* take_node(std::size_t node_class);
  void give_node(hazard_object& o, std::size_t node_class) noexcept;
  void retire_node(hazard_object& o, std::size_t node_class) noexcept;

  void before_fork() noexcept { lock_.lock(); }
  void after_fork() noexcept { lock_.unlock(); }

 private:
  class protected_objects;

  bool refill(hazard_cache& c) noexcept;
  void give_to_all(hazard_slot* first, hazard_slot* last) noexcept;
  hazard_cache* new_cache() noexcept;
  void leave(hazard_object* first) noexcept;
  void leave(retired_things things) noexcept;
  retired_things take_unprotected(retired_things& things) noexcept;
  retired_things scan(retired_things& things) noexcept;
  void reclaim() noexcept;
  static void run(retired_list list) noexcept;

  shim::atomic<hazard_block*> blocks_{nullptr};       ///< linked by next
  shim::atomic<std::size_t> slots_{0};         ///< how many there are
  shim::atomic<hazard_object*> left_{nullptr};  ///< what threads that have ended have left
  raw_lock lock_;
  hazard_slot* free_ = nullptr;   ///< under lock_
  hazard_cache* idle_ = nullptr;  ///< under lock_
};

extern hazard_domain hazards;

}  // namespace runnel::inline RUNNEL_ABI::detail
