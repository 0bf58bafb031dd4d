// Every operation costs exactly what its row says: more is a regression, less makes the row untrue. Failures print the row
// as it should be; `budget_test --rows` prints all of them, `--markdown` the table of docs/internals/budgets.md.
#include "operations.hpp"

#include <runnel/runnel.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

/// Per operation, rounded up to thousandths.
struct row {
  std::string_view operation;
  double rmw, fences, stores, allocations;
  friend bool operator==(const row&, const row&) = default;
};

// operation, read-modify-writes, full fences, release stores, allocations
constexpr row budgets[] = {
    {"unbuffered message, ping-pong", 4, 0, 5.25, 0},
    {"unbuffered message, stream", 4, 0, 5.25, 0},
    {"message of a stream, capacity 1", 3.334, 0, 4.167, 0},
    {"message of a stream, capacity 64", 2.061, 0, 2.099, 0},
    {"buffered send, nobody waits", 1, 0, 1.008, 0},
    {"buffered receive, nobody waits", 1, 0, 1.008, 0},
    {"one-to-one: send, nobody waits", 0, 0, 1.008, 0},
    {"one-to-one: message of a stream, capacity 64", 0.125, 0.032, 2.165, 0},
    {"send_n and receive_n of 16, nobody waits", 2, 0, 2.016, 0},
    {"try_send, full", 0, 0, 0, 0},
    {"try_receive, empty", 0, 0, 0, 0},
    {"create and destroy a channel, unbuffered", 2, 0, 2, 0},
    {"create and destroy a channel, capacity 64", 2, 0, 2, 0},
    {"select of 2, both ready", 1, 0, 1.008, 0},
    {"select of 8, all ready", 1, 0, 1.008, 0},
    {"unbuffered message to a select of 2 that parks", 4, 0, 5.25, 0},
    {"select of 1, otherwise", 0, 0, 0, 0},
    {"select of 2, otherwise", 2, 0, 2, 0},
    {"yield to another fiber", 0, 0, 1, 0},
    {"go and join, one at a time", 13.016, 0.017, 9.984, 0},
    {"go and join, 1,000 at a time", 11.712, 0.004, 9.913, 0},
    {"with_task_group, empty", 11, 0, 3, 0},
    {"task of a group, 1,000 at a time", 2.172, 0.004, 5.14, 0},
    {"task of a group with a limit of 16", 4.009, 0.017, 7.94, 0},
    {"mutex: lock and unlock", 2, 0, 0, 0},
    {"shared_mutex: lock and unlock for reading", 2, 0, 0, 0},
    {"shared_mutex: lock and unlock for writing", 2, 0, 0, 0},
    {"scalable_shared_mutex: lock and unlock for reading", 2, 0, 0, 0},
    {"semaphore: acquire and release", 2, 0, 0, 0},
    {"rate_limiter::allow", 1, 0, 0, 0},
    {"rate_limiter::allow, refused", 0, 0, 0, 0},
    {"single_flight::run, alone", 10, 0, 3, 2},
    {"cache::get_or_load, there", 3, 0, 0, 0},
    {"condition_variable: notify nobody", 0, 0, 0, 0},
    {"condition_variable: notify and wait, in turns", 6, 0, 3.25, 0},
    {"wait_group: add and done", 2, 0, 0, 0},
    {"once::call, done", 0, 0, 0, 0},
    {"latch: count down and wait", 2, 0, 2, 0},
    {"event: set, wait and reset", 3, 0, 3, 0},
    {"striped_counter::add", 1, 0, 0, 0},
    {"pool: get and give back", 2, 0, 2, 0},
    {"hazard_pointer: make, protect and drop", 0, 0, 2, 0},
    {"hazard_pointer: retire an object", 0.001, 0, 0, 1},
    {"lockfree::stack: push and pop", 2.001, 0, 2, 0},
    {"concurrent_map::find", 2, 0, 0, 0},
    {"concurrent_map: insert and erase", 6, 0, 0, 1},
    {"mpmc_queue: push and pop", 2, 0, 2, 0},
    {"spsc_queue: push and pop", 0, 0, 2, 0},
    {"mpsc_queue: push and pop", 1.032, 0, 2.032, 0},
    {"rcu: read section", 0, 0, 2, 0},
    {"rcu cell: read", 0, 0, 2, 0},
    {"rcu cell: update", 2.219, 0, 3.188, 1},
    {"derive_cancel of the background, cancel", 5, 0, 1, 0},
    {"derive_cancel of a cancelable context, cancel", 7, 0, 1, 0},
    {"context::check", 0, 0, 0, 0},
    {"checkpoint", 0, 0, 0.008, 0},
    {"with_timeout around nothing", 14, 0, 6, 0},
    {"timer: make and stop", 4, 1, 4, 1},
};

/// The nearest double to so many thousandths, as a compiler reads it from the table.
double per_operation(std::int64_t total, std::int64_t operations) {
  return static_cast<double>((total * 1000 + operations - 1) / operations) / 1000;
}

std::string text(double v) {
  std::ostringstream out;
  out.precision(10);
  out << v;
  return out.str();
}

std::string source_line(const row& r) {
  return "    {\"" + std::string(r.operation) + "\", " + text(r.rmw) + ", " + text(r.fences) + ", " + text(r.stores) + ", " +
         text(r.allocations) + "},";
}
std::string markdown_line(const row& r) {
  return "| " + std::string(r.operation) + " | " + text(r.rmw) + " | " + text(r.fences) + " | " + text(r.stores) + " | " +
         text(r.allocations) + " |";
}

const std::vector<row>& measured_rows() {
  static const std::vector<row> rows = [] {
    std::vector<row> made;
    for (const budget::operation& o : budget::operations()) {
      budget::measured m;
      // A run each: the phase of what recurs does not depend on the operations before.
      runnel::run({.workers = 1}, [&] { m = o.measure(); });
      made.push_back({o.name, per_operation(m.total.rmw, m.operations), per_operation(m.total.fences, m.operations),
                      per_operation(m.total.stores, m.operations), per_operation(m.total.allocations, m.operations)});
    }
    return made;
  }();
  return rows;
}

TEST(budget, every_operation_costs_what_its_row_says) {
  for (const row& is : measured_rows()) {
    const auto* may = std::ranges::find(budgets, is.operation, &row::operation);
    if (may == std::end(budgets)) {
      ADD_FAILURE() << "an operation without a budget; its row:\n" << source_line(is);
      continue;
    }
    if (is == *may) continue;
    const bool more = is.rmw > may->rmw || is.fences > may->fences || is.stores > may->stores ||
                      is.allocations > may->allocations;
    ADD_FAILURE() << (more ? "costs more than its budget:\n" : "costs less than its budget; lower the row of this file:\n")
                  << source_line(*may) << "\nmeasured:\n"
                  << source_line(is);
  }
}

TEST(budget, every_row_is_an_operation) {
  const auto& rows = measured_rows();
  for (const row& r : budgets)
    EXPECT_NE(std::ranges::find(rows, r.operation, &row::operation), rows.end()) << "no such operation: " << r.operation;
}

TEST(budget, the_page_has_what_was_measured) {
  std::ifstream page(RUNNEL_BUDGET_PAGE);
  std::vector<std::string> table;
  for (std::string line; std::getline(page, line);)
    if (line.starts_with("| ")) table.push_back(line);
  std::vector<std::string> wanted;
  for (const row& r : measured_rows()) wanted.push_back(markdown_line(r));
  for (const std::string& line : wanted)
    EXPECT_TRUE(std::ranges::find(table, line) != table.end()) << "docs/internals/budgets.md lacks\n" << line;
  EXPECT_LE(table.size(), wanted.size() + 1) << "docs/internals/budgets.md has lines besides these and the head";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--rows") == 0) {
    for (const row& r : measured_rows()) std::puts(source_line(r).c_str());
    return 0;
  }
  if (argc == 2 && std::strcmp(argv[1], "--markdown") == 0) {
    for (const row& r : measured_rows()) std::puts(markdown_line(r).c_str());
    return 0;
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
