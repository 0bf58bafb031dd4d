// The inline namespace that every runnel name lives in: objects built with different settings do not
// link with each other instead of failing at run time.
#pragma once

#if defined(RUNNEL_EXPLORE) && RUNNEL_EXPLORE
#if !defined(RUNNEL_CHECKED) || !RUNNEL_CHECKED
#error "runnel: a build with RUNNEL_EXPLORE is a checked one; link the target runnel::explore, which defines both"
#endif
#define RUNNEL_ABI explored
#elif defined(RUNNEL_CHECKED) && RUNNEL_CHECKED
#define RUNNEL_ABI checked
#else
#define RUNNEL_ABI release
#endif

namespace runnel::inline RUNNEL_ABI::detail {

/// Whether this is the build in which explore() chooses the order of events; the target runnel::explore.
#if defined(RUNNEL_EXPLORE) && RUNNEL_EXPLORE
inline constexpr bool exploring = true;
#else
inline constexpr bool exploring = false;
#endif

}  // namespace runnel::inline RUNNEL_ABI::detail
