// expect: deleted
#include <runnel/context.hpp>

// A copy would be another key.
constexpr runnel::context_key<int> original;
#ifndef RUNNEL_NEGATIVE_CONTROL
constexpr runnel::context_key<int> copy = original;
#endif

const int* width(const runnel::context& ctx) { return ctx.value(original); }
