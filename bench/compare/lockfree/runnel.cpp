#include "deque_runnel.hpp"
#include "queue_runnel.hpp"
#include "stack_runnel.hpp"

#include "deque_cases.hpp"
#include "queue_cases.hpp"
#include "stack_cases.hpp"

int main(int argc, char** argv) {
  using namespace bench::lockfree;
  return run(argc, argv, "runnel", {deque_cases<runnel_deque>::all(), queue_cases<runnel_queues>::all(), stack_cases<runnel_stack>::all()});
}
