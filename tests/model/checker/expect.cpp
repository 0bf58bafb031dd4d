#include "checker/expect.hpp"

namespace model {

void expect_passes(const result& r) {
  std::printf("           %llu executions (%llu discarded), %llu steps\n", static_cast<unsigned long long>(r.executions),
              static_cast<unsigned long long>(r.discarded), static_cast<unsigned long long>(r.steps));
  if (r.what != verdict::passed) ADD_FAILURE() << r.message;
}

void expect_fails(const result& r, const char* part) {
  if (r.what != verdict::failed) {
    ADD_FAILURE() << "nothing was found in " << r.executions << " executions " << r.message;
  } else if (r.message.find(part) == std::string::npos) {
    ADD_FAILURE() << "something else was found: " << r.message;
  }
}

}  // namespace model
