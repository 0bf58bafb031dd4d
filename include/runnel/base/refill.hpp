// Giving an optional its next value without assigning one: of what only has to be movable, as an element of a channel,
// assignment is not asked for (an entry of a map, a lambda, a struct with const members).
#pragma once

#include <runnel/base/abi.hpp>

#include <optional>
#include <utility>

namespace runnel::inline RUNNEL_ABI::detail {

template <class T>
void refill(std::optional<T>& o, std::optional<T>&& next) {
  o.reset();
  if (next) o.emplace(std::move(*next));
}

}  // namespace runnel::inline RUNNEL_ABI::detail
