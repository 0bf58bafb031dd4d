// The walk: every regular file at and below the given paths, in bounded pieces.
//
// A symbolic link is followed where it was given, never where it is met, so a loop of links ends.
// The walk keeps the paths of the directories still to be read, not the directories: it needs one
// descriptor at any depth.
#pragma once

#include "problem_log.hpp"

#include <dirent.h>

#include <memory>
#include <string>
#include <vector>

namespace wordcount {

enum class origin : bool { met_in_walk, given_by_user };

struct found_file {
  std::string path;
  origin from;
};

class walk {
 public:
  /// What cannot be read goes to `log`, which outlives the walk.
  walk(std::vector<std::string> given, problem_log& log);

  bool done() const noexcept { return !directory_ && pending_.empty(); }
  /// The files of the next piece of the walk, often none: a bounded amount of work, all of it
  /// blocking.
  std::vector<found_file> step();

 private:
  struct pending_path {
    std::string path;
    origin from;
  };
  struct closer {
    void operator()(DIR* d) const noexcept { ::closedir(d); }
  };

  void visit_given(const std::string& path, std::vector<found_file>& files);
  void open_directory(const std::string& path, origin from);
  void read_entries(std::vector<found_file>& files);
  void take_entry(const dirent& entry, std::vector<found_file>& files);

  problem_log& log_;
  std::vector<pending_path> pending_;  // a stack: the next one is at the back
  std::unique_ptr<DIR, closer> directory_;
  std::string prefix_;  // of the open directory's entries: its path and a slash
};

}  // namespace wordcount
