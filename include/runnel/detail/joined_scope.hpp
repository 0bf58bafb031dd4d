// What an operation that runs functions of the user does with a context that it is given: they, and all its own waits,
// see an ambient context that ends with either.
//
// For an operation that only waits there is the cheaper way: hand the node to detail::wait() as `extra`.
// Guarantees: the values are those of the ambient context. A cancellation arrives with its own origin and cause, and at
// what was started inside the scope also after its end, which cancels nothing.
// Cost: two pieces of memory and two links; one piece where the given context is below the ambient one, as most are,
// none where it is above.
#pragma once

#include <runnel/context.hpp>

namespace runnel::inline RUNNEL_ABI::detail {

class joined_scope {
 public:
  /// Throws std::bad_alloc.
  explicit joined_scope(const context& ctx) : joined_(joined_with(node_of(ctx))), scope_(joined_.get()) {}

 private:
  static ref_ptr<context_node> joined_with(context_node& given);
  ref_ptr<context_node> joined_;
  ambient_scope scope_;
};

}  // namespace runnel::inline RUNNEL_ABI::detail
