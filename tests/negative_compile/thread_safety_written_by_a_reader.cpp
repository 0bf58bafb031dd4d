// expect: requires holding .* exclusively
#include <runnel/sync/shared_mutex.hpp>

class setting {
 public:
  void set(int v) {
    m_.lock();
    value_ = v;
    m_.unlock_and_lock_shared();
#ifndef RUNNEL_NEGATIVE_CONTROL
    ++value_;
#endif
    seen_ = value_ == v;
    m_.unlock_shared();
  }
  bool seen() const { return seen_; }

 private:
  runnel::shared_mutex m_;
  int value_ RUNNEL_GUARDED_BY(m_) = 0;
  bool seen_ = false;
};

bool use(setting& s) {
  s.set(1);
  return s.seen();
}
