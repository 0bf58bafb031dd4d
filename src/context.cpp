#include <runnel/context.hpp>

#include "sched/agent.hpp"
#include "sched/report.hpp"
#include "sched/world.hpp"

#include <runnel/base/assert.hpp>
#include <runnel/sched/fork.hpp>
#include <runnel/sched/operation.hpp>

namespace runnel::inline RUNNEL_ABI::detail {

using sanitizer::hb_acquire;
using sanitizer::hb_release;

namespace {

constexpr std::uint32_t swallowed_limit = 1000;

/// What a blocking operation of `a` observes besides an explicit context; null: nothing.
context_node* observed(const sched::agent& a) noexcept { return a.shields ? nullptr : a.ambient; }

/// What it observes besides: the end of its bubble, whatever context it is under; null outside of bubbles.
context_node* end_of_bubble(const sched::agent& a) noexcept {
  return a.lives_in && !a.shields ? a.lives_in->ending : nullptr;
}

/// An operation was refused at its beginning, because of n. Who meets the same cancellation again and again ignores it.
void note_swallowed(const context_node& n) {
  sched::agent& a = sched::this_agent();
  const std::uint64_t origin = n.origin()->order();
  a.swallowed = a.swallowed_origin == origin ? a.swallowed + 1 : 1;
  a.swallowed_origin = origin;
  if (a.swallowed == swallowed_limit)
    report("%s has swallowed its cancellation %u times in a row: let `canceled` leave the loop",
           sched::describe_caller().c_str(), swallowed_limit);
}

}  // namespace

// ---- the node --------------------------------------------------------------------------------------------------

context_node::deadline_timer::deadline_timer(context_node& n) noexcept : timer_node(&on_deadline), node(n) {
  deferred::run = &cancel_late;
}

context_node::context_node(context_node* cancel_parent, context_node* value_parent) noexcept
    : cancel_parent_(cancel_parent), value_parent_(value_parent) {
  if (!cancel_parent) return;
  deadline_ = cancel_parent->deadline_;
  if (cancel_parent == &background_node()) return;  // it is never canceled: no need to be found
  raw_guard hold(cancel_parent->lock);
  // relaxed: written under the lock
  const cancel_state s = cancel_parent->state_.load(shim::order::relaxed);
  if (s == cancel_state::live) {
    cancel_parent->children_.push_back(*this);
    return;
  }
  cause_ = cancel_parent->cause_;
  origin_ = cancel_parent->origin_;
  state_.store(s, shim::order::relaxed);  // relaxed: nobody else knows this node yet
}

context_node::~context_node() {
  if (has_timer_.load(shim::order::relaxed)) sched::disarm(timer_);  // relaxed: nobody else refers to this node
  delete extension_.load(shim::order::relaxed);                      // relaxed: as above
  unlink();
}

void context_node::unlink() noexcept {
  if (!cancel_parent_) return;
  raw_guard hold(cancel_parent_->lock);
  if (list_hook<sibling_tag>::linked()) cancel_parent_->children_.remove(*this);
}

void context_node::add_ref() noexcept {
  refs_.fetch_add(1, shim::order::relaxed);  // relaxed: the caller has a reference already
}
bool context_node::try_add_ref() noexcept {
  std::uint32_t n = refs_.load(shim::order::relaxed);  // relaxed: validated by the compare-exchange
  while (n != 0)
    if (refs_.compare_exchange(n, n + 1, shim::order::relaxed, shim::order::relaxed)) return true;  // relaxed: as above
  return false;
}
void context_node::release_ref() noexcept {
  hb_release(&refs_);
  // acq_rel: what every holder did happens before the destruction
  if (refs_.fetch_sub(1, shim::order::acq_rel) != 1) return;
  hb_acquire(&refs_);
  delete this;
}

cancel_state context_node::state() const noexcept {
  const cancel_state s = state_.load(shim::order::acquire);  // acquire: see invariant 2
  if (s != cancel_state::live) hb_acquire(this);
  return s;
}

context_node* context_node::origin() const noexcept { return state() == cancel_state::live ? nullptr : origin_; }

bool context_node::below(std::uint64_t other) const noexcept {
  for (const context_node* n = this; n; n = n->cancel_parent_.get())
    if (n->order() == other) return true;
  return false;
}

void context_node::cancel(std::exception_ptr cause, cancel_state how) noexcept {
  sched::choice_point(sched::operation::cancel, this);
  hb_release(this);
  context_node* more = nullptr;  // a list and not recursion: the tree may be deep, the stack is not
  cancel_one(*this, cause, how, more);
  unlink();  // a canceled child is of no interest to its parent, however long its handles live
  while (context_node* n = more) {
    more = n->next_to_cancel_;
    hb_release(n);
    n->cancel_one(*this, cause, how, more);
    n->release_ref();
  }
}

/// Cancels this node alone; its children join the front of `more`, each with a reference.
void context_node::cancel_one(context_node& origin, std::exception_ptr& cause, cancel_state how,
                              context_node*& more) noexcept {
  sched::wake_list woken;
  cancel_hook* first_hook = nullptr;
  cancel_hook** last_hook = &first_hook;
  {
    raw_guard hold(lock);
    if (state_.load(shim::order::relaxed) != cancel_state::live) return;  // relaxed: under the lock
    cause_ = cause;
    origin_ = &origin;
    state_.store(how, shim::order::release);  // release: publishes cause and origin (invariant 2)
    woken.claim_all(watchers_);
    while (context_node* child = children_.pop_front()) {
      if (!child->try_add_ref()) continue;  // on its way out
      child->next_to_cancel_ = more;
      more = child;
    }
    while (cancel_hook* h = hooks_.pop_front()) {
      h->next_to_fire = nullptr;
      *last_hook = h;
      last_hook = &h->next_to_fire;
    }
  }
  woken.wake_all();
  while (cancel_hook* h = first_hook) {
    first_hook = h->next_to_fire;
    h->fire(*h);
  }
  // acquire: pairs with set_deadline(). Missed at worst by a cancellation that races with it; then the timer fires for nothing
  if (has_timer_.load(shim::order::acquire)) sched::disarm(timer_);
}

std::exception_ptr context_node::cause() {
  const cancel_state s = state();
  if (s == cancel_state::live) return nullptr;
  if (cause_) return cause_;
  const cancel_origin origin(*origin_);
  if (s == cancel_state::deadline_passed) return std::make_exception_ptr(deadline_exceeded(origin, nullptr));
  return std::make_exception_ptr(canceled(origin, nullptr));
}

void context_node::throw_canceled() {
  const cancel_state s = state();
  const cancel_origin origin(*origin_);
  if (s == cancel_state::deadline_passed) throw deadline_exceeded(origin, cause_);
  throw canceled(origin, cause_);
}

void context_node::set_deadline(time_point t, std::exception_ptr cause) {
  if (t >= deadline_) return;  // the one above comes first
  deadline_ = t;
  if (t <= steady_clock::now()) {
    cancel(std::move(cause), cancel_state::deadline_passed);
    return;
  }
  deadline_cause_ = std::move(cause);
  if (is_canceled()) return;
  sched::arm(timer_, t);
  has_timer_.store(true, shim::order::release);  // release: pairs with cancel_one(), the timer knows its clock
}

/// Under the timer lock. A node that is on its way out waits for that lock in disarm(), with no reference left.
sched::deferred* context_node::on_deadline(sched::timer_node& t, time_point, sched::wake_list&) noexcept {
  auto& timer = static_cast<deadline_timer&>(t);
  return timer.node.try_add_ref() ? &timer : nullptr;
}

void context_node::cancel_late(sched::deferred* d) noexcept {
  context_node& n = static_cast<deadline_timer*>(d)->node;
  n.cancel(n.deadline_cause_, cancel_state::deadline_passed);
  n.release_ref();
}

const void* context_node::find_value(const void*) const noexcept { return nullptr; }

bool context_node::add_hook(cancel_hook& h) noexcept {
  raw_guard hold(lock);
  if (state_.load(shim::order::relaxed) != cancel_state::live) return false;  // relaxed: under the lock
  hooks_.push_back(h);
  return true;
}

bool context_node::remove_hook(cancel_hook& h) noexcept {
  raw_guard hold(lock);
  if (!h.linked()) return false;
  hooks_.remove(h);
  return true;
}

node_extension* context_node::extension() const noexcept {
  node_extension* e = extension_.load(shim::order::acquire);  // acquire: pairs with attach()
  if (e) hb_acquire(&extension_);
  return e;
}

node_extension* context_node::attach(std::unique_ptr<node_extension> e) noexcept {
  node_extension* none = nullptr;
  hb_release(&extension_);
  // release: publishes the extension; relaxed on failure: extension() acquires the one that was first
  if (extension_.compare_exchange(none, e.get(), shim::order::release, shim::order::relaxed)) return e.release();
  return extension();
}

void context_node::revive() noexcept {
  raw_guard hold(lock);
  cause_ = nullptr;
  origin_ = nullptr;
  state_.store(cancel_state::live, shim::order::relaxed);  // relaxed: under the lock, and nobody is below it
}

std::size_t context_node::child_count() noexcept {
  raw_guard hold(lock);
  std::size_t n = 0;
  children_.for_each([&](context_node&) { ++n; });
  return n;
}

context_node& background_node() noexcept {
  alignas(plain_node) static unsigned char storage[sizeof(plain_node)];
  static plain_node& n = *new (storage) plain_node(nullptr, nullptr);  // never destroyed: the first reference stays
  return n;
}

// ---- the ambient context ---------------------------------------------------------------------------------------

ambient_parents ambient() noexcept {
  const sched::agent& a = sched::this_agent();
  context_node* values = a.ambient;
  const bool shut = a.shields || std::uncaught_exceptions() > 0;
  return {shut ? nullptr : values, values};
}

ambient_scope::ambient_scope(context_node* node)
    : owner_(sched::this_agent()), outer_(owner_.innermost), previous_(owner_.ambient), previous_shields_(owner_.shields) {
  owner_.innermost = this;
  if (node) {
    owner_.ambient = node;
    owner_.shields = 0;
  } else {
    ++owner_.shields;
  }
}

ambient_scope::~ambient_scope() {
  if (&sched::this_agent() != &owner_)
    fatal("a context scope, timeout scope or shield is left by another fiber or thread than entered it: keep it a local variable");
  if (owner_.innermost != this)
    fatal("context scopes, timeout scopes and shields must end in the reverse order of their beginning");
  owner_.innermost = outer_;
  owner_.ambient = previous_;
  owner_.shields = previous_shields_;
}

void check_canceled(context_node* extra) {
  if (sched::in_forked_child()) sched::refuse_in_forked_child();  // whoever looks is about to wait
  const sched::agent& a = sched::this_agent();
  const context_node* by = observed(a);
  if (!by || !by->is_canceled()) by = extra;
  if (!by || !by->is_canceled()) by = end_of_bubble(a);
  if (!by || !by->is_canceled() || std::uncaught_exceptions() > 0) return;
  note_swallowed(*by);
  throw_wait_canceled(extra);
}

void throw_wait_canceled(context_node* extra) {
  const sched::agent& a = sched::this_agent();
  for (context_node* n : {observed(a), extra, end_of_bubble(a)})
    if (n && n->is_canceled()) n->throw_canceled();
  fatal("a wait was canceled by a context that is not");
}

namespace {

/// One registration with one context for the length of a wait.
class registration {
 public:
  registration(context_node* n, sched::waiter& w) noexcept : node_(n), entry_(w, sched::was_canceled) {
    if (!node_) return;
    raw_guard hold(node_->lock);
    if (node_->is_canceled()) {
      ended_ = w.try_claim(sched::was_canceled);  // lost: whoever won will wake us
      node_ = nullptr;
    } else {
      node_->watch(entry_);
    }
  }
  ~registration() {
    if (!node_) return;
    raw_guard hold(node_->lock);
    node_->unwatch(entry_);
  }
  registration(const registration&) = delete;
  registration& operator=(const registration&) = delete;
  bool ended() const noexcept { return ended_; }

 private:
  context_node* node_;
  sched::wait_node entry_;
  bool ended_ = false;
};

}  // namespace

sched::claim_token wait(sched::waiter& w, sched::wait_reason reason, const void* object, time_point deadline,
                        context_node* extra) noexcept {
  sched::agent& a = sched::this_agent();
  context_node* n = observed(a);
  context_node* end = end_of_bubble(a);
  if ((n || extra || end) && std::uncaught_exceptions() > 0) n = extra = end = nullptr;
  if (extra == n) extra = nullptr;
  registration first(n, w);
  std::optional<registration> second, third;  // hardly ever
  if (extra) second.emplace(extra, w);
  if (end) third.emplace(end, w);
  if (first.ended() || (second && second->ended()) || (third && third->ended())) return sched::was_canceled;
  a.swallowed = 0;
  return sched::park(w, reason, object, deadline);
}

}  // namespace runnel::inline RUNNEL_ABI::detail

namespace runnel::inline RUNNEL_ABI {

using detail::context_node;
using detail::ref_ptr;

context context::background() noexcept { return detail::wrap(ref_ptr<context_node>(&detail::background_node())); }

context context::current() {
  const detail::ambient_parents p = detail::ambient();
  if (!p.values) return background();
  if (p.cancel) return detail::wrap(ref_ptr<context_node>(p.cancel));
  return detail::wrap(ref_ptr<context_node>::adopt(new detail::plain_node(nullptr, p.values)));
}

const void* context::find_value(const void* key) const noexcept {
  for (const context_node* n = node_.get(); n; n = n->value_parent())
    if (const void* v = n->find_value(key)) return v;
  return nullptr;
}

derived_context derive_cancel(const context& parent) {
  context_node& p = detail::node_of(parent);
  auto node = ref_ptr<context_node>::adopt(new detail::plain_node(&p, &p));
  return {detail::wrap(node), cancel_handle(node)};
}

derived_context derive_deadline(const context& parent, time_point deadline, std::exception_ptr cause) {
  derived_context d = derive_cancel(parent);
  detail::node_of(d.ctx).set_deadline(deadline, std::move(cause));
  return d;
}

derived_context derive_timeout(const context& parent, duration limit, std::exception_ptr cause) {
  return derive_deadline(parent, limit.from_now(), std::move(cause));
}

context without_cancel(const context& parent) {
  return detail::wrap(ref_ptr<context_node>::adopt(new detail::plain_node(nullptr, &detail::node_of(parent))));
}

}  // namespace runnel::inline RUNNEL_ABI
