// A scope that must leave nothing behind: no fiber, timer or waiting party that was not there at its beginning.
//
//   TEST(...) { runnel::leak_check nothing_left; ... }
//
// At the end of the scope it gives fibers that are about to end a moment to do so, then reports each one left: name, state,
// what it waits for, where it was started.
#pragma once

#include <runnel/runtime.hpp>

#include <string>

namespace runnel::inline RUNNEL_ABI {

class leak_check {
 public:
  /// Receives the report; the default prints it and ends the process.
  using handler = void (*)(const std::string& report);

  explicit leak_check(handler on_leak = nullptr) noexcept;
  leak_check(const leak_check&) = delete;
  leak_check& operator=(const leak_check&) = delete;
  /// - blocks: up to a second, while something is left
  /// - cancel: ignores
  /// - threads: any
  RUNNEL_PARKS ~leak_check();

  /// What is left at this moment, in words; empty when nothing is.
  std::string left() const;

 private:
  handler on_leak_;
  std::size_t fibers_;
  std::size_t timers_;
  std::int64_t waits_;
};

}  // namespace runnel::inline RUNNEL_ABI
