#include "deque_std.hpp"
#include "queue_std.hpp"
#include "stack_std.hpp"

#include "deque_cases.hpp"
#include "queue_cases.hpp"
#include "stack_cases.hpp"

int main(int argc, char** argv) {
  using namespace bench::lockfree;
  return run(argc, argv, "std", {deque_cases<std_deque>::all(), queue_cases<std_queues>::all(), stack_cases<std_stack>::all()});
}
