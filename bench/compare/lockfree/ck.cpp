#include "queue_ck.hpp"

#include "queue_cases.hpp"

int main(int argc, char** argv) {
  using namespace bench::lockfree;
  return run(argc, argv, "ck", {queue_cases<ck_queues>::all()});
}
