// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "base/result.h"

namespace sluice::app {

// Whose a data directory is: held as long as the object lives, so that two processes never write in one.
class DirectoryLock {
 public:
  // Errors: bad_config; with code "in-use" where another process holds it.
  static Result<DirectoryLock> take(const std::string& directory);
  DirectoryLock(DirectoryLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  DirectoryLock& operator=(DirectoryLock&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;
  ~DirectoryLock();

 private:
  explicit DirectoryLock(int fd) : fd_(fd) {}
  int fd_;
};
inline constexpr const char* kInUse = "in-use";

// Makes the directory (mode 700) where it is not there. Errors: bad_config.
Result<void> make_directory(const std::string& directory);

// DIRECTORY/url, mode 600: where the server that runs on it is reached from this machine. Removed when it stops.
Result<void> write_url(const std::string& directory, const std::string& url);
void remove_url(const std::string& directory);
// Nothing where no server has written one.
std::optional<std::string> read_url(const std::string& directory);

// The secret of the client `admin`: SLUICE_ADMIN_SECRET, else DIRECTORY/admin-secret. Nothing where there is neither.
std::optional<std::string> admin_secret(const std::string& directory);

}  // namespace sluice::app
