// A document that several change at the same time, and a stack of steps that take the changes back.
#include <runnel/lockfree/stack.hpp>
#include <runnel/runnel.hpp>
#include <runnel/sync/guarded.hpp>

#include <cstdio>
#include <functional>
#include <string>

namespace {

class document {
 public:
  /// The step that takes a change back is pushed under the same lock, so that the steps lie in the order of the changes.
  void append(std::string text) {
    text_.with([&](std::string& all) {
      undo_.push([n = text.size()](std::string& t) { t.resize(t.size() - n); });
      all += text;
    });
  }
  bool undo() {
    return text_.with([&](std::string& all) {
      const auto step = undo_.try_pop();
      if (step) (*step)(all);
      return step.has_value();
    });
  }
  /// Looks without the lock: whether to show the button.
  bool can_undo() const { return !undo_.empty(); }
  std::string text() const {
    return text_.with([](const std::string& t) { return t; });
  }

 private:
  runnel::guarded<std::string> text_;
  runnel::lockfree::stack<std::function<void(std::string&)>> undo_;
};

}  // namespace

int main() {
  return runnel::run([] {
    document d;
    d.append("one ");
    d.append("two ");
    d.append("three");
    std::printf("%s\n", d.text().c_str());
    d.undo();
    std::printf("%s\n", d.text().c_str());

    runnel::with_task_group([&](runnel::task_group& group) {
      for (int i = 0; i < 10; ++i) group.go([&] { d.append("x"); });
    });
    std::printf("%s\n", d.text().c_str());
    int steps = 0;
    while (d.undo()) ++steps;
    std::printf("%d steps back: \"%s\", more: %s\n", steps, d.text().c_str(), d.can_undo() ? "yes" : "no");
  });
}
