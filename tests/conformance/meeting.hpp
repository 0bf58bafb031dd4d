// Lets parties begin a race at the same moment.
#pragma once

#include <runnel/go.hpp>

#include <atomic>

namespace runnel::test {

class meeting {
 public:
  explicit meeting(int parties) noexcept : missing_(parties) {}
  meeting(const meeting&) = delete;
  meeting& operator=(const meeting&) = delete;
  void arrive() {
    --missing_;
    while (missing_ > 0) yield();
  }

 private:
  std::atomic<int> missing_;
};

}  // namespace runnel::test
