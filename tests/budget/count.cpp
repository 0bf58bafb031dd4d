#include "count.hpp"

#include <cstddef>
#include <cstdlib>
#include <new>

namespace budget {

namespace {

thread_local counts own;

/// Never inlined: a fiber may be on another thread after any wait, see src/sched/current.cpp.
[[gnu::noinline]] counts& mine() noexcept {
  asm volatile("");
  return own;
}

void* allocate(std::size_t n, std::size_t align) {
  ++mine().allocations;
  if (n == 0) n = 1;
  void* p = align > alignof(std::max_align_t) ? std::aligned_alloc(align, (n + align - 1) / align * align) : std::malloc(n);
  if (!p) throw std::bad_alloc();
  return p;
}

}  // namespace

counts now() noexcept { return mine(); }

void note_rmw() noexcept { ++mine().rmw; }
void note_store(std::memory_order o) noexcept {
  if (o == std::memory_order_seq_cst) ++mine().fences;
  if (o == std::memory_order_release) ++mine().stores;
}
void note_fence(std::memory_order o) noexcept {
  if (o == std::memory_order_seq_cst) ++mine().fences;
}

}  // namespace budget

void* operator new(std::size_t n) { return budget::allocate(n, 0); }
void* operator new[](std::size_t n) { return budget::allocate(n, 0); }
void* operator new(std::size_t n, std::align_val_t a) { return budget::allocate(n, static_cast<std::size_t>(a)); }
void* operator new[](std::size_t n, std::align_val_t a) { return budget::allocate(n, static_cast<std::size_t>(a)); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
