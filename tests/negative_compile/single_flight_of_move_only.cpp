// expect: each caller gets a copy
#include <runnel/patterns/single_flight.hpp>

#include <memory>

#ifdef RUNNEL_NEGATIVE_CONTROL
using value = std::shared_ptr<const int>;
#else
using value = std::unique_ptr<int>;
#endif

void shares(runnel::single_flight<int, value>& flights) {
  static_cast<void>(flights.run(1, [] { return value(new int(1)); }));
}
