// expect: no matching|constraint
#include <runnel/patterns/cache.hpp>

#include <string>

std::string loads(runnel::cache<int, std::string>& c) {
#ifdef RUNNEL_NEGATIVE_CONTROL
  return c.get_or_load(1, [] { return "text"; });
#else
  return c.get_or_load(1, [] { return std::size_t{1}; });
#endif
}
