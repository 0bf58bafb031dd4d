// A value that is read from everywhere all the time and now and then replaced as a whole. Readers look at it in place: no
// lock, no count, no copy.
//
// Use when: configurations, routing tables, feature flags: many reads of one value, few writes. When not: readers keep the
// value, or wait while they look at it (atomic_snapshot); small parts of it change all the time (guarded, concurrent_map);
// old values must be gone at once (shared_mutex).
// Guarantees: a reader sees one complete value, unchanging until its guard goes. What happened before a store() or update()
// happens before the read() that sees its value. Updates are made one on the other: none is lost. Old values are destroyed
// after a grace period, outside of all locks (rcu_domain.hpp).
// Thread-safety: everything but the destructor from anywhere; when the cell ends nobody reads it. A guard is moved, but
// stays on the fiber or thread that made it.
// Blocking and cancellation: nothing here waits. While a guard lives its fiber must not wait, yield or end: that ends the
// process with a message.
// Errors: what the value's constructor, copying it or the function throws; then nothing has changed.
// Cost: a read is a read section of rcu_domain and a load. One allocation for each value; of old ones each writing thread may
// keep up to 64 for later, see rcu_barrier().
// Source: see rcu_domain.hpp.
#pragma once

#include <runnel/error.hpp>
#include <runnel/lockfree/rcu_domain.hpp>
#include <runnel/sched/operation.hpp>

#include <concepts>
#include <functional>
#include <memory>
#include <mutex>
#include <type_traits>
#include <utility>

namespace runnel::inline RUNNEL_ABI {

/// A read section, and the value that the cell had when it began.
template <class T>
class [[nodiscard("the read section ends at once: keep the guard, or use read(f)")]] rcu_guard {
 public:
  rcu_guard(rcu_guard&& o) noexcept : value_(std::exchange(o.value_, nullptr)) {}
  rcu_guard& operator=(rcu_guard&& o) noexcept {
    if (this != &o) {
      leave();
      value_ = std::exchange(o.value_, nullptr);
    }
    return *this;
  }
  ~rcu_guard() { leave(); }

  const T* operator->() const { return checked(); }
  const T& operator*() const& { return *checked(); }
  /// A reference from a guard that is gone at the end of the line would outlive the section.
  const T& operator*() const&& = delete;

 private:
  template <class U>
  friend class rcu;
  explicit rcu_guard(const T& value) noexcept : value_(&value) {}
  void leave() noexcept {
    if (value_) rcu_default_domain().unlock();
  }
  const T* checked() const {
    if (!value_) [[unlikely]]
      detail::throw_misuse("runnel::rcu: the guard was moved from: read() again");
    return value_;
  }
  const T* value_;
};

template <class T>
class rcu {
  static_assert(std::is_nothrow_destructible_v<T>, "rcu<T>: values are destroyed where nobody could catch what they throw");

 public:
  rcu()
    requires std::default_initializable<T>
      : current_(new version(T())) {}
  explicit rcu(T value) : current_(new version(std::move(value))) {}
  rcu(const rcu&) = delete;
  rcu& operator=(const rcu&) = delete;
  ~rcu() {
    delete current_.load(shim::order::relaxed);  // relaxed: all that others did with the cell happened before its end
  }

  /// The current value, for as long as the guard lives, which is to be short.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  rcu_guard<T> read() const noexcept {
    rcu_default_domain().lock();
    return rcu_guard<T>(seen()->value);
  }
  /// f(value) in a read section; its result, which cannot be a reference.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  template <std::invocable<const T&> F>
  auto read(F&& f) const {
    static_assert(!std::is_reference_v<std::invoke_result_t<F, const T&>>, "read(): a reference would outlive the section");
    const rcu_guard<T> section = read();
    return std::invoke(std::forward<F>(f), *section);
  }
  /// A copy. Copying must not wait.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  T load() const
    requires std::copy_constructible<T>
  {
    const rcu_guard<T> section = read();
    return *section;
  }

  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  void store(T value) {
    auto fresh = std::make_unique<version>(std::move(value));
    sched::choice_point(sched::operation::store, this);
    sched::announced_release(&current_);
    // release: publishes the value; acquire: the old one is complete before it is destroyed
    version* const old = current_.exchange(fresh.release(), shim::order::acq_rel);
    old->retire();
  }
  /// Replaces the value by f(value). f is called again when another writer was faster; it runs in a read section.
  /// - blocks: never; f must not
  /// - cancel: ignores
  /// - threads: any
  template <std::invocable<const T&> F>
  void update(F&& f) {
    static_assert(std::is_constructible_v<T, std::invoke_result_t<F&, const T&>>, "update(): f(value) makes the new value");
    version* old = try_update(f);
    while (!old) old = try_update(f);
    old->retire();
  }

 private:
  struct version : rcu_obj_base<version> {
    template <class... A>
    explicit version(A&&... a) : value(std::forward<A>(a)...) {}
    T value;
  };

  /// In a read section.
  version* seen() const noexcept {
    sched::choice_point(sched::operation::load, this);
    version* const v = current_.load(shim::order::acquire);  // acquire: pairs with store() and update()
    sched::announced_acquire(&current_);
    return v;
  }
  /// The value that f's has replaced; null when another writer was faster. In the section it is not freed, so that one at its
  /// address is the same.
  template <class F>
  version* try_update(F& f) {
    std::unique_ptr<version> fresh;  // one that is not needed ends behind the section
    const std::lock_guard section(rcu_default_domain());
    version* old = seen();
    fresh = std::make_unique<version>(std::invoke(f, std::as_const(old->value)));
    sched::choice_point(sched::operation::exchange, this);
    sched::announced_release(&current_);
    // release: publishes the value; relaxed on failure: seen() looks again
    if (!current_.compare_exchange(old, fresh.get(), shim::order::release, shim::order::relaxed)) return nullptr;
    fresh.release();
    return old;
  }

  shim::atomic<version*> current_;
};

}  // namespace runnel::inline RUNNEL_ABI
