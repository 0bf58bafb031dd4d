// The compiled part of every channel: queue of elements, queues of waiters, one lock. The element's type is known
// only through element_ops.
#pragma once

#include <runnel/detail/context_node.hpp>
#include <runnel/error.hpp>

#include <cstddef>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

namespace runnel::inline RUNNEL_ABI {

/// How an operation on a channel ended.
enum class channel_status : std::uint8_t { ok, would_block, timed_out, closed };

namespace detail {

struct element_ops {
  std::size_t size;   ///< 0: empty elements, none is stored
  std::size_t align;
  bool nothrow_move;
  void (*construct)(void* cell, void* value);    ///< move-constructs *value into raw memory
  void (*deliver)(void* optional, void* value);  ///< emplaces the moved *value into a std::optional<T>
  void (*take)(void* optional, void* cell);      ///< the same, and destroys *cell
  void (*destroy)(void* cell) noexcept;
};

template <class T>
struct element_ops_of {
  static constexpr bool stored = !(std::is_empty_v<T> && std::is_trivially_copyable_v<T> && std::is_default_constructible_v<T>);
  static void construct(void* cell, void* value) {
    if constexpr (stored) ::new (cell) T(std::move(*static_cast<T*>(value)));
  }
  static void deliver(void* optional, void* value) {
    auto& o = *static_cast<std::optional<T>*>(optional);
    if constexpr (stored) {
      o.emplace(std::move(*static_cast<T*>(value)));
    } else {
      o.emplace();
    }
  }
  static void take(void* optional, void* cell) {
    deliver(optional, cell);
    destroy(cell);
  }
  static void destroy(void* cell) noexcept {
    if constexpr (stored) static_cast<T*>(cell)->~T();
  }
  static constexpr element_ops ops{stored ? sizeof(T) : 0, alignof(T), std::is_nothrow_move_constructible_v<T>,
                                   &construct, &deliver, &take, &destroy};
};

class channel_core;
/// With one reference; or with two ends: two references, one counted sender and one counted receiver.
channel_core* make_channel_core(const element_ops& ops, std::size_t capacity, bool two_ends = false);

/// What an operation may wait for.
struct channel_wait {
  bool block = true;
  time_point deadline = never;
  context_node* extra = nullptr;
};

// On a core that the caller holds a reference of.
void channel_add_ref(channel_core*) noexcept;
void channel_release(channel_core*) noexcept;
/// Moves from *value only when it returns ok.
channel_status channel_send(channel_core*, void* value, const channel_wait&);
/// Emplaces into *optional when it returns ok.
channel_status channel_receive(channel_core*, void* optional, const channel_wait&);
/// Several in a row under one lock. Sends from n values that lie `stride` bytes apart, waiting until all are sent; the count,
/// short only when the channel is closed.
std::size_t channel_send_n(channel_core*, void* first, std::size_t stride, std::size_t n,
                           context_node* extra = nullptr);
/// Emplaces into 1 to n optionals that lie `stride` bytes apart, waiting for the first; the count, 0 when closed and drained.
std::size_t channel_receive_some(channel_core*, void* first, std::size_t stride, std::size_t n,
                                 context_node* extra = nullptr);
/// The entry check alone, for an operation on no element at all.
void check_channel_operation(channel_core*, context_node* extra);
bool channel_close(channel_core*) noexcept;
/// The same, and destroys what is buffered, without a move; how many.
std::size_t channel_discard(channel_core*) noexcept;
std::size_t channel_size(channel_core*) noexcept;
std::size_t channel_capacity(channel_core*) noexcept;
bool channel_is_closed(channel_core*) noexcept;
/// Ends that count for automatic closing.
void channel_add_sender(channel_core*) noexcept;
void channel_drop_sender(channel_core*) noexcept;
void channel_add_receiver(channel_core*) noexcept;
void channel_drop_receiver(channel_core*) noexcept;

[[noreturn]] inline void throw_null_handle() {
  throw_misuse("runnel::channel: operation on a null handle (default-constructed or moved from)");
}

/// A handle's reference; null handles throw misuse when used.
class channel_ref {
 public:
  channel_ref() noexcept = default;
  /// Takes over the reference of a new core.
  explicit channel_ref(channel_core* c) noexcept : core_(c) {}
  static channel_ref share(channel_core* c) noexcept {
    channel_add_ref(c);
    return channel_ref(c);
  }
  channel_ref(const channel_ref& o) noexcept : core_(o.core_) {
    if (core_) channel_add_ref(core_);
  }
  channel_ref(channel_ref&& o) noexcept : core_(std::exchange(o.core_, nullptr)) {}
  channel_ref& operator=(channel_ref o) noexcept {
    std::swap(core_, o.core_);
    return *this;
  }
  ~channel_ref() {
    if (core_) channel_release(core_);
  }
  channel_core* get() const {
    if (!core_) throw_null_handle();
    return core_;
  }
  channel_core* peek() const noexcept { return core_; }
  friend bool operator==(const channel_ref& a, const channel_ref& b) noexcept { return a.core_ == b.core_; }

 private:
  channel_core* core_ = nullptr;
};

}  // namespace detail
}  // namespace runnel::inline RUNNEL_ABI
