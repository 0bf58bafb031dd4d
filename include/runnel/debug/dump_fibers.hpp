// What every fiber is doing: name, state, what it waits for, where it was started.
#pragma once

#include <runnel/base/abi.hpp>

#include <cstdio>
#include <string>

namespace runnel::inline RUNNEL_ABI {

/// One line a fiber; those that run meanwhile may be described as they were a moment ago.
/// - blocks: never
/// - cancel: ignores
/// - threads: any
std::string fiber_report();
/// Writes fiber_report() to the stream.
void dump_fibers(std::FILE* out = stderr);

}  // namespace runnel::inline RUNNEL_ABI
