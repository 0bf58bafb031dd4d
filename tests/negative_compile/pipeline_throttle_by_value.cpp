// expect: a limiter that cannot be moved is given by name
#include <runnel/patterns/pipeline.hpp>
#include <runnel/patterns/rate_limiter.hpp>

#include <vector>

void reads(const std::vector<int>& numbers) {
#ifndef RUNNEL_NEGATIVE_CONTROL
  runnel::from(numbers) | runnel::throttle(runnel::rate_limiter(runnel::rate::per_second(1), 1)) | runnel::drain();
#else
  runnel::rate_limiter limit(runnel::rate::per_second(1), 1);
  runnel::from(numbers) | runnel::throttle(limit) | runnel::drain();
#endif
}
