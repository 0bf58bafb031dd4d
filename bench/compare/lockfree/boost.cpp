#include "queue_boost.hpp"
#include "stack_boost.hpp"

#include "queue_cases.hpp"
#include "stack_cases.hpp"

int main(int argc, char** argv) {
  using namespace bench::lockfree;
  return run(argc, argv, "boost", {queue_cases<boost_queues>::all(), stack_cases<boost_stack>::all()});
}
