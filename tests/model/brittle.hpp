// An element for models of what happens when a move throws.
#pragma once

/// Its next moves throw while `failures` is positive.
struct brittle {
  static inline int failures = 0;
  brittle() = default;
  brittle(brittle&&) noexcept(false) {
    if (failures > 0) {
      --failures;
      throw 1;
    }
  }
};
