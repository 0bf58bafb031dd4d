// The core of a one-to-one channel: a ring with an index for each side, which only that side stores. An operation that need not wait executes no read-modify-write and no fence.
//
// Invariants
//  1. sender.index - receiver.index elements, at most the capacity, are in the ring. A side writes its index, its cell and
//     `done`, `others`, `at`, `fencing`; the other reads the atomic ones.
//  2. flags_ is stored under the lock only. A side's `waits` flag is set exactly while its queue is not empty, unless
//     somebody holds the lock.
//  3. A wait is ended with `retry`: who waited tries again. Nobody else can have taken what it was woken for.
//  4. Once closed, nobody waits. Once `drained`, the receiver is gone, the ring was empty, and the sender is the receiver too.
//  5. The core goes with the second of the two ends. An operation runs on an end that its caller keeps.
//
// No lost wake-up. A side that finds nothing to do links its node and sets its flag, and then looks at the other's index
// once more (register_wait). The other stores its index and then looks at the flags (published). If each of the two looks
// came before the other's store was seen, the wake-up would be lost; a fence on both sides would exclude it, and would
// cost as much as a lock (that one is needed in general: Attiya et al., "Laws of Order", POPL 2011,
// https://doi.org/10.1145/1926385.1926442). Instead:
//  a. Each side announces the thread that it runs on, with a fence, when it finds itself on another one than the last
//     time (arrive). Who is about to wait executes a fence between its flag and its look at that. So either it learns of
//     the new thread, or whatever the other does there comes after that fence and sees the flag.
//  b. It reads its own thread: the other's operations were all made on this thread, and are over: a thread does not leave
//     an operation in the middle. The second look sees them all.
//  c. It reads another thread: it executes a heavy fence, on behalf of both (<runnel/base/heavy_fence.hpp>).
//  d. When that happens often, or where there is no heavy fence, the other is asked to execute a real one each time, and
//     agrees under the lock (`fencing`).
// Lock order: this lock alone; select takes it among others, by their order.
// Happens-before for TSan: per cell, as in channel.hpp, and from close to who sees it.
// Rejected: flags in the index words, so that a store becomes an exchange: no fence, but a read-modify-write for each
// operation, 4.7 of the 9 ns that an operation on the general channel takes. Asking for the heavy fence at each wait: one
// worker would pay for it at each switch from sender to receiver and back.
// Source: the ring with cached indices: J. Giacomoni et al., "FastForward" (2008), https://doi.org/10.1145/1345206.1345215;
// the asymmetry: membarrier(2); bound to threads as biased locks are bound to their owners.
#pragma once

#include <runnel/detail/channel_core.hpp>

namespace runnel::inline RUNNEL_ABI::detail {

class spsc_core : public sched::wait_object {
 public:
  static spsc_core* make(const element_ops& ops, std::size_t capacity);
  spsc_core(const element_ops& ops, std::size_t capacity, std::byte* ring) noexcept;
  ~spsc_core();

  // Whole operations.
  template <bool Sending>
  channel_status operate(void* element, const channel_wait& how);
  /// Up to n elements, as many as go at once; `s` is ok, or why there were none.
  template <bool Sending>
  std::size_t several(void* first, std::size_t stride, std::size_t n, channel_status& s, context_node* extra);
  bool close() noexcept;
  void drop_sender() noexcept;
  void drop_receiver() noexcept;
  bool is_closed() noexcept;
  std::size_t size() const noexcept;
  std::size_t capacity() const noexcept { return capacity_; }

  // The steps of an operation that need not wait.
  /// `here`: the thread that the caller runs on. With ok the next cell is the caller's.
  template <bool Sending>
  channel_status look(const void* here) noexcept {
    if (Sending && closed()) return channel_status::closed;
    arrive(mine<Sending>(), here);
    if (available<Sending>()) return channel_status::ok;
    if (Sending || !closed()) return channel_status::would_block;
    // Closed: what was sent before is to be seen by now.
    return available<Sending>() ? channel_status::ok : channel_status::closed;
  }
  template <bool Sending>
  void* cell() noexcept { return mine<Sending>().cell; }
  /// The element is in its cell, or has left it; not published yet.
  template <bool Sending>
  void moved() noexcept {
    side& s = mine<Sending>();
    s.cell += cell_bytes_;
    if (s.cell == end_) s.cell = first_;
    ++s.done;
  }
  /// Lets the other side see what was moved, and wakes it.
  template <bool Sending>
  void publish() noexcept {
    if (published(mine<Sending>(), flags_)) heed<Sending>();
  }

  // For select, under the lock.
  template <bool Sending>
  bool ready() noexcept;
  template <bool Sending>
  channel_status try_locked(void* element, sched::wake_list& woken);
  /// False: it was ready meanwhile, and nothing is registered.
  template <bool Sending>
  bool register_wait(sched::wait_node& n) noexcept;
  template <bool Sending>
  void withdraw(sched::wait_node& n) noexcept;

 private:
  static constexpr std::uint32_t closed_flag = 1, drained = 2;

  /// What belongs to one end.
  struct alignas(64) side {
    // Read by the other side.
    shim::atomic<std::uint64_t> index{0};       ///< how many elements it has moved
    shim::atomic<const void*> thread{nullptr};  ///< on which its newest operation ran; null: none yet
    // Its own.
    bool fencing = false;        ///< it executes a fence after each store of its index; set under the lock
    std::uint32_t heeds = 0;     ///< the flags that it looks for when it has stored its index
    std::uint64_t done = 0;      ///< as index
    std::uint64_t others = 0;    ///< the other's index, as it was last seen
    std::uint64_t slack = 0;     ///< how far `done` may go beyond `others`
    const void* at = nullptr;    ///< as thread
    std::byte* cell = nullptr;   ///< the next one
    std::uint64_t far_waits = 0; ///< waits with a heavy fence
    std::uint64_t done_then = 0; ///< at the first of the present ones
    // Under the lock.
    sched::wait_queue waiting;
    std::uint32_t waits = 0;     ///< its flag
    std::uint32_t asks = 0;      ///< the flag by which the other asks it to fence
#if defined(RUNNEL_CHECKED) && RUNNEL_CHECKED
    shim::atomic<bool> busy{false};
#endif
  };
  class exclusive;

  template <bool Sending>
  side& mine() noexcept { return Sending ? sender_ : receiver_; }
  template <bool Sending>
  side& other() noexcept { return Sending ? receiver_ : sender_; }

  bool closed() const noexcept {
    return flags_.load(shim::order::acquire) & closed_flag;  // acquire: pairs with close()
  }
  /// The side runs on thread `here`.
  static void arrive(side& s, const void* here) noexcept {
    if (s.at == here) return;
    s.at = here;
    s.thread.store(here, shim::order::relaxed);  // relaxed: ordered by the fence
    // seq_cst: this store, then the look at the flags in published(); in settle() the flag, then the look at the thread
    shim::fence(shim::order::seq_cst);
  }
  /// How many elements can be moved at once; looks at the other side when there seem to be none.
  template <bool Sending>
  std::uint64_t available() noexcept {
    side& s = mine<Sending>();
    if (s.others + s.slack == s.done)
      s.others = other<Sending>().index.load(shim::order::acquire);  // acquire: pairs with published(), for the cells
    return s.others + s.slack - s.done;
  }
  /// True: there is something to heed.
  static bool published(side& s, const shim::atomic<std::uint32_t>& flags) noexcept {
    s.index.store(s.done, shim::order::release);  // release: pairs with available()
    if (s.fencing) {
      shim::fence(shim::order::seq_cst);  // seq_cst: the index, then the flags; in settle() the flag, then the index
    } else {
      shim::light_fence();  // the same, with the heavy one in settle()
    }
    return flags.load(shim::order::relaxed) & s.heeds;  // relaxed: ordered by the fence; what it leads to takes the lock
  }
  template <bool Sending>
  void heed() noexcept;
  template <bool Sending>
  void heed_locked(sched::wake_list& woken) noexcept;
  template <bool Sending>
  void transfer(void* element);
  template <bool Sending>
  channel_status operate_slowly(channel_status s, sched::agent& caller, void* element, const channel_wait& how);
  template <bool Sending>
  channel_status wait_for_turn(sched::agent& caller, void* element, const channel_wait& how);
  void settle(side& s, const side& other) noexcept;
  void wake_side(side& s, sched::wake_list& woken) noexcept;
  void destroy_elements() noexcept;
  void release() noexcept;
  const void* mark(const side& s) const noexcept;
  std::uint32_t flags() const noexcept {
    return flags_.load(shim::order::relaxed);  // relaxed: under the lock, where alone it is stored
  }
  void set_flags(std::uint32_t f) noexcept {
    flags_.store(f, shim::order::release);  // release: pairs with closed(); the rest is ordered as the head says
  }

  const element_ops& ops_;
  const std::size_t capacity_;
  const std::size_t cell_bytes_;
  std::byte* const first_;
  std::byte* const end_;
  shim::atomic<std::uint32_t> flags_{0};
  shim::atomic<std::uint32_t> ends_{2};
  side sender_, receiver_;
  static constexpr std::size_t marks = 64;
  char marks_[marks];  ///< order the uses of a place of the ring, for TSan, where there are no cells
};

/// With both ends. Throws misuse for a capacity of 0.
spsc_core* make_spsc_core(const element_ops& ops, std::size_t capacity);

// As of a channel_core.
channel_status channel_send(spsc_core*, void* value, const channel_wait&);
channel_status channel_receive(spsc_core*, void* optional, const channel_wait&);
std::size_t channel_send_n(spsc_core*, void* first, std::size_t stride, std::size_t n,
                           context_node* extra = nullptr);
std::size_t channel_receive_some(spsc_core*, void* first, std::size_t stride, std::size_t n,
                                 context_node* extra = nullptr);
void check_channel_operation(spsc_core*, context_node* extra);
bool channel_close(spsc_core*) noexcept;
std::size_t channel_size(spsc_core*) noexcept;
std::size_t channel_capacity(spsc_core*) noexcept;
bool channel_is_closed(spsc_core*) noexcept;
void drop_spsc_sender(spsc_core*) noexcept;
void drop_spsc_receiver(spsc_core*) noexcept;

// For select, under the lock. Ordinary functions: instances of templates are kept inside the library in the build for
// ThreadSanitizer, and select's cases are compiled into their callers.
bool spsc_ready(spsc_core&, bool sending) noexcept;
channel_status spsc_try_locked(spsc_core&, bool sending, void* element, sched::wake_list& woken);
bool spsc_register_wait(spsc_core&, bool sending, sched::wait_node& n) noexcept;
void spsc_withdraw(spsc_core&, bool sending, sched::wait_node& n) noexcept;

/// What every blocking operation begins with: looks whether the caller is canceled, and counts the operation against its
/// turn. The thread that it runs on.
const void* begin_spsc_operation(context_node* extra);
/// The same for who looked whether it is canceled when it received what it sends.
const void* continue_spsc_operation() noexcept;

/// Whether an operation that need not wait is compiled into its caller. Not where the caller is instrumented and the library
/// is not, nor where misuse is looked for.
#if defined(RUNNEL_TSAN) || (defined(RUNNEL_CHECKED) && RUNNEL_CHECKED)
inline constexpr bool spsc_inline = false;
#else
inline constexpr bool spsc_inline = true;
#endif

// Those that follow and are inlined whatever the compiler thinks: the loops that they stand in spend a quarter less.

/// False: there was nothing to move, or no room.
template <bool Sending, class Move>
bool spsc_move_at_once(spsc_core& c, const void* here, Move move) {
  if (c.look<Sending>(here) != channel_status::ok) return false;
  move(c.template cell<Sending>());
  c.template moved<Sending>();
  c.template publish<Sending>();
  return true;
}
template <class T>
[[gnu::always_inline]] inline channel_status channel_send(spsc_core* c, T* value, const channel_wait& how) {
  const auto in = [value](void* cell) { element_ops_of<T>::construct(cell, value); };
  if constexpr (spsc_inline) {
    if (how.block && spsc_move_at_once<true>(*c, begin_spsc_operation(how.extra), in)) return channel_status::ok;
  }
  return channel_send(c, static_cast<void*>(value), how);
}
template <class T>
[[gnu::always_inline]] inline channel_status channel_receive(spsc_core* c, std::optional<T>* value, const channel_wait& how) {
  const auto out = [value](void* cell) { element_ops_of<T>::take(value, cell); };
  if constexpr (spsc_inline) {
    if (how.block && spsc_move_at_once<false>(*c, begin_spsc_operation(how.extra), out)) return channel_status::ok;
  }
  return channel_receive(c, static_cast<void*>(value), how);
}
/// A send of what was received just now, or made of it.
template <class T>
[[gnu::always_inline]] inline channel_status spsc_pass_on(spsc_core* c, T* value) {
  const auto in = [value](void* cell) { element_ops_of<T>::construct(cell, value); };
  if constexpr (spsc_inline) {
    if (spsc_move_at_once<true>(*c, continue_spsc_operation(), in)) return channel_status::ok;
  }
  return channel_send(c, static_cast<void*>(value), {});
}

/// One of the two ends.
template <void (*Drop)(spsc_core*) noexcept>
class spsc_end {
 public:
  spsc_end() noexcept = default;
  explicit spsc_end(spsc_core* c) noexcept : core_(c) {}
  spsc_end(spsc_end&& o) noexcept : core_(std::exchange(o.core_, nullptr)) {}
  spsc_end& operator=(spsc_end&& o) noexcept {
    spsc_end taken(std::move(o));
    std::swap(core_, taken.core_);
    return *this;
  }
  ~spsc_end() {
    if (core_) Drop(core_);
  }
  spsc_core* get() const {
    if (!core_) throw_null_handle();
    return core_;
  }
  spsc_core* peek() const noexcept { return core_; }

 private:
  spsc_core* core_ = nullptr;
};

}  // namespace runnel::inline RUNNEL_ABI::detail
