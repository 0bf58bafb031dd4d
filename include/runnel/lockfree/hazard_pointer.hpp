// Hazard pointers: objects that many read without a lock, and that are destroyed when nobody reads them any more. The names
// and the meaning are those of C++26 [saferecl.hp].
//
// Use when: readers follow an atomic pointer to an object that writers replace now and then, or a lock-free structure takes
// out nodes that others may be reading; and what waits for its destruction must stay bounded. When not: everybody may hold a
// reference count (std::shared_ptr, atomic_snapshot); readers walk along many objects for each operation (RCU: one section
// covers them all); a mutex is fast enough.
// Guarantees: an object that a hazard_pointer protects from before its retire() on is not reclaimed until that protection
// ends, and what was done under it happens before the deleter. It may be held for as long as one likes, across waits and
// while the fiber goes to another worker, and handed to others. Second hazard pointer to the same object: protect it while the
// object is still linked, or move the first one: reset_protection(p) of an object that is retired already protects nothing.
// Bound: retired and not yet reclaimed are at most max(1024, 2 x S) objects for each thread, where S is the number of hazard
// pointers that ever existed at the same time, rounded up to 8 for each thread; and, of threads that have ended, what was
// protected then, which the next scan of any thread looks at again. What deleters retire comes on top until they return.
// The reclaimer runs inline: the retire() that finds that many calls the deleters of what is unprotected, on its own fiber or
// thread, and outside every lock of the library; so does the end of a thread. A thread that retires nothing any more keeps what
// it has until then.
// Progress: protect() is lock-free: it tries again only when the pointer was changed meanwhile. try_protect(),
// reset_protection() and retire() are wait-free, but for deleters. make_hazard_pointer() takes a short lock once in 8 times at
// worst, on a thread with none to spare.
// Thread-safety: a hazard_pointer belongs to one fiber or thread at a time; retire() and the free functions from anywhere.
// Blocking and cancellation: nothing waits and nothing is cancelled. A deleter may retire, use hazard pointers and wait, shielded
// from cancellation; it must not throw.
// Errors: using an empty hazard_pointer and retiring an object twice end the process with a message. make_hazard_pointer() throws
// std::bad_alloc.
// Cost: protect() is two loads and a store, without a fence and without a read-modify-write, where the kernel has membarrier(2);
// a fence else. retire() is a few stores; once in 1,024 times a system call that has every running thread of the process execute
// a fence, and a look at every hazard pointer. 16 bytes in each object, 64 for a hazard pointer, never given back.
// Source: M. Michael, "Hazard Pointers" (2004), https://doi.org/10.1109/TPDS.2004.8; the asymmetric fence: as in folly's hazptr,
// membarrier(2).
#pragma once

#include <runnel/detail/hazard_core.hpp>
#include <runnel/sched/operation.hpp>

#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

namespace runnel::inline RUNNEL_ABI {

template <class T, class D>
class hazard_pointer_obj_base;

namespace detail {

/// T is given, D deduced: fails unless T derives publicly and once from hazard_pointer_obj_base<T, D>.
template <class T, class D>
const hazard_object* hazard_object_of(const hazard_pointer_obj_base<T, D>* p) noexcept {
  return p;
}
template <class P>
using pointee = std::remove_cv_t<std::remove_pointer_t<P>>;

/// std::atomic<T*>, runnel::atomic<T*>.
template <class A>
concept atomic_pointer = requires(const A& a, std::memory_order o) {
  { a.load(o) };
  requires std::is_pointer_v<decltype(a.load(o))>;
};

}  // namespace detail

/// An object of T can be protected: it derives from hazard_pointer_obj_base<T, D>, publicly and once.
template <class T>
concept hazard_protectable = requires(const std::remove_cv_t<T>* p) { detail::hazard_object_of<std::remove_cv_t<T>>(p); };

/// The base of T, which is retired with a D: `struct node : hazard_pointer_obj_base<node> { ... };`
template <class T, class D = std::default_delete<T>>
class hazard_pointer_obj_base : private detail::hazard_object {
 public:
  /// The object is unlinked: nobody can find it any more. Once nobody protects it, `d` is called with it, maybe at once.
  /// - blocks: never, unless a deleter does
  /// - cancel: ignores
  /// - threads: any
  void retire(D d = D()) noexcept {
    static_assert(std::is_base_of_v<hazard_pointer_obj_base, T>, "hazard_pointer_obj_base<T> is a base of T itself");
    static_assert(std::is_invocable_v<D&, T*>, "the deleter is called with a T*");
    sched::choice_point(sched::operation::retire, this);
    deleter_ = std::move(d);
    detail::retire(*this, [](detail::hazard_object& o) noexcept {
      auto& self = static_cast<hazard_pointer_obj_base&>(o);
      D deleter = std::move(self.deleter_);
      deleter(static_cast<T*>(&self));
    });
  }

 protected:
  hazard_pointer_obj_base() = default;
  hazard_pointer_obj_base(const hazard_pointer_obj_base&) = default;
  hazard_pointer_obj_base(hazard_pointer_obj_base&&) = default;
  hazard_pointer_obj_base& operator=(const hazard_pointer_obj_base&) = default;
  hazard_pointer_obj_base& operator=(hazard_pointer_obj_base&&) = default;
  ~hazard_pointer_obj_base() = default;

 private:
  template <class U, class E>
  friend const detail::hazard_object* detail::hazard_object_of(const hazard_pointer_obj_base<U, E>*) noexcept;
  [[no_unique_address]] D deleter_{};
};

/// The right to protect one object at a time, or empty.
class hazard_pointer {
 public:
  hazard_pointer() noexcept = default;
  hazard_pointer(hazard_pointer&& o) noexcept : slot_(std::exchange(o.slot_, nullptr)) {}
  hazard_pointer& operator=(hazard_pointer&& o) noexcept {
    if (this != &o) {
      give_back();
      slot_ = std::exchange(o.slot_, nullptr);
    }
    return *this;
  }
  ~hazard_pointer() { give_back(); }

  [[nodiscard]] bool empty() const noexcept { return slot_ == nullptr; }

  /// What src points to at some instant of the call, protected from then on; null: src was null.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: owner
  template <detail::atomic_pointer Source>
  auto protect(const Source& src) noexcept {
    sched::choice_point(sched::operation::protect, &src);
    auto p = src.load(shim::order::relaxed);  // relaxed: a guess, which tried() confirms
    while (!tried(p, src)) {
    }
    return p;
  }
  /// If src still points to `ptr`: protects that, and true. Else protects nothing, and `ptr` is what src points to now.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: owner
  template <class T, detail::atomic_pointer Source>
  bool try_protect(T*& ptr, const Source& src) noexcept {
    sched::choice_point(sched::operation::protect, &src);
    if (tried(ptr, src)) return true;
    slot_->clear();
    return false;
  }
  /// Protects *ptr, instead of what was protected, if it is not retired yet; with null nothing.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: owner
  template <hazard_protectable T>
  void reset_protection(const T* ptr) noexcept {
    sched::choice_point(sched::operation::protect, ptr);
    checked().set(detail::hazard_object_of<std::remove_cv_t<T>>(ptr));
  }
  /// What was protected may be reclaimed.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: owner
  void reset_protection(std::nullptr_t = nullptr) noexcept {
    sched::choice_point(sched::operation::release, slot_);
    checked().clear();
  }
  void swap(hazard_pointer& o) noexcept { std::swap(slot_, o.slot_); }

 private:
  friend hazard_pointer make_hazard_pointer();
  explicit hazard_pointer(detail::hazard_slot* s) noexcept : slot_(s) {}

  detail::hazard_slot& checked() const noexcept {
    if (!slot_) [[unlikely]] detail::empty_hazard_pointer();
    return *slot_;
  }
  template <class T, class Source>
  bool tried(T*& p, const Source& src) noexcept {
    static_assert(hazard_protectable<T>, "what is protected derives from hazard_pointer_obj_base of its own type");
    T* const now = checked().protect(detail::hazard_object_of<std::remove_cv_t<T>>(p), src);
    return std::exchange(p, now) == now;
  }
  void give_back() noexcept {
    if (!slot_) return;
    slot_->clear();
    detail::give_hazard_slot(slot_);
  }

  detail::hazard_slot* slot_ = nullptr;
};

/// One that protects nothing yet. Throws std::bad_alloc.
/// - blocks: never
/// - cancel: ignores
/// - threads: any
[[nodiscard]] inline hazard_pointer make_hazard_pointer() { return hazard_pointer(detail::take_hazard_slot()); }

inline void swap(hazard_pointer& a, hazard_pointer& b) noexcept { a.swap(b); }

/// Reclaims what the calling thread and those that have ended have retired and nobody protects, and what the deleters retire. For
/// tests and for an orderly end; in a deleter it does nothing. Not in the standard.
/// - blocks: never, unless a deleter does
/// - cancel: ignores
/// - threads: any
void hazard_pointer_clean_up() noexcept;

}  // namespace runnel::inline RUNNEL_ABI
