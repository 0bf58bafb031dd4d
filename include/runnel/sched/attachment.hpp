// What a layer above keeps for each thread: a pointer, null at first, and who is told when the thread ends. Threads end, and
// workers with them; a fiber may be on another thread after any wait, so what is asked for must be used before the next one.
#pragma once

#include <runnel/base/abi.hpp>

#include <cstddef>

namespace runnel::inline RUNNEL_ABI::sched {

enum class attachment : unsigned char { hazards, reader };
inline constexpr unsigned attachments = 2;

/// What is attached as `reader` begins with it: the read sections that the thread is in, of which none is left before their
/// end. Whoever would leave the thread, to wait, looks at it. Its thread's alone.
struct read_depth {
  std::size_t sections = 0;
};

/// Of the calling thread. Never inlined: see this_agent().
[[gnu::noinline]] void* attached(attachment which) noexcept;
/// Sets it. When the thread ends with one that is not null, `ends` is called with it, on that thread and after the destructors
/// of its thread_locals; attaching something in such a destructor, or in `ends`, works.
/// - blocks: never
/// - cancel: ignores
/// - threads: any
[[gnu::noinline]] void attach(attachment which, void* what, void (*ends)(void*) noexcept) noexcept;

}  // namespace runnel::inline RUNNEL_ABI::sched
