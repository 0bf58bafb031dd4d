#include "queue_urcu.hpp"

#include "queue_cases.hpp"

int main(int argc, char** argv) {
  using namespace bench::lockfree;
  return run(argc, argv, "urcu", {queue_cases<urcu_queues>::all()});
}
