// SPDX-License-Identifier: Apache-2.0
#include "driver/sandbox.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>
#include <vector>

#include "driver/wire.h"

namespace sluice::driver::sandbox {
namespace {

bool write_file(const char* path, const char* text) {
  const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool done = ::write(fd, text, std::strlen(text)) >= 0;
  ::close(fd);
  return done;
}

// Bytes of private writable memory in use, as RLIMIT_DATA counts it; 0 when it cannot be read.
std::uint64_t data_in_use() {
  std::FILE* file = std::fopen("/proc/self/status", "re");
  if (file == nullptr) return 0;
  std::array<char, 256> line{};
  std::uint64_t kib = 0;
  while (std::fgets(line.data(), line.size(), file) != nullptr) {
    if (std::strncmp(line.data(), "VmData:", 7) == 0) kib = std::strtoull(line.data() + 7, nullptr, 10);
  }
  std::fclose(file);
  return kib * 1024;
}

bool limit(int resource, std::uint64_t value) {
  const rlimit both{value, value};
  return ::setrlimit(static_cast<__rlimit_resource>(resource), &both) == 0;
}

// What JavaScriptCore's interpreter, compilers, collector and the C library call once warm.
constexpr std::array kAllowed = {
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(futex),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(madvise),
    SCMP_SYS(munmap),
    SCMP_SYS(mprotect),
    SCMP_SYS(mremap),
    SCMP_SYS(brk),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(close),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigsuspend),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_getparam),
    SCMP_SYS(sched_getscheduler),
    SCMP_SYS(gettid),
    SCMP_SYS(getpid),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(getrandom),
    SCMP_SYS(membarrier),
    SCMP_SYS(sysinfo),
    SCMP_SYS(getrusage),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
};

bool add_rules(scmp_filter_ctx filter) {
  for (const int call : kAllowed) {
    if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0) != 0) return false;
  }
  // Memory, never a file: the descriptor, 32 bits of it, is -1.
  const bool memory = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                                       SCMP_A4(SCMP_CMP_MASKED_EQ, 0xffffffffu, 0xffffffffu)) == 0;
  // Threads, never processes, nor a namespace. clone3 hides its flags behind a pointer: refused as unknown, upon which
  // the C library uses clone.
  constexpr scmp_datum_t kNamespaces =
      CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
  const bool threads = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                                        SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | kNamespaces, CLONE_THREAD)) == 0 &&
                       seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) == 0;
  // Signals to threads of its own only (the collector and the watchdog stop threads by them).
  const bool signals = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                                        SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(::getpid()))) == 0;
  bool names = true;
  for (const int option : {PR_SET_NAME, PR_GET_NAME, 0x53564d41 /* PR_SET_VMA */}) {
    names = names && seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
                                      SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(option))) == 0;
  }
  return memory && threads && signals && names;
}

bool install_filter() {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
  if (filter == nullptr) return false;
  const bool done = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) == 0 &&
                    seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2) == 0 && add_rules(filter) &&
                    seccomp_load(filter) == 0;
  seccomp_release(filter);
  return done;
}

// Start and warm-up have read far more of the program and its libraries than driving takes, and each host would keep
// its own look at that for good: 40 MB of each. It is given back; what is used comes back at its next use, from the
// page cache. Only mappings without a page of our own, so no relocation is lost.
void forget_what_start_read() {
  std::FILE* maps = std::fopen("/proc/self/smaps", "re");
  if (!maps) return;
  struct Mapping {
    std::uintptr_t start = 0, end = 0;
    bool clean = false;
  };
  std::vector<Mapping> found;
  std::array<char, 512> line{};
  while (std::fgets(line.data(), line.size(), maps)) {
    unsigned long start = 0, end = 0, inode = 0, kib = 0;
    std::array<char, 5> rights{};
    if (std::sscanf(line.data(), "%lx-%lx %4s %*x %*s %lu", &start, &end, rights.data(), &inode) == 4) {
      const std::string_view kind = rights.data();
      found.push_back({start, end, inode != 0 && (kind == "r-xp" || kind == "r--p")});
    } else if (!found.empty() && std::sscanf(line.data(), "Anonymous: %lu kB", &kib) == 1 && kib > 0) {
      found.back().clean = false;
    }
  }
  std::fclose(maps);
  for (const auto& mapping : found) {
    if (mapping.clean) ::madvise(reinterpret_cast<void*>(mapping.start), mapping.end - mapping.start, MADV_DONTNEED);
  }
}

}  // namespace

const char* to_string(Exit code) {
  switch (code) {
    case Exit::fine:
      return "it ended by itself";
    case Exit::no_socket:
      return "it was started without its socket";
    case Exit::no_page:
      return "it could not map its shared page";
    case Exit::protocol:
      return "it speaks another version of the protocol";
    case Exit::no_engine:
      return "JavaScriptCore did not start";
    case Exit::no_filter:
      return "the system call filter (seccomp) could not be installed";
    case Exit::no_limits:
      return "its resource limits could not be set";
  }
  return "it ended with an unknown code";
}

bool prepare() {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::prctl(PR_SET_NAME, "driver-host");
  ::clearenv();
  // JavaScriptCore takes its default locale and zone from here (spec drivers.md 7).
  ::setenv("LANG", "en_US.UTF-8", 1);
  ::setenv("LC_ALL", "en_US.UTF-8", 1);
  ::setenv("TZ", "UTC", 1);
  // Its heap grows by the machine's memory; a host is to behave as on a small one, with few threads.
  ::setenv("JSC_forceRAMSize", "268435456", 1);
  ::setenv("JSC_numberOfGCMarkers", "1", 1);
  ::setenv("JSC_useSharedArrayBuffer", "0", 1);
  // The watchdog's looks are asked for by compiled code itself. Else each look throws away the code that runs, which
  // cost a heavy driver a third of its time in compilers.
  ::setenv("JSC_usePollingTraps", "1", 1);
  if (::close_range(wire::kPageFd + 1, ~0U, 0) != 0) return false;
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0 || ::dup2(null, 0) < 0 || ::dup2(null, 1) < 0) return false;
  if (null > wire::kPageFd) ::close(null);
  std::signal(SIGPIPE, SIG_IGN);
  write_file("/proc/self/oom_score_adj", "900");  // refused in some containers: then the kernel's own order holds
  return limit(RLIMIT_CORE, 0);
}

Exit close(std::uint64_t memory_limit) {
  // What warm drivers keep, the limit, and what collector and compilers use for themselves: only a backstop for growth
  // between two looks of the engine's at the resident size.
  const std::uint64_t used = data_in_use();
  if (used == 0 || !limit(RLIMIT_DATA, used + wire::kWarmMemory + memory_limit + (64u << 20)) ||
      !limit(RLIMIT_NOFILE, 32)) {
    return Exit::no_limits;
  }
  forget_what_start_read();
  if (::dup2(0, 2) < 0) return Exit::no_limits;
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !install_filter()) return Exit::no_filter;
  return Exit::fine;
}

}  // namespace sluice::driver::sandbox
