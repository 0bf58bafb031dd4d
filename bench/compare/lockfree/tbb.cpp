#include "queue_tbb.hpp"

#include "queue_cases.hpp"

int main(int argc, char** argv) {
  using namespace bench::lockfree;
  return run(argc, argv, "tbb", {queue_cases<tbb_queues>::all()});
}
