// What the queues of <runnel/lockfree/> share: raw room for one element, and the check of a capacity.
#pragma once

#include <runnel/base/abi.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace runnel::inline RUNNEL_ABI::detail {

template <class T>
concept queue_element = std::is_object_v<T> && std::same_as<T, std::remove_cv_t<T>> && std::is_nothrow_destructible_v<T>;

/// Room for an object that others make and end.
template <class T>
class raw_room {
 public:
  template <class... A>
  void make(A&&... args) noexcept(std::is_nothrow_constructible_v<T, A...>) {
    ::new (static_cast<void*>(bytes_)) T(std::forward<A>(args)...);
  }
  void end() noexcept { std::destroy_at(&get()); }
  T& get() noexcept { return *std::launder(reinterpret_cast<T*>(bytes_)); }

 private:
  alignas(T) std::byte bytes_[sizeof(T)];
};

/// Calls f at the end of the scope, however it is left.
template <class F>
class at_end {
 public:
  explicit at_end(F f) noexcept : f_(std::move(f)) {}
  at_end(const at_end&) = delete;
  at_end& operator=(const at_end&) = delete;
  ~at_end() { f_(); }

 private:
  F f_;
};

/// Throws misuse for a capacity of 0 and std::length_error for one that no memory has room for; else returns it.
/// `queue`: its name, for the message; `bytes`: of a cell.
std::size_t checked_capacity(const char* queue, std::size_t capacity, std::size_t bytes);

}  // namespace runnel::inline RUNNEL_ABI::detail
