// One execution for all who ask for the same at the same time: they share its result.
//
//   runnel::single_flight<std::string, profile> flights;
//   profile p = flights.run(user, [&] { return load(user); });
//
// Use when: many want the same costly thing at once: a cache that is cold, a token that has expired. When not: the
// result is to be kept: cache; it is made once for ever: lazy.
// Guarantees: for one key at most one function runs at a time, except after forget(). All who asked for it meanwhile
// get its result, or its exception; who comes later starts anew. What the function did happens before run() returns its
// result.
// Who is canceled: the function runs in the fiber and context of the first caller. When he is canceled he leaves, and
// the first of those who wait runs his own function; one who is canceled while he waits leaves alone.
// Thread-safety: all operations from anywhere. Hash, Equal and copying a key run under a lock: they must not use the
// flight.
// Blocking and cancellation: see above.
// Errors: a function that asks for its own key throws misuse. An exception of a copy of the result goes to those who
// share it.
// Cost: an allocation and two short locks for an execution, two short locks and a copy of the result for each who
// shares it; a result that nobody shares is not copied. For what is costly to copy: V = std::shared_ptr<const T>.
// Source: Go's golang.org/x/sync/singleflight.
#pragma once

#include <runnel/base/annotations.hpp>
#include <runnel/detail/joined_scope.hpp>
#include <runnel/detail/once_core.hpp>
#include <runnel/sync/mutex.hpp>

#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <type_traits>
#include <unordered_map>
#include <utility>

namespace runnel::inline RUNNEL_ABI {

template <class V>
struct flight_result {
  V value;
  bool shared;  ///< others got it too
};

template <class K, class V, class Hash = std::hash<K>, class Equal = std::equal_to<K>>
class single_flight {
  static_assert(std::is_object_v<V> && std::copy_constructible<V>,
                "single_flight: each caller gets a copy, so V must be copyable: std::shared_ptr<const T> is");

 public:
  single_flight() = default;
  single_flight(const single_flight&) = delete;
  single_flight& operator=(const single_flight&) = delete;

  /// The result of f(), or of another caller's function that runs for the key already.
  /// - blocks: as f, or while the other one runs
  /// - cancel: throws canceled
  /// - threads: any
  template <std::invocable F>
    requires std::convertible_to<std::invoke_result_t<F>, V>
  RUNNEL_PARKS V run(const K& key, F&& f) {
    return run_shared(key, std::forward<F>(f)).value;
  }
  /// The same, observing ctx and the ambient context: f too, whose ambient context ends with either. Who shares f goes
  /// on when ctx is canceled.
  /// - blocks: as f, or while the other one runs
  /// - cancel: throws canceled
  /// - threads: any
  template <std::invocable F>
    requires std::convertible_to<std::invoke_result_t<F>, V>
  RUNNEL_PARKS V run(const context& ctx, const K& key, F&& f) {
    return run_shared(ctx, key, std::forward<F>(f)).value;
  }
  /// As run(), and whether others got it too.
  /// - blocks: as f, or while the other one runs
  /// - cancel: throws canceled
  /// - threads: any
  template <std::invocable F>
    requires std::convertible_to<std::invoke_result_t<F>, V>
  RUNNEL_PARKS flight_result<V> run_shared(const K& key, F&& f) {
    const boarding b(*this, key);
    if (b.of->core.begin(sched::wait_reason::shared_execution)) return execute(b, std::forward<F>(f));
    if (b.of->error) std::rethrow_exception(b.of->error);
    return {*b.of->value, true};
  }
  template <std::invocable F>
    requires std::convertible_to<std::invoke_result_t<F>, V>
  RUNNEL_PARKS flight_result<V> run_shared(const context& ctx, const K& key, F&& f) {
    const detail::joined_scope both(ctx);
    return run_shared(key, std::forward<F>(f));
  }
  /// Who comes from now on does not share what runs for the key already.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  void forget(const K& key) {
    entry gone;  // ends behind the lock
    const std::lock_guard hold(lock_);
    gone = flights_.extract(key);
  }
  /// The same for all keys.
  void forget_all() {
    map gone;  // ends behind the lock
    const std::lock_guard hold(lock_);
    gone.swap(flights_);
  }

 private:
  /// One execution and those who share it.
  struct flight {
    detail::once_core core;
    std::size_t callers = 0;           ///< who have come and not left; under the lock
    const sched::agent* by = nullptr;  ///< who runs; under the lock
    // Written by who runs, read behind `core`.
    std::optional<V> value;
    std::exception_ptr error;
  };

  using map = std::unordered_map<K, std::shared_ptr<flight>, Hash, Equal>;
  using entry = typename map::node_type;

  /// A caller's share in a flight. The last to leave one that has no result takes it away.
  struct boarding {
    boarding(single_flight& s, const K& k) : all(s), key(k) {
      const std::lock_guard hold(s.lock_);
      if (const auto at = s.flights_.find(k); at != s.flights_.end()) {
        of = at->second;
      } else {
        of = std::make_shared<flight>();
        s.flights_.emplace(k, of);
      }
      if (of->by == &sched::this_agent())
        detail::throw_misuse("runnel::single_flight: a function asks for the key that it runs for: "
                             "it would wait for itself");
      ++of->callers;
    }
    boarding(const boarding&) = delete;
    boarding& operator=(const boarding&) = delete;
    ~boarding() {
      entry gone;
      const std::lock_guard hold(all.lock_);
      if (--of->callers != 0) return;
      try {
        gone = all.remove(*this);
      } catch (...) {  // by Hash or Equal: as it has no result, whoever comes next takes it over
      }
    }
    single_flight& all;
    const K& key;
    std::shared_ptr<flight> of;
  };

  /// Under the lock: from now on nobody comes.
  entry remove(const boarding& b) {
    const auto at = flights_.find(b.key);
    return at != flights_.end() && at->second == b.of ? flights_.extract(at) : entry();
  }
  void runs(flight& f, const sched::agent* by) {
    const std::lock_guard hold(lock_);
    f.by = by;
  }

  template <class F>
  flight_result<V> execute(const boarding& b, F&& f) {
    flight& mine = *b.of;
    detail::once_run run(mine.core);
    mine.error = nullptr;  // of one whose end failed
    std::optional<V> made;
    runs(mine, &sched::this_agent());
    try {
      made.emplace(std::invoke(std::forward<F>(f)));
    } catch (const canceled& e) {
      if (detail::is_callers_own(e.origin().order())) {
        runs(mine, nullptr);
        throw;  // and somebody else runs
      }
      mine.error = std::current_exception();
    } catch (...) {
      mine.error = std::current_exception();
    }
    const bool shared = close(b);
    if (made && shared) copy(mine, *made);
    run.succeeded();
    if (!made) std::rethrow_exception(mine.error);
    return {*std::move(made), shared};
  }
  /// From now on nobody comes; whether somebody has.
  bool close(const boarding& b) {
    entry gone;
    const std::lock_guard hold(lock_);
    b.of->by = nullptr;
    gone = remove(b);
    return b.of->callers > 1;
  }
  static void copy(flight& mine, const V& made) {
    try {
      mine.value.emplace(made);
    } catch (...) {
      mine.error = std::current_exception();
    }
  }

  mutable mutex lock_;
  map flights_;  ///< under lock_
};

}  // namespace runnel::inline RUNNEL_ABI
