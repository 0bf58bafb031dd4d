// What of hedge() need not be a template. Its fibers are tasks of a group on the caller's stack, which joins them on
// every path out; each has room for its outcome in the channel, so none of them waits for anybody.
#include <runnel/patterns/hedge.hpp>

namespace runnel::inline RUNNEL_ABI::detail {

void check(const hedge_policy& p) {
  if (p.attempts == 0) throw_misuse("runnel::hedge: 0 attempts would never call the function");
}

}  // namespace runnel::inline RUNNEL_ABI::detail
