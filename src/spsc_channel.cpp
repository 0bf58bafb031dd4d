#include "base/sizes.hpp"
#include "cancellation.hpp"
#include "fiber/sanitizer.hpp"

#include <runnel/base/assert.hpp>
#include <runnel/base/heavy_fence.hpp>
#include <runnel/detail/spsc_core.hpp>
#include <runnel/error.hpp>
#include <runnel/sched/operation.hpp>

#include <algorithm>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>

namespace runnel::inline RUNNEL_ABI::detail {

using sanitizer::hb_acquire;
using sanitizer::hb_release;
using sched::choice_point;
using sched::operation;

/// In checked builds: no second operation on the same end.
class spsc_core::exclusive {
 public:
#if defined(RUNNEL_CHECKED) && RUNNEL_CHECKED
  explicit exclusive(side& s, const char* what) noexcept : side_(s) {
    // relaxed: who gets here without another order than this has a race already, and is told so
    if (s.busy.exchange(true, shim::order::relaxed))
      fatal("two %s at the same time on the same end of a one-to-one channel: give it to one fiber, or use make_channel<T>()", what);
  }
  ~exclusive() { side_.busy.store(false, shim::order::relaxed); }  // relaxed: as above
  exclusive(const exclusive&) = delete;
  exclusive& operator=(const exclusive&) = delete;

 private:
  side& side_;
#else
  explicit exclusive(side&, const char*) noexcept {}
#endif
};

spsc_core::spsc_core(const element_ops& ops, std::size_t capacity, std::byte* ring) noexcept
    : ops_(ops), capacity_(capacity), cell_bytes_(ops.size), first_(ring), end_(ring + capacity * ops.size) {
  sender_.cell = receiver_.cell = first_;
  sender_.slack = capacity;
  sender_.waits = 4, receiver_.waits = 8;
  sender_.asks = 16, receiver_.asks = 32;
  sender_.heeds = receiver_.waits | sender_.asks | closed_flag;
  receiver_.heeds = sender_.waits | receiver_.asks;
  if (has_heavy_fence()) return;
  sender_.fencing = receiver_.fencing = true;
}

spsc_core::~spsc_core() { destroy_elements(); }

/// What makes the place of an element, its use by one side before its next use by the other, known to TSan.
const void* spsc_core::mark(const side& s) const noexcept {
  return cell_bytes_ ? static_cast<const void*>(s.cell) : &marks_[s.done % std::min<std::uint64_t>(capacity_, marks)];
}

// ---- without the lock ------------------------------------------------------------------------------------------

/// Moves an element to or from the next cell; not published yet. May throw, with nothing changed.
template <bool Sending>
void spsc_core::transfer(void* element) {
  const void* place = mark(mine<Sending>());
  hb_acquire(place);
  if constexpr (Sending) {
    ops_.construct(cell<true>(), element);
  } else {
    ops_.take(element, cell<false>());
  }
  hb_release(place);
  moved<Sending>();
}

template <bool Sending>
channel_status spsc_core::operate(void* element, const channel_wait& how) {
  const sched::place here = sched::this_place();
  if (how.block) check_canceled(here.caller, how.extra);
  const exclusive only(mine<Sending>(), Sending ? "sends" : "receives");
  const channel_status s = look<Sending>(here.thread);
  if (s != channel_status::ok) return operate_slowly<Sending>(s, here.caller, element, how);
  transfer<Sending>(element);
  publish<Sending>();
  if (how.block) spend_turn(here.caller);
  return s;
}

template <bool Sending>
[[gnu::noinline]] channel_status spsc_core::operate_slowly(channel_status s, sched::agent& caller, void* element,
                                                           const channel_wait& how) {
  if (s == channel_status::closed) hb_acquire(this);
  if (!how.block) return s;
  if (s == channel_status::would_block) s = wait_for_turn<Sending>(caller, element, how);
  spend_turn(caller);
  return s;
}

template <bool Sending>
std::size_t spsc_core::several(void* first, std::size_t stride, std::size_t n, channel_status& s, context_node* extra) {
  const sched::place here = sched::this_place();
  check_canceled(here.caller, extra);
  const exclusive only(mine<Sending>(), Sending ? "sends" : "receives");
  s = look<Sending>(here.thread);
  if (s == channel_status::closed) hb_acquire(this);
  if (s != channel_status::ok) return 0;
  n = static_cast<std::size_t>(std::min<std::uint64_t>(n, available<Sending>()));
  std::size_t count = 0;
  try {
    for (; count < n; ++count) transfer<Sending>(static_cast<std::byte*>(first) + count * stride);
  } catch (...) {
    if (count != 0) publish<Sending>();
    throw;
  }
  publish<Sending>();
  spend_turn(here.caller);
  return count;
}

// ---- waiting ---------------------------------------------------------------------------------------------------

template <bool Sending>
channel_status spsc_core::wait_for_turn(sched::agent& caller, void* element, const channel_wait& how) {
  sched::waiter w(caller);
  sched::wait_node n(w);
  const auto reason = Sending ? sched::wait_reason::channel_send : sched::wait_reason::channel_receive;
  for (;;) {
    lock.lock();
    const bool waits = register_wait<Sending>(n);
    lock.unlock();
    if (waits) {
      const sched::claim_token t = wait(caller, w, reason, this, how.deadline, how.extra);
      if (t != sched::retry) {
        {
          const raw_guard hold(lock);
          withdraw<Sending>(n);
        }
        if (t == sched::timed_out) return channel_status::timed_out;
        throw_wait_canceled(how.extra);
      }
      w.rearm();
    }
    const channel_status s = look<Sending>(sched::this_place().thread);
    if (s == channel_status::would_block) continue;
    if (s == channel_status::closed) {
      hb_acquire(this);
      return s;
    }
    transfer<Sending>(element);
    publish<Sending>();
    return s;
  }
}

/// Between the setting of a flag and the second look at what it is about: see the head.
void spsc_core::settle(side& s, const side& other) noexcept {
  shim::fence(shim::order::seq_cst);  // seq_cst: the flag, then the other's thread and index: pairs with arrive(), published()
  const void* there = other.thread.load(shim::order::relaxed);  // relaxed: ordered by the fence
  if (!there || there == sched::this_place().thread) return;
  if (other.fencing) return;
  heavy_fence();
  constexpr std::uint64_t worth_it = 64;  // elements for each heavy fence
  if (++s.far_waits % sizes::far_waits != 0) return;
  if (s.done - s.done_then < sizes::far_waits * worth_it) set_flags(flags() | other.asks);
  s.done_then = s.done;
}

template <bool Sending>
bool spsc_core::register_wait(sched::wait_node& n) noexcept {
  side& s = mine<Sending>();
  n.owner->may_be_ended_by(*this);
  s.waiting.push_back(n);
  set_flags(flags() | s.waits);
  settle(s, other<Sending>());
  if (!ready<Sending>()) return true;
  withdraw<Sending>(n);
  return false;
}

template <bool Sending>
void spsc_core::withdraw(sched::wait_node& n) noexcept {
  side& s = mine<Sending>();
  s.waiting.remove(n);
  if (s.waiting.empty()) set_flags(flags() & ~s.waits);
}

/// Who waits there tries again.
void spsc_core::wake_side(side& s, sched::wake_list& woken) noexcept {
  while (sched::wait_node* n = s.waiting.claim_front_as(sched::retry)) woken.push(*n->owner);
  set_flags(flags() & ~s.waits);
}

/// After an operation that found a flag set.
template <bool Sending>
[[gnu::noinline]] void spsc_core::heed() noexcept {
  sched::wake_list woken;
  bool rest = false;
  {
    const raw_guard hold(lock);
    heed_locked<Sending>(woken);
    rest = flags() & drained;
  }
  woken.wake_all();
  if (rest) destroy_elements();
}

template <bool Sending>
void spsc_core::heed_locked(sched::wake_list& woken) noexcept {
  side& s = mine<Sending>();
  if (flags() & s.asks) {
    set_flags(flags() & ~s.asks);
    s.fencing = true;  // who finds it set, under the lock, sees what this side has done so far
  }
  if (flags() & other<Sending>().waits) wake_side(other<Sending>(), woken);
}

// ---- for select ------------------------------------------------------------------------------------------------

template <bool Sending>
bool spsc_core::ready() noexcept {
  return closed() || available<Sending>();
}

template <bool Sending>
channel_status spsc_core::try_locked(void* element, sched::wake_list& woken) {
  const channel_status s = look<Sending>(sched::this_place().thread);
  if (s == channel_status::closed) hb_acquire(this);
  if (s != channel_status::ok) return s;
  transfer<Sending>(element);
  if (published(mine<Sending>(), flags_)) heed_locked<Sending>(woken);
  return s;
}

// ---- the end ---------------------------------------------------------------------------------------------------

bool spsc_core::close() noexcept {
  sched::wake_list woken;
  {
    const raw_guard hold(lock);
    if (flags() & closed_flag) return false;
    hb_release(this);
    set_flags(flags() | closed_flag);
    wake_side(sender_, woken);
    wake_side(receiver_, woken);
  }
  woken.wake_all();
  return true;
}

/// As the receiving side.
void spsc_core::destroy_elements() noexcept {
  for (; available<false>(); moved<false>()) {
    hb_acquire(mark(receiver_));
    ops_.destroy(cell<false>());
  }
}

void spsc_core::drop_sender() noexcept {
  close();
  release();
}

void spsc_core::drop_receiver() noexcept {
  close();
  // A send that has not seen the close may still put its element in. Either it is seen here, or that send finds `closed`
  // after it, and `drained` under the lock.
  for (bool over = false; !over;) {
    destroy_elements();  // without the lock: a destructor may use other handles
    const raw_guard hold(lock);
    settle(receiver_, sender_);
    over = !available<false>();
    if (over) set_flags(flags() | drained);
  }
  release();
}

void spsc_core::release() noexcept {
  hb_release(&ends_);
  // acquire: pairs with the other end's giving up; acq_rel: the same, and hands on what this one did
  if (ends_.load(shim::order::acquire) != 1 && ends_.fetch_sub(1, shim::order::acq_rel) != 1) return;
  hb_acquire(&ends_);
  const std::size_t align = std::max(alignof(spsc_core), ops_.align);
  this->~spsc_core();
  ::operator delete(static_cast<void*>(this), std::align_val_t{align});
}

bool spsc_core::is_closed() noexcept {
  if (!closed()) return false;
  hb_acquire(this);
  return true;
}

std::size_t spsc_core::size() const noexcept {
  // relaxed: the caller is one of the two sides. Its own index is exact, and the other's not older than what it has seen
  return static_cast<std::size_t>(sender_.index.load(shim::order::relaxed) - receiver_.index.load(shim::order::relaxed));
}

spsc_core* spsc_core::make(const element_ops& ops, std::size_t capacity) {
  const std::size_t align = std::max(alignof(spsc_core), ops.align);
  const std::size_t core = (sizeof(spsc_core) + align - 1) / align * align;
  if (ops.size && capacity > (static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max()) - core) / ops.size)
    throw std::length_error("runnel::make_channel: a capacity of " + std::to_string(capacity) +
                            " elements exceeds the address space; give a smaller one");
  void* memory = ::operator new(core + capacity * ops.size, std::align_val_t{align});
  return ::new (memory) spsc_core(ops, capacity, static_cast<std::byte*>(memory) + core);
}

// ---- whole operations ------------------------------------------------------------------------------------------

spsc_core* make_spsc_core(const element_ops& ops, std::size_t capacity) {
  if (capacity == 0)
    throw_misuse("runnel::make_channel<T, spsc>: a capacity of 0: the one-to-one flavour is a buffer; give at least 1, or use "
                 "make_channel<T>() for a rendezvous");
  return spsc_core::make(ops, capacity);
}

const void* begin_spsc_operation(context_node* extra) {
  const sched::place here = sched::this_place();
  check_canceled(here.caller, extra);
  if (--here.caller.operations_left > 0) return here.thread;
  end_turn(here.caller);
  return sched::this_place().thread;
}

const void* continue_spsc_operation() noexcept {
  const sched::place here = sched::this_place();
  --here.caller.operations_left;  // the next receive ends the turn
  return here.thread;
}

channel_status channel_send(spsc_core* c, void* value, const channel_wait& how) {
  choice_point(operation::send, c);
  return c->operate<true>(value, how);
}
channel_status channel_receive(spsc_core* c, void* optional, const channel_wait& how) {
  choice_point(operation::receive, c);
  return c->operate<false>(optional, how);
}

namespace {
constexpr std::size_t most_at_once = 64;  // before others get their turn
}

std::size_t channel_send_n(spsc_core* c, void* first, std::size_t stride, std::size_t n, context_node* extra) {
  for (std::size_t sent = 0;;) {
    choice_point(operation::send, c);
    channel_status s;
    void* next = static_cast<std::byte*>(first) + sent * stride;
    sent += c->several<true>(next, stride, std::min(n - sent, most_at_once), s, extra);
    if (s == channel_status::would_block) {
      s = c->operate<true>(next, {true, never, extra});
      if (s == channel_status::ok) ++sent;
    }
    if (s == channel_status::closed || sent == n) return sent;
  }
}

std::size_t channel_receive_some(spsc_core* c, void* first, std::size_t stride, std::size_t n, context_node* extra) {
  choice_point(operation::receive, c);
  channel_status s;
  const std::size_t came = c->several<false>(first, stride, std::min(n, most_at_once), s, extra);
  if (s != channel_status::would_block) return came;
  return c->operate<false>(first, {true, never, extra}) == channel_status::ok ? 1 : 0;
}

void check_channel_operation(spsc_core*, context_node* extra) { check_canceled(extra); }
bool channel_close(spsc_core* c) noexcept {
  choice_point(operation::close, c);
  return c->close();
}
std::size_t channel_size(spsc_core* c) noexcept {
  choice_point(operation::look, c);
  return c->size();
}
std::size_t channel_capacity(spsc_core* c) noexcept { return c->capacity(); }
bool channel_is_closed(spsc_core* c) noexcept {
  choice_point(operation::look, c);
  return c->is_closed();
}
void drop_spsc_sender(spsc_core* c) noexcept {
  choice_point(operation::close, c);
  c->drop_sender();
}
void drop_spsc_receiver(spsc_core* c) noexcept {
  choice_point(operation::close, c);
  c->drop_receiver();
}

bool spsc_ready(spsc_core& c, bool sending) noexcept { return sending ? c.ready<true>() : c.ready<false>(); }
channel_status spsc_try_locked(spsc_core& c, bool sending, void* element, sched::wake_list& woken) {
  return sending ? c.try_locked<true>(element, woken) : c.try_locked<false>(element, woken);
}
bool spsc_register_wait(spsc_core& c, bool sending, sched::wait_node& n) noexcept {
  return sending ? c.register_wait<true>(n) : c.register_wait<false>(n);
}
void spsc_withdraw(spsc_core& c, bool sending, sched::wait_node& n) noexcept {
  sending ? c.withdraw<true>(n) : c.withdraw<false>(n);
}

// For operations that are compiled into their callers.
template void spsc_core::heed<true>() noexcept;
template void spsc_core::heed<false>() noexcept;

}  // namespace runnel::inline RUNNEL_ABI::detail
