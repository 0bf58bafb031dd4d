// What hazard pointers need in templates: the base of a protected object, and the slot that says which one is in use.
#pragma once

#include <runnel/base/atomic.hpp>

#include <cstddef>

namespace runnel::inline RUNNEL_ABI::detail {

/// What can be retired. A copy of an object is another one: it takes no state of this with it.
class hazard_object {
 public:
  using reclaimer = void (*)(hazard_object&) noexcept;

  hazard_object() noexcept = default;
  hazard_object(const hazard_object&) noexcept {}
  hazard_object& operator=(const hazard_object&) noexcept { return *this; }

 protected:
  ~hazard_object() = default;

 private:
  friend class hazard_domain;
  friend class retired_list;
  hazard_object* next_ = nullptr;  ///< in the list that it stands in
  reclaimer reclaim_ = nullptr;    ///< set: it is retired
};

/// A hazard pointer. Its memory is never freed, and every scan looks at all of them. On a line of its own: its owner writes it
/// all the time.
struct alignas(64) hazard_slot {
  explicit hazard_slot(bool f) noexcept : fencing(f) {}

  shim::atomic<const hazard_object*> protects{nullptr};  ///< written by its owner, read by scans
  const bool fencing;                ///< there is no heavy fence: its owner's stores are seq_cst
  hazard_slot* next_free = nullptr;  ///< of who keeps it for use

  /// Protects o, and returns what src is then: if that is still o, no scan frees it from now on.
  template <class Source>
  auto protect(const hazard_object* o, const Source& src) noexcept {
    note_end();
    if (fencing) [[unlikely]] {
      protects.store(o, shim::order::seq_cst);  // seq_cst: this, then the reload; in the scan the unlinking, then the look at this
      return src.load(shim::order::seq_cst);    // seq_cst: the same
    }
    protects.store(o, shim::order::release);  // release: as in clear(), for what was protected before
    shim::light_fence();                      // this, then the reload; with the heavy one of the scan
    return src.load(shim::order::acquire);    // acquire: pairs with the store of the pointer, for the object
  }
  /// Protects o, which is not retired before what the caller does next.
  void protect(const hazard_object* o) noexcept {
    note_end();
    // release: as in clear(), for what was protected before; whoever retires o is ordered after this by the caller
    protects.store(o, shim::order::release);
  }
  void clear() noexcept {
    note_end();
    // release: pairs with scan(): what was done with the object comes before its end
    protects.store(nullptr, shim::order::release);
  }

 private:
  void note_end() const noexcept;
};

/// From now on the caller's. Throws std::bad_alloc.
hazard_slot* take_hazard_slot();
/// One that protects nothing.
void give_hazard_slot(hazard_slot* s) noexcept;
/// `reclaim` is called once no slot protects o; by this call, or a later one, of this or another thread.
void retire(hazard_object& o, hazard_object::reclaimer reclaim) noexcept;

// Memory of objects that come and go as those of a lock-free structure do: not over-aligned, and kept by the thread that has
// reclaimed it, for its next ones.
inline constexpr std::size_t largest_hazard_node = 152;
/// Throws std::bad_alloc.
void* take_hazard_node(std::size_t bytes);
/// Of an object that nobody has seen.
void give_hazard_node(void* p, std::size_t bytes) noexcept;
/// The same for one that others may still be looking at. There is nothing to destroy in it.
void retire_hazard_node(hazard_object& o, std::size_t bytes) noexcept;

/// What the caller did with what s protects happens before that is reclaimed: for ThreadSanitizer and the explorer.
void note_end_of_protection(const hazard_slot& s) noexcept;
[[noreturn, gnu::cold]] void empty_hazard_pointer() noexcept;

inline void hazard_slot::note_end() const noexcept {
#if defined(RUNNEL_TSAN)
  note_end_of_protection(*this);
#else
  if constexpr (exploring) note_end_of_protection(*this);
#endif
}

}  // namespace runnel::inline RUNNEL_ABI::detail
