// A deque with one owner and any number of thieves: the owner adds and takes at one end, newest first; everybody else takes
// at the other end, oldest first.
//
// Use when: somebody works through tasks that make more tasks, and others are to help when they have nothing to do. When not:
// values pass from one to another: a channel, which can wait, or a queue; several add: mpmc_queue.
// Guarantees: each element is taken once. A push happens before the pop or steal that takes its element. Newest first to the
// owner, oldest first to thieves; nobody gets an element when none was there at some instant of the call, or, as a thief,
// when another took the one it was after.
// Progress: push and try_pop are wait-free but for the allocator; try_steal is lock-free, and never tries twice.
// Thread-safety: push and try_pop by the owner, which may change as long as one call happens before the next; try_steal, size
// and empty by anybody, at any time. Made and destroyed by one.
// Blocking and cancellation: nothing waits.
// Errors: what an element's move throws goes to the caller: from push nothing has changed, from a take the element is gone
// and destroyed. push throws std::bad_alloc when it cannot grow, and nothing has changed.
// Cost: grows without bound. The rings that it has outgrown are kept until its end, because thieves may read them; together
// they are smaller than the present one. Trivially copyable elements of up to 8 bytes stand in the ring; for others push makes a
// node, of their own alignment. A push costs no read-modify-write, a pop a fence, a steal a fence and a compare-exchange.
// Linearization points and the reasons of all orders: <runnel/detail/deque_core.hpp>.
// Source: Chase, Lev, "Dynamic circular work-stealing deque" (SPAA 2005, https://doi.org/10.1145/1073970.1073974), with the
// orders of Lê, Pop, Cohen, Zappa Nardelli (PPoPP 2013, https://doi.org/10.1145/2442516.2442524).
#pragma once

#include <runnel/detail/deque_core.hpp>
#include <runnel/sched/operation.hpp>

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <type_traits>

namespace runnel::inline RUNNEL_ABI::detail {

/// How an element becomes a word of the deque, and back: by its bytes.
template <class T>
struct deque_element {
  using word = std::uint64_t;
  static word make(T&& v) noexcept {
    word w = 0;
    std::memcpy(&w, static_cast<const void*>(std::addressof(v)), sizeof(T));
    return w;
  }
  static std::optional<T> take(word w) noexcept {
    std::array<std::byte, sizeof(T)> bytes;
    std::memcpy(bytes.data(), &w, sizeof(T));
    return std::bit_cast<T>(bytes);
  }
  static void drop(word) noexcept {}
};
/// By the address of a node.
template <class T>
  requires(!std::is_trivially_copyable_v<T> || sizeof(T) > sizeof(std::uint64_t))
struct deque_element<T> {
  using word = T*;
  static word make(T&& v) { return new T(std::move(v)); }
  static std::optional<T> take(word w) {
    const std::unique_ptr<T> node(w);
    return std::move(*node);
  }
  static void drop(word w) noexcept { delete w; }
};

}  // namespace runnel::inline RUNNEL_ABI::detail

namespace runnel::inline RUNNEL_ABI::lockfree {

template <class T>
class work_stealing_deque {
  static_assert(std::is_nothrow_destructible_v<T>, "runnel: the destructor of an element must not throw");
  static_assert(std::is_object_v<T> && !std::is_const_v<T>, "runnel: the elements of a deque are objects that can be moved");
  using element = detail::deque_element<T>;
  using word = typename element::word;

 public:
  using value_type = T;
  static constexpr std::size_t max_capacity = std::size_t{1} << 40;

  /// With room for `capacity` elements before it grows, rounded up to a power of two.
  explicit work_stealing_deque(std::size_t capacity = 64) : core_(rounded(capacity)) {}
  work_stealing_deque(const work_stealing_deque&) = delete;
  work_stealing_deque& operator=(const work_stealing_deque&) = delete;
  /// Destroys what is left.
  ~work_stealing_deque() {
    for (word w{}; core_.pop(w);) element::drop(w);
  }

  /// Adds v as the newest; what its move throws, or std::bad_alloc.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: owner
  void push(T v) {
    sched::choice_point(sched::operation::send, this);
    const word w = element::make(std::move(v));
    sched::announced_release(this);
    try {
      core_.push(w);
    } catch (...) {
      element::drop(w);
      throw;
    }
  }
  /// The newest; nullopt when there is none.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: owner
  std::optional<T> try_pop() noexcept(noexcept(element::take(word{}))) {
    sched::choice_point(sched::operation::receive, this);
    word w{};
    return core_.pop(w) ? taken(w) : std::nullopt;
  }
  /// The oldest; nullopt when there is none, or when another has just taken it.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  std::optional<T> try_steal() noexcept(noexcept(element::take(word{}))) {
    sched::choice_point(sched::operation::receive, this);
    word w{};
    return core_.steal(w) ? taken(w) : std::nullopt;
  }
  /// How many there were a moment ago; the owner knows that thieves can only have made it less.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  std::size_t size() const noexcept {
    sched::choice_point(sched::operation::look, this);
    return static_cast<std::size_t>(core_.size());
  }
  /// Whether size() is 0.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  bool empty() const noexcept { return size() == 0; }

 private:
  static std::uint64_t rounded(std::size_t capacity) {
    if (capacity > max_capacity) throw std::length_error("runnel::lockfree::work_stealing_deque: capacity above 2^40");
    return std::bit_ceil(std::max<std::uint64_t>(capacity, 2));
  }
  std::optional<T> taken(word w) noexcept(noexcept(element::take(word{}))) {
    sched::announced_acquire(this);
    return element::take(w);
  }

  detail::deque_core<word, detail::growing_slots<word>> core_;
};

}  // namespace runnel::inline RUNNEL_ABI::lockfree
