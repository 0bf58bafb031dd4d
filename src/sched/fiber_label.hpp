// What reports say of a fiber: its number, name and the place where it was started. Reports read it at any time, perhaps
// while the record gets a new tenant, and may then mix the two; hence atomics, which order nothing.
#pragma once

#include <runnel/base/atomic.hpp>
#include <runnel/base/source_location.hpp>

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace runnel::inline RUNNEL_ABI::sched {

class fiber_label {
 public:
  /// A copy.
  struct text {
    std::uint64_t id;
    const char* file;
    unsigned line;
    char name[32];  ///< empty, or cut to fit
  };

  void set(std::uint64_t id, std::string_view name, const detail::site& at) noexcept {
    id_.store(id, shim::order::relaxed);            // relaxed: see the top, as all of these
    file_.store(at.file, shim::order::relaxed);     // relaxed
    line_.store(at.line, shim::order::relaxed);     // relaxed
    rename(name);
  }
  void rename(std::string_view name) noexcept {
    std::array<std::uint64_t, words> copy{};
    if (!name.empty()) name.copy(reinterpret_cast<char*>(copy.data()), sizeof copy - 1);
    for (std::size_t i = 0; i < words; ++i) name_[i].store(copy[i], shim::order::relaxed);  // relaxed: see the top
  }
  std::uint64_t id() const noexcept {
    return id_.load(shim::order::relaxed);  // relaxed: see the top
  }
  /// Async-signal-safe.
  text read() const noexcept {
    text t{id(), file_.load(shim::order::relaxed), line_.load(shim::order::relaxed), {}};  // relaxed: see the top
    for (std::size_t i = 0; i < words; ++i) {
      const std::uint64_t word = name_[i].load(shim::order::relaxed);  // relaxed: see the top
      std::memcpy(t.name + i * sizeof word, &word, sizeof word);
    }
    t.name[sizeof t.name - 1] = '\0';
    return t;
  }

 private:
  static constexpr std::size_t words = sizeof(text::name) / sizeof(std::uint64_t);
  shim::atomic<std::uint64_t> id_{0};
  shim::atomic<const char*> file_{""};
  std::array<shim::atomic<std::uint64_t>, words> name_{};
  shim::atomic<unsigned> line_{0};  // last: what follows the label may use the rest of the word
};

}  // namespace runnel::inline RUNNEL_ABI::sched
