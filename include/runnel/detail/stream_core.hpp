// The fibers that produce for one stream, or for several that share them.
#pragma once

#include <runnel/channel.hpp>
#include <runnel/sync/mutex.hpp>
#include <runnel/task_group.hpp>

#include <memory>

namespace runnel::inline RUNNEL_ABI::detail {

class stream_core {
 public:
  explicit stream_core(std::string_view name) : group_({.name = name}) {}
  stream_core(const stream_core&) = delete;
  stream_core& operator=(const stream_core&) = delete;

  /// Starts f(tx), which owns tx. That the consumer has gone is no failure of a producer.
  template <class End, class F>
  void produce(End tx, F f) {
    start([end = std::move(tx), body = std::move(f)]() mutable {
      try {
        body(end);
      } catch (const channel_closed&) {
        if (!end.is_closed()) throw;
      }
    });
  }
  template <class F>
  void start(F&& f) {
    group_.go(std::forward<F>(f));
  }
  /// All values were received: waits for the producers and rethrows their first failure.
  void finish();
  /// False while one has not ended yet; does not wait.
  bool try_finish();

 private:
  mutex one_waits_;  ///< a group is waited for by one at a time; streams that share this may end at once
  task_group group_;
};

}  // namespace runnel::inline RUNNEL_ABI::detail
