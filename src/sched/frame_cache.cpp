#include "sched/frame_cache.hpp"

#include "sched/fiber_pool.hpp"
#include "sched/worker.hpp"

#include <runnel/base/raw_lock.hpp>
#include <runnel/sched/frame.hpp>

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace runnel::inline RUNNEL_ABI::sched {

namespace {

constexpr std::size_t batch = 32;
constexpr std::size_t most_shared_bytes = std::size_t{2} << 20;

/// Full batches that no worker keeps for itself.
struct shared_batches {
  detail::raw_lock lock;
  free_frame* first = nullptr;
  std::size_t count = 0;
};
shared_batches shared[frame_cache::classes];

constexpr std::size_t class_of(std::size_t bytes) noexcept {
  return (std::max(bytes, frame_cache::smallest) - frame_cache::smallest + frame_cache::step - 1) / frame_cache::step;
}
constexpr std::size_t size_of(std::size_t size_class) noexcept {
  return frame_cache::smallest + size_class * frame_cache::step;
}
static_assert(class_of(frame_cache::largest) == frame_cache::classes - 1);
static_assert(sizeof(free_frame) <= frame_cache::smallest);

void free_all(free_frame* first) noexcept {
  while (first) std::free(std::exchange(first, first->next));
}

free_frame* take_batch(std::size_t size_class) noexcept {
  shared_batches& s = shared[size_class];
  detail::raw_guard hold(s.lock);
  free_frame* first = s.first;
  if (first) {
    s.first = first->next_batch;
    --s.count;
  }
  return first;
}

void give_batch(free_frame* first, std::size_t size_class) noexcept {
  shared_batches& s = shared[size_class];
  {
    detail::raw_guard hold(s.lock);
    if (s.count < most_shared_bytes / (batch * size_of(size_class))) {
      first->next_batch = std::exchange(s.first, first);
      ++s.count;
      return;
    }
  }
  free_all(first);
}

shim::atomic<std::uint64_t> from_heap{0};

#if defined(RUNNEL_CHECKED) && RUNNEL_CHECKED
shim::atomic<std::int64_t> frames{0};
void count_frame(std::int64_t d) noexcept {
  frames.fetch_add(d, shim::order::relaxed);  // relaxed: a statistic
}
#else
void count_frame(std::int64_t) noexcept {}
#endif

/// Sanitizers must see every frame come and go.
constexpr bool is_pooled(std::size_t bytes) noexcept {
  return !detail::sanitizer::tracks_memory && bytes <= frame_cache::largest;
}

}  // namespace

frame_cache::~frame_cache() {
  for (list& l : lists_) {
    free_all(l.first);
    free_all(l.spare);
  }
}

void* frame_cache::take(std::size_t size_class) noexcept {
  list& l = lists_[size_class];
  if (!l.first) {
    l.first = l.spare ? std::exchange(l.spare, nullptr) : take_batch(size_class);
    if (!l.first) return nullptr;
    l.size = batch;
  }
  --l.size;
  return std::exchange(l.first, l.first->next);
}

void frame_cache::give(void* p, std::size_t size_class) noexcept {
  list& l = lists_[size_class];
  if (l.size == batch) {
    if (l.spare) give_batch(l.spare, size_class);
    l.spare = std::exchange(l.first, nullptr);
    l.size = 0;
  }
  auto* f = static_cast<free_frame*>(p);
  f->next = l.first;
  l.first = f;
  ++l.size;
}

// Outside operator new: what is kept is no leak of the program that counts its allocations.
void* take_frame(std::size_t bytes) {
  if (!is_pooled(bytes)) return ::operator new(bytes);
  const std::size_t c = class_of(bytes);
  worker* w = counting_worker();
  void* p = w ? w->frames.take(c) : nullptr;
  if (!p) {
    p = std::malloc(size_of(c));
    if (!p) throw std::bad_alloc();
    if (w) from_heap.fetch_add(1, shim::order::relaxed);  // relaxed: a statistic
  }
  count_frame(+1);
  return p;
}

void give_frame(void* p, std::size_t bytes) noexcept {
  if (!is_pooled(bytes)) return ::operator delete(p);
  count_frame(-1);
  if (worker* w = counting_worker()) {
    w->frames.give(p, class_of(bytes));
  } else {
    std::free(p);
  }
}

bool pools_frames() noexcept { return is_pooled(1); }

std::uint64_t frames_from_heap() noexcept {
  return from_heap.load(shim::order::relaxed);  // relaxed: a statistic
}

std::int64_t live_frames() noexcept {
#if defined(RUNNEL_CHECKED) && RUNNEL_CHECKED
  return frames.load(shim::order::relaxed);  // relaxed: a statistic
#else
  return 0;
#endif
}

}  // namespace runnel::inline RUNNEL_ABI::sched
