// SPDX-License-Identifier: Apache-2.0
// What a driver that has taken over its host process could still ask the kernel for: nothing.
#include "driver/sandbox.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <functional>
#include <gtest/gtest.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <sched.h>
#include <string>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace sluice::driver {
namespace {

// Written by the sandboxed process, read by the test.
struct Report {
  int prepared = 0, closed = -1;
  std::array<int, 1024> error{};  // errno of each probe; 0 where it succeeded
  long value = 0;
};

// Runs `body` in a process of its own behind the sandbox, with a host's descriptors. Gives how it ended, as waitpid
// does.
int run_closed(Report& report, const std::function<void()>& body) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) ::_exit(1);
    const int high = ::fcntl(pair[0], F_DUPFD, 20);
    ::dup2(high, 3);
    ::dup2(::memfd_create("page", 0), 4);
    ::alarm(20);  // what should be refused and waits instead ends the process
    report.prepared = sandbox::prepare() ? 1 : 0;
    ::close(4);
    report.closed = static_cast<int>(sandbox::close(64u << 20));
    if (report.closed == 0) body();
    ::_exit(0);
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

class Sandbox : public testing::Test {
 protected:
  void SetUp() override {
    void* const page = ::mmap(nullptr, sizeof(Report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(page, MAP_FAILED);
    report_ = new (page) Report;
  }
  void TearDown() override { ::munmap(report_, sizeof(Report)); }

  Report& report() { return *report_; }
  int run(const std::function<void()>& body) {
    const int status = run_closed(report(), body);
    EXPECT_EQ(report().prepared, 1);
    EXPECT_EQ(report().closed, 0);
    return status;
  }

 private:
  Report* report_ = nullptr;
};

// What a host needs (sandbox.cpp); those with an argument that decides are tried one by one below.
constexpr std::array kNeeded = {SYS_read,
                                SYS_write,
                                SYS_futex,
                                SYS_clock_gettime,
                                SYS_madvise,
                                SYS_mmap,
                                SYS_munmap,
                                SYS_mprotect,
                                SYS_mremap,
                                SYS_brk,
                                SYS_poll,
                                SYS_ppoll,
                                SYS_close,
                                SYS_set_robust_list,
                                SYS_rseq,
                                SYS_rt_sigaction,
                                SYS_rt_sigprocmask,
                                SYS_rt_sigreturn,
                                SYS_rt_sigsuspend,
                                SYS_sigaltstack,
                                SYS_sched_yield,
                                SYS_sched_getaffinity,
                                SYS_sched_getparam,
                                SYS_sched_getscheduler,
                                SYS_gettid,
                                SYS_getpid,
                                SYS_clock_nanosleep,
                                SYS_nanosleep,
                                SYS_restart_syscall,
                                SYS_getrandom,
                                SYS_membarrier,
                                SYS_sysinfo,
                                SYS_getrusage,
                                SYS_exit,
                                SYS_exit_group,
                                SYS_clone,
                                SYS_tgkill,
                                SYS_prctl};

// uretprobe and uprobe: newer kernels take them past every filter, and end a process that calls them by itself.
bool is_probed(long call) {
  return call != 335 && call != 336 && std::find(kNeeded.begin(), kNeeded.end(), call) == kNeeded.end();
}

bool is_refusal(int error) {
  return error == EPERM || error == ENOSYS;
}

TEST_F(Sandbox, RefusesEveryCallThatIsNotNamed) {
  constexpr long kLast = 512;
  const int status = run([&] {
    for (long call = 0; call < kLast; ++call) {
      if (!is_probed(call)) continue;
      report().error[static_cast<std::size_t>(call)] = ::syscall(call, 0L, 0L, 0L, 0L, 0L, 0L) < 0 ? errno : 0;
    }
    report().value = 1;
  });
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_EQ(report().value, 1);
  for (long call = 0; call < kLast; ++call) {
    if (!is_probed(call)) continue;
    EXPECT_TRUE(is_refusal(report().error[static_cast<std::size_t>(call)]))
        << "call " << call << ": " << report().error[static_cast<std::size_t>(call)];
  }
}

TEST_F(Sandbox, RefusesWhatAnAttackerWouldTry) {
  const pid_t parent = ::getpid();
  static char path[] = "/etc/passwd", memory[] = "/proc/self/mem", shell[] = "/bin/sh", bytes[64] = {};
  static char* arguments[] = {shell, nullptr};
  static rlimit wide = {RLIM_INFINITY, RLIM_INFINITY};
  static sched_param real_time = {1};
  static msghdr message = {};
  struct Probe {
    const char* name;
    std::function<long()> call;
  };
  const std::vector<Probe> probes = {
      {"open", [] { return ::syscall(SYS_open, path, O_RDONLY); }},
      {"openat", [] { return ::syscall(SYS_openat, AT_FDCWD, path, O_RDONLY); }},
      {"openat /proc/self/mem", [] { return ::syscall(SYS_openat, AT_FDCWD, memory, O_RDWR); }},
      {"socket", [] { return ::syscall(SYS_socket, AF_INET, SOCK_STREAM, 0); }},
      {"socketpair", [] { return ::syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, bytes); }},
      {"connect", [] { return ::syscall(SYS_connect, 3, bytes, 16); }},
      {"bind", [] { return ::syscall(SYS_bind, 3, bytes, 16); }},
      {"sendmsg", [] { return ::syscall(SYS_sendmsg, 3, &message, 0); }},
      {"recvmsg", [] { return ::syscall(SYS_recvmsg, 3, &message, MSG_DONTWAIT); }},
      {"fork", [] { return ::syscall(SYS_fork); }},
      {"vfork", [] { return ::syscall(SYS_vfork); }},
      {"clone as a process", [] { return ::syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0); }},
      {"clone with a namespace",
       [] { return ::syscall(SYS_clone, CLONE_THREAD | CLONE_SIGHAND | CLONE_VM | CLONE_NEWNET, 0, 0, 0, 0); }},
      {"clone3", [] { return ::syscall(SYS_clone3, bytes, sizeof(bytes)); }},
      {"execve", [] { return ::syscall(SYS_execve, shell, arguments, nullptr); }},
      {"execveat", [] { return ::syscall(SYS_execveat, AT_FDCWD, shell, arguments, nullptr, 0); }},
      {"kill of the parent", [parent] { return ::syscall(SYS_kill, parent, 0); }},
      {"kill of itself", [] { return ::syscall(SYS_kill, ::syscall(SYS_getpid), 0); }},
      {"tgkill of the parent", [parent] { return ::syscall(SYS_tgkill, parent, parent, 0); }},
      {"tkill of the parent", [parent] { return ::syscall(SYS_tkill, parent, 0); }},
      {"ptrace", [parent] { return ::syscall(SYS_ptrace, 16, parent, 0, 0); }},
      {"process_vm_readv", [parent] { return ::syscall(SYS_process_vm_readv, parent, bytes, 1, bytes, 1, 0); }},
      {"process_vm_writev", [parent] { return ::syscall(SYS_process_vm_writev, parent, bytes, 1, bytes, 1, 0); }},
      {"pidfd_open", [parent] { return ::syscall(SYS_pidfd_open, parent, 0); }},
      {"mount", [] { return ::syscall(SYS_mount, path, path, path, 0, nullptr); }},
      {"unlink", [] { return ::syscall(SYS_unlink, "/tmp/no-such-file"); }},
      {"io_uring_setup", [] { return ::syscall(SYS_io_uring_setup, 1, bytes); }},
      {"bpf", [] { return ::syscall(SYS_bpf, 0, bytes, sizeof(bytes)); }},
      {"userfaultfd", [] { return ::syscall(SYS_userfaultfd, 0); }},
      {"keyctl", [] { return ::syscall(SYS_keyctl, 0, -3, 0); }},
      {"shmget", [] { return ::syscall(SYS_shmget, 0, 4096, 01600); }},
      {"memfd_create", [] { return ::syscall(SYS_memfd_create, "x", 0); }},
      {"setrlimit", [] { return ::syscall(SYS_setrlimit, RLIMIT_DATA, &wide); }},
      {"prlimit of itself", [] { return ::syscall(SYS_prlimit64, 0, RLIMIT_DATA, &wide, nullptr); }},
      {"prlimit of the parent", [parent] { return ::syscall(SYS_prlimit64, parent, RLIMIT_DATA, &wide, nullptr); }},
      {"real time", [] { return ::syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &real_time); }},
      {"the parent's scheduling",
       [parent] { return ::syscall(SYS_sched_setscheduler, parent, SCHED_IDLE, &real_time); }},
      {"setpriority", [parent] { return ::syscall(SYS_setpriority, PRIO_PROCESS, parent, 19); }},
      {"ioctl", [] { return ::syscall(SYS_ioctl, 0, 0x5401, bytes); }},
      {"fcntl", [] { return ::syscall(SYS_fcntl, 3, F_DUPFD, 10); }},
      {"dup", [] { return ::syscall(SYS_dup, 3); }},
      {"dup2", [] { return ::syscall(SYS_dup2, 3, 9); }},
      {"seccomp", [] { return ::syscall(SYS_seccomp, 0, 0, nullptr); }},
      {"prctl dumpable", [] { return ::syscall(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0); }},
      {"prctl seccomp", [] { return ::syscall(SYS_prctl, PR_SET_SECCOMP, 1, 0, 0, 0); }},
      {"prctl parent's death", [] { return ::syscall(SYS_prctl, PR_SET_PDEATHSIG, 0, 0, 0, 0); }},
      {"prctl new privileges", [] { return ::syscall(SYS_prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); }},
      {"mmap of a descriptor", [] { return ::syscall(SYS_mmap, nullptr, 4096, PROT_READ, MAP_SHARED, 3, 0); }},
      {"executable mmap of a descriptor",
       [] { return ::syscall(SYS_mmap, nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, 0, 0); }},
      {"setuid", [] { return ::syscall(SYS_setuid, 0); }},
      {"chroot", [] { return ::syscall(SYS_chroot, "/"); }},
      {"unshare", [] { return ::syscall(SYS_unshare, CLONE_NEWUSER); }},
      {"personality", [] { return ::syscall(SYS_personality, 0xffffffffUL); }},
      {"settimeofday", [] { return ::syscall(SYS_settimeofday, nullptr, nullptr); }},
      {"reboot", [] { return ::syscall(SYS_reboot, 0, 0, 0, nullptr); }},
      {"truncate", [] { return ::syscall(SYS_truncate, "/tmp/no-such-file", 0); }},
      {"getdents64", [] { return ::syscall(SYS_getdents64, 3, bytes, sizeof(bytes)); }},
      {"stat", [] { return ::syscall(SYS_stat, path, bytes); }},
      {"readlink", [] { return ::syscall(SYS_readlink, "/proc/self/exe", bytes, sizeof(bytes)); }},
      {"getppid", [] { return ::syscall(SYS_getppid); }},
      {"uname", [] { return ::syscall(SYS_uname, bytes); }},
  };
  const int status = run([&] {
    for (std::size_t i = 0; i < probes.size(); ++i) {
      const long result = probes[i].call();
      report().error[i] = result < 0 ? errno : 0;
      if (result == 0 && (i == 9 || i == 10 || i == 11)) ::_exit(3);  // a child that must not be
    }
    report().value = 1;
  });
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_EQ(report().value, 1);
  for (std::size_t i = 0; i < probes.size(); ++i)
    EXPECT_TRUE(is_refusal(report().error[i])) << probes[i].name << ": " << report().error[i];
}

TEST_F(Sandbox, LeavesNoDescriptorButTheSocketAndNothingToRead) {
  const int status = run([&] {
    char byte = 0;
    for (int fd = 0; fd < 1000; ++fd)
      report().error[static_cast<std::size_t>(fd)] = ::syscall(SYS_read, fd, &byte, fd == 3 ? 0 : 1) < 0 ? errno : 0;
    // What standard output and error point to swallows all.
    report().value = ::syscall(SYS_write, 1, "x", 1) == 1 && ::syscall(SYS_write, 2, "x", 1) == 1;
  });
  EXPECT_TRUE(WIFEXITED(status)) << status;
  EXPECT_EQ(report().value, 1);
  for (std::size_t fd = 0; fd < 1000; ++fd)
    EXPECT_EQ(report().error[fd], fd <= 3 ? 0 : EBADF) << fd;
}

TEST_F(Sandbox, BoundsItsMemoryAndStillHasThreadsAndCode) {
  const int status = run([&] {
    // Room within the limit, executable as the compilers need it; none far beyond.
    void* const code = ::mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    report().error[0] = code == MAP_FAILED ? errno : 0;
    void* const much = ::mmap(nullptr, 1u << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    report().error[1] = much == MAP_FAILED ? errno : 0;
    report().error[2] = ::syscall(SYS_tgkill, ::syscall(SYS_getpid), ::syscall(SYS_gettid), 0) < 0 ? errno : 0;
    report().error[3] = ::syscall(SYS_prctl, PR_SET_NAME, "x", 0, 0, 0) < 0 ? errno : 0;
    report().value = 1;
  });
  EXPECT_TRUE(WIFEXITED(status)) << status;
  EXPECT_EQ(report().value, 1);
  EXPECT_EQ(report().error[0], 0);
  EXPECT_EQ(report().error[1], ENOMEM);
  EXPECT_EQ(report().error[2], 0);
  EXPECT_EQ(report().error[3], 0);
}

#ifdef __x86_64__
TEST_F(Sandbox, RefusesTheOtherCallTables) {
  // getpid by the x32 table: ends the process or does not exist.
  int status = run([&] {
    const long result = ::syscall(0x40000000L | SYS_getpid);
    report().value = result < 0 && is_refusal(errno) ? 1 : 2;
  });
  EXPECT_TRUE(WIFSIGNALED(status) || report().value == 1) << report().value;
  // getpid by the 32-bit table.
  report().value = 0;
  status = run([&] {
    long result = 20;
    asm volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
    report().value = result == -EPERM || result == -ENOSYS ? 1 : 2;
  });
  EXPECT_TRUE(WIFSIGNALED(status) || report().value == 1) << report().value;
}
#endif

}  // namespace
}  // namespace sluice::driver
