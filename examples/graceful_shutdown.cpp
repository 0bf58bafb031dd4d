// A server under load that shuts down in order: on 127.0.0.1, with so many handlers at a time and a deadline for the end.
#include <runnel/fd.hpp>
#include <runnel/patterns/serve.hpp>
#include <runnel/runnel.hpp>
#include <runnel/sync/event.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <string>
#include <system_error>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace std::chrono_literals;

namespace {
/// One line, or what there is before the other side closes.
std::string read_line(const runnel::connection& c) {
  std::string line;
  for (char next = 0; next != '\n';) {
    const ssize_t n = ::read(c.fd(), &next, 1);
    if (n == 0) break;
    if (n == 1) line += next;
    if (n < 0 && errno != EAGAIN) throw std::system_error(errno, std::generic_category(), "read");
    if (n < 0) runnel::wait_readable(c.fd());
  }
  return line.substr(0, line.find('\n'));
}
void write_line(const runnel::connection& c, const std::string& line) {
  static_cast<void>(::send(c.fd(), (line + '\n').data(), line.size() + 1, MSG_NOSIGNAL));  // short: it fits
}

std::string ask(std::uint16_t port, const std::string& question) {
  const runnel::connection c(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(c.fd(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) return "refused";
  write_line(c, question);
  runnel::wait_readable(c.fd());
  return read_line(c);
}

/// The server as an object: what its handlers use stands before it, its end is the end of them all.
class greeter {
 public:
  std::uint16_t port() const { return port_; }
  bool kept_its_limit() const { return most_ <= 4; }
  bool only_the_slow_are_left() const { return slow_ == 2 && server_.counters().active == 2; }
  runnel::event closing;

  runnel::shutdown_report shutdown(runnel::duration limit) { return server_.shutdown(limit); }
  void stop() { server_.stop(); }

 private:
  void handle(const runnel::connection& c) {
    const int now = ++running_;
    for (int seen = most_; seen < now && !most_.compare_exchange_weak(seen, now);) {
    }
    const std::string name = read_line(c);
    slow_ += name == "patient" || name == "endless";
    if (name == "patient") closing.wait();        // has work to finish
    if (name == "endless") runnel::sleep_for(1h);  // would never come to an end
    --running_;
    write_line(c, "hello " + name);
  }

  std::atomic<int> running_{0}, most_{0}, slow_{0};
  runnel::listener listener_ = runnel::listener::loopback();
  std::uint16_t port_ = listener_.port();
  runnel::server server_ =
      runnel::serve(std::move(listener_), [this](runnel::connection c) { handle(c); }, {.limit = 4});
};
}  // namespace

int main() {
  return runnel::run([] {
    greeter g;
    std::atomic<int> answered{0};
    runnel::with_task_group({.limit = 20}, [&](runnel::task_group& clients) {
      for (int i = 0; i < 200; ++i) clients.go([&] { answered += ask(g.port(), "client") == "hello client"; });
    });
    std::printf("answered: %d, never more than 4 at a time: %s\n", answered.load(), g.kept_its_limit() ? "yes" : "no");
    auto patient = runnel::go([&] { return ask(g.port(), "patient"); });
    auto endless = runnel::go([&] { return ask(g.port(), "endless"); });
    while (!g.only_the_slow_are_left()) runnel::yield();
    g.stop();  // from now on nobody is accepted
    g.closing.set();
    std::printf("patient: %s\n", patient.get().c_str());
    const runnel::shutdown_report r = g.shutdown(1s);
    std::printf("drained: %zu, canceled: %zu, endless: \"%s\"\n", r.drained, r.canceled, endless.get().c_str());
    std::printf("afterwards: %s\n", ask(g.port(), "late").c_str());
  });
}
