// Races of plain memory, by vector clocks: for each byte who wrote it last, and when each thread has read it last.
//
// The accesses come from model::var and, where the sources are compiled with -fsanitize=thread (RUNNEL_MODEL_PLAIN), from
// the calls that the compiler puts there; this file stands in for ThreadSanitizer's run time. Memory that the program
// frees is kept until the execution ends, so that its next owner is not taken for a party of a race; freeing is a write.
// Source: C. Flanagan, S. Freund, "FastTrack" (2009), https://doi.org/10.1145/1542476.1542490.
#include "checker/execution.hpp"

#include <malloc.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

namespace model::detail {

namespace {

constexpr std::uint8_t nobody = max_threads;

/// Eight bytes of the program's memory, in one cache line. Most are read by one thread only.
struct alignas(64) cell {
  std::uintptr_t granule = 0;
  std::uint32_t execution = 0;
  std::uint32_t more_readers = 0;  ///< from 1: an index into `readers`, which then has all of them
  std::uint16_t written_at[8] = {};
  std::uint8_t written_by[8] = {};
  std::uint16_t read_at[8] = {};
  std::uint8_t reader = nobody;
};
struct readers_of_cell {
  std::uint16_t read_at[max_threads][8];
};

constexpr std::size_t cells = std::size_t{1} << 14;
cell* table = nullptr;
std::size_t used = 0;
std::vector<readers_of_cell>* readers = nullptr;

void* kept[4096];
std::size_t kept_count = 0;

execution& ex() noexcept { return execution::instance(); }

cell& find(std::uintptr_t granule) {
  if (!table) {
    table = new cell[cells];
    readers = new std::vector<readers_of_cell>;
  }
  const auto execution = static_cast<std::uint32_t>(ex().number());
  for (std::size_t i = granule ^ (granule >> 13);; ++i) {  // neighbours stay neighbours
    cell& c = table[i % cells];
    if (c.execution == execution) {
      if (c.granule == granule) return c;
      continue;
    }
    if (++used > cells / 2) ex().fail("too much plain memory is used in one execution");
    c = cell{};
    c.granule = granule;
    c.execution = execution;
    return c;
  }
}

readers_of_cell& all_readers(cell& c) {
  if (!c.more_readers) {
    readers->push_back(readers_of_cell{});
    c.more_readers = static_cast<std::uint32_t>(readers->size());
    if (c.reader != nobody) std::memcpy(readers->back().read_at[c.reader], c.read_at, sizeof c.read_at);
  }
  return (*readers)[c.more_readers - 1];
}

[[noreturn]] void report(const char* now, const char* before, unsigned by, std::uint32_t when, const site& at, const void* pc,
                         const void* address) {
  char text[256];
  std::snprintf(text, sizeof text, "data race: %s of %p (code at %p), not ordered after the %s by thread %u (its clock %u)", now,
                address, pc, before, by, when);
  ex().fail(text, at);
}

}  // namespace

void forget_plain_accesses() noexcept {
  used = 0;
  if (readers) readers->clear();
  while (kept_count) std::free(kept[--kept_count]);
}

void check_plain(const void* address, std::size_t bytes, bool write, const site& at, const void* pc) noexcept {
  const auto me = static_cast<std::uint8_t>(ex().current());
  const auto now = static_cast<std::uint16_t>(ex().self().current.clock[me]);
  auto a = reinterpret_cast<std::uintptr_t>(address);
  while (bytes) {
    cell& c = find(a / 8);
    const std::size_t first = a % 8, last = std::min<std::size_t>(8, first + bytes);
    a += last - first;
    bytes -= last - first;
    for (std::size_t i = first; i < last; ++i)
      if (c.written_by[i] != me && !ex().knows(c.written_by[i], c.written_at[i]))
        report(write ? "write" : "read", "write", c.written_by[i], c.written_at[i], at, pc, address);
    if (!write) {
      if (!c.more_readers && (c.reader == me || c.reader == nobody)) {
        c.reader = me;
        for (std::size_t i = first; i < last; ++i) c.read_at[i] = now;
      } else {
        for (std::size_t i = first; i < last; ++i) all_readers(c).read_at[me][i] = now;
      }
      continue;
    }
    const auto check_reader = [&](unsigned t, const std::uint16_t* read_at) {
      for (std::size_t i = first; i < last; ++i)
        if (!ex().knows(t, read_at[i])) report("write", "read", t, read_at[i], at, pc, address);
    };
    if (c.more_readers) {
      for (unsigned t = 0; t < ex().thread_count(); ++t)
        if (t != me) check_reader(t, all_readers(c).read_at[t]);
    } else if (c.reader != me && c.reader != nobody) {
      check_reader(c.reader, c.read_at);
    }
    for (std::size_t i = first; i < last; ++i) {
      c.written_at[i] = now;
      c.written_by[i] = me;
    }
  }
}

void plain_access(const void* address, std::size_t bytes, bool write, const site& at) noexcept {
  if (!ex().active()) return;
  const inside_checker now;
  check_plain(address, bytes, write, at, nullptr);
}

namespace {

bool watched() noexcept { return ex().active() && !ex().inside; }

void access(const void* address, std::size_t bytes, bool write, const void* pc) noexcept {
  if (!watched()) return;
  const inside_checker now;
  check_plain(address, bytes, write, site{}, pc);
}

/// True: kept until the execution ends.
[[maybe_unused]] bool keep(void* p) noexcept {
  if (!p || !watched()) return false;
  access(p, malloc_usable_size(p), true, __builtin_return_address(0));
  const inside_checker now;
  if (kept_count == sizeof kept / sizeof kept[0]) ex().fail("too many blocks are freed in one execution");
  kept[kept_count++] = p;
  return true;
}

}  // namespace
}  // namespace model::detail

// ---- what the compiler calls -----------------------------------------------------------------------------------

#if defined(RUNNEL_MODEL_PLAIN)

using model::detail::access;

// NOLINTBEGIN(bugprone-reserved-identifier): the names are the compiler's.
extern "C" {
#define MODEL_ACCESS(bytes)                                                                                    \
  void __tsan_read##bytes(void* p) { access(p, bytes, false, __builtin_return_address(0)); }                   \
  void __tsan_write##bytes(void* p) { access(p, bytes, true, __builtin_return_address(0)); }                   \
  void __tsan_unaligned_read##bytes(void* p) { access(p, bytes, false, __builtin_return_address(0)); }         \
  void __tsan_unaligned_write##bytes(void* p) { access(p, bytes, true, __builtin_return_address(0)); }         \
  void __tsan_read_write##bytes(void* p) { access(p, bytes, true, __builtin_return_address(0)); }              \
  void __tsan_unaligned_read_write##bytes(void* p) { access(p, bytes, true, __builtin_return_address(0)); }
MODEL_ACCESS(1)
MODEL_ACCESS(2)
MODEL_ACCESS(4)
MODEL_ACCESS(8)
MODEL_ACCESS(16)
void __tsan_read_range(void* p, std::size_t n) { access(p, n, false, __builtin_return_address(0)); }
void __tsan_write_range(void* p, std::size_t n) { access(p, n, true, __builtin_return_address(0)); }
void __tsan_vptr_update(void** p, void*) { access(p, sizeof *p, true, __builtin_return_address(0)); }
void __tsan_vptr_read(void** p) { access(p, sizeof *p, false, __builtin_return_address(0)); }
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_ignore_thread_begin() {}
void __tsan_ignore_thread_end() {}
void* __tsan_memcpy(void* to, const void* from, std::size_t n) {
  access(from, n, false, __builtin_return_address(0));
  access(to, n, true, __builtin_return_address(0));
  return __builtin_memcpy(to, from, n);
}
void* __tsan_memmove(void* to, const void* from, std::size_t n) {
  access(from, n, false, __builtin_return_address(0));
  access(to, n, true, __builtin_return_address(0));
  return __builtin_memmove(to, from, n);
}
void* __tsan_memset(void* to, int value, std::size_t n) {
  access(to, n, true, __builtin_return_address(0));
  return __builtin_memset(to, value, n);
}
// The standard library's own atomics (guards of statics, counts): seq_cst, and no steps.
#define MODEL_ATOMIC(bits, type)                                                                                           \
  type __tsan_atomic##bits##_load(const volatile type* p, int) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }            \
  void __tsan_atomic##bits##_store(volatile type* p, type v, int) { __atomic_store_n(p, v, __ATOMIC_SEQ_CST); }            \
  type __tsan_atomic##bits##_exchange(volatile type* p, type v, int) { return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST); } \
  type __tsan_atomic##bits##_fetch_add(volatile type* p, type v, int) { return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST); } \
  type __tsan_atomic##bits##_fetch_sub(volatile type* p, type v, int) { return __atomic_fetch_sub(p, v, __ATOMIC_SEQ_CST); } \
  int __tsan_atomic##bits##_compare_exchange_strong(volatile type* p, type* e, type v, int, int) {                         \
    return __atomic_compare_exchange_n(p, e, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                                \
  }                                                                                                                        \
  int __tsan_atomic##bits##_compare_exchange_weak(volatile type* p, type* e, type v, int, int) {                           \
    return __atomic_compare_exchange_n(p, e, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                                \
  }
MODEL_ATOMIC(8, std::uint8_t)
MODEL_ATOMIC(32, std::uint32_t)
MODEL_ATOMIC(64, std::uint64_t)
void __tsan_atomic_thread_fence(int) {}
}
// NOLINTEND(bugprone-reserved-identifier)

void* operator new(std::size_t n) {
  void* p = std::malloc(n ? n : 1);
  if (!p) throw std::bad_alloc();
  return p;
}
void* operator new(std::size_t n, std::align_val_t a) {
  const auto alignment = static_cast<std::size_t>(a);
  void* p = std::aligned_alloc(alignment, (n + alignment - 1) / alignment * alignment);
  if (!p) throw std::bad_alloc();
  return p;
}
void operator delete(void* p) noexcept {
  if (!model::detail::keep(p)) std::free(p);
}
void operator delete(void* p, std::size_t) noexcept { operator delete(p); }
void operator delete(void* p, std::align_val_t) noexcept { operator delete(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { operator delete(p); }

#endif
