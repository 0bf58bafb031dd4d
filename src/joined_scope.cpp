// A joined node is below the ambient context as any other, and has a relay below the given one, which hands the
// cancellation on.
//
// Invariants
//  1. The joined node has a reference to its relay, and so to the given context and whatever cancels that.
//  2. The relay knows the joined node without owning it, under its own lock, under which the joined node takes its name
//     out before it goes: whoever finds the name there may try to add a reference.
// No lost cancellation: the relay is linked before it is asked whether it is canceled. What comes later finds it
// linked.
// The cancellation goes on from a relay by a call and not by the list of cancel_from(): the hooks of the joined node
// belong to its first parent. That is as deep as joined contexts are given to one another.
// Rejected: a hook of the given context, as after_func has. It fires behind the lock, when the node may be gone.
#include <runnel/detail/joined_scope.hpp>

#include <algorithm>

namespace runnel::inline RUNNEL_ABI::detail {

namespace {

class joined_node;

class relay final : public context_node {
 public:
  relay(context_node& from, joined_node& to) noexcept : context_node(&from, nullptr), to_(&to) {}
  void start() noexcept {
    ensure_linked();
    if (is_canceled()) on_canceled();
  }
  void stop() noexcept {
    raw_guard hold(lock);
    to_ = nullptr;
  }

 private:
  void on_canceled() noexcept override;
  joined_node* to_;  ///< under lock
};

class joined_node final : public context_node {
 public:
  joined_node(context_node& ambient, context_node& given)
      : context_node(&ambient, &ambient), given_(given), relay_(ref_ptr<relay>::adopt(new relay(given, *this))) {
    deadline_ = std::min(deadline_, given.deadline());
  }
  /// Before it is shared.
  void start() noexcept { relay_->start(); }
  const context_node* second_parent() const noexcept override { return &given_; }

 private:
  ~joined_node() override { relay_->stop(); }
  context_node& given_;  ///< the relay's parent
  const ref_ptr<relay> relay_;
};

void relay::on_canceled() noexcept {
  ref_ptr<joined_node> to;
  {
    raw_guard hold(lock);
    if (to_ && to_->try_add_ref()) to = ref_ptr<joined_node>::adopt(to_);
  }
  if (to) to->cancel_as(*this);
}

}  // namespace

ref_ptr<context_node> joined_scope::joined_with(context_node& given) {
  const ambient_parents here = ambient();
  context_node* const cancel = here.cancel;
  context_node* const values = here.values ? here.values : &background_node();
  if (cancel && (&given == &background_node() || cancel->below(given.order()))) return ref_ptr<context_node>(cancel);
  if (!cancel || cancel == &background_node() || given.below(cancel->order()))
    return ref_ptr<context_node>::adopt(new plain_node(&given, values));
  const auto joined = ref_ptr<joined_node>::adopt(new joined_node(*cancel, given));
  joined->start();
  return ref_ptr<context_node>(joined.get());
}

}  // namespace runnel::inline RUNNEL_ABI::detail
