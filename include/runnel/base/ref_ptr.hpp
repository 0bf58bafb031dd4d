// An intrusive reference: T provides add_ref() and release_ref().
#pragma once

#include <runnel/base/abi.hpp>

#include <utility>

namespace runnel::inline RUNNEL_ABI::detail {

template <class T>
class ref_ptr {
 public:
  ref_ptr() noexcept = default;
  /// Shares ownership: adds a reference.
  explicit ref_ptr(T* p) noexcept : p_(p) {
    if (p_) p_->add_ref();
  }
  /// Takes over a reference that the caller holds.
  static ref_ptr adopt(T* p) noexcept {
    ref_ptr r;
    r.p_ = p;
    return r;
  }
  ref_ptr(const ref_ptr& o) noexcept : ref_ptr(o.p_) {}
  ref_ptr(ref_ptr&& o) noexcept : p_(std::exchange(o.p_, nullptr)) {}
  ref_ptr& operator=(ref_ptr o) noexcept {
    std::swap(p_, o.p_);
    return *this;
  }
  ~ref_ptr() {
    if (p_) p_->release_ref();
  }

  T* get() const noexcept { return p_; }
  T* operator->() const noexcept { return p_; }
  T& operator*() const noexcept { return *p_; }
  explicit operator bool() const noexcept { return p_ != nullptr; }
  /// Gives the reference to the caller.
  T* detach() noexcept { return std::exchange(p_, nullptr); }
  friend bool operator==(const ref_ptr& a, const ref_ptr& b) noexcept { return a.p_ == b.p_; }

 private:
  T* p_ = nullptr;
};

}  // namespace runnel::inline RUNNEL_ABI::detail
