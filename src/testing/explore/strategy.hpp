// How the next to run is chosen. A plan is a strategy with everything that it needs to choose the same again; the planner
// makes the plans of an exploration, one after the other.
//
// Sources: S. Burckhardt et al., "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs" (2010),
// https://doi.org/10.1145/1736020.1736040; H. Zhao et al., "Selectively Uniform Concurrency Testing" (2025); M. Emmi, S. Qadeer, Z. Rakamaric, "Delay-Bounded Scheduling" (2011),
// https://doi.org/10.1145/1926385.1926432.
#pragma once

#include <runnel/testing/explore.hpp>

#include <limits>
#include <memory>
#include <span>
#include <vector>

namespace runnel::inline RUNNEL_ABI::detail::explorer {

/// splitmix64 (Steele, Lea, Flood 2014, https://doi.org/10.1145/2660193.2660195).
class generator {
 public:
  explicit generator(std::uint64_t seed) noexcept : state_(seed) {}
  std::uint64_t next() noexcept {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  }
  std::uint32_t below(std::uint32_t bound) noexcept {
    return static_cast<std::uint32_t>(((next() >> 32) * bound) >> 32);
  }

 private:
  std::uint64_t state_;
};

/// Members are numbered from 1 in the order of their start; 0 is the clock.
inline constexpr std::uint32_t clock_number = 0;

/// Who may have the next turn.
struct choice {
  std::span<const std::uint32_t> candidates;  ///< ascending, at least two
  std::uint32_t last;                         ///< who had the last turn; may be no candidate
  bool last_prefers_others;                   ///< it yielded
};

class strategy {
 public:
  virtual ~strategy() = default;
  /// An index of c.candidates.
  virtual std::size_t pick(const choice& c) = 0;
};

/// What a schedule tells of the members, by number.
struct census {
  std::vector<std::uint32_t> operations;
  std::vector<std::uint32_t> parents;
};

struct plan {
  enum class kind : std::uint8_t { random_walk, uniform_walk, pct, delays };
  kind how = kind::random_walk;
  std::uint32_t depth = 0;            ///< of pct
  std::uint32_t length = 0;           ///< of pct: among how many choices the priorities change
  std::uint64_t base_seed = 0;        ///< of uniform_walk: of the round-robin schedule that gave `expected`
  census expected;
  std::vector<std::uint32_t> delays;  ///< the choices at which the one whose turn it is has to wait, ascending
  std::uint64_t seed = 0;             ///< of this plan, for draws too
  std::size_t steps = 0;
};

std::unique_ptr<strategy> make_strategy(const plan& p);

class planner {
 public:
  explicit planner(const explore_options& o) noexcept : options_(o) {}
  /// The plan of the next schedule. The first is round-robin in every strategy that builds upon it.
  plan next();
  /// How many choices the last one had, and what its members did.
  void learn(std::size_t choices, const census& members);

 private:
  plan::kind kind_of(std::size_t number) noexcept;
  void next_delays();

  explore_options options_;
  std::size_t made_ = 0;
  std::uint32_t longest_ = 1;
  std::uint32_t pct_depth_ = 0;
  census expected_;
  std::uint32_t base_length_ = 0;  ///< choices of the schedule without delays
  bool last_was_base_ = false;
  std::vector<std::uint32_t> delays_;
};

/// The round-robin schedule that a plan of uniform_walk builds upon.
plan base_of(const plan& p);

/// "<how>:<parameters>:<seed>:<steps>", and back; throws std::invalid_argument.
std::string to_text(const plan& p);
plan plan_of(std::span<const std::string_view> fields);

}  // namespace runnel::inline RUNNEL_ABI::detail::explorer
