// Stands in for <runnel/base/atomic.hpp> in a model build: the same interface, each call a step of the model checker.
#pragma once

#include "checker/word.hpp"

#include <runnel/base/abi.hpp>

#include <cstring>
#include <type_traits>

namespace runnel::inline RUNNEL_ABI::shim {

namespace order {
inline constexpr std::memory_order relaxed = std::memory_order_relaxed;
inline constexpr std::memory_order acquire = std::memory_order_acquire;
inline constexpr std::memory_order release = std::memory_order_release;
inline constexpr std::memory_order acq_rel = std::memory_order_acq_rel;
inline constexpr std::memory_order seq_cst = std::memory_order_seq_cst;
}  // namespace order

template <class T>
class atomic {
  static_assert(sizeof(T) <= sizeof(std::uint64_t) && std::is_trivially_copyable_v<T>);
  using site = model::detail::site;
  using memory_order = std::memory_order;

 public:
  atomic() noexcept : atomic(T{}) {}
  explicit atomic(T v) noexcept { model::detail::make(word_, bits(v)); }
  atomic(const atomic&) = delete;
  atomic& operator=(const atomic&) = delete;
  ~atomic() { model::detail::end(word_); }

  T load(memory_order o, site at = site::here()) const noexcept { return value(model::detail::load(word_, o, at)); }
  void store(T v, memory_order o, site at = site::here()) noexcept { model::detail::store(word_, bits(v), o, at); }
  T exchange(T v, memory_order o, site at = site::here()) noexcept { return modify(model::detail::rmw::exchange, v, o, at); }
  bool compare_exchange(T& expected, T desired, memory_order success, memory_order failure,
                        site at = site::here()) noexcept {
    std::uint64_t seen = bits(expected);
    const bool done = model::detail::compare_exchange(word_, seen, bits(desired), success, failure, at);
    if (!done) expected = value(seen);
    return done;
  }
  T fetch_add(T v, memory_order o, site at = site::here()) noexcept { return modify(model::detail::rmw::add, v, o, at); }
  T fetch_sub(T v, memory_order o, site at = site::here()) noexcept { return modify(model::detail::rmw::sub, v, o, at); }
  T fetch_or(T v, memory_order o, site at = site::here()) noexcept { return modify(model::detail::rmw::bit_or, v, o, at); }
  T fetch_and(T v, memory_order o, site at = site::here()) noexcept { return modify(model::detail::rmw::bit_and, v, o, at); }

  const void* address() const noexcept { return &word_; }

 private:
  static std::uint64_t bits(T v) noexcept {
    std::uint64_t b = 0;
    std::memcpy(&b, &v, sizeof v);
    return b;
  }
  static T value(std::uint64_t b) noexcept {
    T v;
    std::memcpy(&v, &b, sizeof v);
    return v;
  }
  T modify(model::detail::rmw how, T v, memory_order o, const site& at) noexcept {
    constexpr std::uint64_t mask = sizeof(T) == 8 ? ~std::uint64_t{0} : (std::uint64_t{1} << (8 * (sizeof(T) % 8))) - 1;
    return value(model::detail::modify(word_, how, bits(v), mask, o, at));
  }

  model::detail::word word_;
};

inline void fence(std::memory_order o, model::detail::site at = model::detail::site::here()) noexcept {
  model::detail::fence(o, at);
}
// What it does, the heavy fence does to it.
inline void light_fence() noexcept {}
inline void spin_pause(model::detail::site at = model::detail::site::here()) noexcept { model::detail::pause(at); }

}  // namespace runnel::inline RUNNEL_ABI::shim
