// Bounded fan-out over files: so many are read at a time, and the first problem ends the rest. And the naive one.
#include <runnel/patterns/fan_out.hpp>
#include <runnel/runnel.hpp>
#include <runnel/testing/bubble.hpp>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include <unistd.h>

namespace {

namespace fs = std::filesystem;

/// A folder with files to read, which goes away with it.
struct folder {
  fs::path path = fs::temp_directory_path() / ("runnel_fan_out_" + std::to_string(getpid()));
  std::vector<fs::path> files;
  folder() {
    fs::create_directories(path);
    for (int i = 0; i < 20; ++i) {
      files.push_back(path / ("file" + std::to_string(i)));
      std::ofstream(files.back()) << std::string(static_cast<std::size_t>(100 * i), 'x');
    }
  }
  ~folder() { fs::remove_all(path); }
};

struct measured {
  fs::path file;
  std::size_t bytes;
};

/// Reading blocks the thread: it is done on the pool for that, while the fiber waits.
measured measure(const fs::path& file) {
  return runnel::blocking([&]() -> measured {
    std::ifstream in(file, std::ios::binary);
    if (!in) throw std::runtime_error("cannot read " + file.filename().string());
    return {file, static_cast<std::size_t>(std::distance(std::istreambuf_iterator<char>(in), {}))};
  });
}

void all_sizes(const std::vector<fs::path>& files) {
  std::map<std::string, std::size_t> sizes;
  for (auto& m : runnel::fan_out(files, 4, measure)) sizes[m.file.filename().string()] = m.bytes;  // 4 at a time
  std::printf("%zu files, file7 has %zu bytes\n", sizes.size(), sizes["file7"]);
}

void first_large(const std::vector<fs::path>& files) {
  for (auto& m : runnel::fan_out(files, 4, measure))
    if (m.bytes >= 1000) {
      std::printf("found one of at least 1000 bytes\n");
      break;  // nobody goes on reading
    }
}

void one_is_missing(std::vector<fs::path> files) {
  files[5] += ".missing";
  try {
    all_sizes(files);
  } catch (const std::runtime_error& e) {
    std::printf("%s\n", e.what());
  }
}

/// The loop that is written first: the reader returns at the first problem, and the workers wait to send for ever.
void naive() {
  runnel::channel<int> jobs(20), results;
  for (int i = 0; i < 20; ++i) jobs.send(i);
  for (int w = 0; w < 4; ++w)
    runnel::go_detached([jobs, results] {
      for (int j : jobs) results.send(j == 5 ? -1 : j);
    });
  for (int i = 0; i < 20; ++i)
    if (results.receive() == -1) return;
}

}  // namespace

int main() {
  return runnel::run([] {
    const folder f;
    all_sizes(f.files);
    first_large(f.files);
    one_is_missing(f.files);
    try {
      runnel::bubble(naive);
    } catch (const runnel::bubble_error& e) {
      const std::string text = e.what();
      std::printf("naive: %s\n", text.find("channel send") != std::string::npos ? "fibers were left in channel send" : e.what());
    }
  });
}
