// Errors. A stage that throws is the failure of the pipeline if it is the first: failed_ decides, by one
// compare-exchange. Then it cancels the group, and only then unwinds, which closes its channel. So who finds a channel
// closed, having looked at the group afterwards, knows which of the two it is: an end, or a failure (check_end).
// What the consumer throws in consequence (canceled, by the group's context) is replaced by the failure when all fibers
// have ended.
#include <runnel/detail/pipeline_core.hpp>

#include <runnel/detail/task_core.hpp>

namespace runnel::inline RUNNEL_ABI::detail {

namespace {

bool is_canceled(const std::exception_ptr& e) noexcept {
  try {
    std::rethrow_exception(e);
  } catch (const canceled&) {
    return true;
  } catch (...) {
    return false;
  }
}

/// Whether the caller is canceled itself.
bool is_caller_canceled() noexcept {
  try {
    check_canceled();
    return false;
  } catch (...) {
    return true;
  }
}

}  // namespace

task_group& pipeline_core::group() {
  if (!group_) {
    group_.emplace(task_group_options{.name = "pipeline"});
    context_.emplace(group_->get_context());
  }
  return *group_;
}

void pipeline_core::fail(unsigned number) noexcept {
  std::exception_ptr e = std::current_exception();
  const bool only_canceled = is_canceled(e) && is_caller_canceled();
  unsigned expected = none;
  // relaxed, both: it only decides who is first; error_ is read when the fibers have been joined
  if (!only_canceled && failed_.compare_exchange(expected, number, shim::order::relaxed, shim::order::relaxed))
    error_ = std::move(e);
  if (group_) group_->cancel();
}

void pipeline_core::check_end() const {
  if (context_) context_->check();
}

void pipeline_core::finish() {
  if (!group_) return;
  try {
    group_->wait();
  } catch (...) {
    if (error_) std::rethrow_exception(error_);
    throw;
  }
  if (error_) std::rethrow_exception(error_);
}

void pipeline_core::stop_and_rethrow() {
  if (group_) {
    group_->cancel();
    const cancel_shield to_the_end;
    try {
      group_->wait();
    } catch (...) {  // error_, or one in its consequence
    }
  }
  if (error_) std::rethrow_exception(error_);
  throw;
}

void pipeline_core::leave() noexcept {
  if (!group_) return;
  group_->cancel();
  group_.reset();
}

std::optional<unsigned> pipeline_core::failed() const noexcept {
  const unsigned n = failed_.load(shim::order::relaxed);  // relaxed: the number says all
  return n == none ? std::nullopt : std::optional(n);
}

}  // namespace runnel::inline RUNNEL_ABI::detail
