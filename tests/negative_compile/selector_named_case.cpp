// expect: takes the case itself
#include <runnel/select.hpp>

void offers(runnel::selector& many, const runnel::channel<int>& numbers) {
#ifndef RUNNEL_NEGATIVE_CONTROL
  auto named = runnel::on_receive(numbers);
  many.add(named);
#endif
  many.add(runnel::on_receive(numbers));
}
