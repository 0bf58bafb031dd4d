// expect: keep it, or post
#include <runnel/patterns/worker_pool.hpp>

void drops(runnel::worker_pool<int, int>& pool) {
#ifndef RUNNEL_NEGATIVE_CONTROL
  pool.submit(1);
#else
  pool.post(1);
#endif
}
