// What tools/check_tls.py must find, and what it must not: the three functions of runnel that touch
// thread-local storage, and nothing else.
#include <cerrno>
#include <utility>

namespace runnel::tls_known_bad {

struct type {};
static thread_local int counter = 0;

__attribute__((noinline)) int increments() { return ++counter; }

template <class T>
__attribute__((noinline)) std::pair<T, int> read_template(T value) {
  return {value, counter};
}

__attribute__((noinline)) void sets_errno(int (*callback)(int)) { errno = callback(1); }

__attribute__((noinline)) int innocent(int value) { return value + 1; }

}  // namespace runnel::tls_known_bad

namespace user {

static thread_local int counter = 0;

template <class T>
__attribute__((noinline)) int own_thread_local(T) {
  return ++counter;
}

}  // namespace user

int main(int argc, char**) {
  using namespace runnel::tls_known_bad;
  sets_errno(innocent);
  return increments() + read_template(argc).second + innocent(argc) + user::own_thread_local(type{}) + errno;
}
