// src/sched/worker.cpp, with an exception state for each of the checker's threads: they share one thread of the process.
#include <cxxabi.h>

namespace __cxxabiv1 {
__cxa_eh_globals* own_exception_state() noexcept;  // NOLINT(bugprone-reserved-identifier)
}

#define __cxa_get_globals own_exception_state
#include "sched/worker.cpp"
