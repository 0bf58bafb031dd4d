// expect: requires holding mutex
#include <runnel/sync/mutex.hpp>

class counter {
 public:
  int next() {
#ifdef RUNNEL_NEGATIVE_CONTROL
    m_.lock();
    const int value = ++value_;
    m_.unlock();
    return value;
#else
    return ++value_;
#endif
  }

 private:
  runnel::mutex m_;
  int value_ RUNNEL_GUARDED_BY(m_) = 0;
};

int use(counter& c) { return c.next(); }
