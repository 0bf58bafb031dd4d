// expect: a function that supplies the value
#include <runnel/select.hpp>

void offers(runnel::selector& many, const runnel::channel<int>& numbers) {
#ifndef RUNNEL_NEGATIVE_CONTROL
  many.add(runnel::on_send(numbers, 1));
#endif
  many.add(runnel::on_send(numbers, [] { return 1; }));
}
