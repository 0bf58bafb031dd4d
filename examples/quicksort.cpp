// Quicksort whose halves are sorted in parallel. And the naive one, whose halves nobody waits for.
// Its wrong programs race on purpose.
#include <runnel/patterns/parallel.hpp>
#include <runnel/runnel.hpp>
#include <runnel/testing/explore.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

namespace {

/// What is below the element in the middle, and what is above it; what is equal to it stands between them.
template <class T>
std::pair<std::span<T>, std::span<T>> split(std::span<T> v) {
  const T pivot = v[v.size() / 2];
  const auto below = std::partition(v.begin(), v.end(), [&](const T& x) { return x < pivot; });
  const auto above = std::partition(below, v.end(), [&](const T& x) { return !(pivot < x); });
  return {{v.begin(), below}, {above, v.end()}};
}

/// Parts of fewer than `least` elements are not worth a split.
template <class T>
void quicksort(std::span<T> v, std::size_t least) {
  if (v.size() < least) return std::sort(v.begin(), v.end());
  const auto [below, above] = split(v);
  runnel::parallel_invoke([&, v = below] { quicksort(v, least); }, [&, v = above] { quicksort(v, least); });
}

/// What is written first: each half is somebody's, so it will be sorted.
template <class T>
void naive(std::span<T> v, std::size_t least) {
  if (v.size() < least) return std::sort(v.begin(), v.end());
  const auto [below, above] = split(v);
  runnel::go_detached([least, v = below] { naive(v, least); });
  naive(above, least);
}

/// A number that explore watches.
class watched {
 public:
  watched() = default;
  watched(int value) : value_(value) {}
  watched(const watched& o) : value_(o.value_.load()) {}
  watched& operator=(const watched& o) {
    value_.store(o.value_.load());
    return *this;
  }
  ~watched() = default;
  friend bool operator<(const watched& a, const watched& b) { return a.value_.load() < b.value_.load(); }

 private:
  runnel::shared_var<int> value_;
};

template <void (*Sort)(std::span<watched>, std::size_t)>
runnel::explore_result in_every_order() {
  static std::array<watched, 6> v;  // outlives whoever still sorts
  return runnel::explore({.schedules = 500}, [] {
    v = {4, 1, 5, 3, 2, 3};
    Sort(v, 2);
    if (!std::is_sorted(v.begin(), v.end())) throw std::runtime_error("not sorted");
  });
}

void a_large_one() {
  std::vector<int> v;
  unsigned x = 1;
  for (int i = 0; i < 100'000; ++i) v.push_back(static_cast<int>((x = x * 1664525 + 1013904223) >> 8));
  quicksort(std::span(v), 64);
  std::printf("100000 numbers, sorted: %s\n", std::is_sorted(v.begin(), v.end()) ? "yes" : "no");
}

}  // namespace

int main() {
  const auto wrong = in_every_order<naive<watched>>();
  std::printf("naive: %s\n", to_string(wrong.verdict));
  const auto right = in_every_order<quicksort<watched>>();
  std::printf("parallel_invoke: %s in %zu schedules\n", to_string(right.verdict), right.schedules);
  return runnel::run(a_large_one);
}
