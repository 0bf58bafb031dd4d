// How many workers: what the scheduler of the kernel would let us use.
#include "sched/runtime.hpp"

#include <runnel/error.hpp>
#include <runnel/sched/stripe.hpp>

#include <sched.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

namespace runnel::inline RUNNEL_ABI::sched {

namespace {

unsigned from_affinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(1u, static_cast<unsigned>(CPU_COUNT(&set)));
}

/// CPUs that quota / period allow, or 0 for no limit.
double quota_of(const std::string& directory) {
  std::ifstream v2(directory + "/cpu.max");
  std::string quota;
  double period = 0;
  if (v2 >> quota >> period && quota != "max" && period > 0) return std::strtod(quota.c_str(), nullptr) / period;
  std::ifstream v1q(directory + "/cpu.cfs_quota_us"), v1p(directory + "/cpu.cfs_period_us");
  double q = 0, p = 0;
  if (v1q >> q && v1p >> p && q > 0 && p > 0) return q / p;
  return 0;
}

/// Whether `cpu` is one of the controllers, which are separated by commas; not cpuset.
bool has_cpu(const std::string& controllers) { return ("," + controllers + ",").find(",cpu,") != std::string::npos; }

}  // namespace

double cpu_quota(const std::string& root) {
  std::ifstream self(root + "/proc/self/cgroup");
  double smallest = 0;
  for (std::string line; std::getline(self, line);) {  // number:controllers:path; version 2 has no controllers
    const auto first = line.find(':');
    const auto second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (!controllers.empty() && !has_cpu(controllers)) continue;
    std::string path = line.substr(second + 1);
    if (path == "/") path.clear();
    const std::string mount = root + "/sys/fs/cgroup";
    for (;;) {
      // Version 1 mounts the controllers together or has a link for each.
      for (const std::string& under : {controllers.empty() ? "" : "/" + controllers, std::string(controllers.empty() ? "" : "/cpu")}) {
        const double q = quota_of(mount + under + path);
        if (q > 0 && (smallest == 0 || q < smallest)) smallest = q;
      }
      const auto slash = path.rfind('/');
      if (slash == std::string::npos) break;
      path.resize(slash);
    }
  }
  return smallest;
}

unsigned automatic_width() {
  if (const char* text = std::getenv("RUNNEL_WORKERS")) {
    unsigned n = 0;
    const char* end = text + std::strlen(text);
    const auto r = std::from_chars(text, end, n);
    if (r.ec != std::errc() || r.ptr != end || n == 0 || n > runtime::max_workers)
      throw misuse("RUNNEL_WORKERS=\"" + std::string(text) + "\": give a whole number from 1 to 256");
    return n;
  }
  return workers_for(from_affinity(), cpu_quota(""));
}

unsigned workers_for(unsigned processors, double quota) {
  const unsigned n = std::min(processors, runtime::max_workers);
  if (quota <= 0 || quota >= n) return n;
  // At least two: with one worker a single long-running fiber would stop everything else.
  return std::min(n, std::max(2u, static_cast<unsigned>(std::ceil(quota))));
}

unsigned stripe_count() noexcept {
  static const unsigned count = std::bit_ceil(std::clamp(from_affinity(), 2u, 64u));
  return count;
}

}  // namespace runnel::inline RUNNEL_ABI::sched
