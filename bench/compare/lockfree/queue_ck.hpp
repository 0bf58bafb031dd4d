#pragma once

#include <bit>
#include <cstdint>
#include <memory>

// It is C: it returns `false` for a null pointer.
#define false 0
extern "C" {
#include <ck_ring.h>
}
#undef false

namespace bench::lockfree {

/// Rings of pointers, of a power of two.
struct ck_queues {
  struct ring {
    explicit ring(std::size_t n) : buffer(std::make_unique<ck_ring_buffer_t[]>(size_of(n))) {
      ck_ring_init(&r, static_cast<unsigned>(size_of(n)));
    }
    static std::size_t size_of(std::size_t n) { return std::bit_ceil(n + 1); }
    ck_ring_t r;
    std::unique_ptr<ck_ring_buffer_t[]> buffer;
  };
  struct mpmc : ring {
    using ring::ring;
    bool push(std::uint64_t v) { return ck_ring_enqueue_mpmc(&r, buffer.get(), reinterpret_cast<void*>(v)); }
    bool pop(std::uint64_t& v) { return ck_ring_dequeue_mpmc(&r, buffer.get(), reinterpret_cast<void**>(&v)); }
    static constexpr const char* remark = "pointers; holds up to twice as many";
  };
  struct spsc : ring {
    using ring::ring;
    bool push(std::uint64_t v) { return ck_ring_enqueue_spsc(&r, buffer.get(), reinterpret_cast<void*>(v)); }
    bool pop(std::uint64_t& v) { return ck_ring_dequeue_spsc(&r, buffer.get(), reinterpret_cast<void**>(&v)); }
    static constexpr const char* remark = "pointers; holds up to twice as many";
  };
};

}  // namespace bench::lockfree
