// What every fiber is doing, in words.
#pragma once

#include <runnel/base/abi.hpp>

#include <string>

namespace runnel::inline RUNNEL_ABI::sched {

class world;

/// A heading and one line a fiber, of one bubble where it is given: id, name, state, what it waits for, where it was
/// started.
std::string describe_fibers(const char* heading, const world* of = nullptr);

/// "fiber 7 \"reader\" started at file:line", or "thread".
std::string describe_caller();

}  // namespace runnel::inline RUNNEL_ABI::sched
