// Who decides the order of events in a world, where somebody does: the explorer. One member at a time has the turn; it is
// given on where that member parks, ends, yields or reaches a choice point.
//
// Calls come from the member that has the turn (or, after its end, its worker), from the keeper, which has it while no member
// does, and for ready() from outside too.
#pragma once

#include <runnel/sched/operation.hpp>

#include <cstdint>
#include <exception>

namespace runnel::inline RUNNEL_ABI::sched {

struct fiber;

class control {
 public:
  control() noexcept = default;
  control(const control&) = delete;
  control& operator=(const control&) = delete;

  virtual void starts(fiber& f) noexcept = 0;
  /// f may run; it is scheduled when its turn comes.
  virtual void ready(fiber& f) noexcept = 0;
  virtual void parks(fiber& f, bool outside) noexcept = 0;
  virtual void goes_on(fiber& f, bool outside) noexcept = 0;
  virtual void yields(fiber& f) noexcept = 0;
  virtual void ended() noexcept = 0;
  /// The keeper gives its turn on, until the world is idle.
  virtual void keeper_waits() noexcept = 0;
  virtual void choice_point(operation o, const void* object, const detail::site& at) noexcept = 0;
  virtual std::uint32_t draw(std::uint32_t bound) noexcept = 0;
  virtual void release(const void* address) noexcept = 0;
  virtual void acquire(const void* address) noexcept = 0;
  virtual void access(operation o, const void* variable, const detail::site& at) noexcept = 0;
  virtual void end_of(const void* variable) noexcept = 0;
  /// An exception that nobody takes.
  virtual void escaped(std::exception_ptr e) noexcept = 0;
  /// A broken invariant; returns when no member has the turn.
  virtual void broken(const char* text) noexcept = 0;

 protected:
  ~control() = default;
};

}  // namespace runnel::inline RUNNEL_ABI::sched
