#include <runnel/debug/dump_fibers.hpp>

#include "sched/report.hpp"

namespace runnel::inline RUNNEL_ABI {

std::string fiber_report() { return sched::describe_fibers("fibers"); }

void dump_fibers(std::FILE* out) {
  std::fputs(fiber_report().c_str(), out);
  std::fflush(out);
}

}  // namespace runnel::inline RUNNEL_ABI
