// A node of the tree of contexts: a flag that is set once, for itself and everything below it.
//
// Invariants
//  1. A node holds a reference to its parents. A parent knows its children without owning them; a child unlinks
//     itself under the parent's lock before it goes, and is only used by the parent under that lock or after
//     try_add_ref() has succeeded there.
//  2. state_ leaves `live` once, under the lock, after cause_ and origin_ are written (release); who has seen it
//     changed (acquire) may read them without the lock.
//  3. A canceled node has no children, listeners, watchers or hooks, and gets none.
//  4. A listener is an agent that has waited with this node as its ambient context and may do so again. It stands here from
//     its first such wait until the scope, or the fiber, that has the node as its ambient context ends.
// Lock order: one node at a time.
#pragma once

#include <runnel/base/ref_ptr.hpp>
#include <runnel/sched/timer.hpp>
#include <runnel/sched/waiter.hpp>

#include <exception>
#include <memory>

namespace runnel::inline RUNNEL_ABI::sched {
struct listener_tag;
}

namespace runnel::inline RUNNEL_ABI::detail {

enum class cancel_state : std::uint32_t { live, canceled, deadline_passed };

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
class context_node : public sched::wait_object, public list_hook<sibling_tag> {
 public:
  /// cancel_parent: whose cancellation reaches this one; value_parent: where values are looked up. Both may be null.
  context_node(context_node* cancel_parent, context_node* value_parent) noexcept;

  void add_ref() noexcept;
  bool try_add_ref() noexcept;
  void release_ref() noexcept;

  bool is_canceled() const noexcept {
    return state_.load(shim::order::acquire) != cancel_state::live;  // acquire: see invariant 2
  }
  cancel_state state() const noexcept;
  /// Cancels it and everything below; the first cancellation wins. Never allocates.
  void cancel(std::exception_ptr cause, cancel_state how = cancel_state::canceled) noexcept;
  /// The cause that was given, else the exception that a blocking call would throw; null while live.
  std::exception_ptr cause();
  [[noreturn]] void throw_canceled();
  /// The context whose cancellation reached this one; null while live.
  context_node* origin() const noexcept;
  /// Whether the node with this number is this one or one above it.
  bool below(std::uint64_t other) const noexcept;

  /// `never` when there is none; of this node or one above.
  time_point deadline() const noexcept { return deadline_; }
  /// Before the node is shared: cancels it at `t`, with `cause` if that is not null.
  void set_deadline(time_point t, std::exception_ptr cause);
  std::exception_ptr deadline_cause() const noexcept { return deadline_cause_; }

  virtual const void* find_value(const void* key) const noexcept;
  context_node* value_parent() const noexcept { return value_parent_.get(); }

  /// Links a hook; false, and nothing linked, when the node is canceled already.
  bool add_hook(cancel_hook& h) noexcept;
  /// True when it was still linked: it will not fire.
  bool remove_hook(cancel_hook& h) noexcept;

  /// The extension, or null.
  node_extension* extension() const noexcept;
  /// Keeps e, or destroys it where another one is there already; returns the one that is kept.
  node_extension* attach(std::unique_ptr<node_extension> e) noexcept;

  // For select and wait(): under `lock`.
  /// Makes a its listener; one that stays where it is while a waits under it again and again.
  void let_listen(sched::agent& a) noexcept;
  /// Ends that. The node's memory is still there.
  static void stop_listening(sched::agent& a) noexcept;
  /// Ends w, which belongs to a listener, at a cancellation from now on. True: it is canceled already, and w was ended.
  bool ends_listening(sched::waiter& w) noexcept;

  void watch(sched::wait_node& n) noexcept { watchers_.push_back(n); }
  void unwatch(sched::wait_node& n) noexcept { watchers_.remove(n); }

  /// Makes a canceled node live again; only for the root of the detached tasks, when none of them is left.
  void revive() noexcept;

  /// Children linked at this moment; for tests.
  std::size_t child_count() noexcept;

 protected:
  virtual ~context_node();

 private:
  struct deadline_timer : sched::timer_node, sched::deferred {
    explicit deadline_timer(context_node& n) noexcept;
    context_node& node;
  };
  void unlink() noexcept;
  void cancel_one(context_node& origin, std::exception_ptr& cause, cancel_state how, context_node*& more) noexcept;
  static sched::deferred* on_deadline(sched::timer_node& t, time_point now, sched::wake_list&) noexcept;
  static void cancel_late(sched::deferred* d) noexcept;

  shim::atomic<std::uint32_t> refs_{1};
  shim::atomic<cancel_state> state_{cancel_state::live};
  ref_ptr<context_node> cancel_parent_;
  ref_ptr<context_node> value_parent_;
  context_node* origin_ = nullptr;  ///< this node or one above, which cancel_parent_ keeps alive
  context_node* next_to_cancel_ = nullptr;
  std::exception_ptr cause_;
  time_point deadline_ = never;
  std::exception_ptr deadline_cause_;
  deadline_timer timer_{*this};
  shim::atomic<bool> has_timer_{false};
  shim::atomic<node_extension*> extension_{nullptr};
  intrusive_list<context_node, sibling_tag> children_;
  intrusive_list<sched::agent, sched::listener_tag> listeners_;
  sched::wait_queue watchers_;
  intrusive_list<cancel_hook, hook_tag> hooks_;
};

/// A node with nothing of its own.
class plain_node final : public context_node {
 public:
  using context_node::context_node;
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

/// Throws for a wait that ended with `was_canceled`.
[[noreturn]] void throw_wait_canceled(context_node* extra = nullptr);

}  // namespace runnel::inline RUNNEL_ABI::detail
