// expect: deleted
#include <runnel/patterns/retry.hpp>

void dangles() {
#ifdef RUNNEL_NEGATIVE_CONTROL
  const runnel::retry_policy policy{.attempts = 3};
  runnel::retry_delays delays(policy);
#else
  runnel::retry_delays delays(runnel::retry_policy{.attempts = 3});
#endif
  static_cast<void>(delays.next());
}
