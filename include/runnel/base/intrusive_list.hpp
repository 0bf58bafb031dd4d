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

/// Owns nothing. T derives from list_hook<Tag>. Callers provide the locking.
template <class T, class Tag>
class intrusive_list {
  using hook = list_hook<Tag>;

 public:
  intrusive_list() noexcept { head_.prev = head_.next = &head_; }
  intrusive_list(const intrusive_list&) = delete;
  intrusive_list& operator=(const intrusive_list&) = delete;

  bool empty() const noexcept { return head_.next == &head_; }
  T* front() noexcept { return empty() ? nullptr : static_cast<T*>(head_.next); }
  void push_back(T& e) noexcept { link(e, *head_.prev, head_); }
  void push_front(T& e) noexcept { link(e, head_, *head_.next); }
  void remove(T& e) noexcept {
    hook& h = e;
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
    for (hook* h = head_.next; h != &head_; h = h->next) f(*static_cast<T*>(h));
  }

 private:
  static void link(hook& e, hook& before, hook& after) noexcept {
    e.prev = &before;
    e.next = &after;
    before.next = &e;
    after.prev = &e;
  }
  hook head_;
};

}  // namespace runnel::inline RUNNEL_ABI::detail
