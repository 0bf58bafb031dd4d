// What explored tests share: a requirement that ends a schedule as failed, a law that holds in many schedules, and programs that
// are known to be wrong or right.
#pragma once

#include <runnel/testing/explore.hpp>

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdlib>
#include <stdexcept>

namespace runnel::test {

/// As many schedules, under sanitizers fewer.
inline std::size_t scaled(std::size_t n) {
  const char* text = std::getenv("RUNNEL_TEST_SCALE");
  const std::size_t scale = text ? std::strtoul(text, nullptr, 10) : 1;
  return scale > 1 ? n / scale : n;
}

inline void require(bool condition, const char* what) {
  if (!condition) throw std::runtime_error(what);
}

template <class F>
void holds_in(std::size_t schedules, F body) {
  const auto r = explore({.schedules = scaled(schedules)}, body);
  EXPECT_FALSE(r.failed) << r.trace;
}

/// Explores a program that is wrong: it is found as `v`, and its token leads there again.
template <class F>
explore_result found(verdict v, F body, explore_options options = {}) {
  const explore_result r = explore(options, body);
  EXPECT_TRUE(r.failed) << "nothing found in " << r.schedules << " schedules";
  EXPECT_EQ(r.verdict, v) << r.trace;
  if (!r.failed) return r;
  EXPECT_EQ(r.token.substr(0, 4), "rn1:");
  EXPECT_NE(r.trace.find(r.token), std::string::npos);
  for (int i = 0; i < 2; ++i) {
    try {
      replay(r.token, body);
      ADD_FAILURE() << "replay returned";
    } catch (const replay_diverged& e) {
      ADD_FAILURE() << e.what() << "\n" << r.trace;
    } catch (const explored_failure& e) {
      EXPECT_EQ(e.verdict(), v);
    } catch (const std::exception&) {
      EXPECT_TRUE(v == verdict::exception || v == verdict::misuse);
    }
  }
  return r;
}

/// Explores a program that is right.
template <class F>
void correct(F body, explore_options options = {}) {
  const explore_result r = explore(options, body);
  EXPECT_FALSE(r.failed) << r.trace;
  EXPECT_EQ(r.verdict, verdict::ok);
  EXPECT_EQ(r.schedules, options.schedules);
  EXPECT_TRUE(r.token.empty());
}

}  // namespace runnel::test
