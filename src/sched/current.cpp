// The thread-locals of the library, all of them, behind calls that are never inlined: a fiber may be on another
// thread after any wait, and a compiler may keep a thread-local's address for a whole function.
#include "base/last_errno.hpp"
#include "sched/fork.hpp"
#include "sched/worker.hpp"
#include "sched/world.hpp"

#include <runnel/base/random.hpp>
#include <runnel/sched/attachment.hpp>
#include <runnel/sched/stripe.hpp>

#include <pthread.h>

#include <cstdlib>
#include <new>
#include <utility>

namespace runnel::inline RUNNEL_ABI::sched {

namespace {

thread_local worker* current_worker = nullptr;
thread_local thread_agent* current_thread = nullptr;
thread_local std::uint64_t random_state = 0;
struct attached_thing {
  void* what;
  void (*ends)(void*) noexcept;
};
thread_local constinit attached_thing things[attachments] = {};

// Descriptors of threads are pooled and never freed (agent.hpp).
detail::raw_lock pool_lock;
thread_agent* pool = nullptr;

// A pthread key and not a thread_local with a destructor: the key's destructor runs after those of all
// thread_locals, so that a thread may still wait in them.
void give_back(void* p) noexcept {
  auto* a = static_cast<thread_agent*>(p);
  current_thread = a;  // destructors may ask for it
  destroy_locals(*a);
  current_thread = nullptr;
  detail::raw_guard hold(pool_lock);
  a->next = pool;
  pool = a;
}
/// A key of its own: a worker has no descriptor of a thread. What is attached meanwhile sets the key anew.
void end_attachments(void*) noexcept {
  for (attached_thing& t : things)
    if (void* const what = std::exchange(t.what, nullptr)) t.ends(what);
}
pthread_key_t attachment_key() {
  static const pthread_key_t key = [] {
    pthread_key_t k{};
    pthread_key_create(&k, &end_attachments);
    return k;
  }();
  return key;
}
pthread_key_t exit_key() {
  static const pthread_key_t key = [] {
    pthread_key_t k{};
    pthread_key_create(&k, &give_back);
    return k;
  }();
  return key;
}

thread_agent& new_thread_agent() {
  thread_agent* a = nullptr;
  {
    detail::raw_guard hold(pool_lock);
    if (pool) {
      a = pool;
      pool = a->next;
    }
  }
  if (!a) {
    // Outside operator new: it is never freed, and a program that counts its allocations should not see a leak.
    void* memory = std::malloc(sizeof(thread_agent));
    if (!memory) throw std::bad_alloc();
    a = new (memory) thread_agent;
  }
  a->ambient = nullptr;
  a->innermost = nullptr;
  a->shields = 0;
  a->swallowed = 0;
  a->locals = nullptr;
  a->listens_to = nullptr;
  a->forks = nullptr;
  a->lives_in = nullptr;
  current_thread = a;
  pthread_setspecific(exit_key(), a);
  return *a;
}

}  // namespace

detail::raw_lock& lock_of_thread_agents() noexcept { return pool_lock; }

worker* this_worker() noexcept {
  asm volatile("");
  return current_worker;
}
void set_this_worker(worker* w) noexcept { current_worker = w; }

agent& this_agent() {
  asm volatile("");
  if (current_worker) {
    if (fiber* f = current_worker->running()) return *f;
  }
  return current_thread ? *current_thread : new_thread_agent();
}

place this_place() {
  asm volatile("");
  if (current_worker) {
    if (fiber* f = current_worker->running()) return {*f, current_worker};
  }
  thread_agent& a = current_thread ? *current_thread : new_thread_agent();
  return {a, &a};
}

unsigned stripe_of_caller() noexcept {
  asm volatile("");
  if (current_worker) return current_worker->index();
  // An address, whose low bits are alike for all threads.
  return static_cast<unsigned>((std::uint64_t{pthread_self()} * 0x9E3779B97F4A7C15ull) >> 32);
}

void* attached(attachment which) noexcept {
  asm volatile("");
  return things[static_cast<unsigned>(which)].what;
}

void attach(attachment which, void* what, void (*ends)(void*) noexcept) noexcept {
  things[static_cast<unsigned>(which)] = {what, ends};
  if (which == attachment::reader && current_worker) current_worker->reads_at(static_cast<const read_depth*>(what));
  if (what) pthread_setspecific(attachment_key(), &things);
}

world* this_world() noexcept {
  asm volatile("");
  if (current_worker) {
    if (fiber* f = current_worker->running()) return f->lives_in;
  }
  return current_thread ? current_thread->lives_in : nullptr;
}

}  // namespace runnel::inline RUNNEL_ABI::sched

namespace runnel::inline RUNNEL_ABI::detail {

// xorshift64* (Vigna 2016, https://doi.org/10.1145/2845077), one state a thread.
[[gnu::noinline]] std::uint32_t random_below(std::uint32_t bound) noexcept {
  if constexpr (exploring) {
    if (const sched::world* in = sched::this_world(); in && in->controlled_by) return in->controlled_by->draw(bound);
  }
  std::uint64_t x = sched::random_state;
  if (x == 0) x = reinterpret_cast<std::uintptr_t>(&sched::random_state) * 0x9E3779B97F4A7C15ull | 1;
  x ^= x >> 12;
  x ^= x << 25;
  x ^= x >> 27;
  sched::random_state = x;
  const std::uint64_t high = (x * 0x2545F4914F6CDD1Dull) >> 32;
  return static_cast<std::uint32_t>((high * bound) >> 32);
}

}  // namespace runnel::inline RUNNEL_ABI::detail
