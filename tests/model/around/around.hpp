// What lies around the files under test, in a model build: who the caller is, the clock, the kernel's and the pools' part.
// Each stand-in keeps to the contract that its header states, and no more.
#pragma once

#include "checker/model.hpp"

#include "sched/poll.hpp"
#include "sched/runtime.hpp"

#include <runnel/sched/job.hpp>

#include <array>

namespace around {

/// To be made first in every execution: the runtime with these workers, the clock at zero.
class world {
 public:
  explicit world(unsigned workers = 0, bool poller = false);
  ~world();
  world(const world&) = delete;
  world& operator=(const world&) = delete;

  runnel::sched::runtime& runtime() noexcept;
  runnel::sched::worker& worker(unsigned i) noexcept;
  /// From now on the runtime counts as started.
  void keep_running() noexcept;
  /// Asks every worker to end and wakes the idle, as runtime::stop() does.
  void begin_stop() noexcept;
  /// The same, and waits for the first n.
  void stop(unsigned n = 4) noexcept;
};

/// The instant that steady_clock::now() returns.
void set_time(runnel::time_point t) noexcept;

/// In this execution random choices are tried all; without it they are always the first.
void choose_at_random() noexcept;

/// In this execution a report is no failure.
void allow_reports() noexcept;

/// For world: no timer is armed.
void forget_timers() noexcept;

/// To be made after the world, where hazard pointers are used: none exists yet, and nothing is retired.
class hazards {
 public:
  hazards() noexcept;
  ~hazards();
  hazards(const hazards&) = delete;
  hazards& operator=(const hazards&) = delete;
};
/// What the calling thread has attached is told that the thread ends.
void end_thread() noexcept;

/// A fiber with a stack that runs f(). It is given back by whoever runs it last.
class test_fiber : public runnel::sched::fiber, private runnel::sched::job {
 public:
  test_fiber(void (*f)(void*), void* argument) noexcept;
  template <class F>
  explicit test_fiber(F& f) noexcept : test_fiber([](void* p) { (*static_cast<F*>(p))(); }, &f) {}
  bool ended() const noexcept { return ended_; }

 private:
  void (*f_)(void*);
  void* argument_;
  bool ended_ = false;
};

/// A fiber that reserve_fiber() may give out, once; while there is none, memory is short.
class spare_fiber : public runnel::sched::fiber {
 public:
  spare_fiber() noexcept;
};

}  // namespace around
