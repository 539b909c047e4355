// SPDX-License-Identifier: Apache-2.0
#include "app/data_directory.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/codec.h"

namespace sluice::app {
namespace {

std::optional<std::string> first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return {};
  line = std::string(trim(line));
  return line.empty() ? std::nullopt : std::optional(line);
}

}  // namespace

Result<DirectoryLock> DirectoryLock::take(const std::string& directory) {
  const auto path = directory + "/lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return Error{ErrorKind::bad_config, "cannot write in the data directory " + directory};
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    ::close(fd);
    return Error{ErrorKind::bad_config, "the data directory " + directory + " is in use by another sluice", kInUse};
  }
  return DirectoryLock(fd);
}

DirectoryLock::~DirectoryLock() {
  if (fd_ >= 0) ::close(fd_);
}

Result<void> make_directory(const std::string& directory) {
  std::error_code ec;
  std::filesystem::create_directories(directory, ec);
  if (ec) return Error{ErrorKind::bad_config, "cannot make the data directory " + directory + ": " + ec.message()};
  ::chmod(directory.c_str(), 0700);
  return {};
}

Result<void> write_url(const std::string& directory, const std::string& url) {
  const auto path = directory + "/url", fresh = path + ".new";
  ::unlink(fresh.c_str());
  const int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  const auto text = url + "\n";
  const bool written = fd >= 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  int reason = errno;
  if (fd >= 0) ::close(fd);
  // At once or not at all: another process may be reading it.
  if (written && ::rename(fresh.c_str(), path.c_str()) == 0) return {};
  if (written) reason = errno;
  return Error{ErrorKind::bad_config, "cannot write " + path + ": " + std::strerror(reason)};
}

void remove_url(const std::string& directory) {
  ::unlink((directory + "/url").c_str());
}

std::optional<std::string> read_url(const std::string& directory) {
  return first_line(directory + "/url");
}

std::optional<std::string> admin_secret(const std::string& directory) {
  if (const char* given = std::getenv("SLUICE_ADMIN_SECRET"); given != nullptr && *given != '\0') return given;
  return first_line(directory + "/admin-secret");
}

}  // namespace sluice::app
