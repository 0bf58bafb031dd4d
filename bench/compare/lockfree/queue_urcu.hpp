#pragma once

#define _LGPL_SOURCE  // compiled into the caller
#include <urcu/wfcqueue.h>

#include <cstdint>

namespace bench::lockfree {

struct urcu_queues {
  struct mpsc {
    struct node {
      cds_wfcq_node link;  // first: a node is found by it
      std::uint64_t value;
    };
    explicit mpsc(std::size_t) {
      __cds_wfcq_init(&head, &tail);
    }
    ~mpsc() {
      for (std::uint64_t v; pop(v);) {
      }
    }
    bool push(std::uint64_t v) {
      node* n = new node{{}, v};
      cds_wfcq_node_init(&n->link);
      cds_wfcq_enqueue(__cds_wfcq_head_cast(&head), &tail, &n->link);
      return true;
    }
    bool pop(std::uint64_t& v) {
      cds_wfcq_node* const link = __cds_wfcq_dequeue_blocking(__cds_wfcq_head_cast(&head), &tail);
      if (!link) return false;
      node* const n = reinterpret_cast<node*>(link);
      v = n->value;
      delete n;
      return true;
    }
    __cds_wfcq_head head;
    cds_wfcq_tail tail;
    static constexpr const char* remark = "a node for each from new";
  };
};

}  // namespace bench::lockfree
