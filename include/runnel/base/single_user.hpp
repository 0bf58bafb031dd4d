// Finds out, in checked builds, when two execute at the same time what one at a time may. Elsewhere it is nothing.
#pragma once

#include <runnel/base/assert.hpp>
#include <runnel/base/atomic.hpp>

namespace runnel::inline RUNNEL_ABI::detail {

class single_user {
 public:
  /// The scope in which one may be.
  class scope {
   public:
#if defined(RUNNEL_CHECKED) && RUNNEL_CHECKED
    /// `what`: what must not be done by two, and the remedy.
    scope(single_user& u, const char* what) noexcept : user_(u) {
      if (u.inside_.exchange(true, shim::order::relaxed)) fatal("%s", what);  // relaxed: it orders nothing, lest it hides a race
    }
    ~scope() {
      user_.inside_.store(false, shim::order::relaxed);  // relaxed: as above
    }
    scope(const scope&) = delete;
    scope& operator=(const scope&) = delete;

   private:
    single_user& user_;
#else
    scope(single_user&, const char*) noexcept {}
#endif
  };

#if defined(RUNNEL_CHECKED) && RUNNEL_CHECKED
 private:
  shim::atomic<bool> inside_{false};
#endif
};

}  // namespace runnel::inline RUNNEL_ABI::detail
