// What explored tests share: a requirement that ends a schedule as failed, and a law that holds in many schedules.
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

}  // namespace runnel::test
