// The lock inside templates: a raw_lock whose sections stand in the user's code, so that ThreadSanitizer and the explorer
// must be told what they order. For a few instructions; nothing that the user wrote runs under it, nothing waits.
#pragma once

#include <runnel/base/raw_lock.hpp>

namespace runnel::inline RUNNEL_ABI::detail {

class announced_lock {
 public:
  void lock() noexcept;
  void unlock() noexcept;

 private:
  raw_lock lock_;
};

class announced_guard {
 public:
  explicit announced_guard(announced_lock& l) noexcept : lock_(l) { lock_.lock(); }
  announced_guard(const announced_guard&) = delete;
  announced_guard& operator=(const announced_guard&) = delete;
  ~announced_guard() { lock_.unlock(); }

 private:
  announced_lock& lock_;
};

}  // namespace runnel::inline RUNNEL_ABI::detail
