// Servers: every request of a source has a handler on a fiber of its own; the end is orderly, and has a deadline.
//
//   auto s = runnel::serve(runnel::listener::loopback(8080), [](runnel::connection c) { answer(c); }, {.limit = 100});
//   ...
//   const auto report = s.shutdown(10s);  // accepts no more, lets the handlers end, cancels what is left after 10 s
//
// Use when: requests come from a channel, a socket or a function, one after the other, and are independent. When not: a
// known number of jobs (a task_group); stages that pass values on (channels).
// The source is a receiving end (nullopt ends the serving), a listener, or a function that returns an optional.
// Guarantees: a request that was accepted has a handler at once, and no more are accepted than may run: what waits,
// waits in the source. No handler outlives the server. What happened before the request was sent happens before its
// handling; the end of the handlers before shutdown() and wait() return.
// Blocking and cancellation: the server runs under the context that was ambient at its making. A request that is not
// accepted because of a stop or a cancellation stays in the source.
// Errors: what a handler throws goes to on_error and ends nothing, or, with handler_failure::stop_serving, ends the
// server and is thrown by wait() and shutdown(); so is what the source throws. misuse for a limit of 0, and for a
// handler or source that waits for its own server.
// Cost: a task of a group and two short locks a request.
// Source: Go's http.Server (Serve, Shutdown).
#pragma once

#include <runnel/patterns/listener.hpp>
#include <runnel/go.hpp>
#include <runnel/select.hpp>
#include <runnel/sync/mutex.hpp>
#include <runnel/sync/semaphore.hpp>
#include <runnel/task_group.hpp>

#include <functional>

namespace runnel::inline RUNNEL_ABI {

/// What a handler that throws does to its server. A cancellation of the server is no failure.
enum class handler_failure : std::uint8_t {
  keep_serving,  ///< nothing: the exception goes to on_error
  stop_serving,  ///< cancels all handlers and accepts no more; wait() and shutdown() throw the first one
};

struct serve_options {
  std::size_t limit = 256;  ///< handlers at the same time, at least 1
  handler_failure on_failure = handler_failure::keep_serving;
  /// Receives what handlers throw, on their fibers, several at the same time. Without one the unhandled hook does.
  std::function<void(std::exception_ptr)> on_error = {};
  std::string_view name = {};  ///< of its fibers, for reports
};

struct server_counters {
  std::size_t accepted = 0;  ///< requests that got a handler
  std::size_t active = 0;    ///< handlers that run
  std::size_t failed = 0;    ///< handlers that threw, but for the server's cancellation
};

/// What became of the handlers that ran when the server was told to stop.
struct shutdown_report {
  std::size_t drained = 0;   ///< ended by themselves, within the deadline
  std::size_t canceled = 0;  ///< ended after it, canceled
};

/// Made by serve(); pinned.
class server {
 public:
  template <class Accept, class Handler>
  RUNNEL_SCOPED_SPAWN server(Accept accept, Handler handler, const serve_options& options, source_location at);
  server(const server&) = delete;
  server& operator=(const server&) = delete;
  /// Accepts no more, cancels the handlers, waits for them, shielded.
  RUNNEL_JOINS ~server();

  /// Accepts no more from now on. May be called by a handler.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  void stop() noexcept;
  /// stop(), waits for the handlers for at most `limit`, then cancels and joins those that are left. Throws what ended
  /// the server, if something did. Once more: the same report.
  /// - blocks: until the handlers have ended; a canceled one ends as soon as it heeds it
  /// - cancel: cancels the handlers, waits for them, throws canceled
  /// - threads: any, one at a time, but the server's own, for which it throws misuse
  RUNNEL_PARKS RUNNEL_JOINS shutdown_report shutdown(duration limit);
  /// The same, observing ctx and the ambient context.
  /// - blocks: until the handlers have ended; a canceled one ends as soon as it heeds it
  /// - cancel: cancels the handlers, waits for them, throws canceled
  /// - threads: any, one at a time, but the server's own, for which it throws misuse
  RUNNEL_PARKS RUNNEL_JOINS shutdown_report shutdown(const context& ctx, duration limit) {
    const detail::joined_scope both(ctx);
    return shutdown(limit);
  }
  /// Waits until the source has ended, or stop() was called, and the handlers have ended. Throws what ended the server.
  /// - blocks: until then
  /// - cancel: cancels the handlers, waits for them, throws canceled
  /// - threads: any, one at a time, but the server's own, for which it throws misuse
  RUNNEL_PARKS RUNNEL_JOINS void wait();
  /// The same, observing ctx and the ambient context.
  /// - blocks: until then
  /// - cancel: cancels the handlers, waits for them, throws canceled
  /// - threads: any, one at a time, but the server's own, for which it throws misuse
  RUNNEL_PARKS RUNNEL_JOINS void wait(const context& ctx) {
    const detail::joined_scope both(ctx);
    wait();
  }

  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  server_counters counters() const;

 private:
  explicit server(const serve_options& options);
  struct active_handler;

  template <class Accept, class Handler>
  void accept_all(Accept& accept, const Handler& handler);
  void begin_handler();
  void end_handler() noexcept;
  bool ends_by_failure();
  void accept_failed() noexcept;
  void cut_off() noexcept;
  void end_now() noexcept;
  void refuse_own_fiber() const;
  void rethrow_accept_error();

  const serve_options options_;
  const std::string name_;
  mutable mutex lock_;
  // Under lock_.
  server_counters counters_;
  shutdown_report report_;
  bool stopping_ = false, cut_off_ = false, taken_ = false;
  std::exception_ptr accept_error_;

  shim::atomic<this_fiber::id> accepting_{0};
  semaphore slots_;
  std::shared_ptr<const void> handler_;  ///< used by all handlers
  task_group handlers_;
  task<void> acceptor_;  ///< the last: it uses what stands above
};

/// Gives a group's tasks at most `limit` to end, then cancels them, and joins them all: the end of an object whose
/// member the group is. False: some had to be canceled. Throws what the group's wait() throws.
/// - blocks: until all tasks have ended
/// - cancel: cancels the group, waits for its tasks, throws canceled
/// - threads: any, one at a time, but a task of the group, for which it throws misuse
RUNNEL_PARKS RUNNEL_JOINS bool shutdown(task_group& group, duration limit);
/// The same, observing ctx and the ambient context.
/// - blocks: until all tasks have ended
/// - cancel: cancels the group, waits for its tasks, throws canceled
/// - threads: any, one at a time, but a task of the group, for which it throws misuse
RUNNEL_PARKS RUNNEL_JOINS inline bool shutdown(const context& ctx, task_group& group, duration limit) {
  const detail::joined_scope both(ctx);
  return shutdown(group, limit);
}

// ---- implementation --------------------------------------------------------------------------------------------

namespace detail {

/// How requests are taken from a source.
template <class Source>
auto accept_from(Source source) {
  if constexpr (can_receive<Source>) {
    return [rx = std::move(source)] { return rx.receive(); };
  } else if constexpr (std::is_same_v<Source, listener>) {
    return [l = std::move(source)] { return std::optional(l.accept()); };
  } else {
    static_assert(requires(Source& s) { *s(); },
                  "runnel::serve: a source is a receiving end, a listener, or a function that returns an optional");
    return source;
  }
}

template <class Accept>
using request_of = std::remove_cvref_t<decltype(*std::declval<std::invoke_result_t<Accept&>>())>;

}  // namespace detail

struct server::active_handler {
  explicit active_handler(server& s) noexcept : of(s) {}
  active_handler(const active_handler&) = delete;
  active_handler& operator=(const active_handler&) = delete;
  ~active_handler() { of.end_handler(); }
  server& of;
};

template <class Accept, class Handler>
void server::accept_all(Accept& accept, const Handler& handler) {
  for (;;) {
    permit slot(slots_);  // before a request is taken: one that is taken does not wait
    auto accepted = accept();
    if (!accepted) return;
    auto task = [this, &handler, slot = std::move(slot), request = std::move(*accepted)]() mutable {
      const permit until_the_end = std::move(slot);
      const active_handler counted(*this);
      auto own = std::move(request);  // ends before it is counted
      try {
        static_cast<void>(std::invoke(handler, std::move(own)));
      } catch (...) {
        if (ends_by_failure()) throw;
      }
    };
    begin_handler();
    try {
      handlers_.go(std::move(task));
    } catch (...) {  // no memory for its fiber: the request is lost as by a handler that fails
      const active_handler counted(*this);
      if (ends_by_failure()) throw;
    }
  }
}

template <class Accept, class Handler>
server::server(Accept accept, Handler handler, const serve_options& options, source_location at) : server(options) {
  static_assert(std::is_invocable_v<const Handler&, detail::request_of<Accept>>,
                "runnel::serve: the handler takes a request, and is called by many at a time: no mutable lambda");
  auto shared = std::make_shared<const Handler>(std::move(handler));
  handler_ = shared;
  auto body = [this, accept = std::move(accept), used = shared.get()]() mutable {
    accepting_.store(this_fiber::get_id(), shim::order::relaxed);  // relaxed: only this fiber can find its own id there
    try {
      accept_all(accept, *used);
    } catch (...) {
      accept_failed();
    }
  };
  const context_scope below_the_group(handlers_.get_context());
  acceptor_ = go(task_options{.name = name_}, std::move(body), at);
}

/// Serves each request of `source` by handler(request) on a fiber of its own, until the source ends or the server does.
/// - blocks: never
/// - cancel: ignores
/// - threads: any
template <class Source, class Handler>
[[nodiscard("canceled and joined at once: keep the server")]] RUNNEL_SCOPED_SPAWN server serve(
    Source source, Handler handler, const serve_options& options = {},
    source_location at = source_location::current()) {
  return server(detail::accept_from(std::move(source)), std::move(handler), options, at);
}

}  // namespace runnel::inline RUNNEL_ABI
