// Read-copy-update: readers look at shared objects without a lock, writers unlink an object, and it is destroyed when every
// reader that may still see it has left its read section.
//
// Use when: linked structures are read from everywhere all the time and changed now and then. One value that is replaced as a
// whole: rcu<T>. When not: readers have to wait inside (a mutex, a channel, I/O); a reader must see the newest value
// (shared_mutex); writes are as frequent as reads.
// Guarantees: what was done in a read section that began before a grace period happens before that period's end, and what was
// done before the grace period began happens before any read section that begins later. Readers are never delayed by writers.
// Sections nest. A retired object is destroyed once, after a grace period, outside of all locks and read sections.
// Thread-safety: all functions from anywhere. A read section belongs to one fiber or thread: it ends where it began.
// Blocking and cancellation: lock() and unlock() never wait. rcu_synchronize() and rcu_barrier() wait and ignore
// cancellation. In a read section nothing may wait: a fiber or thread that does ends the process with a message; a turn does
// not end there.
// Errors and misuse, all of which end the process: to wait, to yield or to end in a read section; to unlock without a lock.
// A read section that holds up a grace period for a second is reported, once.
// Cost: a section executes no atomic read-modify-write and no fence where the kernel has membarrier(2), else two fences. A
// grace period costs a system call and a look at every thread that has ever read. A thread keeps up to 32 retired objects
// before it begins a grace period for them, and as many during it; it deletes them in a later retire of its own.
// rcu_barrier() deletes all that there are.
// Source: C++26 [saferecl.rcu] for names and meaning; the memb flavour of M. Desnoyers et al., "User-Level Implementations of
// Read-Copy Update" (2012, https://doi.org/10.1109/TPDS.2011.159).
#pragma once

#include <runnel/base/annotations.hpp>
#include <runnel/base/atomic.hpp>

#include <memory>
#include <type_traits>
#include <utility>

namespace runnel::inline RUNNEL_ABI {

class rcu_domain;
namespace detail {

/// An object that waits for its end.
struct rcu_retired {
  rcu_retired* next = nullptr;
  void (*destroy)(rcu_retired&) noexcept = nullptr;
};
void retire(rcu_retired& r, rcu_domain& domain) noexcept;

}  // namespace detail

/// Whose read sections a grace period waits for. There is one domain: rcu_default_domain().
class rcu_domain {
 public:
  rcu_domain(const rcu_domain&) = delete;
  rcu_domain& operator=(const rcu_domain&) = delete;

  /// Begins a read section, perhaps within another.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  void lock() noexcept;
  /// The same; never false.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  bool try_lock() noexcept {
    lock();
    return true;
  }
  /// Ends the section that the caller began last.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: owner
  void unlock() noexcept;

 private:
  rcu_domain() noexcept = default;
  friend rcu_domain& rcu_default_domain() noexcept;
};

/// - blocks: never
/// - cancel: ignores
/// - threads: any
rcu_domain& rcu_default_domain() noexcept;

/// Waits until every read section that began before the call has ended. Deletes nothing. Allowed in a deleter.
/// - blocks: until these sections have ended
/// - cancel: ignores
/// - threads: any
RUNNEL_PARKS void rcu_synchronize(rcu_domain& domain = rcu_default_domain()) noexcept;

/// Waits until everything that was retired before the call, by whomever, has been deleted; the caller deletes what nobody
/// deletes yet. In a deleter it would wait for itself: that ends the process.
/// - blocks: until these objects are gone
/// - cancel: ignores
/// - threads: any
RUNNEL_PARKS void rcu_barrier(rcu_domain& domain = rcu_default_domain()) noexcept;

/// Base of a class T whose objects can be retired without an allocation.
template <class T, class D = std::default_delete<T>>
class rcu_obj_base : private detail::rcu_retired {
 public:
  /// Calls d(static_cast<T*>(this)) after a grace period, perhaps in a later retire by this thread. May call the deleters of
  /// objects that were retired before, so the caller holds no lock that they take.
  /// - blocks: never; a deleter may
  /// - cancel: ignores
  /// - threads: any
  void retire(D d = D(), rcu_domain& domain = rcu_default_domain()) noexcept {
    static_assert(std::is_base_of_v<rcu_obj_base, T>, "rcu_obj_base<T> is a base of T");
    deleter_ = std::move(d);
    destroy = [](detail::rcu_retired& r) noexcept {
      auto& self = static_cast<rcu_obj_base&>(r);
      D last = std::move(self.deleter_);
      last(static_cast<T*>(&self));
    };
    detail::retire(*this, domain);
  }

 protected:
  rcu_obj_base() = default;
  // A copy is not retired.
  rcu_obj_base(const rcu_obj_base&) noexcept(std::is_nothrow_default_constructible_v<D>) {}
  rcu_obj_base& operator=(const rcu_obj_base&) noexcept { return *this; }
  ~rcu_obj_base() = default;

 private:
  [[no_unique_address]] D deleter_{};
};

/// Calls d(p) after a grace period, as rcu_obj_base::retire(). Throws bad_alloc, or what copying d throws; then p is as
/// before and remains the caller's.
/// - blocks: never; a deleter may
/// - cancel: ignores
/// - threads: any
template <class T, class D = std::default_delete<T>>
void rcu_retire(T* p, D d = D(), rcu_domain& domain = rcu_default_domain()) {
  struct retired : detail::rcu_retired {
    retired(T* object, D&& deleter) : p(object), d(std::move(deleter)) {}
    T* p;
    [[no_unique_address]] D d;
  };
  auto* r = new retired(p, std::move(d));
  r->destroy = [](detail::rcu_retired& base) noexcept {
    const std::unique_ptr<retired> self(&static_cast<retired&>(base));
    self->d(self->p);
  };
  detail::retire(*r, domain);
}

}  // namespace runnel::inline RUNNEL_ABI
