// What layers keep for a thread: each thread its own, told when the thread ends.
#include <runnel/sched/attachment.hpp>

#include <gtest/gtest.h>

#include <thread>

namespace runnel::test {
namespace {

using sched::attached;
using sched::attachment;

int ended = 0;  // of one thread at a time
void count_end(void* what) noexcept { ended += *static_cast<int*>(what); }

TEST(attachment, each_thread_has_its_own_and_its_end_is_told_once) {
  ended = 0;
  int one = 1;
  std::thread([&] {
    EXPECT_EQ(attached(attachment::hazards), nullptr);
    sched::attach(attachment::hazards, &one, &count_end);
    EXPECT_EQ(attached(attachment::hazards), &one);
    EXPECT_EQ(attached(attachment::reader), nullptr);
    std::thread([] { EXPECT_EQ(attached(attachment::hazards), nullptr); }).join();
    EXPECT_EQ(ended, 0);
  }).join();
  EXPECT_EQ(ended, 1);
}

TEST(attachment, what_was_taken_back_is_not_told) {
  ended = 0;
  int one = 1;
  std::thread([&] {
    sched::attach(attachment::reader, &one, &count_end);
    sched::attach(attachment::reader, nullptr, nullptr);
  }).join();
  EXPECT_EQ(ended, 0);
}

TEST(attachment, what_a_destructor_of_a_thread_local_attaches_is_told_too) {
  ended = 0;
  static int two = 2;
  struct late {
    ~late() { sched::attach(attachment::hazards, &two, &count_end); }
  };
  std::thread([] {
    thread_local late l;
    static_cast<void>(&l);
  }).join();
  EXPECT_EQ(ended, 2);
}

int again = 0;
void attach_once_more(void* what) noexcept {
  if (++again == 1) sched::attach(attachment::reader, what, &attach_once_more);
}

TEST(attachment, what_an_end_attaches_is_told_too) {
  again = 0;
  int one = 1;
  std::thread([&] { sched::attach(attachment::reader, &one, &attach_once_more); }).join();
  EXPECT_EQ(again, 2);
}

}  // namespace
}  // namespace runnel::test
