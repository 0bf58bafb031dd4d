// A sequential stack and a sequential queue, for linearizability.hpp.
#pragma once

#include "linearizability.hpp"

#include <vector>

namespace runnel::test::history {

enum class order_of_elements { last_in_first_out, first_in_first_out };

template <order_of_elements Order>
struct sequence_model {
  enum class kind { push, pop };

  struct event {
    kind what = kind::push;
    int argument = 0;
    int result = 0;  ///< of a push: 1, or 0 for a full one; of a pop: the value, or `none`
    std::uint64_t called = 0, returned = 0;
  };

  int apply(const event& e) {
    if (e.what == kind::push) {
      if (elements.size() == capacity) return 0;
      elements.push_back(e.argument);
      return 1;
    }
    if (elements.empty()) return none;
    const auto at = Order == order_of_elements::last_in_first_out ? elements.end() - 1 : elements.begin();
    const int value = *at;
    elements.erase(at);
    return value;
  }
  auto operator<=>(const sequence_model&) const = default;

  /// Calls the operation on an object with try_pop(), and try_push() where it may be full, else push().
  template <class Sequence>
  static void execute(Sequence& s, event& e) {
    if (e.what == kind::pop) {
      e.result = s.try_pop().value_or(none);
    } else if constexpr (requires { s.try_push(int{}); }) {
      e.result = s.try_push(int{e.argument});
    } else {
      s.push(e.argument);
      e.result = 1;
    }
  }

  /// Pushes of different values, and pops.
  template <class Draw>
  static std::vector<event> random_events(std::size_t count, int first_value, Draw draw) {
    std::vector<event> events(count);
    for (event& e : events) {
      e.what = static_cast<kind>(draw(2u));
      e.argument = first_value++;
    }
    return events;
  }

  std::size_t capacity = ~std::size_t{0};
  std::vector<int> elements{};
};

using stack_model = sequence_model<order_of_elements::last_in_first_out>;
using queue_model = sequence_model<order_of_elements::first_in_first_out>;

}  // namespace runnel::test::history
