// A value that is made at its first use, once, and shared from then on.
//
// Use when: a value is costly and perhaps never needed. When not: it is needed anyway; then make it before it is shared.
// Guarantees: the function is called once. Its value, or the exception that it threw, is what every get() returns or
// throws; then the function is destroyed. Only a cancellation of who happened to run it is not remembered: then the next
// caller runs it again. Making the value happens before every get() that returns it.
// Thread-safety: get() gives all callers the same object; once made, it needs a lock of its own if it is to be changed.
// Blocking and cancellation: the first caller runs the function in its own context; the others wait, cancellably.
// What is done is returned without a look at the caller's context.
// Errors: a function that asks for its own value throws misuse; destroying it while the function runs ends the process with a
// message; outside of fibers it is only told.
// Cost: one allocation for the function, when the lazy is made; one acquire load and a branch once there is a value.
// Source: Go's sync.OnceValue.
#pragma once

#include <runnel/base/annotations.hpp>
#include <runnel/detail/joined_scope.hpp>
#include <runnel/detail/once_core.hpp>

#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>
#include <variant>

namespace runnel::inline RUNNEL_ABI {

template <class T>
class lazy {
  static_assert(std::is_object_v<T>, "lazy<T>: T must be an object type; keep a pointer for a reference");

 public:
  /// f() makes the value, at the first get().
  template <std::invocable F>
    requires std::convertible_to<std::invoke_result_t<F&>, T> && (!std::same_as<std::remove_cvref_t<F>, lazy>)
  explicit lazy(F&& f) : content_(std::make_unique<holder<std::decay_t<F>>>(std::forward<F>(f))) {}
  lazy(const lazy&) = delete;
  lazy& operator=(const lazy&) = delete;

  /// The value, or the exception, of the function.
  /// - blocks: while another caller makes it
  /// - cancel: throws canceled, unless it is done
  /// - threads: any
  RUNNEL_PARKS T& get() {
    sched::choice_point(sched::operation::wait, this);
    if (!core_.done() && core_.begin(sched::wait_reason::lazy)) make();
    if (T* value = std::get_if<value_at>(&content_)) return *value;
    std::rethrow_exception(std::get<failure_at>(content_).error);
  }
  /// The same, observing ctx and the ambient context: so does the function, if it is the caller who runs it.
  /// - blocks: while another caller makes it
  /// - cancel: throws canceled, unless it is done
  /// - threads: any
  RUNNEL_PARKS T& get(const context& ctx) {
    if (core_.done()) return get();
    const detail::joined_scope both(ctx);
    return get();
  }
  /// Whether get() would return, or throw, at once.
  /// - blocks: never
  /// - cancel: ignores
  /// - threads: any
  bool done() const noexcept {
    sched::choice_point(sched::operation::look, this);
    return core_.done();
  }

 private:
  struct source {
    virtual ~source() = default;
    virtual T call() = 0;
  };
  template <class F>
  struct holder final : source {
    template <class G>
    explicit holder(G&& g) : function(std::forward<G>(g)) {}
    T call() override { return function(); }
    F function;
  };
  struct failure {
    std::exception_ptr error;
  };
  enum : std::size_t { function_at, value_at, failure_at };

  void make() {
    detail::once_run run(core_);
    auto function = std::move(std::get<function_at>(content_));
    try {
      content_.template emplace<value_at>(function->call());
    } catch (const canceled& e) {
      if (detail::is_callers_own(e.origin().order())) {
        content_.template emplace<function_at>(std::move(function));
        throw;
      }
      content_.template emplace<failure_at>(failure{std::current_exception()});
    } catch (...) {
      content_.template emplace<failure_at>(failure{std::current_exception()});
    }
    function.reset();  // its captures end before anybody has the value
    run.succeeded();
  }

  std::variant<std::unique_ptr<source>, T, failure> content_;
  detail::once_core core_;
};

}  // namespace runnel::inline RUNNEL_ABI
