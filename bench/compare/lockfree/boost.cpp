#include "queue_boost.hpp"

#include "queue_cases.hpp"

int main(int argc, char** argv) {
  using namespace bench::lockfree;
  return run(argc, argv, "boost", {queue_cases<boost_queues>::all()});
}
