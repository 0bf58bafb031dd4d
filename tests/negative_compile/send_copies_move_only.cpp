// expect: no matching (member )?function|cannot bind rvalue|deleted
#include <runnel/channel.hpp>

#include <memory>
#include <utility>

void sends(runnel::channel<std::unique_ptr<int>>& numbers, std::unique_ptr<int> number) {
#ifndef RUNNEL_NEGATIVE_CONTROL
  numbers.send(number);
#endif
  numbers.send(std::move(number));
}
