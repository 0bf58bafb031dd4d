// Kernels and administrators that refuse things: locked memory, filters on system calls, limits on memory and descriptors.
// Each case is a process of its own.
#include "conformance/captured_stderr.hpp"
#include "faults/everything.hpp"
#include "fiber/sanitizer.hpp"
#include "fiber/stack_pool.hpp"
#include "support/fixture.hpp"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <string>
#include <system_error>

namespace runnel::test {
namespace {

using detail::guard_kind;

constexpr int fine = 0, wrong = 1, not_permitted = 77;

class kernel_death_test : public ::testing::Test {
 protected:
  kernel_death_test() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

/// Whether every slab mapped so far has guards of that kind.
bool guarded_by(guard_kind k) {
  if (detail::sanitizer::fresh_stacks) return true;  // none has stacks
  for (std::size_t i = 0; i < detail::slab_count(); ++i)
    if (detail::slab_at(i).guard != k) return false;
  return detail::slab_count() != 0;
}

int run_everything() {
  const hang_guard guard("everything");
  return run({.workers = 2}, [] { return everything_works() ? fine : wrong; });
}

// ---- locked memory -----------------------------------------------------------------------------------------------

/// Locked memory takes no MADV_GUARD_INSTALL and gives no page back.
int with_locked_memory() {
  if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) return not_permitted;
  const int r = run_everything();
  return r == fine && !guarded_by(guard_kind::mapping) ? 2 : r;
}

TEST_F(kernel_death_test, locked_memory) {
  if (sanitized) GTEST_SKIP() << "would lock the sanitizer's terabytes of shadow";
  rlimit memory{};
  getrlimit(RLIMIT_MEMLOCK, &memory);
  if (geteuid() != 0 && memory.rlim_cur != RLIM_INFINITY)
    GTEST_SKIP() << "this user may lock only " << memory.rlim_cur << " bytes";
  EXPECT_EXIT(std::exit(with_locked_memory()), ::testing::ExitedWithCode(fine), "");
}

// ---- filters on system calls -------------------------------------------------------------------------------------

#if defined(__x86_64__)
constexpr std::uint32_t own_arch = AUDIT_ARCH_X86_64;
#else
constexpr std::uint32_t own_arch = AUDIT_ARCH_AARCH64;
#endif

/// From now on membarrier, epoll_pwait2 and every advice to the kernel from MADV_COLD on fail.
bool forbid_what_is_new(int error) {
  constexpr std::uint16_t load = BPF_LD | BPF_W | BPF_ABS, equal = BPF_JMP | BPF_JEQ | BPF_K,
                          at_least = BPF_JMP | BPF_JGE | BPF_K, leave = BPF_RET | BPF_K;
  const std::uint32_t fail = SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(error);
  sock_filter program[] = {
      {load, 0, 0, offsetof(seccomp_data, arch)},
      {equal, 0, 6, own_arch},
      {load, 0, 0, offsetof(seccomp_data, nr)},
      {equal, 5, 0, SYS_membarrier},
      {equal, 4, 0, SYS_epoll_pwait2},
      {equal, 0, 2, SYS_madvise},
      {load, 0, 0, offsetof(seccomp_data, args[2])},
      {at_least, 1, 0, 20},  // MADV_COLD
      {leave, 0, 0, SECCOMP_RET_ALLOW},
      {leave, 0, 0, fail},
  };
  const sock_fprog filter{std::size(program), program};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

int with_filter(int error) {
  if (!forbid_what_is_new(error)) return not_permitted;
  if (syscall(SYS_membarrier, 0, 0, 0) != -1 || errno != error) return 3;  // the filter does not do its work
  const int r = run_everything();
  return r == fine && !guarded_by(guard_kind::mapping) ? 2 : r;
}

/// Some containers let nobody filter further.
bool may_filter() {
  const pid_t child = fork();
  if (child == 0) _exit(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_GET_SECCOMP) >= 0 ? 0 : 1);
  int status = 1;
  waitpid(child, &status, 0);
  return status == 0;
}

class filter_death_test : public kernel_death_test, public ::testing::WithParamInterface<int> {};
INSTANTIATE_TEST_SUITE_P(errors, filter_death_test, ::testing::Values(EPERM, EINVAL, ENOSYS),
                         [](const auto& param_info) { return "errno_" + std::to_string(param_info.param); });

TEST_P(filter_death_test, new_system_calls_are_forbidden) {
  if (!may_filter()) GTEST_SKIP() << "seccomp is not there";
  EXPECT_EXIT(std::exit(with_filter(GetParam())), ::testing::ExitedWithCode(fine), "");
}

// ---- memory for stacks -------------------------------------------------------------------------------------------

rlim_t address_space() {
  std::ifstream statm("/proc/self/statm");
  rlim_t pages = 0;
  statm >> pages;
  return pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE));
}

/// Starts tasks until there is no memory for another stack, then with memory again.
int with_short_memory() {
  const hang_guard guard("short memory");
  return run({.workers = 2}, [] {
    constexpr int wanted = 64;
    const auto start = [](const channel<int>& gate, const std::shared_ptr<int>& token) {
      return go({.stack = stack_class::huge}, [&gate, token] { gate.receive(); });
    };
    rlimit before{};
    getrlimit(RLIMIT_AS, &before);
    const channel<int> gate;
    const auto token = std::make_shared<int>();
    std::vector<task<void>> all;
    all.reserve(2 * wanted);
    const rlimit tight{address_space() + (100u << 20), before.rlim_max};
    if (setrlimit(RLIMIT_AS, &tight) != 0) return not_permitted;
    bool failed = false;
    for (int i = 0; i < wanted && !failed; ++i) {
      try {
        all.push_back(start(gate, token));
      } catch (const std::bad_alloc&) {
        failed = true;
      }
    }
    if (!failed) return 2;
    if (token.use_count() != static_cast<long>(all.size()) + 1) return 3;  // the callable that was not started is gone
    for (int i = 0; i < 3; ++i) {  // and again
      try {
        all.push_back(start(gate, token));
        return 4;
      } catch (const std::bad_alloc&) {
      }
    }
    setrlimit(RLIMIT_AS, &before);
    for (int i = 0; i < wanted; ++i) all.push_back(start(gate, token));
    if (token.use_count() != static_cast<long>(all.size()) + 1) return 5;
    gate.close();
    for (auto& t : all) t.get();
    return everything_works() ? fine : wrong;
  });
}

TEST_F(kernel_death_test, no_memory_for_stacks) {
  if (sanitized) GTEST_SKIP() << "the sanitizer ends the process when its own mappings fail";
  EXPECT_EXIT(std::exit(with_short_memory()), ::testing::ExitedWithCode(fine), "^$");
}

// ---- threads and descriptors -------------------------------------------------------------------------------------

/// run() without memory for the stacks of its threads, then with it.
int without_threads() {
  const hang_guard guard("no threads");
  rlimit before{};
  getrlimit(RLIMIT_AS, &before);
  const rlimit tight{address_space() + (4u << 20), before.rlim_max};  // a thread's stack is 8 MiB
  if (setrlimit(RLIMIT_AS, &tight) != 0) return not_permitted;
  for (int i = 0; i < 3; ++i) {
    try {
      run({.workers = 4}, [] {});
      return 2;
    } catch (const std::system_error& e) {
      if (e.code() != std::errc::resource_unavailable_try_again) return 3;
    }
    if (stats().workers != 0) return 4;
  }
  setrlimit(RLIMIT_AS, &before);
  return run_everything();
}

TEST_F(kernel_death_test, no_memory_for_threads) {
  if (sanitized) GTEST_SKIP() << "the sanitizer ends the process when its own mappings fail";
  EXPECT_EXIT(std::exit(without_threads()), ::testing::ExitedWithCode(fine), "^$");
}

/// run() without descriptors for its poller, then with them.
int without_descriptors() {
  const hang_guard guard("no descriptors");
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit none{3, before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &none);
  for (int i = 0; i < 3; ++i) {
    try {
      run({.workers = 2}, [] {});
      return 2;
    } catch (const std::system_error& e) {
      if (e.code() != std::errc::too_many_files_open) return 3;
    }
  }
  setrlimit(RLIMIT_NOFILE, &before);
  return run_everything();
}

TEST_F(kernel_death_test, no_descriptors) {
  if (sanitized) GTEST_SKIP() << "UndefinedBehaviorSanitizer looks at memory through a pipe";
  EXPECT_EXIT(
      {
        for (int fd = 3; fd < 100; ++fd) close(fd);  // what the test's program has open below the limit is in the way
        std::exit(without_descriptors());
      },
      ::testing::ExitedWithCode(fine), "");
}

}  // namespace
}  // namespace runnel::test
