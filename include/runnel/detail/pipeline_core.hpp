// What the stages of one pipeline share: the group that their fibers belong to, and which of them failed first.
#pragma once

#include <runnel/base/atomic.hpp>
#include <runnel/context.hpp>
#include <runnel/lockfree/cache_padded.hpp>
#include <runnel/task_group.hpp>

#include <cstdint>
#include <exception>
#include <optional>
#include <utility>

namespace runnel::inline RUNNEL_ABI::detail {

/// What one worker of a stage has done and does. Stored by that worker alone: loads and stores, no read-modify-write.
class stage_meter {
 public:
  enum class doing : std::uint8_t { nothing, waiting, busy, handing_over };

  void waits() noexcept { set(doing::waiting); }
  void took() noexcept {
    add(in_);
    set(doing::busy);
  }
  void made() noexcept {
    add(out_);
    set(doing::handing_over);
  }
  void ended() noexcept { set(doing::nothing); }
  // relaxed: a reading of the moment, which orders nothing
  std::uint64_t in() const noexcept { return in_.load(shim::order::relaxed); }
  std::uint64_t out() const noexcept { return out_.load(shim::order::relaxed); }
  doing now() const noexcept { return doing_.load(shim::order::relaxed); }

 private:
  // relaxed: as above; one writer, so that a load and a store are enough
  static void add(shim::atomic<std::uint64_t>& n) noexcept { n.store(n.load(shim::order::relaxed) + 1, shim::order::relaxed); }
  void set(doing d) noexcept { doing_.store(d, shim::order::relaxed); }  // relaxed: as above
  shim::atomic<std::uint64_t> in_{0}, out_{0};
  shim::atomic<doing> doing_{doing::nothing};
};

class pipeline_core {
 public:
  pipeline_core() = default;
  pipeline_core(const pipeline_core&) = delete;
  pipeline_core& operator=(const pipeline_core&) = delete;

  /// The group, made below the ambient context at the first call.
  task_group& group();
  /// Where a stage has fibers.
  const context& get_context() const noexcept { return *context_; }
  /// The context of the group; null without one.
  context_node* node() const noexcept { return context_ ? &node_of(*context_) : nullptr; }
  /// In a catch block of stage `number`: keeps it as the failure unless there was one, or it only says that the pipeline is
  /// canceled; cancels the pipeline. Before the stage's channel is closed, so that no stage takes its end for a real one.
  void fail(unsigned number) noexcept;
  /// A stage has found the end of its input: throws canceled when that is only because the pipeline is.
  void check_end() const;
  /// The last value was taken: waits for the fibers, rethrows the failure.
  void finish();
  /// In a catch block of the consumer: cancels, waits, shielded; throws the failure, or again what was caught.
  [[noreturn]] void stop_and_rethrow();
  /// The consumer leaves early: cancels and waits, shielded. A failure that nobody saw goes to the unhandled hook.
  void leave() noexcept;

  /// Which stage failed.
  std::optional<unsigned> failed() const noexcept;

 private:
  static constexpr unsigned none = ~0u;
  std::optional<task_group> group_;
  std::optional<context> context_;
  shim::atomic<unsigned> failed_{none};  ///< who changes it writes error_
  std::exception_ptr error_;             ///< read when the fibers have ended
};

/// Makes the pipeline's context the ambient one, if it has fibers, until the end of the scope.
class pipeline_scope {
 public:
  explicit pipeline_scope(const pipeline_core& core) {
    if (context_node* n = core.node()) scope_.emplace(n);
  }

 private:
  std::optional<ambient_scope> scope_;
};

}  // namespace runnel::inline RUNNEL_ABI::detail
