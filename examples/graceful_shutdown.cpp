// A server under load that shuts down in order: on 127.0.0.1, with so many handlers at a time and a deadline for the
// end. And the naive one, which leaves its handlers behind.
#include <runnel/fd.hpp>
#include <runnel/patterns/serve.hpp>
#include <runnel/runnel.hpp>
#include <runnel/sync/event.hpp>
#include <runnel/testing/bubble.hpp>

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
std::string ask(std::uint16_t port, const std::string& question) {
  const runnel::connection c(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in to{AF_INET, htons(port), {htonl(INADDR_LOOPBACK)}, {}};
  if (::connect(c.fd(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) return "not connected";
  send(c, question);
  return receive(c);
}

/// The server as an object: what its handlers use stands before it, its end is the end of them all.
class greeter {
 public:
  std::uint16_t port() const { return port_; }
  bool kept_its_limit() const { return !exceeded_; }
  bool only_the_slow_are_left() const { return slow_ == 2 && server_.counters().active == 2; }
  void stop() { server_.stop(); }
  runnel::shutdown_report shutdown(runnel::duration limit) { return server_.shutdown(limit); }
  runnel::event closing;

 private:
  void handle(const runnel::connection& c) {
    if (++running_ > 4) exceeded_ = true;
    const std::string name = receive(c);
    slow_ += name == "patient" || name == "endless";
    if (name == "patient") closing.wait();         // has work to finish
    if (name == "endless") runnel::sleep_for(1h);  // would never come to an end
    --running_;
    send(c, "hello " + name);
  }
  std::atomic<int> running_{0}, slow_{0};
  std::atomic<bool> exceeded_{false};
  runnel::listener listener_ = runnel::listener::loopback();
  std::uint16_t port_ = listener_.port();
  runnel::server server_ = runnel::serve(std::move(listener_), [this](const auto& c) { handle(c); }, {.limit = 4});
};

/// What is written first: a fiber for each request, and nobody who waits for it.
void naive() {
  auto requests = runnel::make_channel<std::string>();
  runnel::go_detached([rx = std::move(requests.rx)] {
    while (rx.receive()) runnel::go_detached({.name = "handler"}, [] { runnel::sleep_for(1h); });
  });
  for (const char* name : {"ann", "bob"}) requests.tx.send(name);
}
}  // namespace

int main() {
  try {
    runnel::bubble(naive);
  } catch (const runnel::bubble_error& e) {
    const bool named = std::string(e.what()).find("\"handler\": parked in sleep") != std::string::npos;
    std::printf("naive: %s\n", named ? "handlers were left in sleep" : e.what());
  }
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
  });
}
