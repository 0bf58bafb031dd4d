// A stream: values that fibers of its own produce, and the only end at which they arrive. What generate, fan_out, merge
// and tee return.
//
//   for (auto& page : crawl(site)) { ... break; }  // whoever produces pages has ended when the loop is left
//
// Use when: a function should hand out values as they come. When not: the consumer only maps and filters; see pipeline.
// Guarantees: nothing that produces for a stream outlives it: its end cancels and joins them. Values in the order in
// which they were produced; at most `buffer` of them wait. When a producer fails, what it had produced is received
// first, then its exception is thrown, not a mere end, by every later receive too.
// Thread-safety: as the end of a channel of that flavour.
// Blocking and cancellation: received from as from a channel (receive, try_receive, range-for, on_receive). Its
// producers run under the context that was ambient when it was made.
// Errors: on_receive says nullopt at the end and does not throw: receive() afterwards says why. A failure that nobody
// received goes to the unhandled hook.
// Cost: a channel, a task group, a fiber for each producer.
// Source: Kotlin's produce; Go's generator pattern, whose goroutine leaks when the consumer stops.
#pragma once

#include <runnel/channel.hpp>
#include <runnel/detail/stream_core.hpp>

#include <memory>

namespace runnel::inline RUNNEL_ABI {

struct stream_options {
  std::size_t buffer = 16;     ///< values that wait; at least 1 where one fiber produces
  std::string_view name = {};  ///< of the producers, in reports
};

template <class T, class Flavour = mpmc>
class [[nodiscard("its producers are cancelled at once: read it")]] stream
    : public detail::receiving<stream<T, Flavour>, T>, public detail::observing<stream<T, Flavour>> {
 public:
  using value_type = T;
  /// Made by generate, fan_out, merge and tee. Several streams may share their producers, which end with the last.
  stream(receive_channel<T, Flavour> rx, std::shared_ptr<detail::stream_core> producers) noexcept
      : producers_(std::move(producers)), rx_(std::move(rx)) {}
  stream(stream&&) noexcept = default;
  /// Ends the stream that is overwritten.
  stream& operator=(stream&& o) noexcept {
    stream old(std::move(*this));
    rx_ = std::move(o.rx_);
    producers_ = std::move(o.producers_);
    return *this;
  }

  /// The next value; nullopt at the end; the exception of the producer where that was its end.
  /// - blocks: until there is one
  /// - cancel: throws canceled, nothing is received
  /// - threads: as its flavour
  RUNNEL_PARKS std::optional<T> receive() const { return or_failure(rx_.receive()); }
  RUNNEL_PARKS std::optional<T> receive(const context& ctx) const { return or_failure(rx_.receive(ctx)); }
  /// would_block also while the producers are about to end.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: as its flavour
  try_receive_result<T> try_receive() const {
    auto r = rx_.try_receive();
    if (r.status == channel_status::closed && !producers_->try_finish()) r.status = channel_status::would_block;
    return r;
  }
  /// - blocks: at most for the limit
  /// - cancel: throws canceled, nothing is received
  /// - threads: as its flavour
  RUNNEL_PARKS try_receive_result<T> receive_for(duration limit) const { return receive_until(limit.from_now()); }
  RUNNEL_PARKS try_receive_result<T> receive_until(time_point deadline) const {
    auto r = rx_.receive_until(deadline);
    if (r.status == channel_status::closed) producers_->finish();
    return r;
  }
  /// - blocks: until all have come
  /// - cancel: throws canceled; those before were received
  /// - threads: as its flavour
  RUNNEL_PARKS std::size_t receive_n(std::span<T> out) const { return or_failure(rx_.receive_n(out), out.size()); }
  RUNNEL_PARKS std::size_t receive_n(const context& ctx, std::span<T> out) const {
    return or_failure(rx_.receive_n(ctx, out), out.size());
  }

  const auto& ref() const noexcept { return rx_.ref(); }

 private:
  std::optional<T> or_failure(std::optional<T>&& v) const {
    if (!v) producers_->finish();
    return std::move(v);
  }
  std::size_t or_failure(std::size_t came, std::size_t wanted) const {
    if (came < wanted) producers_->finish();
    return came;
  }
  // In this order: the end goes first, which tells the producers; then they are joined.
  std::shared_ptr<detail::stream_core> producers_;
  receive_channel<T, Flavour> rx_;
};

}  // namespace runnel::inline RUNNEL_ABI
