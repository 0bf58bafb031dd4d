// expect: must be callable with the message
#include <runnel/patterns/actor.hpp>

#include <string>
#include <variant>

struct counter {
  void operator()(int) {}
#ifdef RUNNEL_NEGATIVE_CONTROL
  void operator()(const std::string&) {}
#endif
};

void starts() { runnel::actor<std::variant<int, std::string>> a([] { return counter{}; }); }
