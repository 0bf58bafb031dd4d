// Everything the library tells ASan, TSan, LeakSanitizer and Valgrind, and nothing of it elsewhere.
//
// TSan: the library's own sources are compiled without instrumentation; its atomics and locks are invisible, and
// a switch of fibers is announced without an edge (no_sync). The only happens-before edges that TSan sees are
// those that public objects promise, announced by hb_release / hb_acquire. So a race between two fibers that
// shared a worker or a channel's lock is still a race.
// TSan has no notion of a stack that is used again by another fiber: under it a stack is mapped afresh for each
// fiber (fresh_stacks), so that the shadow of the old one is gone.
#pragma once

#include <runnel/base/abi.hpp>

#include <cstddef>

#if defined(RUNNEL_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#endif
#if defined(RUNNEL_TSAN)
#include <poll.h>
extern "C" {
void __tsan_acquire(void*);
void __tsan_release(void*);
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned);
void __tsan_destroy_fiber(void*);
void __tsan_switch_to_fiber(void*, unsigned);
void __tsan_set_fiber_name(void*, const char*);
void AnnotateIgnoreReadsBegin(const char*, int);
void AnnotateIgnoreReadsEnd(const char*, int);
void AnnotateIgnoreWritesBegin(const char*, int);
void AnnotateIgnoreWritesEnd(const char*, int);
void AnnotateBenignRaceSized(const char* file, int line, const volatile void* address, std::size_t size, const char* why);
}
#endif
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#define RUNNEL_VALGRIND 1
#endif

namespace runnel::inline RUNNEL_ABI::detail::sanitizer {

/// What a sanitizer knows of one stack: a fiber's or a worker's own.
struct context {
#if defined(RUNNEL_ASAN)
  void* fake_stack = nullptr;
  const void* bottom = nullptr;
  std::size_t size = 0;
#endif
#if defined(RUNNEL_TSAN)
  void* tsan = nullptr;
#endif
};

/// Memory must go back to the allocator as soon as it is free, or its misuse would not be seen.
#if defined(RUNNEL_ASAN) || defined(RUNNEL_TSAN)
inline constexpr bool tracks_memory = true;
#else
inline constexpr bool tracks_memory = false;
#endif
#if defined(RUNNEL_TSAN)
inline constexpr bool fresh_stacks = true;
inline constexpr bool sees_edges = true;
inline constexpr bool names_fibers = true;  ///< create() is to be called
/// Signals reach a blocked thread only when it calls into libc: see let_signals_in().
inline constexpr bool delays_signals = true;
#else
inline constexpr bool fresh_stacks = false;
inline constexpr bool sees_edges = false;
inline constexpr bool names_fibers = false;
inline constexpr bool delays_signals = false;
#endif

/// The calling thread's own stack, at the start of a thread that will run fibers. What the thread did so far, setting up
/// its thread_locals, happens before whatever a fiber does on it; and errno is the fiber's, though all the fibers of a
/// thread use one address.
inline void adopt_thread([[maybe_unused]] context& c, [[maybe_unused]] int* errno_address) noexcept {
#if defined(RUNNEL_TSAN)
  c.tsan = __tsan_get_current_fiber();
  AnnotateBenignRaceSized(__FILE__, __LINE__, errno_address, sizeof *errno_address, "errno is saved with each fiber");
  __tsan_release(&c);
#endif
}
/// A new fiber. Under TSan the creator happens before the fiber.
inline void create([[maybe_unused]] context& c, [[maybe_unused]] const char* name) noexcept {
#if defined(RUNNEL_TSAN)
  c.tsan = __tsan_create_fiber(0);
  if (*name) __tsan_set_fiber_name(c.tsan, name);
#endif
}
/// The fiber is about to begin on [bottom, bottom + size).
inline void bind([[maybe_unused]] context& c, [[maybe_unused]] void* bottom, [[maybe_unused]] std::size_t size) noexcept {
#if defined(RUNNEL_ASAN)
  __asan_unpoison_memory_region(bottom, size);
  c.fake_stack = nullptr;
  c.bottom = bottom;
  c.size = size;
#endif
}
/// The fiber has ended and is not the current one.
inline void destroy([[maybe_unused]] context& c) noexcept {
#if defined(RUNNEL_TSAN)
  __tsan_destroy_fiber(c.tsan);
  c.tsan = nullptr;
#endif
}
/// Right before the switch. `last`: the stack left is never entered again.
inline void before_switch([[maybe_unused]] context& from, [[maybe_unused]] context& to,
                          [[maybe_unused]] bool last) noexcept {
#if defined(RUNNEL_ASAN)
  __sanitizer_start_switch_fiber(last ? nullptr : &from.fake_stack, to.bottom, to.size);
#endif
#if defined(RUNNEL_TSAN)
  __tsan_switch_to_fiber(to.tsan, 1 /* no synchronization */);
#endif
}
/// First thing after the switch, on the new stack, which is a fiber's on `thread` or the thread's own. Where the thread's
/// own was left, it learns the bounds of that.
inline void after_switch([[maybe_unused]] context& self, [[maybe_unused]] context& thread,
                         [[maybe_unused]] bool left_the_threads_own) noexcept {
#if defined(RUNNEL_ASAN)
  if (left_the_threads_own) {
    __sanitizer_finish_switch_fiber(self.fake_stack, &thread.bottom, &thread.size);
  } else {
    __sanitizer_finish_switch_fiber(self.fake_stack, nullptr, nullptr);
  }
#endif
#if defined(RUNNEL_TSAN)
  if (&self != &thread) __tsan_acquire(&thread);  // see adopt_thread()
#endif
}
inline void register_stack([[maybe_unused]] void* bottom, [[maybe_unused]] std::size_t size) noexcept {
#if defined(RUNNEL_VALGRIND)
  [[maybe_unused]] auto id = VALGRIND_STACK_REGISTER(bottom, static_cast<char*>(bottom) + size);
#endif
}
/// Memory that the library maps itself and that may hold the only pointer to something.
inline void register_root([[maybe_unused]] void* start, [[maybe_unused]] std::size_t size) noexcept {
#if defined(RUNNEL_ASAN)
  __lsan_register_root_region(start, size);
#endif
}

/// TSan keeps a signal until the thread makes a call that it intercepts; a plain system call is none.
inline void let_signals_in() noexcept {
#if defined(RUNNEL_TSAN)
  ::poll(nullptr, 0, 0);
#endif
}

/// A scope whose accesses TSan does not judge: those of library code that fibers run in turn, through functions of libc
/// that TSan intercepts although their caller is not instrumented. Nothing may switch inside.
class unseen {
 public:
  unseen() noexcept {
#if defined(RUNNEL_TSAN)
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
#endif
  }
  ~unseen() {
#if defined(RUNNEL_TSAN)
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
#endif
  }
  unseen(const unseen&) = delete;
  unseen& operator=(const unseen&) = delete;
};

// Only in the build for exploration, which follows the same edges.
void note_release(const void* address) noexcept;
void note_acquire(const void* address) noexcept;

/// What the caller did so far happens before whatever follows an hb_acquire of the same address.
inline void hb_release([[maybe_unused]] const void* address) noexcept {
#if defined(RUNNEL_TSAN)
  __tsan_release(const_cast<void*>(address));
#endif
  if constexpr (exploring) note_release(address);
}
inline void hb_acquire([[maybe_unused]] const void* address) noexcept {
#if defined(RUNNEL_TSAN)
  __tsan_acquire(const_cast<void*>(address));
#endif
  if constexpr (exploring) note_acquire(address);
}

}  // namespace runnel::inline RUNNEL_ABI::detail::sanitizer
