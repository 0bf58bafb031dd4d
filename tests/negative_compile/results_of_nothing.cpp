// expect: results
#include <runnel/patterns/worker_pool.hpp>

#ifndef RUNNEL_NEGATIVE_CONTROL
void reads(runnel::worker_pool<int>& pool) { static_cast<void>(pool.results()); }
#else
void reads(runnel::worker_pool<int, int>& pool) { static_cast<void>(pool.results()); }
#endif
