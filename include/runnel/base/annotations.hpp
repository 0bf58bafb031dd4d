// What a public function does to its caller, for static analysis: visible to clang's AST, nothing elsewhere. And which
// lock guards what, for clang's -Wthread-safety, which then rejects an access without the lock.
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

// ---- clang's thread-safety analysis, https://clang.llvm.org/docs/ThreadSafetyAnalysis.html
// The names are those of its documentation. `x` is a lock, or an expression that names one.

#if defined(__clang__)
#define RUNNEL_THREAD_SAFETY(x) __attribute__((x))
#else
#define RUNNEL_THREAD_SAFETY(x)
#endif

/// On a class: it is a lock, called `name` in warnings.
#define RUNNEL_CAPABILITY(name) RUNNEL_THREAD_SAFETY(capability(name))
/// On a class: it holds a lock from its constructor to its destructor.
#define RUNNEL_SCOPED_CAPABILITY RUNNEL_THREAD_SAFETY(scoped_lockable)
/// On a variable: only with the lock x (PT: what it points to).
#define RUNNEL_GUARDED_BY(x) RUNNEL_THREAD_SAFETY(guarded_by(x))
#define RUNNEL_PT_GUARDED_BY(x) RUNNEL_THREAD_SAFETY(pt_guarded_by(x))
/// On a function: its caller has the lock, or must not have it.
#define RUNNEL_REQUIRES(...) RUNNEL_THREAD_SAFETY(requires_capability(__VA_ARGS__))
#define RUNNEL_REQUIRES_SHARED(...) RUNNEL_THREAD_SAFETY(requires_shared_capability(__VA_ARGS__))
#define RUNNEL_EXCLUDES(...) RUNNEL_THREAD_SAFETY(locks_excluded(__VA_ARGS__))
/// On a function: it takes or releases the lock; without an argument its own object. TRY: where it returns the first argument.
#define RUNNEL_ACQUIRE(...) RUNNEL_THREAD_SAFETY(acquire_capability(__VA_ARGS__))
#define RUNNEL_ACQUIRE_SHARED(...) RUNNEL_THREAD_SAFETY(acquire_shared_capability(__VA_ARGS__))
#define RUNNEL_TRY_ACQUIRE(...) RUNNEL_THREAD_SAFETY(try_acquire_capability(__VA_ARGS__))
#define RUNNEL_TRY_ACQUIRE_SHARED(...) RUNNEL_THREAD_SAFETY(try_acquire_shared_capability(__VA_ARGS__))
#define RUNNEL_RELEASE(...) RUNNEL_THREAD_SAFETY(release_capability(__VA_ARGS__))
#define RUNNEL_RELEASE_SHARED(...) RUNNEL_THREAD_SAFETY(release_shared_capability(__VA_ARGS__))
/// On a function that the analysis cannot follow: a lock that is passed on, for one.
#define RUNNEL_NO_THREAD_SAFETY_ANALYSIS RUNNEL_THREAD_SAFETY(no_thread_safety_analysis)
