// A node of the tree of contexts: a flag that is set once, for itself and everything below it.
//
// Invariants
//  1. A node holds a reference to its parents. A parent knows its linked children without owning them; a child unlinks
//     itself under the parent's lock before it goes, and is only used by the parent under that lock or after
//     try_add_ref() has succeeded there.
//  2. state_ becomes `canceled` or `deadline_passed` once, under the lock, after cause_ and origin_ are written (release);
//     who has seen it so (acquire) may read them without the lock.
//  3. A canceled node has no children, listeners, watchers or hooks, and gets none.
//  4. A node begins `unlinked`: its parent does not know it, and whoever looks at it looks at the parent too. An unlinked
//     node has no children, listeners, watchers, hooks or timer: they are preceded by ensure_linked(). So a parent is never
//     unlinked.
//  5. A listener is an agent that has waited with this node as its ambient context and may do so again. It stands here from
//     its first such wait until the scope, or the fiber, that has the node as its ambient context ends.
// Table of state_:
//   unlinked --ensure_linked(), under the parent's lock--> live
//   unlinked, live --cancel_one(), under the lock--> canceled, deadline_passed
//   unlinked --inherit(), under the lock, the parent being canceled--> what the parent is
// Lock order: one node at a time.
#pragma once

#include <runnel/base/ref_ptr.hpp>
#include <runnel/sched/frame.hpp>
#include <runnel/sched/timer.hpp>
#include <runnel/sched/waiter.hpp>

#include <exception>
#include <memory>

namespace runnel::inline RUNNEL_ABI::sched {
struct listener_tag;
}

namespace runnel::inline RUNNEL_ABI::detail {

enum class cancel_state : std::uint8_t {
  live,
  canceled,
  deadline_passed,
  unlinked,  ///< inside a node only: live, unless its parent is canceled
};

struct hook_tag;
/// Something to be started when the node is canceled.
struct cancel_hook : list_hook<hook_tag> {
  void (*fire)(cancel_hook&) noexcept = nullptr;  ///< outside all locks, once
  cancel_hook* next_to_fire = nullptr;
};

/// Something that lives as long as its node.
struct node_extension {
  virtual ~node_extension() = default;
};

struct sibling_tag;
class context_node : public sched::wait_object, public list_hook<sibling_tag>, public sched::pooled {
 public:
  /// cancel_parent: whose cancellation reaches this one; value_parent: where values are looked up. Both may be null.
  context_node(context_node* cancel_parent, context_node* value_parent) noexcept;

  void add_ref() noexcept;
  bool try_add_ref() noexcept;
  void release_ref() noexcept;

  bool is_canceled() const noexcept {
    const cancel_state s = state_.load(shim::order::acquire);  // acquire: see invariant 2
    if (s == cancel_state::live) return false;
    if (s != cancel_state::unlinked) return true;
    // acquire: invariant 2; and what was linked before the cancellation is seen as linked afterwards
    return cancel_parent_->state_.load(shim::order::acquire) != cancel_state::live && seems_canceled_with_parent();
  }
  /// Not under `lock`, unless it is known to be linked. Never `unlinked`.
  cancel_state state() noexcept;
  /// Cancels it and everything below; the first cancellation wins. Never allocates.
  void cancel(std::exception_ptr cause, cancel_state how = cancel_state::canceled) noexcept;
  /// The same in the way in which `other` was, with its origin, which this node keeps alive.
  void cancel_as(context_node& other) noexcept;
  /// The cause that was given, else the exception that a blocking call would throw; null while live.
  std::exception_ptr cause();
  [[noreturn]] void throw_canceled();
  /// The context whose cancellation reached this one; null while live.
  context_node* origin() noexcept;
  /// Whether the node with this number is this one or one above it.
  bool below(std::uint64_t other) const noexcept;
  /// Besides the first, one whose cancellation reaches this one too; null but for a joined context.
  virtual const context_node* second_parent() const noexcept { return nullptr; }

  /// `never` when there is none; of this node or one above.
  time_point deadline() const noexcept { return deadline_; }

  /// Makes the parent know this node. To be called, without locks, before anything is registered with it; the node itself
  /// does so for hooks and children.
  void ensure_linked() noexcept {
    // relaxed: it never becomes unlinked again, and everything else is looked at under locks
    if (state_.load(shim::order::relaxed) == cancel_state::unlinked) link();
  }

  virtual const void* find_value(const void* key) const noexcept;
  context_node* value_parent() const noexcept { return value_parent_; }

  /// Links a hook; false, and nothing linked, when the node is canceled already.
  bool add_hook(cancel_hook& h) noexcept;
  /// True when it was still linked: it will not fire.
  bool remove_hook(cancel_hook& h) noexcept;

  /// The extension, or null.
  node_extension* extension() const noexcept;
  /// Keeps e, or destroys it where another one is there already; returns the one that is kept.
  node_extension* attach(std::unique_ptr<node_extension> e) noexcept;

  // For wait(): without locks.
  /// Makes a its listener; one that stays where it is while a waits under it again and again.
  void let_listen(sched::agent& a) noexcept;
  /// Ends that. The node's memory is still there.
  static void stop_listening(sched::agent& a) noexcept;
  /// Ends w, which belongs to a listener, at a cancellation from now on. True: it is canceled already, and w was ended.
  bool ends_listening(sched::waiter& w) noexcept;

  // For select and wait(): under `lock`, and linked.
  void watch(sched::wait_node& n) noexcept { watchers_.push_back(n); }
  void unwatch(sched::wait_node& n) noexcept { watchers_.remove(n); }

  /// Makes a canceled node live again; only for the root of the detached tasks, when none of them is left.
  void revive() noexcept;

  /// Children linked at this moment; for tests.
  std::size_t child_count() noexcept;

 protected:
  virtual ~context_node();

  time_point deadline_ = never;  ///< before the node is shared

 private:
  bool seems_canceled_with_parent() const noexcept;
  cancel_state settle() noexcept;
  cancel_state inherit() noexcept;
  void link() noexcept;
  void unlink() noexcept;
  void drop(context_node*& dead) noexcept;
  void cancel_from(context_node& origin, std::exception_ptr cause, cancel_state how) noexcept;
  bool cancel_one(context_node& origin, std::exception_ptr& cause, cancel_state how, context_node*& more) noexcept;
  /// After it was canceled, without locks.
  virtual void on_canceled() noexcept {}

  ref_ptr<context_node> cancel_parent_;  ///< null: nothing above can cancel it
  context_node* value_parent_;           ///< with a reference of its own unless it is cancel_parent_
  context_node* origin_ = nullptr;       ///< this node or one above, which the parents keep alive
  std::exception_ptr cause_;
  shim::atomic<node_extension*> extension_{nullptr};
  intrusive_list<context_node, sibling_tag> children_;
  intrusive_list<sched::agent, sched::listener_tag> listeners_;
  intrusive_list<cancel_hook, hook_tag> hooks_;
  [[no_unique_address]] sched::wait_queue watchers_;
  shim::atomic<cancel_state> state_{cancel_state::live};  // these two have room behind the queue
  shim::atomic<std::uint32_t> refs_{1};
};

/// A node with nothing of its own.
class plain_node final : public context_node {
 public:
  using context_node::context_node;
};

/// A node with a time limit of its own, earlier than that of its parent.
class deadline_node final : public context_node {
 public:
  deadline_node(context_node& parent, time_point limit) noexcept : context_node(&parent, &parent) { deadline_ = limit; }
  /// Before the node is shared: the limit counts from now on, its end has that cause.
  void start(std::exception_ptr cause);

 private:
  struct limit_timer : sched::timer_node, sched::deferred {
    explicit limit_timer(deadline_node& n) noexcept;
    deadline_node& node;
  };
  ~deadline_node() override;
  void on_canceled() noexcept override;
  static sched::deferred* on_deadline(sched::timer_node& t, time_point now, sched::wake_list&) noexcept;
  static void cancel_late(sched::deferred* d) noexcept;

  std::exception_ptr limit_cause_;
  shim::atomic<bool> has_timer_{false};
  limit_timer timer_{*this};
};

/// The node that is never canceled and has no values.
context_node& background_node() noexcept;

/// The parents for something that is started here: the ambient context, without its cancellation under a shield.
struct ambient_parents {
  context_node* cancel;
  context_node* values;
};
ambient_parents ambient() noexcept;

/// Installs a context for the calling fiber or thread until the end of the scope. Last in, first out.
struct ambient_scope {
  /// `node` null: keeps the values and shuts the cancellation out.
  explicit ambient_scope(context_node* node);
  ~ambient_scope();
  ambient_scope(const ambient_scope&) = delete;
  ambient_scope& operator=(const ambient_scope&) = delete;

 private:
  sched::agent& owner_;
  ambient_scope* outer_;
  context_node* previous_;
  std::uint32_t previous_shields_;
};

/// The entry check of every blocking operation: throws when the ambient context or `extra` is canceled, unless the
/// caller is shielded or unwinds.
void check_canceled(context_node* extra = nullptr);

/// sched::park() that also ends with `was_canceled` when the ambient context or `extra` is canceled.
sched::claim_token wait(sched::waiter& w, sched::wait_reason reason, const void* object, time_point deadline = never,
                        context_node* extra = nullptr) noexcept;

/// Whether a cancellation with this origin is one of the caller itself, and not of some context that it has left.
bool is_callers_own(std::uint64_t origin) noexcept;

/// Throws for a wait that ended with `was_canceled`.
[[noreturn]] void throw_wait_canceled(context_node* extra = nullptr);

}  // namespace runnel::inline RUNNEL_ABI::detail
