// expect: no matching function
#include <runnel/context.hpp>

#include <string>

static constexpr runnel::context_key<std::string> name;

runnel::context names(const runnel::context& parent) {
#ifndef RUNNEL_NEGATIVE_CONTROL
  return runnel::derive_value(parent, name, 1.5);
#endif
  return runnel::derive_value(parent, name, "main");
}
