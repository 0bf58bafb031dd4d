// batcher: every value is flushed once, by the rule that comes first, and a batch that fails comes back whole.
#include "../support/fixture.hpp"

#include <runnel/debug/dump_fibers.hpp>
#include <runnel/patterns/batcher.hpp>
#include <runnel/testing/bubble.hpp>

#include <algorithm>
#include <atomic>
#include <memory>
#include <numeric>
#include <stdexcept>

namespace runnel::test {
namespace {

using namespace std::chrono_literals;

class batchers : public behaviour {};
RUNNEL_EVERY_CALLER(batchers);

using batches = std::vector<std::vector<int>>;

/// Keeps what it is called with.
auto keep(batches& all) {
  return [&all](std::vector<int>& b) { all.push_back(b); };
}

std::atomic<int> unhandled{0};
void count_unhandled(std::exception_ptr, fiber_info) noexcept { ++unhandled; }
struct hook {
  unhandled_hook previous = (unhandled = 0, set_unhandled_hook(&count_unhandled));
  ~hook() { set_unhandled_hook(previous); }
};

TEST_P(batchers, who_closes_it_while_another_one_does_may_be_canceled) {
  in_runtime([] {
    bubble([] {
      std::atomic<int> flushed{0};
      batcher<int> b([&](std::vector<int>& batch) {
        sleep_for(1h);
        flushed += static_cast<int>(batch.size());
      }, {.size = 1});
      b.add(1);
      auto closes = go([&] { b.close(); });
      sleep_for(1s);
      const time_point start = steady_clock::now();
      EXPECT_THROW(with_timeout(5s, [&] { b.close(); }), deadline_exceeded);
      EXPECT_EQ(steady_clock::now(), start + 5s);
      EXPECT_EQ(flushed, 0) << "what was not flushed is destroyed";
      closes.join();
      EXPECT_THROW(b.add(2), batcher_closed);
    });
  });
}

TEST_P(batchers, a_batch_goes_when_it_is_full_and_the_rest_at_the_end) {
  in_runtime([] {
    batches all;
    {
      batcher<int> b(keep(all), {.size = 3});
      for (int i = 0; i < 7; ++i) b.add(i);
      b.close();
      EXPECT_EQ(all, (batches{{0, 1, 2}, {3, 4, 5}, {6}}));
      EXPECT_THROW(b.add(7), batcher_closed);
      EXPECT_THROW(b.flush(), batcher_closed);
      b.close();
    }
    all.clear();
    {
      batcher<int> b(keep(all), {.size = 3});
      for (int i = 0; i < 4; ++i) b.add(i);
    }
    EXPECT_EQ(all, (batches{{0, 1, 2}, {3}})) << "its end is a close";
  });
}

TEST_P(batchers, a_batch_goes_when_it_has_so_many_bytes) {
  in_runtime([] {
    std::vector<std::vector<std::string>> all;
    batcher<std::string> b([&](std::vector<std::string>& v) { all.push_back(std::move(v)); },
                           {.bytes = 10, .bytes_of = [](const std::string& s) { return s.size(); }});
    for (const char* s : {"four", "fives", "a", "a long long one", "b"}) b.add(s);
    b.close();
    EXPECT_EQ(all, (decltype(all){{"four", "fives", "a"}, {"a long long one"}, {"b"}}));
    std::vector<std::size_t> sizes;
    batcher<bool> last([&](std::vector<bool>& v) { sizes.push_back(v.size()); },
                       {.bytes = 10, .bytes_of = [](bool is_last) { return is_last ? ~std::size_t{0} : 1; }});
    for (const bool is_last : {false, false, true, false}) last.add(is_last);
    last.close();
    EXPECT_EQ(sizes, (std::vector<std::size_t>{3, 1})) << "no number of bytes overflows";
  });
}

TEST_P(batchers, a_batch_goes_when_its_first_value_is_old) {
  in_runtime([] {
    bubble([] {
      const time_point start = steady_clock::now();
      std::vector<std::pair<std::vector<int>, std::chrono::nanoseconds>> all;
      batcher<int> b([&](std::vector<int>& v) {
        all.emplace_back(v, steady_clock::now() - start);
        if (v[0] == 5) sleep_for(100ms);
      }, {.size = 4, .age = 50ms});
      b.add(0);
      sleep_for(30ms);
      b.add(1);
      sleep_for(30ms);  // 0 and 1 went at 50
      b.add(2);         // goes at 110
      sleep_for(140ms);
      b.add(5);  // at 200; goes at 250, takes until 350
      sleep_for(60ms);
      b.add(6);  // at 260: old enough at 310
      b.add(7);
      b.close();
      EXPECT_EQ(all, (decltype(all){{{0, 1}, 50ms}, {{2}, 110ms}, {{5}, 250ms}, {{6, 7}, 350ms}}));
    });
  });
}

TEST_P(batchers, an_old_batch_goes_though_values_keep_coming) {
  in_runtime([] {
    batches all;
    batcher<int> b(keep(all), {.size = 1'000'000, .age = 0s, .waiting = 4});
    for (int i = 0; i < 200; ++i) b.add(i);
    b.close();
    for (const auto& v : all) EXPECT_LE(v.size(), 5u) << "the first was old at once, and 4 may wait";
  });
}

TEST_P(batchers, flush_waits_for_all_that_was_added_before) {
  in_runtime([] {
    batches all;
    batcher<int> b(keep(all), {.size = 100});
    b.add(1);
    b.add(2);
    b.flush();
    EXPECT_EQ(all, (batches{{1, 2}}));
    b.flush();
    EXPECT_EQ(all.size(), 1u) << "nothing is no batch";
    b.add(3);
    b.flush();
    EXPECT_EQ(all, (batches{{1, 2}, {3}}));
  });
}

TEST_P(batchers, many_producers_lose_nothing_and_each_keeps_its_order) {
  in_runtime([] {
    std::vector<int> all;
    const int n = static_cast<int>(scaled(500));
    batcher<int> b([&](std::vector<int>& v) {
      EXPECT_LE(v.size(), 7u);
      all.insert(all.end(), v.begin(), v.end());
    }, {.size = 7, .age = 1ms, .waiting = 3});
    std::vector<party> producers;
    for (int p = 0; p < 4; ++p)
      producers.push_back(start([&b, p, n] {
        for (int i = 0; i < n; ++i) {
          b.add(4 * i + p);
          if (i % 50 == 0) b.flush();
        }
      }));
    for (party& p : producers) p.join();
    b.close();
    for (int p = 0; p < 4; ++p) {
      std::vector<int> of;
      std::copy_if(all.begin(), all.end(), std::back_inserter(of), [p](int v) { return v % 4 == p; });
      EXPECT_EQ(of.size(), static_cast<std::size_t>(n));
      EXPECT_TRUE(std::is_sorted(of.begin(), of.end()));
    }
  });
}

TEST_P(batchers, who_adds_waits_while_as_many_wait_as_may) {
  in_runtime([this] {
    event go_on;
    std::atomic<int> added{0};
    batcher<int> b([&](std::vector<int>&) { go_on.wait(); }, {.size = 2, .waiting = 3, .name = "rows"});
    auto producer = start([&] {
      for (int i = 0; i < 100; ++i) {
        b.add(i);
        ++added;
      }
    });
    while (added < 5) yield();
    until_waiting(2);
    EXPECT_EQ(added, 5) << "2 are flushed, 3 wait";
    EXPECT_NE(fiber_report().find("\"rows\""), std::string::npos);
    go_on.set();
    producer.join();
  });
}

TEST_P(batchers, a_failed_batch_is_handed_to_the_handler_and_the_batcher_goes_on) {
  in_runtime([] {
    batches good, bad;
    batcher<int> b([&](std::vector<int>& v) {
      if (v[0] == 2) throw std::out_of_range("2");
      good.push_back(v);
    }, {.size = 2, .on_failure = [&](std::vector<int>&& v, std::exception_ptr e) {
          EXPECT_THROW(std::rethrow_exception(e), std::out_of_range);
          bad.push_back(std::move(v));
        }});
    for (int i = 0; i < 6; ++i) b.add(i);
    b.flush();
    b.close();
    EXPECT_EQ(good, (batches{{0, 1}, {4, 5}}));
    EXPECT_EQ(bad, (batches{{2, 3}}));
  });
}

TEST_P(batchers, without_a_handler_everything_from_the_failed_batch_on_is_handed_back) {
  in_runtime([] {
    const hook h;
    batches good;
    std::vector<std::unique_ptr<int>> back;
    {
      event all_added;
      batcher<std::unique_ptr<int>> b([&](std::vector<std::unique_ptr<int>>& v) {
        all_added.wait();
        if (*v[0] == 2) throw std::out_of_range("2");
      }, {.size = 2});
      for (int i = 0; i < 7; ++i) b.add(std::make_unique<int>(i));
      all_added.set();
      try {
        b.flush();
        ADD_FAILURE();
      } catch (const batch_failed<std::unique_ptr<int>>& e) {
        EXPECT_THROW(std::rethrow_exception(e.cause()), std::out_of_range);
        back = std::move(e.items());
      }
      EXPECT_THROW(b.add(std::make_unique<int>(8)), batch_failed<std::unique_ptr<int>>);
      EXPECT_THROW(b.close(), batch_failed<std::unique_ptr<int>>);
    }
    ASSERT_EQ(back.size(), 5u);
    for (int i = 0; i < 5; ++i) EXPECT_EQ(*back[static_cast<std::size_t>(i)], i + 2);
    EXPECT_EQ(unhandled, 0);
    {
      batcher<int> b([](std::vector<int>&) { throw std::out_of_range("all"); });
      b.add(1);
    }
    EXPECT_EQ(unhandled, 1) << "nobody was told";
  });
}

TEST_P(batchers, a_handler_that_throws_ends_it) {
  in_runtime([] {
    const hook h;
    {
      batcher<int> b([](std::vector<int>&) { throw 1; }, {.size = 1, .on_failure = [](std::vector<int>&&, std::exception_ptr) {
                                                              throw std::out_of_range("handler");
                                                            }});
      b.add(1);
      EXPECT_THROW(b.close(), std::out_of_range);
    }
    EXPECT_EQ(unhandled, 0);
  });
}

TEST_P(batchers, whoever_waits_in_flush_goes_on_however_the_batch_ends) {
  in_runtime([this] {
    {
      batcher<int> b([](std::vector<int>&) { throw 1; }, {.on_failure = [](std::vector<int>&&, std::exception_ptr) {
                                                            throw std::out_of_range("handler");
                                                          }});
      b.add(1);
      EXPECT_THROW(b.flush(), batcher_closed);
      EXPECT_THROW(b.close(), std::out_of_range);
    }
    auto above = derive_cancel(context::current());
    auto b = [&] {
      const context_scope scope(above.ctx);
      return std::make_unique<batcher<int>>([](std::vector<int>&) { sleep_for(1h); });
    }();
    b->add(1);
    auto first = start([&] { EXPECT_THROW(b->flush(), batcher_closed); });
    until_waiting(2);  // it, and the batcher in its function
    auto second = start([&] { EXPECT_THROW(b->flush(), batcher_closed); });
    until_waiting(3);
    above.cancel();
    first.join();
    second.join();
    EXPECT_THROW(b->close(), canceled);
  });
}

TEST_P(batchers, an_exception_or_a_cancellation_destroys_what_was_not_flushed) {
  in_runtime([] {
    const auto token = std::make_shared<int>(0);
    int flushed = 0;
    const auto count = [&](std::vector<std::shared_ptr<int>>&) { ++flushed; };
    try {
      batcher<std::shared_ptr<int>> b(count);
      for (int i = 0; i < 5; ++i) b.add(token);
      throw std::out_of_range("scope");
    } catch (const std::out_of_range&) {
    }
    auto c = derive_cancel(context::current());
    {
      const context_scope scope(c.ctx);
      batcher<std::shared_ptr<int>> b(count);
      for (int i = 0; i < 5; ++i) b.add(token);
      c.cancel();
    }
    {
      auto above = derive_cancel(context::current());
      auto b = [&] {
        const context_scope scope(above.ctx);
        return std::make_unique<batcher<std::shared_ptr<int>>>([](auto&) { sleep_for(1h); }, batcher_options<std::shared_ptr<int>>{.size = 1, .waiting = 0});
      }();
      b->add(token);
      auto blocked = start([&] { EXPECT_THROW(b->add(token), batcher_closed); });
      above.cancel();
      blocked.join();
      EXPECT_THROW(b->close(), canceled);
    }
    EXPECT_EQ(flushed, 0);
    EXPECT_EQ(token.use_count(), 1);
  });
}

TEST_P(batchers, its_own_functions_that_would_wait_for_it_are_told_so) {
  in_runtime([] {
    batcher<int>* self = nullptr;
    std::atomic<int> told{0};
    const auto use_itself = [&] {
      EXPECT_THROW(self->add(1), misuse);
      EXPECT_THROW(self->flush(), misuse);
      EXPECT_THROW(self->close(), misuse);
      ++told;
    };
    batcher<int> b(
        [&](std::vector<int>&) {
          use_itself();
          throw std::domain_error("failed");
        },
        {.on_failure = [&](std::vector<int>&&, std::exception_ptr) { use_itself(); }});
    self = &b;
    b.add(1);
    b.flush();
    EXPECT_EQ(told, 2);
    b.add(2);  // nothing was closed
    b.close();
    EXPECT_EQ(told, 4);
  });
}

TEST_P(batchers, wrong_options_are_misuse) {
  in_runtime([] {
    const auto drop = [](std::vector<int>&) {};
    EXPECT_THROW(batcher<int>(drop, {.size = 0}), misuse);
    EXPECT_THROW(batcher<int>(drop, {.bytes = 10}), misuse);
    EXPECT_THROW(batcher<int>(drop, {.bytes_of = [](const int&) { return std::size_t{4}; }}), misuse);
  });
}

}  // namespace
}  // namespace runnel::test
