// The core of a lock-free stack: nodes of any kind, linked by one word.
#pragma once

#include <runnel/detail/hazard_core.hpp>

namespace runnel::inline RUNNEL_ABI::detail {

struct stack_node : hazard_object {
  /// Written before the push; read by all who find the node on top, also after it was popped.
  stack_node* next = nullptr;
};

class stack_core {
 public:
  stack_core() noexcept = default;
  stack_core(const stack_core&) = delete;
  stack_core& operator=(const stack_core&) = delete;

  void push(stack_node& n) noexcept;
  /// The top, which is the caller's then, but for `next`: it must be retired. Null: there is none. Throws std::bad_alloc.
  stack_node* pop();
  bool empty() const noexcept {
    return top_.load(shim::order::relaxed) == nullptr;  // relaxed: says nothing about elements
  }
  /// For the destructor: nobody else uses the stack.
  stack_node* first() const noexcept {
    return top_.load(shim::order::relaxed);  // relaxed: the caller is ordered after all others
  }

 private:
  shim::atomic<stack_node*> top_{nullptr};
};

}  // namespace runnel::inline RUNNEL_ABI::detail
