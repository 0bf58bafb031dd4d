#include "walk.hpp"

#include "open_path.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <utility>

namespace wordcount {
namespace {

constexpr int entries_per_step = 256;

/// One of DT_*; the file system may leave the question to lstat.
unsigned type_of(const dirent& entry, int directory) {
  if (entry.d_type != DT_UNKNOWN) return entry.d_type;
  struct stat status {};
  const bool known = ::fstatat(directory, entry.d_name, &status, AT_SYMLINK_NOFOLLOW) == 0;
  return known ? IFTODT(status.st_mode) : 0U;
}

}  // namespace

walk::walk(std::vector<std::string> given, problem_log& log) : log_(log) {
  std::reverse(given.begin(), given.end());
  for (std::string& path : given) pending_.push_back({std::move(path), origin::given_by_user});
}

std::vector<found_file> walk::step() {
  std::vector<found_file> files;
  if (!directory_ && !pending_.empty()) {
    const pending_path next = std::move(pending_.back());
    pending_.pop_back();
    if (next.from == origin::given_by_user)
      visit_given(next.path, files);
    else
      open_directory(next.path, next.from);
  }
  if (directory_) read_entries(files);
  return files;
}

void walk::visit_given(const std::string& path, std::vector<found_file>& files) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0)
    log_.add(path, errno);
  else if (S_ISDIR(status.st_mode))
    open_directory(path, origin::given_by_user);
  else if (S_ISREG(status.st_mode))
    files.push_back({path, origin::given_by_user});
  else
    log_.add(path, "neither a regular file nor a directory");
}

void walk::open_directory(const std::string& path, origin from) {
  descriptor fd =
      open_path(path, from == origin::given_by_user ? O_DIRECTORY : O_DIRECTORY | O_NOFOLLOW);
  if (fd) directory_.reset(::fdopendir(fd.get()));
  if (!directory_) return log_.add(path, errno);
  fd.release();  // now the DIR's
  prefix_ = path;
  if (prefix_.back() != '/') prefix_ += '/';
}

void walk::read_entries(std::vector<found_file>& files) {
  for (int i = 0; i < entries_per_step; ++i) {
    errno = 0;
    const dirent* const entry = ::readdir(directory_.get());
    if (entry == nullptr) {
      if (errno != 0) log_.add(prefix_, errno);
      directory_.reset();
      return;
    }
    take_entry(*entry, files);
  }
}

void walk::take_entry(const dirent& entry, std::vector<found_file>& files) {
  const std::string_view name = entry.d_name;
  if (name == "." || name == "..") return;
  const unsigned type = type_of(entry, ::dirfd(directory_.get()));
  if (type == DT_REG)
    files.push_back({prefix_ + entry.d_name, origin::met_in_walk});
  else if (type == DT_DIR)
    pending_.push_back({prefix_ + entry.d_name, origin::met_in_walk});
}

}  // namespace wordcount
