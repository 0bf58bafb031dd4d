// What a public function does to its caller, for static analysis: visible to clang's AST, nothing elsewhere.
#pragma once

#if defined(__clang__)
#define RUNNEL_ANNOTATE(what) [[clang::annotate(what)]]
#else
#define RUNNEL_ANNOTATE(what)
#endif

/// May suspend the calling fiber (or block the calling thread).
#define RUNNEL_PARKS RUNNEL_ANNOTATE("runnel::parks")
/// Hands its callable to a thread that may be blocked.
#define RUNNEL_BLOCKING RUNNEL_ANNOTATE("runnel::blocking")
/// Starts its callable on a fiber that may outlive the call.
#define RUNNEL_SPAWNS RUNNEL_ANNOTATE("runnel::spawns")
/// Starts its callable on a fiber that a scope joins.
#define RUNNEL_SCOPED_SPAWN RUNNEL_ANNOTATE("runnel::scoped_spawn")
/// Waits until the fibers that it stands for have ended.
#define RUNNEL_JOINS RUNNEL_ANNOTATE("runnel::joins")
