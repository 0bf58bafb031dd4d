// Wake-ups that are calls and no operations on an atomic object: the linker sends each call from another file here first
// (--wrap, see CMakeLists.txt), so that a mutation can leave it out. A call is named by the address that it returns to.
#include "checker/execution.hpp"

// NOLINTBEGIN(bugprone-reserved-identifier): the names are the linker's
// The only argument of each is one word in a register.
#define MODEL_WAKE(symbol)                                                                         \
  extern "C" void __real_##symbol(void* argument) noexcept;                                        \
  extern "C" void __wrap_##symbol(void* argument) noexcept;                                        \
  extern "C" void __wrap_##symbol(void* argument) noexcept {                                       \
    if (!model::detail::call_dropped(__builtin_return_address(0))) __real_##symbol(argument);      \
  }

MODEL_WAKE(_ZN6runnel8modelled5sched8idle_set6notifyEv)
MODEL_WAKE(_ZN6runnel8modelled5sched9wake_list8wake_allEv)
MODEL_WAKE(_ZN6runnel8modelled5sched6worker4wakeEv)
MODEL_WAKE(_ZN6runnel8modelled5sched11kick_pollerEv)
MODEL_WAKE(_ZN6runnel8modelled5sched14timer_moved_upENSt6chrono10time_pointINS2_3_V212steady_clockENS2_8durationIlSt5ratioILl1ELl1000000000EEEEEE)
// NOLINTEND(bugprone-reserved-identifier)
