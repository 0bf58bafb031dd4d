// How tests state what the checker must find.
#pragma once

#include "checker/model.hpp"

#include <gtest/gtest.h>

namespace model {

/// Everything within the bounds was tried and nothing failed. Prints the numbers.
void expect_passes(const result& r);
/// A failure was found whose message contains `part`.
void expect_fails(const result& r, const char* part);

}  // namespace model
