#include "testing/explore/strategy.hpp"

#include <algorithm>
#include <charconv>

namespace runnel::inline RUNNEL_ABI::detail::explorer {

namespace {

/// Uniform among the fibers; the clock is as likely as a quarter of one, or time-outs would be all that ever happens.
class random_walk final : public strategy {
 public:
  explicit random_walk(std::uint64_t seed) noexcept : random_(seed) {}
  std::size_t pick(const choice& c) override {
    const bool clock = c.candidates.front() == clock_number;
    const auto n = static_cast<std::uint32_t>(c.candidates.size());
    if (!clock) return random_.below(n);
    const std::uint32_t r = random_.below(4 * (n - 1) + 1);
    return r == 0 ? 0 : 1 + (r - 1) / 4;
  }

 private:
  generator random_;
};

/// Every member as likely as it and those that it will start have operations left, as far as the first schedule tells: so
/// each interleaving of given sequences is as likely as every other, where a plain walk prefers those in which all advance
/// alike.
class uniform_walk final : public strategy {
 public:
  uniform_walk(std::uint64_t seed, const census& expected)
      : random_(seed), parents_(expected.parents), whole_(expected.operations), left_(whole_) {
    for (std::size_t n = whole_.size(); n > 1; --n) {  // members come after their parents
      whole_[parents_[n - 1]] += whole_[n - 1];
      left_[parents_[n - 1]] += whole_[n - 1];
    }
  }
  std::size_t pick(const choice& c) override {
    for (; seen_ < c.candidates.back(); ++seen_) note_started(seen_ + 1);
    std::uint32_t sum = 0;
    for (std::uint32_t n : c.candidates) sum += weight(n);
    std::uint32_t r = random_.below(sum);
    std::size_t i = 0;
    for (; r >= weight(c.candidates[i]); ++i) r -= weight(c.candidates[i]);
    std::uint32_t& left = left_[c.candidates[i]];
    if (left > 1) --left;
    return i;
  }

 private:
  void note_started(std::uint32_t n) {
    if (n >= left_.size()) {
      left_.resize(n + 1, 1);
    } else if (n < parents_.size()) {
      std::uint32_t& parent = left_[parents_[n]];
      parent = parent > whole_[n] ? parent - whole_[n] : 1;
    }
  }
  std::uint32_t weight(std::uint32_t n) const noexcept { return n == clock_number ? 1 : std::max(left_[n], std::uint32_t{1}); }

  generator random_;
  std::vector<std::uint32_t> parents_;
  std::vector<std::uint32_t> whole_;  ///< of a member and all below it
  std::vector<std::uint32_t> left_;   ///< of a member and those below it that have not started
  std::uint32_t seen_ = 0;
};

/// The highest priority runs. At depth - 1 random choices the one who would run falls below everybody; so does who yields.
/// The clock gets a new priority whenever it has moved: a ticker would starve all others.
class pct final : public strategy {
 public:
  pct(std::uint64_t seed, std::uint32_t depth, std::uint32_t length) : random_(seed) {
    for (std::uint32_t i = 1; i < depth; ++i) changes_.push_back(random_.below(length));
  }
  std::size_t pick(const choice& c) override {
    for (std::uint32_t n : c.candidates) priority(n);
    if (c.last_prefers_others) demote(c.last);
    const std::size_t at = seen_++;
    std::size_t chosen = highest(c);
    if (std::find(changes_.begin(), changes_.end(), at) != changes_.end()) {
      demote(c.candidates[chosen]);
      chosen = highest(c);
    }
    if (c.candidates[chosen] == clock_number) priorities_[clock_number] = first_priority + random_.next() / 2;
    return chosen;
  }

 private:
  static constexpr std::uint64_t first_priority = std::uint64_t{1} << 32;  // below it: who was demoted
  std::uint64_t priority(std::uint32_t n) {
    while (priorities_.size() <= n) priorities_.push_back(first_priority + random_.next() / 2);
    return priorities_[n];
  }
  void demote(std::uint32_t n) {
    if (n < priorities_.size()) priorities_[n] = --lowest_;
  }
  std::size_t highest(const choice& c) {
    const auto best = std::max_element(c.candidates.begin(), c.candidates.end(),
                                       [this](std::uint32_t a, std::uint32_t b) { return priorities_[a] < priorities_[b]; });
    return static_cast<std::size_t>(best - c.candidates.begin());
  }

  generator random_;
  std::vector<std::size_t> changes_;
  std::vector<std::uint64_t> priorities_;
  std::uint64_t lowest_ = first_priority;
  std::size_t seen_ = 0;
};

/// Who has the turn keeps it while it can; then the next by number, the clock last. Each delay passes one over.
class round_robin final : public strategy {
 public:
  explicit round_robin(std::vector<std::uint32_t> delays) : delays_(std::move(delays)) {}
  std::size_t pick(const choice& c) override {
    const std::size_t n = c.candidates.size(), fibers = c.candidates.front() == clock_number ? 1 : 0;
    const auto passed = static_cast<std::size_t>(std::count(delays_.begin(), delays_.end(), seen_++));
    // In order of preference: the members from the last one on, in a circle; then the clock.
    const std::uint32_t from = c.last + (c.last_prefers_others ? 1 : 0);
    const auto begin = c.candidates.begin() + static_cast<std::ptrdiff_t>(fibers);
    const auto first = static_cast<std::size_t>(std::lower_bound(begin, c.candidates.end(), from) - begin);
    const std::size_t place = passed % n, members = n - fibers;
    if (place == members) return 0;
    return fibers + (first + place) % members;
  }

 private:
  std::vector<std::uint32_t> delays_;
  std::uint32_t seen_ = 0;
};

std::uint64_t mixed(std::uint64_t seed, std::uint64_t number) noexcept {
  generator g(seed * 0x9E3779B97F4A7C15ull + number);
  return g.next();
}

std::string in_base_36(std::uint64_t n) {
  char digits[16];
  return std::string(digits, std::to_chars(digits, digits + sizeof digits, n, 36).ptr);
}

template <class T>
T number_of(std::string_view text, int base = 10) {
  T v{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v, base);
  if (error != std::errc{} || end != text.data() + text.size())
    throw std::invalid_argument("runnel::replay: \"" + std::string(text) + "\" is no number of a token");
  return v;
}

}  // namespace

std::unique_ptr<strategy> make_strategy(const plan& p) {
  switch (p.how) {
    case plan::kind::random_walk: return std::make_unique<random_walk>(p.seed);
    case plan::kind::uniform_walk: return std::make_unique<uniform_walk>(p.seed, p.expected);
    case plan::kind::pct: return std::make_unique<pct>(p.seed, p.depth, p.length);
    case plan::kind::delays: break;
  }
  return std::make_unique<round_robin>(p.delays);
}

plan::kind planner::kind_of(std::size_t number) noexcept {
  switch (options_.strategy) {
    case explore_strategy::random_walk: return plan::kind::random_walk;
    case explore_strategy::uniform_walk: return number == 0 ? plan::kind::delays : plan::kind::uniform_walk;
    case explore_strategy::pct: return plan::kind::pct;
    case explore_strategy::delay_bounding: return plan::kind::delays;
    case explore_strategy::portfolio: break;
  }
  constexpr plan::kind turns[] = {plan::kind::delays, plan::kind::random_walk, plan::kind::pct, plan::kind::uniform_walk,
                                  plan::kind::pct};
  return turns[number % std::size(turns)];
}

plan planner::next() {
  plan p;
  p.how = kind_of(made_);
  p.seed = mixed(options_.seed, made_);
  p.steps = options_.steps;
  last_was_base_ = false;
  if (p.how == plan::kind::pct) {
    p.depth = 1 + pct_depth_++ % 3;
    p.length = longest_;
  } else if (p.how == plan::kind::uniform_walk) {
    p.base_seed = mixed(options_.seed, 0);
    p.expected = expected_;
  } else if (p.how == plan::kind::delays) {
    last_was_base_ = base_length_ == 0;
    if (!last_was_base_) next_delays();
    p.delays = delays_;
  }
  ++made_;
  return p;
}

void planner::learn(std::size_t choices, const census& members) {
  if (made_ == 1) expected_ = members;
  const auto n = static_cast<std::uint32_t>(std::min<std::size_t>(choices, std::numeric_limits<std::uint32_t>::max()));
  longest_ = std::max(longest_, n);
  if (last_was_base_) base_length_ = std::max(n, std::uint32_t{1});
}

/// All ascending sequences of one place, then all of two, and so on.
void planner::next_delays() {
  for (std::size_t i = delays_.size(); i > 0; --i) {
    if (delays_[i - 1] + 1 >= base_length_) continue;
    const std::uint32_t place = delays_[i - 1] + 1;
    std::fill(delays_.begin() + static_cast<std::ptrdiff_t>(i) - 1, delays_.end(), place);
    return;
  }
  delays_.assign(delays_.size() + 1, 0);
}

plan base_of(const plan& p) {
  plan base;
  base.how = plan::kind::delays;
  base.seed = p.base_seed;
  base.steps = p.steps;
  return base;
}

std::string to_text(const plan& p) {
  std::string s;
  switch (p.how) {
    case plan::kind::random_walk: s = "w:"; break;
    case plan::kind::uniform_walk: s = "u:" + in_base_36(p.base_seed); break;
    case plan::kind::pct: s = "p:" + std::to_string(p.depth) + "." + std::to_string(p.length); break;
    case plan::kind::delays:
      s = "d:";
      for (std::uint32_t d : p.delays) s += std::to_string(d) + ".";
      break;
  }
  return s + ":" + in_base_36(p.seed) + ":" + std::to_string(p.steps);
}

plan plan_of(std::span<const std::string_view> fields) {
  plan p;
  p.seed = number_of<std::uint64_t>(fields[2], 36);
  p.steps = number_of<std::size_t>(fields[3]);
  if (fields[0] == "u") {
    p.how = plan::kind::uniform_walk;
    p.base_seed = number_of<std::uint64_t>(fields[1], 36);
    return p;
  }
  std::vector<std::uint32_t> parameters;
  for (std::string_view rest = fields[1]; !rest.empty();) {
    const std::size_t dot = std::min(rest.find('.'), rest.size());
    parameters.push_back(number_of<std::uint32_t>(rest.substr(0, dot)));
    rest.remove_prefix(std::min(dot + 1, rest.size()));
  }
  if (fields[0] == "p" && parameters.size() == 2) {
    p.how = plan::kind::pct;
    p.depth = parameters[0];
    p.length = parameters[1];
  } else if (fields[0] == "d") {
    p.how = plan::kind::delays;
    p.delays = parameters;
  } else if (fields[0] != "w" || !parameters.empty()) {
    throw std::invalid_argument("runnel::replay: the token names no strategy of this version");
  }
  return p;
}

}  // namespace runnel::inline RUNNEL_ABI::detail::explorer
