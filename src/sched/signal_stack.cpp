#include "sched/signal_stack.hpp"

#include "sched/fiber_pool.hpp"
#include "sched/worker.hpp"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

namespace runnel::inline RUNNEL_ABI::sched {

namespace {

struct sigaction previous_segv;
struct sigaction previous_bus;

/// Async-signal-safe text on stderr.
class text {
 public:
  text& operator<<(const char* s) noexcept {
    while (*s && n_ < sizeof buffer_) buffer_[n_++] = *s++;
    return *this;
  }
  text& operator<<(std::uint64_t v) noexcept {
    char digits[24];
    std::size_t k = sizeof digits;
    digits[--k] = '\0';
    do {
      digits[--k] = static_cast<char>('0' + v % 10);
      v /= 10;
    } while (v);
    return *this << &digits[k];
  }
  ~text() { [[maybe_unused]] auto r = write(STDERR_FILENO, buffer_, n_); }

 private:
  char buffer_[512];
  std::size_t n_ = 0;
};

/// The running fiber, if the address lies in the guard below its stack.
fiber* overflown(const void* address) noexcept {
  worker* w = this_worker();
  fiber* f = w ? w->running() : nullptr;
  if (!f) return nullptr;
  const auto* p = static_cast<const std::byte*>(address);
  return p < f->stack_bottom() && p >= f->stack_top - stack_bytes(f->size_class) ? f : nullptr;
}

const char* remedy(stack_class c) noexcept {
  switch (c) {
    case stack_class::small: return "give it a larger class: task_options{.stack = stack_class::standard}";
    case stack_class::standard: return "give it a larger class: task_options{.stack = stack_class::large}";
    case stack_class::large: return "give it a larger class: task_options{.stack = stack_class::huge}";
    case stack_class::huge: break;
  }
  return "this is the largest class: look for a recursion without end";
}

[[noreturn]] void report_overflow(const fiber& f) noexcept {
  const fiber_label::text who = f.label.read();
  text() << "runnel: fatal: stack overflow in fiber " << who.id << (who.name[0] ? " \"" : "") << who.name
         << (who.name[0] ? "\"" : "") << ", started at " << who.file << ":" << std::uint64_t{who.line} << ", stack "
         << std::uint64_t{stack_bytes(f.size_class)} << " bytes; " << remedy(f.size_class) << "\n";
  signal(SIGABRT, SIG_DFL);
  abort();
}

void on_fault(int signo, siginfo_t* info, void* context) noexcept {
  if (const fiber* f = overflown(info->si_addr)) report_overflow(*f);
  hand_on_fault(signo == SIGSEGV ? previous_segv : previous_bus, signo, info, context);
}

}  // namespace

void hand_on_fault(const struct sigaction& before, int signo, siginfo_t* info, void* context) noexcept {
  if (before.sa_flags & SA_SIGINFO) {
    before.sa_sigaction(signo, info, context);
  } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
    before.sa_handler(signo);
  } else {
    signal(signo, SIG_DFL);  // the faulting instruction runs again and ends the process
  }
}

void check_stack(const fiber& f) noexcept {
  if (detail::used_up(f.stack_bottom(), __builtin_frame_address(0))) report_overflow(f);
}

void install_overflow_report() noexcept {
  static const bool installed = [] {
    struct sigaction a;
    std::memset(&a, 0, sizeof a);
    a.sa_sigaction = &on_fault;
    a.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&a.sa_mask);
    sigaction(SIGSEGV, &a, &previous_segv);
    sigaction(SIGBUS, &a, &previous_bus);
    return true;
  }();
  static_cast<void>(installed);
}

signal_stack::signal_stack() noexcept {
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return;
  memory_ = p;
  stack_t s{};
  s.ss_sp = p;
  s.ss_size = bytes;
  sigaltstack(&s, nullptr);
}

signal_stack::~signal_stack() {
  if (!memory_) return;
  stack_t s{};
  s.ss_flags = SS_DISABLE;
  sigaltstack(&s, nullptr);
  munmap(memory_, bytes);
}

}  // namespace runnel::inline RUNNEL_ABI::sched
