// expect: requires holding mutex
#include <runnel/sync/mutex.hpp>
#include <runnel/sync/scoped_lock.hpp>

class counter {
 public:
  int next() {
#ifdef RUNNEL_NEGATIVE_CONTROL
    const runnel::scoped_lock hold(m_);
#else
    const runnel::scoped_lock hold(other_);
#endif
    return ++value_;
  }

 private:
  runnel::mutex m_, other_;
  int value_ RUNNEL_GUARDED_BY(m_) = 0;
};

int use(counter& c) { return c.next(); }
