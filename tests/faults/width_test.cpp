// How many workers: processors, quotas of the cgroup, what the environment asks for; and far more of them than processors.
#include "faults/everything.hpp"
#include "sched/runtime.hpp"
#include "support/fixture.hpp"

#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

// ---- quotas ------------------------------------------------------------------------------------------------------

/// A directory that stands for the root of the file system.
class quota : public ::testing::Test {
 protected:
  quota() {
    char name[] = "/tmp/runnel_quota_XXXXXX";
    root_ = mkdtemp(name);
  }
  ~quota() override { std::filesystem::remove_all(root_); }
  void file(const std::string& path, const std::string& text) {
    const std::filesystem::path p = root_ + path;
    std::filesystem::create_directories(p.parent_path());
    std::ofstream(p) << text << '\n';
  }
  double read() const { return sched::cpu_quota(root_); }

 private:
  std::string root_;
};

TEST_F(quota, none_without_cgroups) { EXPECT_EQ(read(), 0); }

TEST_F(quota, version_2_below_one_processor) {
  file("/proc/self/cgroup", "0::/app");
  file("/sys/fs/cgroup/app/cpu.max", "50000 100000");
  EXPECT_EQ(read(), 0.5);
}

TEST_F(quota, version_2_without_a_limit) {
  file("/proc/self/cgroup", "0::/app");
  file("/sys/fs/cgroup/app/cpu.max", "max 100000");
  EXPECT_EQ(read(), 0);
}

TEST_F(quota, version_2_the_smallest_of_the_parents_counts) {
  file("/proc/self/cgroup", "0::/a/b/c");
  file("/sys/fs/cgroup/a/cpu.max", "150000 100000");
  file("/sys/fs/cgroup/a/b/cpu.max", "max 100000");
  file("/sys/fs/cgroup/a/b/c/cpu.max", "400000 100000");
  EXPECT_EQ(read(), 1.5);
}

TEST_F(quota, version_2_in_a_namespace_of_its_own) {
  file("/proc/self/cgroup", "0::/");
  file("/sys/fs/cgroup/cpu.max", "25000 50000");
  EXPECT_EQ(read(), 0.5);
}

TEST_F(quota, version_2_a_group_that_is_not_there_has_the_limit_of_its_parents) {
  file("/proc/self/cgroup", "0::/seen/from/outside");
  file("/sys/fs/cgroup/cpu.max", "300000 100000");
  EXPECT_EQ(read(), 3);
}

TEST_F(quota, version_1_with_controllers_mounted_together) {
  file("/proc/self/cgroup", "5:memory:/app\n4:cpu,cpuacct:/app\n3:cpuset:/app");
  file("/sys/fs/cgroup/cpu,cpuacct/app/cpu.cfs_quota_us", "75000");
  file("/sys/fs/cgroup/cpu,cpuacct/app/cpu.cfs_period_us", "100000");
  EXPECT_EQ(read(), 0.75);
}

TEST_F(quota, version_1_under_the_name_of_the_one_controller) {
  file("/proc/self/cgroup", "4:cpuacct,cpu:/a/b");
  file("/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "200000");
  file("/sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000");
  file("/sys/fs/cgroup/cpu/a/b/cpu.cfs_quota_us", "-1");
  file("/sys/fs/cgroup/cpu/a/b/cpu.cfs_period_us", "100000");
  EXPECT_EQ(read(), 2);
}

TEST_F(quota, version_1_cpuset_is_not_cpu) {
  file("/proc/self/cgroup", "3:cpuset:/app");
  file("/sys/fs/cgroup/cpuset/app/cpu.cfs_quota_us", "1000");
  file("/sys/fs/cgroup/cpuset/app/cpu.cfs_period_us", "100000");
  EXPECT_EQ(read(), 0);
}

TEST_F(quota, what_is_not_understood_is_no_limit) {
  file("/proc/self/cgroup", "garbage\n\n0::/app");
  for (const char* text : {"", "x y", "100", "100 0", "-5 100000", "100000 -1"}) {
    file("/sys/fs/cgroup/app/cpu.max", text);
    EXPECT_EQ(read(), 0) << text;
  }
}

TEST_F(quota, below_one_processor_there_are_two_workers_where_possible) {
  EXPECT_EQ(sched::workers_for(8, 0.5), 2u);
  EXPECT_EQ(sched::workers_for(8, 2.5), 3u);
  EXPECT_EQ(sched::workers_for(8, 0), 8u);
  EXPECT_EQ(sched::workers_for(8, 100), 8u);
  EXPECT_EQ(sched::workers_for(1, 0.5), 1u);
  EXPECT_EQ(sched::workers_for(100000, 0), sched::runtime::max_workers);
}

// ---- the choice --------------------------------------------------------------------------------------------------

class width_death_test : public ::testing::Test {
 protected:
  width_death_test() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

int on_one_processor() {
  cpu_set_t before;
  cpu_set_t one;
  sched_getaffinity(0, sizeof before, &before);
  CPU_ZERO(&one);
  for (std::size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++i)
    if (CPU_ISSET(i, &before)) CPU_SET(i, &one);
  sched_setaffinity(0, sizeof one, &one);
  unsetenv("RUNNEL_WORKERS");
  const hang_guard guard("one processor");
  const bool right = run([] { return stats().workers == 1 && everything_works(); }) == 1 &&
                     run({.workers = 4}, [] { return everything_works(); }) == 1;
  return right ? 0 : 1;
}

TEST_F(width_death_test, one_processor) {
  EXPECT_EXIT(std::exit(on_one_processor()), ::testing::ExitedWithCode(0), "^$");
}

int with_bad_values() {
  const hang_guard guard("RUNNEL_WORKERS");
  for (const char* value : {"", "0", "-1", "257", "2 ", " 2", "two", "1e1", "0x2", "99999999999999999999"}) {
    setenv("RUNNEL_WORKERS", value, 1);
    bool named = false;
    try {
      run([] {});
    } catch (const misuse& e) {
      named = std::string(e.what()).find("RUNNEL_WORKERS=\"" + std::string(value) + "\"") != std::string::npos;
    }
    bool refused = false;
    try {
      auto t = go([] {});  // the default runtime
    } catch (const misuse&) {
      refused = true;
    }
    if (!named || !refused) {
      std::fprintf(stderr, "\"%s\" was taken\n", value);
      return 1;
    }
  }
  setenv("RUNNEL_WORKERS", "3", 1);
  return run([] { return stats().workers == 3 && everything_works(); }) == 1 ? 0 : 2;
}

TEST_F(width_death_test, bad_values_in_the_environment_are_named) {
  EXPECT_EXIT(std::exit(with_bad_values()), ::testing::ExitedWithCode(0), "^$");
}

// ---- more workers than processors --------------------------------------------------------------------------------

class many_workers : public plain {
 protected:
  static constexpr unsigned workers = 64;
};

TEST_F(many_workers, everything_completes) {
  in_runtime({.workers = workers}, [] {
    EXPECT_EQ(stats().workers, workers);
    for (int i = 0; i < 3; ++i)
      EXPECT_TRUE(everything_works({static_cast<int>(scaled(2000)), static_cast<int>(scaled(5000))}));
  });
}

TEST_F(many_workers, a_storm_of_spawns) {
  in_runtime({.workers = workers}, [] {
    const auto children = static_cast<int>(scaled(400));
    std::atomic<int> leaves{0};
    with_task_group([&](task_group& g) {
      for (int i = 0; i < 64; ++i)
        g.go([&] {
          with_task_group([&](task_group& inner) {
            for (int k = 0; k < children; ++k) inner.go([&] { ++leaves; });
          });
        });
    });
    EXPECT_EQ(leaves, 64 * children);
  });
}

TEST_F(many_workers, all_talk_to_all) {
  in_runtime({.workers = workers}, [] {
    const auto messages = static_cast<int>(scaled(1000));
    auto [tx, rx] = make_channel<int>(8);
    std::atomic<long> sum{0};
    with_task_group([&, tx = std::move(tx), rx = std::move(rx)](task_group& g) mutable {
      for (int i = 0; i < 64; ++i) {
        g.go([messages, tx = tx] {
          for (int k = 1; k <= messages; ++k) tx.send(k);
        });
        g.go([&sum, rx = rx] {
          for (int v : rx) sum += v;
        });
      }
      tx = {};
    });
    EXPECT_EQ(sum, 64L * messages * (messages + 1) / 2);
  });
}

TEST_F(many_workers, cancellation_reaches_all) {
  in_runtime({.workers = workers}, [] {
    for (int round = 0; round < 5; ++round) {
      const auto n = static_cast<int>(scaled(2000));
      std::atomic<int> ended{0};
      const channel<int> nobody;
      auto [ctx, cancel] = derive_cancel(context::current());
      {
        const context_scope ambient(ctx);
        std::vector<task<void>> all;
        for (int i = 0; i < n; ++i)
          all.push_back(go([&] {
            try {
              select(on_receive(nobody), on_timeout(1h));
            } catch (const canceled&) {
              ++ended;
            }
          }));
        cancel();
        const cancel_shield shield;
        for (auto& t : all) t.join();
      }
      EXPECT_EQ(ended, n);
    }
  });
}

}  // namespace
}  // namespace runnel::test
