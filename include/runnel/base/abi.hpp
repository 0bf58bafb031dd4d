// The inline namespace that every runnel name lives in: objects built with different settings do not
// link with each other instead of failing at run time.
#pragma once

#if defined(RUNNEL_CHECKED) && RUNNEL_CHECKED
#define RUNNEL_ABI checked
#else
#define RUNNEL_ABI release
#endif
