// A value per fiber, as thread_local is one per thread: it does not change when the fiber goes on elsewhere.
//
// Made at the first use in each fiber (or thread), destroyed on the fiber's own stack at its end, before joiners are
// told; a destructor may block, start tasks, and use fiber-local values, which are destroyed in turn.
// When not: values that tasks should inherit belong into a context (derive_value).
// Cost: an allocation at the first use, then a short list to walk.
#pragma once

#include <runnel/base/abi.hpp>

#include <cstdint>
#include <type_traits>
#include <utility>

namespace runnel::inline RUNNEL_ABI {

namespace detail {
struct fiber_local_value {
  virtual ~fiber_local_value() = default;
  std::uint64_t key = 0;
  fiber_local_value* next = nullptr;
};
std::uint64_t new_fiber_local_key() noexcept;
fiber_local_value* find_fiber_local(std::uint64_t key) noexcept;
void add_fiber_local(std::uint64_t key, fiber_local_value* v) noexcept;
}  // namespace detail

/// Make it a static object. T is value-initialized, or made by the function given.
template <class T>
class fiber_local {
  static_assert(std::is_nothrow_destructible_v<T>);

 public:
  fiber_local() noexcept : fiber_local(+[] { return T(); }) {}
  explicit fiber_local(T (*make)()) noexcept : key_(detail::new_fiber_local_key()), make_(make) {}
  fiber_local(const fiber_local&) = delete;
  fiber_local& operator=(const fiber_local&) = delete;

  /// The calling fiber's (or thread's) value.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  T& get() const {
    detail::fiber_local_value* v = detail::find_fiber_local(key_);
    if (!v) {
      v = new holder(make_);
      detail::add_fiber_local(key_, v);
    }
    return static_cast<holder*>(v)->value;
  }
  T& operator*() const { return get(); }
  T* operator->() const { return &get(); }

 private:
  struct holder final : detail::fiber_local_value {
    explicit holder(T (*make)()) : value(make()) {}
    T value;
  };
  const std::uint64_t key_;
  T (*make_)();
};

}  // namespace runnel::inline RUNNEL_ABI
