// Objects that are used again instead of being made anew: a lease is taken, used, and goes back by itself.
//
// Use when: something is costly to make and wanted again and again: buffers, parsers, connections without a limit. When not:
// there may be only so many of it (a semaphore, or a channel of them); it is cheap.
// Guarantees: an object has one lease at a time; what its last user did happens before the next one has it. In no order. What
// the pool cannot keep is destroyed. A lease may outlive its pool: then the object ends with it.
// Thread-safety: all operations from anywhere; a lease belongs to one at a time.
// Blocking and cancellation: nothing waits. The factory and destructors run outside all locks, and may.
// Errors: a lease that was given back or moved from throws misuse where it is used.
// Cost: get() and giving back are a short lock of the worker's own part each; who finds it empty looks at the others'. One
// allocation for an object, at its making. Keeps `idle_per_worker` objects a processor at most.
// Source: Go's sync.Pool; J. Bonwick, J. Adams, "Magazines and Vmem", USENIX 2001.
#pragma once

#include <runnel/detail/announced_lock.hpp>
#include <runnel/error.hpp>
#include <runnel/lockfree/cache_padded.hpp>
#include <runnel/sched/operation.hpp>
#include <runnel/sched/stripe.hpp>

#include <concepts>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

namespace runnel::inline RUNNEL_ABI {

struct pool_options {
  std::size_t idle_per_worker = 64;
};

template <class T>
class pool {
  struct state;
  struct node {
    template <class Make>
    node(std::shared_ptr<state> s, const Make& make) : value(make()), owner(std::move(s)) {}
    T value;
    node* next = nullptr;
    const std::shared_ptr<state> owner;
  };

 public:
  /// The right to use one object; gives it back when it ends.
  class [[nodiscard("the object goes back at once")]] lease {
   public:
    lease(lease&& o) noexcept : node_(std::exchange(o.node_, nullptr)) {}
    lease& operator=(lease&& o) noexcept {
      if (this != &o) {
        give_back();
        node_ = std::exchange(o.node_, nullptr);
      }
      return *this;
    }
    ~lease() { give_back(); }

    T& operator*() const { return checked().value; }
    T* operator->() const { return &checked().value; }
    explicit operator bool() const noexcept { return node_ != nullptr; }
    /// Gives the object back before the end of the scope.
    /// - blocks: never
    /// - cancel: ignores
    /// - threads: owner
    void give_back() noexcept {
      if (node* n = std::exchange(node_, nullptr)) n->owner->keep(n);
    }

   private:
    friend class pool;
    explicit lease(node* n) noexcept : node_(n) {}
    node& checked() const {
      if (!node_) detail::throw_misuse("runnel::pool: the lease was given back or moved from: get() another one");
      return *node_;
    }
    node* node_;
  };

  /// Makes objects by T().
  explicit pool(pool_options options = {})
    requires std::default_initializable<T>
      : pool([] { return T(); }, options) {}
  /// Makes them by `factory`, which is called by several at the same time.
  template <std::invocable F>
    requires std::is_invocable_r_v<T, F&>
  explicit pool(F factory, pool_options options = {})
      : factory_(std::move(factory)), state_(std::make_shared<state>(options.idle_per_worker)) {}
  pool(const pool&) = delete;
  pool& operator=(const pool&) = delete;
  ~pool() { state_->take_all(true); }

  /// One that was given back, else a new one; what the factory throws.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  lease get() {
    if (auto kept = try_get()) return std::move(*kept);
    return lease(new node(state_, factory_));
  }
  /// One that was given back, if there is any.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  std::optional<lease> try_get() noexcept {
    sched::choice_point(sched::operation::receive, this);
    node* n = state_->take();
    return n ? std::optional(lease(n)) : std::nullopt;
  }
  /// Adds an object that was made elsewhere.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  void put(T value) {
    lease(new node(state_, [&]() -> T&& { return std::move(value); })).give_back();
  }
  /// Destroys what is not in use; says how many.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  std::size_t trim() noexcept {
    sched::choice_point(sched::operation::receive, this);
    return state_->take_all(false);
  }

 private:
  /// Of one worker. Nodes are pushed and popped under the lock, made and destroyed outside.
  struct part {
    detail::announced_lock lock;
    node* first = nullptr;
    std::size_t count = 0;
    bool closed = false;  ///< the pool has ended
    shim::atomic<bool> has_some{false};

    node* pop() noexcept {
      if (!has_some.load(shim::order::relaxed)) return nullptr;  // relaxed: a hint; what is behind it is under the lock
      const detail::announced_guard hold(lock);
      node* n = first;
      if (n) first = n->next, --count;
      has_some.store(first != nullptr, shim::order::relaxed);  // relaxed: as above
      return n;
    }
    bool push(node* n, std::size_t limit) noexcept {
      const detail::announced_guard hold(lock);
      if (closed || count == limit) return false;
      n->next = std::exchange(first, n);
      ++count;
      has_some.store(true, shim::order::relaxed);  // relaxed: see pop()
      return true;
    }
  };

  /// Lives as long as the pool and every object.
  struct state {
    explicit state(std::size_t l) : limit(l), parts(std::make_unique<cache_padded<part>[]>(mask + 1)) {}

    node* take() noexcept {
      const unsigned own = sched::stripe_of_caller();
      for (unsigned i = 0; i <= mask; ++i)
        if (node* n = parts[(own + i) & mask]->pop()) return n;
      return nullptr;
    }
    /// n may be gone, and this with it.
    void keep(node* n) noexcept {
      sched::choice_point(sched::operation::send, this);
      if (!parts[sched::stripe_of_caller() & mask]->push(n, limit)) delete n;
    }
    std::size_t take_all(bool close) noexcept {
      std::size_t taken = 0;
      for (unsigned i = 0; i <= mask; ++i) {
        part& p = *parts[i];
        node* all = nullptr;
        {
          const detail::announced_guard hold(p.lock);
          p.closed = p.closed || close;
          all = std::exchange(p.first, nullptr);
          taken += std::exchange(p.count, 0);
          p.has_some.store(false, shim::order::relaxed);  // relaxed: see pop()
        }
        while (node* n = all) {
          all = n->next;
          delete n;
        }
      }
      return taken;
    }

    const unsigned mask = sched::stripe_count() - 1;
    const std::size_t limit;
    const std::unique_ptr<cache_padded<part>[]> parts;
  };

  std::function<T()> factory_;
  std::shared_ptr<state> state_;
};

}  // namespace runnel::inline RUNNEL_ABI
