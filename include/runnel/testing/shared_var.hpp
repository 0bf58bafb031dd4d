// A variable that something else protects, or should: explore() reports two accesses, one of them a write, that nothing
// orders. Elsewhere it is the plain variable.
#pragma once

#include <runnel/sched/operation.hpp>

#include <utility>

namespace runnel::inline RUNNEL_ABI {

template <class T>
class shared_var {
 public:
  shared_var() = default;
  explicit shared_var(T value) : value_(std::move(value)) {}
  shared_var(const shared_var&) = delete;
  shared_var& operator=(const shared_var&) = delete;
  ~shared_var() { sched::announced_end_of(this); }

  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any, as far as something orders them
  T load(source_location at = source_location::current()) const {
    sched::announced_access(sched::operation::read, this, at);
    return value_;
  }
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any, as far as something orders them
  void store(T value, source_location at = source_location::current()) {
    sched::announced_access(sched::operation::write, this, at);
    value_ = std::move(value);
  }

 private:
  T value_{};
};

}  // namespace runnel::inline RUNNEL_ABI
