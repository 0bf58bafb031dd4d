// A worker pool: bounded, with results by handle or as a stream, sized while it runs, and with an end in order. And the naive one.
#include <runnel/patterns/worker_pool.hpp>
#include <runnel/runnel.hpp>
#include <runnel/testing/bubble.hpp>

#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

using namespace std::chrono_literals;

namespace {

std::string resize_image(int id) {
  runnel::sleep_for(10ms);
  if (id == 3) throw std::runtime_error("image 3 is broken");
  return "thumbnail " + std::to_string(id);
}

void handles() {
  runnel::worker_pool<int, std::string> pool(resize_image, {.workers = 2, .queue = 4});
  std::vector<runnel::job<std::string>> jobs;
  for (int id = 1; id <= 4; ++id) jobs.push_back(pool.submit(id));  // waits while 4 wait
  for (auto& j : jobs) {
    try {
      std::printf("%s\n", j.get().c_str());
    } catch (const std::runtime_error& e) {
      std::printf("%s\n", e.what());
    }
  }
  pool.drain();
}

void stream_of_results() {
  runnel::worker_pool<int, std::string> pool(resize_image, {.workers = 4, .on_failure = runnel::job_failure::collected});
  std::size_t made = 0;
  runnel::with_task_group([&](runnel::task_group& group) {
    group.go([&] {
      for (int id = 0; id < 10; ++id) pool.post(id);
      pool.resize(8);
      try {
        pool.drain();  // all are done, then the stream ends
      } catch (const runnel::task_group_error& e) {
        std::printf("%s\n", e.what());
      }
    });
    for ([[maybe_unused]] auto& thumbnail : pool.results()) ++made;
  });
  std::printf("%zu thumbnails\n", made);
}

void ends_in_time() {
  runnel::worker_pool<int> pool([](int) { runnel::sleep_for(1h); }, {.workers = 2});
  for (int id = 0; id < 10; ++id) pool.post(id);
  const bool all = pool.shutdown(5s);  // what runs is cancelled then, what waits destroyed
  std::printf("shutdown: %s\n", all ? "all done" : "aborted after 5 s");
  try {
    pool.post(11);
  } catch (const runnel::pool_stopped&) {
    std::printf("no more jobs\n");
  }
}

/// All is submitted before anything is read: workers wait for room among the results, the submitter for room among the jobs.
void naive() {
  runnel::channel<int> jobs(4), results(4);
  runnel::with_task_group([&](runnel::task_group& group) {
    for (int w = 0; w < 2; ++w)
      group.go([jobs, results] {
        for (int id : jobs) results.send(id);
      });
    for (int id = 0; id < 20; ++id) jobs.send(id);
    jobs.close();
    for (int i = 0; i < 20; ++i) results.receive();
  });
}

}  // namespace

int main() {
  return runnel::run([] {
    runnel::bubble([] {  // in virtual time: the jobs of this example only sleep
      handles();
      stream_of_results();
      ends_in_time();
    });
    try {
      runnel::bubble(naive);
    } catch (const runnel::bubble_error& e) {
      const std::string text = e.what();
      std::printf("naive: %s\n", text.find("channel send") != std::string::npos ? "a deadlock, all in channel send" : e.what());
    }
  });
}
