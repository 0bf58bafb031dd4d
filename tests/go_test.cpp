// task: a task that would wait for itself is told so.
#include "support/fixture.hpp"

#include <optional>
#include <string>

namespace runnel::test {
namespace {

class task_laws : public behaviour {};
RUNNEL_EVERY_CALLER(task_laws);

TEST_P(task_laws, a_task_that_joins_itself_is_told_so_and_goes_on) {
  in_runtime([] {
    channel<unit> handle_is_there(1);
    task<void> t;
    std::string told;
    t = go([&] {
      handle_is_there.receive();
      try {
        t.join();
      } catch (const misuse& e) {
        told = e.what();
      }
    });
    handle_is_there.send({});
    t.get();
    EXPECT_NE(told.find("joins itself"), std::string::npos) << told;
  });
}

class task_death_test : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(task_death_test, one_that_destroys_its_own_handle_ends_the_process) {
  EXPECT_DEATH(run([] {
                 channel<unit> handle_is_there(1);
                 std::optional<task<void>> t;
                 t = go([&] {
                   handle_is_there.receive();
                   t.reset();
                 });
                 handle_is_there.send({});
                 channel<unit>().receive();
               }),
               "a task destroys its own handle");
}

}  // namespace
}  // namespace runnel::test
