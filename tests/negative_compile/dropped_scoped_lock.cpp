// expect: nodiscard|warn_unused|ignoring
#include <runnel/sync/mutex.hpp>
#include <runnel/sync/scoped_lock.hpp>

void use(runnel::mutex& m) {
#ifdef RUNNEL_NEGATIVE_CONTROL
  const runnel::scoped_lock hold(m);
#else
  runnel::scoped_lock<runnel::mutex>{m};
#endif
}
