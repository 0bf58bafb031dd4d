#include <runnel/detail/queue_cell.hpp>

#include <runnel/error.hpp>

#include <limits>
#include <stdexcept>
#include <string>

namespace runnel::inline RUNNEL_ABI::detail {

std::size_t checked_capacity(const char* queue, std::size_t capacity, std::size_t bytes) {
  if (capacity == 0)
    throw misuse(std::string(queue) + ": a capacity of 0 holds nothing: ask for 1 or more, or for a channel");
  // One cell more than the capacity, and memory of at most half of the addresses.
  if (capacity >= static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max()) / bytes - 1)
    throw std::length_error(std::string(queue) + ": a capacity of " + std::to_string(capacity) + " elements of " +
                            std::to_string(bytes) + " bytes is more than memory has room for");
  return capacity;
}

}  // namespace runnel::inline RUNNEL_ABI::detail
