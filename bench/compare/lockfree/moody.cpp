#include "queue_moody.hpp"

#include "queue_cases.hpp"

int main(int argc, char** argv) {
  using namespace bench::lockfree;
  return run(argc, argv, "moody", {queue_cases<moody_queues>::all()});
}
