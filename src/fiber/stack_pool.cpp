#include "fiber/stack_pool.hpp"

#include "fiber/sanitizer.hpp"

#include <runnel/base/assert.hpp>
#include <runnel/base/atomic.hpp>
#include <runnel/base/raw_lock.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <utility>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102  // Linux 6.13; Debian 12's headers do not know it yet
#endif

namespace runnel::inline RUNNEL_ABI::detail {

namespace {

constexpr std::size_t max_slabs = 1 << 16;
slab slabs[max_slabs];
shim::atomic<std::size_t> slabs_used{0};

// Under `growth`.
raw_lock growth;
std::size_t slabs_of[4];
std::size_t guard_mappings = 0;
bool told_of_software = false;
bool limits_set = false;
guard_limits limits{true, 0};

std::size_t fewest_slots(stack_class c) noexcept {
  switch (c) {
    case stack_class::small: return 128;
    case stack_class::large: return 16;
    case stack_class::huge: return 4;
    case stack_class::standard: break;
  }
  return 64;
}

/// Slabs get larger with their number, since each costs two mappings and a place in the table.
std::size_t slots_of_next(stack_class c) noexcept {
  const bool many = c == stack_class::small || c == stack_class::standard;
  return fewest_slots(c) << (many ? std::min<std::size_t>(3, slabs_of[static_cast<std::size_t>(c)] / 16) : 0);
}

std::byte* map(std::size_t bytes) noexcept {
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p == MAP_FAILED ? nullptr : static_cast<std::byte*>(p);
}

/// Stacks, unless each is mapped afresh, and records; false without memory.
bool map_slots(slab& s, std::size_t record_bytes) noexcept {
  s.records = map(s.slots * record_bytes);
  if (!s.records || sanitizer::fresh_stacks) return s.records != nullptr;
  s.base = map(s.slots * stack_bytes(s.size_class));
  if (!s.base) munmap(s.records, s.slots * record_bytes);
  return s.base != nullptr;
}

/// An emulator may accept every advice and follow none.
bool advice_is_taken(std::byte* page) noexcept {
  static const bool honest = madvise(page, 1, 0x7fff'fff0) != 0;  // no such advice
  return honest;
}

const guard_limits& limits_now() noexcept {
  if (!std::exchange(limits_set, true)) limits.mappings = most_guard_mappings();
  return limits;
}

/// Guards `n` stacks that begin at `base`. Under `growth`.
guard_kind install_guards(std::byte* base, std::size_t n, stack_class c) noexcept {
  const std::size_t bytes = guard_bytes(c);
  const guard_limits& may = limits_now();
  std::size_t done = 0;
  if (may.advice && advice_is_taken(base))
    while (done < n && madvise(base + done * stack_bytes(c), bytes, MADV_GUARD_INSTALL) == 0) ++done;
  if (done == n) return guard_kind::advice;
  if (guard_mappings + 2 * n > may.mappings) return guard_kind::software;
  for (done = 0; done < n && mprotect(base + done * stack_bytes(c), bytes, PROT_NONE) == 0; ++done) guard_mappings += 2;
  return done == n ? guard_kind::mapping : guard_kind::software;
}

/// Said once. Not under `growth`.
void tell(guard_kind k) noexcept {
  if (k != guard_kind::software) return;
  {
    raw_guard hold(growth);
    if (std::exchange(told_of_software, true)) return;
  }
  report("the kernel gives no more guard pages: the stacks of further fibers are checked whenever a fiber waits or ends, so "
         "an overflow is reported late; raise vm.max_map_count, or run on Linux 6.13 or later without locked memory");
}

}  // namespace

std::size_t guard_bytes(stack_class c) noexcept {
  static const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return c == stack_class::small ? page : 4 * page;
}

std::size_t most_guard_mappings() noexcept {
  std::size_t limit = 65530;  // the kernel's default
  if (const int fd = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC); fd >= 0) {
    char text[32];
    const ssize_t n = read(fd, text, sizeof text);
    if (n > 0) std::from_chars(text, text + n, limit);
    close(fd);
  }
  return limit / 2;
}

void set_guard_limits(guard_limits l) noexcept {
  raw_guard hold(growth);
  limits = l;
  limits_set = true;
}

slab* map_slab(stack_class c, std::size_t record_bytes) noexcept {
  slab s;
  s.size_class = c;
  slab* place;
  {
    raw_guard hold(growth);
    const std::size_t index = slabs_used.load(shim::order::relaxed);  // relaxed: written under `growth` only
    if (index == max_slabs) return nullptr;
    s.slots = slots_of_next(c);
    while (!map_slots(s, record_bytes)) {
      if (s.slots == fewest_slots(c)) return nullptr;
      s.slots /= 2;
    }
    if (s.base) {
      madvise(s.base, s.slots * stack_bytes(c), MADV_NOHUGEPAGE);  // else one touched page may bring in 2 MiB
      s.guard = install_guards(s.base, s.slots, c);
      for (std::size_t i = 0; i < s.slots; ++i) {
        std::byte* usable = s.slot(i) + guard_bytes(c);
        const std::size_t usable_bytes = stack_bytes(c) - guard_bytes(c);
        sanitizer::register_stack(usable, usable_bytes);
        sanitizer::register_root(usable, usable_bytes);
      }
    }
    sanitizer::register_root(s.records, s.slots * record_bytes);
    place = &slabs[index];
    *place = s;
    ++slabs_of[static_cast<std::size_t>(c)];
    slabs_used.store(index + 1, shim::order::release);  // release: publishes the entry to slab_count()
  }
  tell(s.guard);
  return place;
}

std::size_t slab_count() noexcept {
  return slabs_used.load(shim::order::acquire);  // acquire: pairs with map_slab(), the entries below are filled
}

const slab& slab_at(std::size_t i) noexcept { return slabs[i]; }

[[gnu::no_sanitize_address]] bool used_up(const std::byte* bottom, const void* sp) noexcept {
  constexpr std::size_t words = 8;  // a cache line: what a frame with an untouched word or two cannot step over
  const auto* lowest = reinterpret_cast<const volatile std::uint64_t*>(bottom);
  std::uint64_t any = 0;
  for (std::size_t i = 0; i < words; ++i) any |= lowest[i];
  return any != 0 || static_cast<const std::byte*>(sp) < bottom + words * sizeof(std::uint64_t);
}

void drop_pages(std::byte* bottom, std::byte* top) noexcept {
  madvise(bottom, static_cast<std::size_t>(top - bottom), MADV_DONTNEED);  // refused for locked memory, which stays then
}

single_stack map_single(stack_class c) noexcept {
  std::byte* base = map(stack_bytes(c));
  if (!base) return {nullptr, guard_kind::software};
  guard_kind guard;
  {
    raw_guard hold(growth);
    guard = install_guards(base, 1, c);
  }
  tell(guard);
  return {base, guard};
}

void unmap_single(single_stack s, stack_class c) noexcept {
  munmap(s.base, stack_bytes(c));
  if (s.guard != guard_kind::mapping) return;
  raw_guard hold(growth);
  guard_mappings -= 2;
}

}  // namespace runnel::inline RUNNEL_ABI::detail
