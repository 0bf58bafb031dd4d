// expect: requires holding .* exclusively
#include <runnel/sync/scoped_lock.hpp>
#include <runnel/sync/shared_mutex.hpp>

class setting {
 public:
  int get() {
    const runnel::scoped_shared_lock hold(m_);
#ifndef RUNNEL_NEGATIVE_CONTROL
    ++value_;
#endif
    return value_;
  }

 private:
  runnel::shared_mutex m_;
  int value_ RUNNEL_GUARDED_BY(m_) = 0;
};

int use(setting& s) { return s.get(); }
