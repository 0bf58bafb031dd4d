// src/sched/timer.cpp, and how its plain variables begin an execution anew.
#include "sched/timer.cpp"

#include "around/around.hpp"

namespace around {

namespace {

// The private parts of the heap.
template <class Tag, auto Member>
struct expose {
  friend auto member(Tag) noexcept { return Member; }
};
struct root_of {
  friend auto member(root_of) noexcept;
};
struct count_of {
  friend auto member(count_of) noexcept;
};
template struct expose<root_of, &runnel::sched::timer_heap::root_>;
template struct expose<count_of, &runnel::sched::timer_heap::count_>;

}  // namespace

__attribute__((no_sanitize("thread"))) void forget_timers() noexcept {
  runnel::sched::real.*member(root_of{}) = nullptr;
  runnel::sched::real.*member(count_of{}) = 0;
}

}  // namespace around
