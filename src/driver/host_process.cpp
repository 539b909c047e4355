// SPDX-License-Identifier: Apache-2.0
#include "driver/host_process.h"

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <new>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace sluice::driver {
namespace {

// A descriptor above those the host expects its own at, so that no dup2 in the child hits one that is still needed.
int lift(int fd) {
  if (fd < 0) return fd;
  const int high = ::fcntl(fd, F_DUPFD_CLOEXEC, 10);
  ::close(fd);
  return high;
}

struct Fd {
  int fd = -1;
  ~Fd() {
    if (fd >= 0) ::close(fd);
  }
  int release() { return std::exchange(fd, -1); }
};

Error not_started(const std::string& what, int error) {
  return {ErrorKind::bad_config, "starting a driver host: " + what + ": " + std::strerror(error)};
}

int spawn_program(const std::string& program, int socket, int page, pid_t& pid) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_adddup2(&actions, socket, wire::kSocketFd);
  posix_spawn_file_actions_adddup2(&actions, page, wire::kPageFd);
  // Signals that the engine's threads block or ignore are at their defaults in the host; its own group keeps a
  // terminal's Ctrl-C away from it while the engine drains.
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  std::string argument = "driver-host", name = program;
  std::array<char*, 3> arguments = {name.data(), argument.data(), nullptr};
  // Nothing of the engine's environment but the way to its libraries: secrets may stand in it.
  std::vector<std::string> kept = {"LANG=en_US.UTF-8", "LC_ALL=en_US.UTF-8", "TZ=UTC"};
  if (const char* path = std::getenv("LD_LIBRARY_PATH")) kept.push_back(std::string("LD_LIBRARY_PATH=") + path);
  std::vector<char*> environment;
  for (auto& entry : kept)
    environment.push_back(entry.data());
  environment.push_back(nullptr);
  const int error = posix_spawn(&pid, program.c_str(), &actions, &attributes, arguments.data(), environment.data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

}  // namespace

Result<std::unique_ptr<HostProcess>> HostProcess::spawn(const std::string& program) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return not_started("socketpair", errno);
  Fd ours{lift(pair[0])}, theirs{lift(pair[1])};
  Fd page{lift(::memfd_create("driver-host", MFD_CLOEXEC))};
  if (ours.fd < 0 || theirs.fd < 0 || page.fd < 0) return not_started("descriptors", errno);
  if (::ftruncate(page.fd, wire::kPageSize) != 0) return not_started("memfd", errno);
  ::fcntl(ours.fd, F_SETFL, O_NONBLOCK);
  const int buffer = 256 << 10;
  for (const int fd : {ours.fd, theirs.fd})
    ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));

  std::unique_ptr<HostProcess> host(new HostProcess);
  void* const mapped = ::mmap(nullptr, wire::kPageSize, PROT_READ | PROT_WRITE, MAP_SHARED, page.fd, 0);
  if (mapped == MAP_FAILED) return not_started("mmap", errno);
  host->page_ = new (mapped) wire::Page;
  if (const int error = spawn_program(program, theirs.fd, page.fd, host->pid_); error != 0) {
    host->pid_ = -1;
    return not_started(program, error);
  }
  host->socket_ = ours.release();
  host->has_clock_ = ::clock_getcpuclockid(host->pid_, &host->clock_) == 0;
  host->statm_ = ::open(("/proc/" + std::to_string(host->pid_) + "/statm").c_str(), O_RDONLY | O_CLOEXEC);
  host->started = Steady::now();
  return host;
}

HostProcess::~HostProcess() {
  if (pid_ > 0) reap();
  if (socket_ >= 0) ::close(socket_);
  if (statm_ >= 0) ::close(statm_);
  if (page_ != nullptr) ::munmap(page_, wire::kPageSize);
}

bool HostProcess::receive() {
  while (true) {
    char* const space = reader.space(128u << 10);
    const std::size_t room = reader.capacity();
    const auto count = ::read(socket_, space, room);
    if (count > 0) {
      reader.filled(static_cast<std::size_t>(count));
      return true;  // the poll is level-triggered: the rest comes with the next turn
    }
    if (count == 0) return false;
    if (errno == EINTR) continue;
    return errno == EAGAIN || errno == EWOULDBLOCK;
  }
}

bool HostProcess::send() {
  while (out_sent < out.size()) {
    const auto count = ::send(socket_, out.data() + out_sent, out.size() - out_sent, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
    out_sent += static_cast<std::size_t>(count);
  }
  out.clear();
  out_sent = 0;
  return true;
}

std::chrono::nanoseconds HostProcess::cpu_time() const {
  timespec now{};
  if (!has_clock_ || ::clock_gettime(clock_, &now) != 0) return std::chrono::nanoseconds(0);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

std::size_t HostProcess::resident() const {
  std::array<char, 128> text{};
  const auto count = ::pread(statm_, text.data(), text.size(), 0);
  if (count <= 0) return 0;
  const std::string_view line(text.data(), static_cast<std::size_t>(count));
  const auto blank = line.find(' ');
  if (blank == std::string_view::npos) return 0;
  std::size_t pages = 0;
  std::from_chars(line.data() + blank + 1, line.data() + line.size(), pages);
  static const auto kPage = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return pages * kPage;
}

void HostProcess::kill(Kill why) {
  if (killed == Kill::none) killed = why;
  if (pid_ > 0) ::kill(pid_, SIGKILL);
}

int HostProcess::reap() {
  int status = 0;
  if (pid_ <= 0) return status;
  ::kill(pid_, SIGKILL);  // harmless when it is dead already: its id is taken until it is reaped here
  while (::wait4(pid_, &status, 0, nullptr) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return status;
}

}  // namespace sluice::driver
