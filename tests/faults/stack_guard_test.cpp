// A fiber that uses up its stack is reported, whatever guards the kernel grants.
#include "conformance/captured_stderr.hpp"
#include "fiber/sanitizer.hpp"
#include "fiber/stack_pool.hpp"
#include "support/fixture.hpp"

#include <string>

namespace runnel::test {
namespace {

using detail::guard_kind;
using detail::guard_limits;

/// What the kernel of a case grants: everything, no advice, no mappings either.
guard_limits granting(guard_kind k) {
  switch (k) {
    case guard_kind::advice: return {true, detail::most_guard_mappings()};
    case guard_kind::mapping: return {false, detail::most_guard_mappings()};
    case guard_kind::software: break;
  }
  return {false, 0};
}

// Without AddressSanitizer, which would put what these use elsewhere.

/// Uses `bytes` of stack below `top`, in frames of half a kilobyte.
[[gnu::noinline, gnu::no_sanitize_address]] std::size_t use_stack(const volatile char* top, std::ptrdiff_t bytes) {
  volatile char frame[448];
  for (std::size_t i = 0; i < sizeof frame; i += 64) frame[i] = 1;
  return top - frame >= bytes ? 0 : use_stack(top, bytes) + static_cast<std::size_t>(frame[0]);
}
[[gnu::noinline, gnu::no_sanitize_address]] std::size_t use_stack(std::ptrdiff_t bytes) {
  volatile char top = 0;
  return use_stack(&top, bytes);
}

struct overflow_case {
  stack_class size;
  guard_kind guard;
};

class stack_guard_death_test : public ::testing::TestWithParam<overflow_case> {
 protected:
  stack_guard_death_test() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }

  /// Its only process: the first stack is mapped after the limits are set.
  static void use(std::ptrdiff_t bytes) {
    detail::set_guard_limits(granting(GetParam().guard));
    run({.workers = 2}, [bytes] {
      auto t = go({.name = "too deep", .stack = GetParam().size}, [bytes] {
        const std::size_t frames = use_stack(bytes);
        yield();
        return frames;
      });
      t.get();
    });
  }
  static std::ptrdiff_t size() { return static_cast<std::ptrdiff_t>(stack_bytes(GetParam().size)); }
};

std::vector<overflow_case> cases() {
  std::vector<overflow_case> all;
  for (stack_class s : {stack_class::small, stack_class::standard, stack_class::large, stack_class::huge})
    for (guard_kind g : {guard_kind::advice, guard_kind::mapping, guard_kind::software}) all.push_back({s, g});
  return all;
}

std::string name_of(const ::testing::TestParamInfo<overflow_case>& one) {
  static constexpr const char* sizes[] = {"small", "standard", "large", "huge"};
  static constexpr const char* guards[] = {"advice", "mapping", "software"};
  return std::string(sizes[static_cast<int>(one.param.size)]) + "_" + guards[static_cast<int>(one.param.guard)];
}
INSTANTIATE_TEST_SUITE_P(classes, stack_guard_death_test, ::testing::ValuesIn(cases()), name_of);

TEST_P(stack_guard_death_test, an_overflow_is_reported) {
  const bool software = GetParam().guard == guard_kind::software;
  if (sanitized && !software) GTEST_SKIP() << "sanitizers report the fault themselves";
  const std::string said = software ? "the kernel gives no more guard pages: .*" : "";
  // Where nothing stops it, a little beyond the end: it must be found by what it has overwritten.
  const auto usable = size() - static_cast<std::ptrdiff_t>(detail::guard_bytes(GetParam().size));
  EXPECT_DEATH(use(software ? usable : 100 * size()), said + "stack overflow in fiber [0-9]+ \"too deep\".*"
                   "stack_guard_test.cpp:[0-9]+.* stack " + std::to_string(size()) + " bytes");
}

/// Stands `bytes` deep, having touched next to nothing of them, and lets others run.
[[gnu::noinline, gnu::no_sanitize_address]] void wait_deep_down(std::size_t bytes) {
  auto* untouched = static_cast<volatile char*>(__builtin_alloca(bytes));
  untouched[bytes - 1] = 0;
  yield();
  untouched[bytes - 1] = 1;
}

class software_guard_death_test : public stack_guard_death_test {};
INSTANTIATE_TEST_SUITE_P(classes, software_guard_death_test,
                         ::testing::Values(overflow_case{stack_class::small, guard_kind::software},
                                           overflow_case{stack_class::huge, guard_kind::software}),
                         name_of);

TEST_P(software_guard_death_test, a_fiber_that_waits_below_the_end_is_reported) {
  if (sanitized && GetParam().size == stack_class::small)
    GTEST_SKIP() << "the sanitizer's hooks need more than the 4 KiB below the end of a small stack";
  const auto wait_too_deep = [] {
    detail::set_guard_limits(granting(GetParam().guard));
    run({.workers = 1}, [] {
      auto t = go({.name = "too deep", .stack = GetParam().size},
                  [] { wait_deep_down(static_cast<std::size_t>(size()) - detail::guard_bytes(GetParam().size)); });
      t.get();
    });
  };
  EXPECT_DEATH(wait_too_deep(), "stack overflow in fiber [0-9]+ \"too deep\"");
}

TEST_P(stack_guard_death_test, what_fits_is_not) {
  if (sanitized && GetParam().size == stack_class::small) GTEST_SKIP() << "a sanitizer's frames need more";
  EXPECT_EXIT(
      {
        use(size() / 4);
        std::exit(0);
      },
      ::testing::ExitedWithCode(0), "");
}

// ---- what is chosen ----------------------------------------------------------------------------------------------

class guard_choice_death_test : public ::testing::Test {
 protected:
  guard_choice_death_test() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(guard_choice_death_test, mappings_are_used_up_to_their_limit_and_then_software) {
  if (detail::sanitizer::fresh_stacks) GTEST_SKIP() << "no slabs in this build";
  EXPECT_EXIT(
      {
        detail::set_guard_limits({false, 300});
        const auto first = detail::map_slab(stack_class::small, 64)->guard;   // 128 stacks, two mappings each
        const auto second = detail::map_slab(stack_class::small, 64)->guard;  // would be more than 300
        const auto third = detail::map_slab(stack_class::huge, 64)->guard;    // 4 stacks still fit
        const auto fourth = detail::map_slab(stack_class::standard, 64)->guard;
        std::exit(first == guard_kind::mapping && second == guard_kind::software && third == guard_kind::mapping &&
                          fourth == guard_kind::software
                      ? 0
                      : 1);
      },
      ::testing::ExitedWithCode(0), "^runnel: the kernel gives no more guard pages: [^\n]*\n$");
}

TEST(guard_choice, half_of_what_the_kernel_allows) {
  EXPECT_GT(detail::most_guard_mappings(), 0u);
  EXPECT_LT(detail::most_guard_mappings(), std::size_t{1} << 31);
}

}  // namespace
}  // namespace runnel::test
