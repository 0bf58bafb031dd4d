// Counts what operator new has given out and operator delete has not had back; fails when it is told to.
#include "failing_allocation.hpp"
#include "fixture.hpp"

#include <runnel/sched/frame.hpp>

#include <atomic>
#include <cstdlib>
#include <new>

namespace {
std::atomic<std::int64_t> live{0};
std::atomic<std::uint64_t> made{0};
std::atomic<std::int64_t> until_failure{0};  // calls left to the one that fails, itself included
std::atomic<bool> armed{false};
thread_local bool uncounted = false;

/// Whether this call is to fail.
bool fails() noexcept {
  return !uncounted && armed.load(std::memory_order_relaxed) && until_failure.fetch_sub(1, std::memory_order_relaxed) == 1;
}

void* allocate(std::size_t n, std::size_t align) {
  if (fails()) throw std::bad_alloc();
  if (n == 0) n = 1;
  void* p = align > alignof(std::max_align_t) ? std::aligned_alloc(align, (n + align - 1) / align * align) : std::malloc(n);
  if (!p) throw std::bad_alloc();
  if (uncounted) return p;
  live.fetch_add(1, std::memory_order_relaxed);
  made.fetch_add(1, std::memory_order_relaxed);
  return p;
}
void give_back(void* p) noexcept {
  if (!p) return;
  if (!uncounted) live.fetch_sub(1, std::memory_order_relaxed);
  std::free(p);
}
}  // namespace

std::int64_t runnel::test::live_allocations() noexcept {
  return live.load(std::memory_order_relaxed) + runnel::sched::live_frames();
}
std::uint64_t runnel::test::allocations_made() noexcept {
  return made.load(std::memory_order_relaxed) + runnel::sched::frames_from_heap();
}

void runnel::test::fail_allocation(std::int64_t k) noexcept {
  until_failure.store(k, std::memory_order_relaxed);
  armed.store(true, std::memory_order_relaxed);
}
runnel::test::uncounted_allocations::uncounted_allocations() noexcept { uncounted = true; }
runnel::test::uncounted_allocations::~uncounted_allocations() { uncounted = false; }
bool runnel::test::stop_failing() noexcept {
  armed.store(false, std::memory_order_relaxed);
  return until_failure.load(std::memory_order_relaxed) <= 0;
}

void* operator new(std::size_t n) { return allocate(n, 0); }
void* operator new[](std::size_t n) { return allocate(n, 0); }
void* operator new(std::size_t n, std::align_val_t a) { return allocate(n, static_cast<std::size_t>(a)); }
void* operator new[](std::size_t n, std::align_val_t a) { return allocate(n, static_cast<std::size_t>(a)); }
void operator delete(void* p) noexcept { give_back(p); }
void operator delete[](void* p) noexcept { give_back(p); }
void operator delete(void* p, std::size_t) noexcept { give_back(p); }
void operator delete[](void* p, std::size_t) noexcept { give_back(p); }
void operator delete(void* p, std::align_val_t) noexcept { give_back(p); }
void operator delete[](void* p, std::align_val_t) noexcept { give_back(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { give_back(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { give_back(p); }
