// A doubly linked list whose links live in its elements: no allocation, removal from the middle in O(1).
#pragma once

#include <runnel/base/abi.hpp>

namespace runnel::inline RUNNEL_ABI::detail {

/// Base of an element; Tag tells apart the lists that one object may stand in.
template <class Tag>
struct list_hook {
  list_hook* prev = nullptr;
  list_hook* next = nullptr;
  bool linked() const noexcept { return next != nullptr; }
};

/// Owns nothing. T derives from list_hook<Tag>. Callers provide the locking. One pointer: a ring of elements, from the first.
template <class T, class Tag>
class intrusive_list {
  using hook = list_hook<Tag>;

 public:
  intrusive_list() noexcept = default;
  intrusive_list(const intrusive_list&) = delete;
  intrusive_list& operator=(const intrusive_list&) = delete;

  bool empty() const noexcept { return first_ == nullptr; }
  T* front() noexcept { return static_cast<T*>(first_); }
  void push_back(T& e) noexcept {
    hook& h = e;
    if (first_) {
      h.prev = first_->prev;
      h.next = first_;
      h.prev->next = h.next->prev = &h;
    } else {
      first_ = h.prev = h.next = &h;
    }
  }
  void push_front(T& e) noexcept {
    push_back(e);
    first_ = &e;
  }
  void remove(T& e) noexcept {
    hook& h = e;
    if (first_ == &h) first_ = h.next == &h ? nullptr : h.next;
    h.prev->next = h.next;
    h.next->prev = h.prev;
    h.prev = h.next = nullptr;
  }
  T* pop_front() noexcept {
    T* e = front();
    if (e) remove(*e);
    return e;
  }
  /// Calls f(element) for each; f must not change the list.
  template <class F>
  void for_each(F f) {
    hook* h = first_;
    if (!h) return;
    do {
      f(*static_cast<T*>(h));
      h = h->next;
    } while (h != first_);
  }

 private:
  hook* first_ = nullptr;
};

}  // namespace runnel::inline RUNNEL_ABI::detail
