// A client of a server on 127.0.0.1 that is busy, hangs up, or says nothing: it waits so long for an answer, tries
// again after a while, and does not ask too often. And the naive one.
#include <runnel/debug/dump_fibers.hpp>
#include <runnel/fd.hpp>
#include <runnel/patterns/rate_limiter.hpp>
#include <runnel/patterns/retry.hpp>
#include <runnel/patterns/serve.hpp>
#include <runnel/runnel.hpp>

#include <atomic>
#include <cstdio>
#include <string>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace std::chrono_literals;

namespace {
/// What the other side sends next; empty when it has hung up. Messages are so short that they come whole.
std::string receive(const runnel::connection& c) {
  runnel::wait_readable(c.fd());
  char text[64];
  const ssize_t n = ::read(c.fd(), text, sizeof text);
  return {text, n > 0 ? static_cast<std::size_t>(n) : 0};
}
void send(const runnel::connection& c, const std::string& text) {
  static_cast<void>(::send(c.fd(), text.data(), text.size(), MSG_NOSIGNAL));  // who has hung up needs no answer
}

class flaky_server {
 public:
  std::uint16_t port() const { return port_; }

 private:
  void handle(const runnel::connection& c) {
    const std::string question = receive(c);
    const int n = ++requests_;
    if (n <= 2) {
      receive(c);  // says nothing until the other side hangs up
    } else if (n % 3 != 0) {  // else it hangs up itself
      send(c, n % 3 == 1 ? "busy" : question + " is 42");
    }
  }
  std::atomic<int> requests_{0};
  runnel::listener listener_ = runnel::listener::loopback();
  std::uint16_t port_ = listener_.port();
  runnel::server server_ = runnel::serve(std::move(listener_), [this](runnel::connection c) { handle(c); });
};

struct unavailable {};
std::string ask(std::uint16_t port, const std::string& question) {
  const runnel::connection c(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in to{AF_INET, htons(port), {htonl(INADDR_LOOPBACK)}, {}};
  if (::connect(c.fd(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) throw unavailable();
  send(c, question);
  const std::string answer = receive(c);
  return answer.empty() || answer == "busy" ? throw unavailable() : answer;
}

/// What is written first: no limit for an answer, no pause, no end.
std::string naive(std::uint16_t port, const std::string& question) {
  for (;;) {
    try { return ask(port, question); } catch (const unavailable&) {}
  }
}

void twenty_questions(std::uint16_t port) {
  const runnel::retry_policy policy{.attempt_timeout = 250ms, .delay = 2ms, .max_delay = 50ms};
  runnel::rate_limiter limiter(runnel::rate::per_second(1000), 1);
  std::atomic<int> asked{0}, answered{0};
  const auto start = runnel::steady_clock::now();
  runnel::with_task_group([&](runnel::task_group& group) {
    for (int i = 0; i < 20; ++i)
      group.go([&, question = std::to_string(i)] {
        answered += question + " is 42" == runnel::retry(policy, [&] {
          limiter.wait();
          ++asked;
          return ask(port, question);
        });
      });
  });
  const bool paced = runnel::steady_clock::now() - start >= (asked - 1) * 1ms;  // one each millisecond
  std::printf("%d answers%s%s\n", answered.load(), asked > 20 ? ", tried again" : "", paced ? ", paced" : "");
}
}  // namespace

int main() {
  return runnel::run([] {
    const flaky_server server;
    {
      auto waits = runnel::go({.name = "naive"}, [&] { naive(server.port(), "?"); });
      while (runnel::fiber_report().find("\"naive\": parked in readable") == std::string::npos) runnel::yield();
      std::puts("naive: parked in readable descriptor, and nothing ends it");
    }  // but who has started it
    twenty_questions(server.port());
  });
}
