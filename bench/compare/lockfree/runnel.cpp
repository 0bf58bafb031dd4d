#include "queue_runnel.hpp"

#include "queue_cases.hpp"

int main(int argc, char** argv) {
  using namespace bench::lockfree;
  return run(argc, argv, "runnel", {queue_cases<runnel_queues>::all()});
}
