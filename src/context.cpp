#include <runnel/context.hpp>

#include "cancellation.hpp"
#include "sched/report.hpp"
#include "sched/world.hpp"

#include <runnel/base/assert.hpp>
#include <runnel/sched/fork.hpp>
#include <runnel/sched/fork_join.hpp>
#include <runnel/sched/operation.hpp>

namespace runnel::inline RUNNEL_ABI::detail {

using sanitizer::hb_acquire;
using sanitizer::hb_release;

namespace {

constexpr std::uint32_t swallowed_limit = 1000;

/// What a blocking operation of `a` observes besides an explicit context; null: nothing.
context_node* observed(const sched::agent& a) noexcept { return a.shields ? nullptr : a.ambient; }

/// A fork-join operation of the caller, of which a part has failed on another fiber: what canceled it; else null.
context_node* failed_fork(const sched::agent& a) noexcept {
  // relaxed: who has to know was woken after it was raised
  if (a.shields || a.failed_forks.load(shim::order::relaxed) == 0) return nullptr;
  for (const sched::fork_scope* s = a.forks; s; s = s->outer)
    if (context_node* n = s->canceled_by.load(shim::order::acquire)) return n;  // acquire: pairs with cancel_owner()
  return nullptr;
}
/// From now on the failure of such a part ends w. True: one has failed already, and w was ended.
bool forks_end_listening(const sched::agent& a, sched::waiter& w) noexcept {
  if (!w.listen()) return false;                                          // ended otherwise: whoever did it wakes
  if (a.failed_forks.load(shim::order::seq_cst) == 0) return false;       // seq_cst: see waiter::listen()
  return w.try_claim(sched::was_canceled);                                // lost: as above
}

/// What it observes besides: the end of its bubble, whatever context it is under; null outside of bubbles.
context_node* end_of_bubble(const sched::agent& a) noexcept {
  return a.lives_in && !a.shields ? a.lives_in->ending : nullptr;
}

/// An operation was refused at its beginning, because of n. Who meets the same cancellation again and again ignores it.
void note_swallowed(context_node& n) {
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

context_node::context_node(context_node* cancel_parent, context_node* value_parent) noexcept : value_parent_(value_parent) {
  // The background is never canceled, has no values and no end: no need to know it.
  if (value_parent && value_parent == &background_node()) value_parent_ = nullptr;
  if (!cancel_parent || cancel_parent == &background_node()) {
    if (value_parent_) value_parent_->add_ref();
    return;
  }
  cancel_parent_ = ref_ptr<context_node>(cancel_parent);
  if (value_parent_ && value_parent_ != cancel_parent) value_parent_->add_ref();
  deadline_ = cancel_parent->deadline_;
  cancel_parent->ensure_linked();
  state_.store(cancel_state::unlinked, shim::order::relaxed);  // relaxed: nobody else knows this node yet
}

context_node::~context_node() {
  delete extension_.load(shim::order::relaxed);  // relaxed: nobody else refers to this node
  // release_ref() has taken the parents away; they are here where the constructor of a derived class has thrown.
  if (value_parent_ && value_parent_ != cancel_parent_.get()) value_parent_->release_ref();
}

void context_node::unlink() noexcept {
  if (!cancel_parent_) return;
  raw_guard hold(cancel_parent_->lock);
  if (list_hook<sibling_tag>::linked()) cancel_parent_->children_.remove(*this);
}

// No lost cancellation: the parent's state changes and its children are taken out under one hold of its lock. link() holds
// the same lock: either it comes first, and the cancellation finds this node among the children; or it comes later, sees
// the parent canceled, and inherits that. A cancellation of this node itself does not hold that lock: so the step from
// unlinked to live is a compare-exchange, which fails where the node is canceled, and then nothing is linked that would
// stay; and who cancels a live node finds it linked once it has the parent's lock.
void context_node::link() noexcept {
  {
    raw_guard hold(cancel_parent_->lock);
    if (cancel_parent_->state_.load(shim::order::relaxed) == cancel_state::live) {  // relaxed: under that lock
      cancel_state expected = cancel_state::unlinked;
      // relaxed: under that lock, and the node's cancellation publishes itself
      if (state_.compare_exchange(expected, cancel_state::live, shim::order::relaxed, shim::order::relaxed))
        cancel_parent_->children_.push_back(*this);
      return;
    }
  }
  inherit();
}

/// For one that was seen unlinked, and its parent canceled after that. Once this was true it stays so: with the parent's
/// cancellation every link() before it has been seen, so a node that is unlinked now will never be linked.
bool context_node::seems_canceled_with_parent() const noexcept {
  // relaxed: the parent's cancellation, which is acquired, is enough for a yes; who wants to know more looks once more.
  // Live: linked meanwhile, and the parent's cancellation is on its way here
  return state_.load(shim::order::relaxed) != cancel_state::live;
}

/// The parent is canceled: then so is this node, if it is still unlinked. From here on it says so by itself, and a
/// cancellation of its own comes too late.
cancel_state context_node::inherit() noexcept {
  const cancel_state s = cancel_parent_->state();
  raw_guard hold(lock);
  if (state_.load(shim::order::relaxed) == cancel_state::unlinked) {  // relaxed: under the lock, and no more to be linked
    cause_ = cancel_parent_->cause_;
    origin_ = cancel_parent_->origin_;
    hb_release(this);
    state_.store(s, shim::order::release);  // release: publishes cause and origin (invariant 2)
  }
  return state_.load(shim::order::relaxed);  // relaxed: under the lock
}

cancel_state context_node::settle() noexcept {
  const cancel_state s = state_.load(shim::order::acquire);  // acquire: see invariant 2
  if (s != cancel_state::unlinked) return s;
  return is_canceled() ? inherit() : cancel_state::live;
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

/// Gives a reference up; with the last one the node joins the front of `dead`, linked as in cancel_one().
void context_node::drop(context_node*& dead) noexcept {
  hb_release(&refs_);
  // acq_rel: what every holder did happens before the destruction
  if (refs_.fetch_sub(1, shim::order::acq_rel) != 1) return;
  hb_acquire(&refs_);
  // relaxed: nobody else refers to this node. Unlinked it never was linked; canceled it has unlinked itself or was taken out
  // by its parent
  if (state_.load(shim::order::relaxed) == cancel_state::live) unlink();
  list_hook<sibling_tag>::prev = std::exchange(dead, this);
}

void context_node::release_ref() noexcept {
  context_node* dead = nullptr;  // a list and not recursion: see cancel_from()
  drop(dead);
  while (context_node* n = dead) {
    dead = static_cast<context_node*>(std::exchange(n->list_hook<sibling_tag>::prev, nullptr));
    context_node* const cancels = n->cancel_parent_.detach();
    context_node* const values = std::exchange(n->value_parent_, nullptr);
    delete n;
    if (cancels) cancels->drop(dead);
    if (values && values != cancels) values->drop(dead);
  }
}

cancel_state context_node::state() noexcept {
  const cancel_state s = settle();
  if (s != cancel_state::live) hb_acquire(this);
  return s;
}

context_node* context_node::origin() noexcept { return state() == cancel_state::live ? nullptr : origin_; }

bool context_node::below(std::uint64_t other) const noexcept {
  for (const context_node* n = this; n; n = n->cancel_parent_.get()) {
    if (n->order() == other) return true;
    if (const context_node* second = n->second_parent(); second && second->below(other)) return true;
  }
  return false;
}

void context_node::cancel(std::exception_ptr cause, cancel_state how) noexcept {
  sched::choice_point(sched::operation::cancel, this);
  cancel_from(*this, std::move(cause), how);
}

void context_node::cancel_as(context_node& other) noexcept {
  const cancel_state how = other.state();
  cancel_from(*other.origin_, other.cause_, how);
}

void context_node::cancel_from(context_node& origin, std::exception_ptr cause, cancel_state how) noexcept {
  hb_release(this);
  if (settle() != cancel_state::live) return;
  context_node* more = nullptr;  // a list and not recursion: the tree may be deep, the stack is not
  // A canceled child is of no interest to its parent, however long its handles live.
  if (cancel_one(origin, cause, how, more)) unlink();
  while (context_node* n = more) {
    more = static_cast<context_node*>(std::exchange(n->list_hook<sibling_tag>::prev, nullptr));
    hb_release(n);
    n->cancel_one(origin, cause, how, more);
    n->release_ref();
  }
}

/// Cancels this node alone; its children join the front of `more`, each with a reference. `more` is linked by the hooks
/// that stood in the list of children: `prev` is free, `next` stays null, which unlink() looks at. True when the node was
/// live and is not any more.
bool context_node::cancel_one(context_node& origin, std::exception_ptr& cause, cancel_state how,
                              context_node*& more) noexcept {
  sched::wake_list woken;
  cancel_hook* first_hook = nullptr;
  cancel_hook** last_hook = &first_hook;
  {
    raw_guard hold(lock);
    const cancel_state before = state_.load(shim::order::relaxed);  // relaxed: only link() changes it without the lock
    if (before != cancel_state::live && before != cancel_state::unlinked) return false;
    cause_ = cause;
    origin_ = &origin;
    // release: publishes cause and origin (invariant 2); seq_cst: see waiter::listen(). An exchange, because link() may come
    // between
    if (state_.exchange(how, shim::order::seq_cst) == cancel_state::unlinked) return false;  // invariant 4
    while (sched::agent* a = listeners_.pop_front())
      if (sched::waiter* w = sched::waiter::claim_listening(*a)) woken.push(*w);
    woken.claim_all(watchers_);
    while (context_node* child = children_.pop_front()) {
      if (!child->try_add_ref()) continue;  // on its way out
      child->list_hook<sibling_tag>::prev = more;
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
  on_canceled();
  return true;
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

const void* context_node::find_value(const void*) const noexcept { return nullptr; }

void context_node::let_listen(sched::agent& a) noexcept {
  if (a.listens_to) stop_listening(a);
  ensure_linked();
  raw_guard hold(lock);
  a.listens_to = this;
  // relaxed: under the lock. A canceled one gets no listeners; the waits of this one end at once
  if (state_.load(shim::order::relaxed) == cancel_state::live) listeners_.push_back(a);
}

void context_node::stop_listening(sched::agent& a) noexcept {
  context_node* n = std::exchange(a.listens_to, nullptr);
  raw_guard hold(n->lock);
  if (a.linked()) n->listeners_.remove(a);
}

bool context_node::ends_listening(sched::waiter& w) noexcept {
  if (!w.listen()) return false;  // ended otherwise: whoever did it wakes
  if (state_.load(shim::order::seq_cst) == cancel_state::live) return false;  // seq_cst: see waiter::listen()
  return w.try_claim(sched::was_canceled);  // lost: as above
}

bool context_node::add_hook(cancel_hook& h) noexcept {
  ensure_linked();
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

// ---- a node with a time limit -----------------------------------------------------------------------------------

deadline_node::limit_timer::limit_timer(deadline_node& n) noexcept : timer_node(&on_deadline), node(n) {
  deferred::run = &cancel_late;
}

deadline_node::~deadline_node() {
  if (has_timer_.load(shim::order::relaxed)) sched::disarm(timer_);  // relaxed: nobody else refers to this node
}

void deadline_node::start(std::exception_ptr cause) {
  if (deadline_ <= steady_clock::now()) {
    cancel(std::move(cause), cancel_state::deadline_passed);
    return;
  }
  limit_cause_ = std::move(cause);
  ensure_linked();  // who is canceled from above needs no timer
  if (is_canceled()) return;
  sched::arm(timer_, deadline_);
  has_timer_.store(true, shim::order::release);  // release: pairs with on_canceled(), the timer knows its clock
}

void deadline_node::on_canceled() noexcept {
  // acquire: pairs with start(). Missed at worst by a cancellation that races with it; then the timer fires for nothing
  if (!has_timer_.load(shim::order::acquire)) return;
  sched::disarm(timer_);
  has_timer_.store(false, shim::order::relaxed);  // relaxed: for the destructor, which comes after the canceler's reference
}

/// Under the timer lock. A node that is on its way out waits for that lock in disarm(), with no reference left.
sched::deferred* deadline_node::on_deadline(sched::timer_node& t, time_point, sched::wake_list&) noexcept {
  auto& timer = static_cast<limit_timer&>(t);
  return timer.node.try_add_ref() ? &timer : nullptr;
}

void deadline_node::cancel_late(sched::deferred* d) noexcept {
  deadline_node& n = static_cast<limit_timer*>(d)->node;
  n.cancel(n.limit_cause_, cancel_state::deadline_passed);
  n.release_ref();
}

context_node& background_node() noexcept {
  alignas(plain_node) static unsigned char storage[sizeof(plain_node)];
  static plain_node& n = *::new (storage) plain_node(nullptr, nullptr);  // never destroyed: the first reference stays
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
  if (owner_.listens_to && owner_.listens_to != previous_) context_node::stop_listening(owner_);
  owner_.innermost = outer_;
  owner_.ambient = previous_;
  owner_.shields = previous_shields_;
}

void check_canceled_slowly(const sched::agent& a, context_node* extra) {
  if (sched::in_forked_child()) sched::refuse_in_forked_child();  // whoever looks is about to wait
  context_node* by = observed(a);
  if (!by || !by->is_canceled()) by = failed_fork(a);
  if (!by || !by->is_canceled()) by = extra;
  if (!by || !by->is_canceled()) by = end_of_bubble(a);
  if (!by || !by->is_canceled() || std::uncaught_exceptions() > 0) return;
  note_swallowed(*by);
  throw_wait_canceled(extra);
}

bool is_callers_own(std::uint64_t origin) noexcept {
  const sched::agent& a = sched::this_agent();
  const context_node* bubble = end_of_bubble(a);
  const context_node* fork = failed_fork(a);
  return (a.ambient && a.ambient->below(origin)) || (bubble && bubble->order() == origin) || (fork && fork->below(origin));
}

void throw_wait_canceled(context_node* extra) {
  const sched::agent& a = sched::this_agent();
  for (context_node* n : {observed(a), failed_fork(a), extra, end_of_bubble(a)})
    if (n && n->is_canceled()) n->throw_canceled();
  fatal("a wait was canceled by a context that is not");
}

namespace {

/// One registration with one context for the length of a wait.
class registration {
 public:
  registration(context_node* n, sched::waiter& w) noexcept : node_(n), entry_(w, sched::was_canceled) {
    if (!node_) return;
    node_->ensure_linked();
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

namespace {
/// As wait(), for more than the ambient context.
[[gnu::noinline]] sched::claim_token wait_for_several(sched::waiter& w, sched::wait_reason reason, const void* object,
                                                      time_point deadline, context_node* extra,
                                                      context_node* end) noexcept {
  std::optional<registration> first, second;
  if (extra) first.emplace(extra, w);
  if (end) second.emplace(end, w);
  if ((first && first->ended()) || (second && second->ended())) return sched::was_canceled;
  return sched::park(w, reason, object, deadline);
}
}  // namespace

sched::claim_token wait(sched::agent& a, sched::waiter& w, sched::wait_reason reason, const void* object,
                        time_point deadline, context_node* extra) noexcept {
  context_node* n = observed(a);
  context_node* end = end_of_bubble(a);
  if ((n || extra || end) && sched::unwinding(a)) n = extra = end = nullptr;
  if (n && n != &background_node()) {
    if (a.listens_to != n) n->let_listen(a);
    if (n->ends_listening(w)) return sched::was_canceled;
  }
  if (a.forks && !a.shields && !sched::unwinding(a) && forks_end_listening(a, w)) return sched::was_canceled;
  a.swallowed = 0;
  if (extra == n || extra == &background_node()) extra = nullptr;
  if (extra || end) return wait_for_several(w, reason, object, deadline, extra, end);
  return sched::park(w, reason, object, deadline);
}

void check_canceled(context_node* extra) { check_canceled(sched::this_agent(), extra); }
sched::claim_token wait(sched::waiter& w, sched::wait_reason reason, const void* object, time_point deadline,
                        context_node* extra) noexcept {
  return wait(sched::this_agent(), w, reason, object, deadline, extra);
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

namespace {

derived_context with_handle(ref_ptr<context_node> node) {
  context ctx = detail::wrap(node);
  return {std::move(ctx), cancel_handle(std::move(node))};
}

}  // namespace

derived_context derive_cancel(const context& parent) {
  context_node& p = detail::node_of(parent);
  return with_handle(ref_ptr<context_node>::adopt(new detail::plain_node(&p, &p)));
}

derived_context derive_deadline(const context& parent, time_point deadline, std::exception_ptr cause) {
  context_node& p = detail::node_of(parent);
  if (deadline >= p.deadline()) return derive_cancel(parent);  // the one above comes first
  auto node = ref_ptr<detail::deadline_node>::adopt(new detail::deadline_node(p, deadline));
  node->start(std::move(cause));
  return with_handle(ref_ptr<context_node>::adopt(node.detach()));
}

derived_context derive_timeout(const context& parent, duration limit, std::exception_ptr cause) {
  return derive_deadline(parent, limit.from_now(), std::move(cause));
}

context without_cancel(const context& parent) {
  return detail::wrap(ref_ptr<context_node>::adopt(new detail::plain_node(nullptr, &detail::node_of(parent))));
}

}  // namespace runnel::inline RUNNEL_ABI
