// A stack without locks: last in, first out, for many who push and pop at the same time.
//
// Use when: things are kept for reuse and the newest is the best one (it is still in the cache), or the order does not matter:
// free lists, undo steps, work that is found while other work is done. Also in code that must not wait, not even for a lock. When
// not: somebody waits for elements (a channel); the order is that of arrival (mpmc_queue); many processors do nothing
// else all the time: they all write one word, and a stack for each of them, or pool<T>, is faster.
// Guarantees: linearizable; push() takes effect when its node becomes the top, try_pop() when the node is taken off, or when it
// finds none. Each element is popped once. What was done before a push happens before what follows the pop of its element.
// Progress: lock-free: some operation gets through, whatever the others do; one may lose again and again. Memory for nodes may
// take the allocator's locks.
// Thread-safety: all operations but construction and destruction from anywhere.
// Blocking and cancellation: nothing waits and nothing is cancelled.
// Errors: what moving or copying an element throws; std::bad_alloc. If a push throws, nothing was pushed; if the move out throws
// in try_pop(), the element is gone and destroyed.
// Cost: one compare-exchange each, and a node: the element and 24 bytes. Popped nodes are reclaimed as retired objects are (see
// hazard_pointer.hpp); their thread keeps up to 1,024 of a size for its pushes, unless they are large or over-aligned. The
// element itself ends in the try_pop() that takes it.
// Source: R. K. Treiber, "Systems Programming: Coping with Parallelism", IBM RJ 5118, 1986; M. Michael, "Hazard Pointers" (2004),
// https://doi.org/10.1109/TPDS.2004.8.
#pragma once

#include <runnel/detail/stack_core.hpp>
#include <runnel/sched/operation.hpp>

#include <concepts>
#include <cstddef>
#include <memory>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

namespace runnel::inline RUNNEL_ABI::lockfree {

template <class T>
class stack {
  static_assert(std::is_object_v<T> && !std::is_const_v<T>, "the elements of a stack are objects that can be moved out of it");
  static_assert(std::is_nothrow_destructible_v<T>, "the destructor of an element must not throw");

 public:
  using value_type = T;

  stack() noexcept = default;
  /// Destroys the elements that are left, the newest first. Nobody uses the stack any more.
  ~stack() {
    for (detail::stack_node* n = core_.first(); n;) {
      node* const left = static_cast<node*>(std::exchange(n, n->next));
      std::destroy_at(left->value());
      give(left);
    }
  }
  stack(const stack&) = delete;
  stack& operator=(const stack&) = delete;

  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  void push(const T& value)
    requires std::copy_constructible<T>
  {
    emplace(value);
  }
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  void push(T&& value) { emplace(std::move(value)); }
  /// Makes the element where it will be.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  template <class... Args>
    requires std::constructible_from<T, Args...>
  void emplace(Args&&... args) {
    sched::choice_point(sched::operation::push, this);
    fresh_node fresh;
    ::new (static_cast<void*>(fresh.made->memory)) T(std::forward<Args>(args)...);
    core_.push(*std::exchange(fresh.made, nullptr));
  }

  /// The newest element; none: the stack was empty.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  std::optional<T> try_pop() {
    sched::choice_point(sched::operation::pop, this);
    detail::stack_node* const n = core_.pop();
    if (!n) return std::nullopt;
    const owner popped{static_cast<node&>(*n)};
    return std::optional<T>(std::move(*popped.taken.value()));
  }
  /// Moves the newest element to `out`; false, and `out` as it was: the stack was empty.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  bool try_pop(T& out) {
    sched::choice_point(sched::operation::pop, this);
    detail::stack_node* const n = core_.pop();
    if (!n) return false;
    const owner popped{static_cast<node&>(*n)};
    out = std::move(*popped.taken.value());
    return true;
  }
  /// Whether there was no element at some instant of the call.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  bool empty() const noexcept {
    sched::choice_point(sched::operation::look, this);
    return core_.empty();
  }

 private:
  /// Its element lives from the push to the pop, its memory for longer.
  struct node : detail::stack_node {
    T* value() noexcept { return std::launder(reinterpret_cast<T*>(memory)); }
    alignas(T) std::byte memory[sizeof(T)];
  };
  static constexpr bool is_small = sizeof(node) <= detail::largest_hazard_node && alignof(node) <= alignof(std::max_align_t);

  static node* take() {
    if constexpr (is_small) {
      return ::new (detail::take_hazard_node(sizeof(node))) node;
    } else {
      return new node;
    }
  }
  /// One that nobody else sees.
  static void give(node* n) noexcept {
    if constexpr (is_small) {
      detail::give_hazard_node(*n, sizeof(node));
    } else {
      delete n;
    }
  }
  static void retire(node& n) noexcept {
    if constexpr (is_small) {
      detail::retire_hazard_node(n, sizeof(node));
    } else {
      detail::retire(n, [](detail::hazard_object& o) noexcept { delete &static_cast<node&>(static_cast<detail::stack_node&>(o)); });
    }
  }

  /// Until it is pushed.
  struct fresh_node {
    fresh_node() : made(take()) {}
    fresh_node(const fresh_node&) = delete;
    fresh_node& operator=(const fresh_node&) = delete;
    ~fresh_node() {
      if (made) give(made);
    }
    node* made;
  };
  /// Ends a popped element, and gives its node away.
  struct owner {
    explicit owner(node& n) noexcept : taken(n) {}
    owner(const owner&) = delete;
    owner& operator=(const owner&) = delete;
    ~owner() {
      std::destroy_at(taken.value());
      retire(taken);
    }
    node& taken;
  };

  detail::stack_core core_;
};

}  // namespace runnel::inline RUNNEL_ABI::lockfree
