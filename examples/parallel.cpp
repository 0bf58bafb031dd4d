// Fork-join: several calls at a time, and the functions over ranges. The quicksort has an example of its own.
#include <runnel/patterns/parallel.hpp>
#include <runnel/runnel.hpp>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

std::vector<int> numbers(int n) {
  std::vector<int> v;
  unsigned x = 1;
  for (int i = 0; i < n; ++i) v.push_back(static_cast<int>((x = x * 1664525 + 1013904223) >> 8));
  return v;
}

std::string fetch(const std::string& url) {
  runnel::sleep_for(std::chrono::milliseconds(1));  // stands for an answer that takes its time
  if (url.empty()) throw std::invalid_argument("an empty address");
  return "<" + url + ">";
}

}  // namespace

int main() {
  return runnel::run([] {
    std::vector<int> v = numbers(100'000);
    const auto [smallest, largest] = runnel::parallel_invoke([&] { return *std::min_element(v.begin(), v.end()); },
                                                             [&] { return *std::max_element(v.begin(), v.end()); });
    std::printf("from %d to %d\n", smallest, largest);

    runnel::parallel_for_each(v, [](int& x) { x %= 10; });
    std::printf("sum of the last digits: %ld\n", runnel::parallel_reduce(v, 0L, std::plus<>()));

    // Parts that wait: one element a part.
    const std::vector<std::string> urls{"a", "b", "c"};
    for (const std::string& page : runnel::parallel_transform(urls, fetch, {.grain = 1})) std::printf("%s\n", page.c_str());

    try {
      runnel::parallel_for_each(std::vector<std::string>{"a", "", "c"}, [](const std::string& url) { fetch(url); }, {.grain = 1});
    } catch (const std::invalid_argument& e) {
      std::printf("failed: %s\n", e.what());
    }
  });
}
