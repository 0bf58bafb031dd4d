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
    if (announce(o)) [[unlikely]]
      return src.load(shim::order::seq_cst);  // seq_cst: after the store in announce_here(); in the scan the unlinking, then the look
    return src.load(shim::order::acquire);    // acquire: pairs with the store of the pointer, for the object
  }
  /// Protects o, which is not retired before what the caller does next; or nothing.
  void set(const hazard_object* o) noexcept {
#if defined(RUNNEL_TSAN)
    set_unseen(o);
#else
    set_here(o);
#endif
  }
  void clear() noexcept { set(nullptr); }

 private:
  // Slots change hands inside of the library, where ThreadSanitizer does not look: so their use shall be there, too.
  bool announce_unseen(const hazard_object* o) noexcept;
  void set_unseen(const hazard_object* o) noexcept;
  /// For ThreadSanitizer and the explorer: what the caller did with what it has protected happens before that is reclaimed.
  void note_end() const noexcept;

  /// Protects o before the caller's next load; whether that must be seq_cst.
  bool announce(const hazard_object* o) noexcept {
#if defined(RUNNEL_TSAN)
    return announce_unseen(o);
#else
    return announce_here(o);
#endif
  }
  bool announce_here(const hazard_object* o) noexcept {
    if constexpr (notes_ends) note_end();
    if (fencing) [[unlikely]] {
      protects.store(o, shim::order::seq_cst);  // seq_cst: this, then the reload; in the scan the unlinking, then the look at this
      return true;
    }
    protects.store(o, shim::order::release);  // release: as in set_here()
    shim::light_fence();                      // this, then the reload; with the heavy one of the scan
    return false;
  }
  void set_here(const hazard_object* o) noexcept {
    if constexpr (notes_ends) note_end();
    // release: pairs with the scan: what was done with what was protected before comes before its end
    protects.store(o, shim::order::release);
  }
#if defined(RUNNEL_TSAN)
  static constexpr bool notes_ends = true;
#else
  static constexpr bool notes_ends = exploring;
#endif
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
void give_hazard_node(hazard_object& o, std::size_t bytes) noexcept;
/// The same for one that others may still be looking at. There is nothing to destroy in it.
void retire_hazard_node(hazard_object& o, std::size_t bytes) noexcept;

[[noreturn, gnu::cold]] void empty_hazard_pointer() noexcept;

}  // namespace runnel::inline RUNNEL_ABI::detail
