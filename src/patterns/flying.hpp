// What the exception that is being handled means for a piece of work: its own cancellation, or a failure.
#pragma once

#include <runnel/context.hpp>

namespace runnel::inline RUNNEL_ABI::detail {

/// In a catch block: a cancellation, while the caller's own context is canceled. A time limit that the work had set for
/// itself, and that has ended, is a failure.
inline bool flies_as_cancellation() {
  try {
    throw;
  } catch (const canceled&) {
    return context::current().is_canceled();
  } catch (...) {
    return false;
  }
}

}  // namespace runnel::inline RUNNEL_ABI::detail
