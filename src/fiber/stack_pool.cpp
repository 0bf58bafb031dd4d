#include "fiber/stack_pool.hpp"

#include "fiber/sanitizer.hpp"

#include <runnel/base/atomic.hpp>
#include <runnel/base/raw_lock.hpp>

#include <sys/mman.h>
#include <unistd.h>

#include <new>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102  // Linux 6.13; Debian 12's headers do not know it yet
#endif

namespace runnel::inline RUNNEL_ABI::detail {

namespace {

constexpr std::size_t max_slabs = 1 << 16;
slab slabs[max_slabs];
shim::atomic<std::size_t> slabs_used{0};
raw_lock growth;

std::size_t slots_per_slab(stack_class c) noexcept {
  switch (c) {
    case stack_class::small: return 128;
    case stack_class::large: return 16;
    case stack_class::huge: return 4;
    case stack_class::standard: break;
  }
  return 64;
}

std::byte* map(std::size_t bytes) noexcept {
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p == MAP_FAILED ? nullptr : static_cast<std::byte*>(p);
}

/// An emulator may accept every advice and follow none.
bool advice_is_taken(std::byte* page) noexcept {
  static const bool honest = madvise(page, 1, 0x7fff'fff0) != 0;  // no such advice
  return honest;
}

void install_guard(std::byte* base, std::size_t bytes) noexcept {
  // Not every kernel has the first, and it refuses locked memory (mlockall); then a mapping of its own.
  if (!advice_is_taken(base) || madvise(base, bytes, MADV_GUARD_INSTALL) != 0) mprotect(base, bytes, PROT_NONE);
}

}  // namespace

std::size_t guard_bytes(stack_class c) noexcept {
  static const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return c == stack_class::small ? page : 4 * page;
}

slab* map_slab(stack_class c, std::size_t record_bytes) noexcept {
  const std::size_t slots = slots_per_slab(c);
  const std::size_t bytes = slots * stack_bytes(c);
  raw_guard hold(growth);
  const std::size_t index = slabs_used.load(shim::order::relaxed);  // relaxed: written under `growth` only
  if (index == max_slabs) return nullptr;
  std::byte* records = map(slots * record_bytes);
  if (!records) return nullptr;
  std::byte* base = sanitizer::fresh_stacks ? nullptr : map(bytes);
  if (!base && !sanitizer::fresh_stacks) {
    munmap(records, slots * record_bytes);
    return nullptr;
  }
  if (base) {
    madvise(base, bytes, MADV_NOHUGEPAGE);  // else one touched page may bring in 2 MiB
    for (std::size_t i = 0; i < slots; ++i) {
      install_guard(base + i * stack_bytes(c), guard_bytes(c));
      std::byte* usable = base + i * stack_bytes(c) + guard_bytes(c);
      const std::size_t usable_bytes = stack_bytes(c) - guard_bytes(c);
      sanitizer::register_stack(usable, usable_bytes);
      sanitizer::register_root(usable, usable_bytes);
    }
  }
  sanitizer::register_root(records, slots * record_bytes);
  slabs[index] = {base, slots, c, records};
  slabs_used.store(index + 1, shim::order::release);  // release: publishes the entry to slab_count()
  return &slabs[index];
}

std::size_t slab_count() noexcept {
  return slabs_used.load(shim::order::acquire);  // acquire: pairs with map_slab(), the entries below are filled
}

const slab& slab_at(std::size_t i) noexcept { return slabs[i]; }

const slab* find_slab(const void* address) noexcept {
  const auto* p = static_cast<const std::byte*>(address);
  for (std::size_t i = 0; i < slab_count(); ++i) {
    const slab& s = slabs[i];
    if (s.base && p >= s.base && p < s.base + s.slots * stack_bytes(s.size_class)) return &s;
  }
  return nullptr;
}

std::byte* map_single(stack_class c) noexcept {
  std::byte* base = map(stack_bytes(c));
  if (base) install_guard(base, guard_bytes(c));
  return base;
}

void unmap_single(std::byte* base, stack_class c) noexcept { munmap(base, stack_bytes(c)); }

}  // namespace runnel::inline RUNNEL_ABI::detail
