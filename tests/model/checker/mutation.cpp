// Mutations: the program as it would be with one memory order weakened, or one wake-up left out.
//
// RUNNEL_MUTATE=<file>:<line>:<operation>:<order>, with the operations load, store, modify, success, failure, fence, wake;
// the order of `wake` is `drop`. <file> is the end of the path. Or RUNNEL_MUTATE=call:<address>, a wake-up that is a call and
// returns to that address. tools/mutate makes these from names that do not change with the lines. RUNNEL_MODEL_SITES=<path> appends every mutable site that was reached, and the test that reached it.
#include "checker/execution.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>

namespace model::detail {

namespace {

constexpr const char* operations[] = {"load", "store", "modify", "success", "failure", "fence", "wake"};
constexpr const char* orders[] = {"relaxed", "consume", "acquire", "release", "acq_rel", "seq_cst"};

struct mutation {
  std::string file;
  unsigned line = 0;  ///< 0: none
  operation what{};
  order o = order::relaxed;
  std::uintptr_t call = 0;
};

mutation read_mutation() {
  mutation m;
  const char* text = std::getenv("RUNNEL_MUTATE");
  if (!text || !*text) return m;
  if (!std::strncmp(text, "call:", 5)) {
    m.call = std::strtoull(text + 5, nullptr, 16);
    return m;
  }
  char file[256], what[32], o[32];
  unsigned line = 0;
  if (std::sscanf(text, "%255[^:]:%u:%31[^:]:%31s", file, &line, what, o) != 4) {
    std::fprintf(stderr, "RUNNEL_MUTATE=%s is not file:line:operation:order\n", text);
    std::exit(2);
  }
  m.file = file;
  m.line = line;
  for (unsigned i = 0; i < 7; ++i)
    if (!std::strcmp(what, operations[i])) m.what = static_cast<operation>(i);
  for (unsigned i = 0; i < 6; ++i)
    if (!std::strcmp(o, orders[i])) m.o = static_cast<order>(i);
  return m;
}

const mutation& wanted() {
  static const mutation m = read_mutation();
  return m;
}

using reached_site = std::tuple<const char*, unsigned, operation, order>;
std::set<reached_site>* reached = nullptr;  // null: nobody asked
std::set<const void*> reached_calls;
std::uint64_t applied = 0;

bool is_wanted(operation what, const site& at) noexcept {
  const mutation& m = wanted();
  if (at.line != m.line || what != m.what) return false;
  const std::size_t n = std::strlen(at.file);
  if (n < m.file.size() || std::strcmp(at.file + (n - m.file.size()), m.file.c_str()) != 0) return false;
  ++applied;
  return true;
}

/// Writes down which sites each test reaches, and whether the mutation was applied.
class listener : public testing::EmptyTestEventListener {
  void OnTestEnd(const testing::TestInfo& info) override {
    const char* path = std::getenv("RUNNEL_MODEL_SITES");
    if (!reached || !path) return;
    if (std::FILE* f = std::fopen(path, "a")) {
      for (const auto& [file, line, what, o] : *reached)
        std::fprintf(f, "%s.%s\t%s\t%u\t%s\t%s\n", info.test_suite_name(), info.name(), file, line,
                     operations[static_cast<int>(what)], orders[static_cast<int>(o)]);
      for (const void* call : reached_calls) std::fprintf(f, "%s.%s\tcall\t%p\n", info.test_suite_name(), info.name(), call);
      std::fclose(f);
    }
    reached_calls.clear();
    reached->clear();
  }
  void OnTestProgramEnd(const testing::UnitTest&) override {
    if (wanted().line || wanted().call) std::printf("the mutation was applied %llu times\n", static_cast<unsigned long long>(applied));
  }
};

const bool listening = [] {
  if (std::getenv("RUNNEL_MODEL_SITES")) reached = new std::set<reached_site>;
  testing::UnitTest::GetInstance()->listeners().Append(new listener);
  return true;
}();

}  // namespace

order mutated(operation what, order o, const site& at) noexcept {
  if (reached && o != order::relaxed) reached->insert({at.file, at.line, what, o});
  return is_wanted(what, at) ? wanted().o : o;
}

bool dropped(const site& at) noexcept {
  if (reached) reached->insert({at.file, at.line, operation::wake, order::relaxed});
  return is_wanted(operation::wake, at);
}

bool call_dropped(const void* returns_to) noexcept {
  if (!execution::instance().active()) return false;
  if (reached) reached_calls.insert(returns_to);
  if (reinterpret_cast<std::uintptr_t>(returns_to) != wanted().call) return false;
  ++applied;
  return true;
}

}  // namespace model::detail
