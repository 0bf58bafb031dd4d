// expect: give it by std::move
#include <runnel/patterns/pipeline.hpp>

#include <memory>
#include <vector>

void reads(std::vector<std::unique_ptr<int>> owned) {
#ifndef RUNNEL_NEGATIVE_CONTROL
  runnel::from(owned) | runnel::drain();
#else
  runnel::from(std::move(owned)) | runnel::drain();
#endif
}
