#include "queue_std.hpp"

#include "queue_cases.hpp"

int main(int argc, char** argv) {
  using namespace bench::lockfree;
  return run(argc, argv, "std", {queue_cases<std_queues>::all()});
}
