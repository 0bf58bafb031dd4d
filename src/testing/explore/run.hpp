// One schedule: a world whose control gives the turn to one member at a time, as a plan says, and watches what they do.
//
// Protocol. The turn is with the keeper, with one member, or, while all wait for the outside, with nobody (turn::nobody).
// Only who has it changes anything here, except ready_ and who_, which ready() changes from outside too, under lock_.
// A member gives the turn on and leaves its stack; the next one may already run on another worker by then, which is why
// nothing is touched after that.
// In the clock (while a timer fires, on the stack of whoever has the turn) nothing is a choice point and nobody's order is
// changed: what a timer does is ordered after nothing.
// Every entry is `unseen` by ThreadSanitizer, which knows nothing of turns; what leaves its stack does so outside of that scope.
// An end: once `over_`, the turn goes back to the keeper at the next point. It cancels everybody and gives the turn on in
// `ending_`, in which members run one after the other without choices.
#pragma once

#include "sched/control.hpp"
#include "testing/explore/strategy.hpp"
#include "testing/keeper.hpp"

#include <string>
#include <unordered_map>
#include <vector>

namespace runnel::inline RUNNEL_ABI::detail::explorer {

using sched::operation;

/// One step, for the trace.
struct event {
  enum class kind : std::uint8_t { operation, park, end, clock, draw };
  kind what;
  sched::operation op;
  sched::wait_reason reason;
  std::uint32_t member;
  std::uint32_t number;  ///< draw: the value; operation, park: of the object, 0 for none
  std::int64_t instant;  ///< clock: nanoseconds since the epoch of the world
  site at;
};

struct member {
  sched::fiber* fiber;
  std::uint64_t id;
  std::uint32_t parent;  ///< who started it
  std::string name;
  site started_at;
  std::vector<std::uint32_t> clock;  ///< vector clock, by member
};

/// What happened.
struct outcome {
  runnel::verdict verdict = runnel::verdict::ok;
  std::string text;                ///< of the failure
  std::string fibers;              ///< what everybody waited for
  std::exception_ptr exception;    ///< what was thrown, where that is the failure
  std::size_t steps = 0;
  std::size_t choices = 0;
  explorer::census census;
  std::vector<std::uint16_t> hashes;     ///< after 1, 2, 4 … steps, and at the end
  std::vector<std::uint32_t> decisions;  ///< who got the turn at each choice
  std::vector<event> events;
  std::vector<member> members;
  std::size_t diverged_after = 0;  ///< steps, from the hashes that were expected; 0: not
};

class run final : public sched::control {
 public:
  /// `expected`: the hashes of an earlier run, or null.
  run(const plan& p, const std::vector<std::uint16_t>* expected);
  /// Runs the body to its end.
  outcome execute(const world_body& body, const site& at);

  void starts(sched::fiber& f) noexcept override;
  void ready(sched::fiber& f) noexcept override;
  void parks(sched::fiber& f, bool outside) noexcept override;
  void goes_on(sched::fiber& f, bool outside) noexcept override;
  void yields(sched::fiber& f) noexcept override;
  void ended() noexcept override;
  void keeper_waits() noexcept override;
  void choice_point(operation o, const void* object, const site& at) noexcept override;
  std::uint32_t draw(std::uint32_t bound) noexcept override;
  void release(const void* address) noexcept override;
  void acquire(const void* address) noexcept override;
  void access(operation o, const void* variable, const site& at) noexcept override;
  void end_of(const void* variable) noexcept override;
  void escaped(std::exception_ptr e) noexcept override;
  void broken(const char* text) noexcept override;

 private:
  enum class turn : std::uint8_t { keeper, member, nobody };
  /// Who read and wrote a variable last.
  struct shadow {
    std::uint32_t writer = 0;
    std::uint32_t written = 0;
    site write_at;
    std::vector<std::uint32_t> reads;  ///< by member
    std::vector<site> read_at;
  };

  bool is_mine(const sched::fiber* f) const noexcept;
  void note(event e) noexcept;
  void fail(runnel::verdict v, std::string text, std::exception_ptr e = nullptr) noexcept;
  std::uint32_t choose() noexcept;
  void candidates(bool with_current) noexcept;
  void move_clock() noexcept;
  void give_on() noexcept;
  void to_keeper() noexcept;
  void give_to(std::uint32_t number) noexcept;
  void step_aside(sched::fiber& f) noexcept;
  bool maybe_switch(sched::fiber& f) noexcept;
  bool at_point(sched::fiber& f, operation o, const void* object, const site& s) noexcept;
  void check_access(operation o, const void* variable, const site& s) noexcept;
  std::uint32_t number_of(const void* object);
  std::vector<std::uint32_t>& clock_of(std::uint32_t m);
  static void join_clock(std::vector<std::uint32_t>& into, const std::vector<std::uint32_t>& from);
  static std::uint32_t at(const std::vector<std::uint32_t>& clock, std::uint32_t m) noexcept {
    return m < clock.size() ? clock[m] : 0;
  }
  std::string describe(std::uint32_t m, operation o, const site& s) const;

  const plan plan_;
  const std::vector<std::uint16_t>* expected_;
  std::unique_ptr<strategy> strategy_;
  generator random_;
  sched::world* world_ = nullptr;
  outcome out_;

  raw_lock lock_;
  std::vector<sched::fiber*> ready_;  ///< under lock_
  turn who_ = turn::keeper;           ///< under lock_
  std::uint32_t current_ = 0;         ///< the member that has the turn
  std::uint32_t last_ = 0;            ///< had it last
  bool yielded_ = false;
  int outside_ = 0;                   ///< members that wait for the outside
  bool in_clock_ = false;
  bool fair_ = false;
  bool over_ = false;
  bool ending_ = false;
  bool broken_ = false;  ///< the members' objects are not to be touched any more
  std::size_t ending_steps_ = 0;
  std::uint64_t hash_ = 0xcbf29ce484222325ull;
  std::vector<std::uint32_t> candidates_;
  std::unordered_map<const void*, std::vector<std::uint32_t>> released_;
  std::unordered_map<const void*, shadow> variables_;
  std::unordered_map<const void*, std::uint32_t> objects_;
};

/// For a person.
std::string trace_of(const outcome& o);

}  // namespace runnel::inline RUNNEL_ABI::detail::explorer
