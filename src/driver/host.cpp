// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <new>
#include <poll.h>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

#include "driver/sandbox.h"
#include "driver/script_host.h"
#include "driver/wire.h"

namespace sluice::driver {

int run_host();  // engine.h, which this file leaves out: a host needs nothing of the engine's

namespace {

constexpr std::size_t kFlushBytes = 32u << 10;
constexpr auto kFlushAfter = std::chrono::milliseconds(1);

std::uint32_t cpu_micros() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<std::uint32_t>(now.tv_sec * 1000000 + now.tv_nsec / 1000);
}

// The host's side of the socket: reads frames, works them off in order, answers in batches.
class Host {
 public:
  explicit Host(wire::Page& page) : page_(page), scripts_(page) {}

  sandbox::Exit run() {
    if (!scripts_.warm_up()) return sandbox::Exit::no_engine;
    bool open = false;
    while (true) {
      for (auto frame = reader_.next(); frame; frame = reader_.next()) {
        if (!open) {
          const auto first = frame->type == wire::Type::configure ? wire::read_configure(frame->body) : std::nullopt;
          if (!first || first->version != wire::kVersion) return sandbox::Exit::protocol;
          scripts_.set_limits(first->result_limit, std::chrono::milliseconds(first->idle_ms));
          if (const auto closed = sandbox::close(first->memory_limit); closed != sandbox::Exit::fine) return closed;
          open = true;
          wire::append(out_, wire::Ready{});
          last_flush_ = std::chrono::steady_clock::now();
        } else {
          if (frame->type == wire::Type::call) call_many(frame);
          if (frame && !handle(*frame)) return sandbox::Exit::protocol;
        }
        if (!scripts_.usable()) {
          page_.job.store(0, std::memory_order_release);  // what is behind it runs elsewhere, and nobody is blamed
          flush();
          return sandbox::Exit::fine;
        }
      }
      if (reader_.broken()) return sandbox::Exit::protocol;
      page_.job.store(0, std::memory_order_release);
      page_.phase.store(wire::Page::idle, std::memory_order_release);
      if (!flush()) return sandbox::Exit::fine;
      wait();
      char* const space = reader_.space(64u << 10);
      const auto count = ::read(wire::kSocketFd, space, reader_.capacity());
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return sandbox::Exit::fine;
      reader_.filled(static_cast<std::size_t>(count));
    }
  }

 private:
  // For something to read. Meanwhile what is long unused goes, and its memory back to the system.
  void wait() {
    while (true) {
      const auto rest = scripts_.tidy(std::chrono::steady_clock::now());
      if (rest.count() < 0) return;  // nothing is warm
      pollfd socket{wire::kSocketFd, POLLIN, 0};
      const auto most = std::min<std::int64_t>(rest.count() + 1, 3600000);
      if (::poll(&socket, 1, static_cast<int>(most)) != 0) return;
      scripts_.clean();
    }
  }

  bool handle(const wire::Frame& frame) {
    switch (frame.type) {
      case wire::Type::role:
        if (const auto role = wire::read_role(frame.body)) {
          scripts_.set_call_limit(role->call_limit_ms);
          measure_ = role->measure;
          return true;
        }
        return false;
      case wire::Type::load:
        if (const auto load = wire::read_load(frame.body)) {
          scripts_.load(*load);
          return true;
        }
        return false;
      case wire::Type::unload:
        if (const auto unload = wire::read_unload(frame.body)) {
          scripts_.unload(unload->number);
          return true;
        }
        return false;
      case wire::Type::call:
        if (const auto call = wire::read_call(frame.body)) {
          now_ = std::chrono::steady_clock::now();
          return work(call->job, scripts_.is_warm(call->number), [&] { return scripts_.call(*call, now_); });
        }
        return false;
      case wire::Type::inspect:
        if (const auto inspect = wire::read_inspect(frame.body)) {
          now_ = std::chrono::steady_clock::now();
          return work(inspect->job, false, [&] { return scripts_.inspect(*inspect); });
        }
        return false;
      default:
        return false;
    }
  }

  // Works off the calls of warm drivers that follow one another, within one entry into the machine. Gives back the
  // frame that is still to be handled, if any.
  void call_many(std::optional<wire::Frame>& frame) {
    auto call = wire::read_call(frame->body);
    if (!call || !scripts_.is_plain(call->number)) return;
    now_ = std::chrono::steady_clock::now();
    scripts_.within([&] {
      while (call && scripts_.is_plain(call->number)) {
        work(call->job, true, [&] { return scripts_.call(*call, now_); });
        if (scripts_.ended()) {
          frame.reset();  // worked off; the next one is read outside
          return;
        }
        frame = reader_.next();
        if (!frame || frame->type != wire::Type::call) return;
        call = wire::read_call(frame->body);
      }
    });
  }

  // Answers wait for company, but never behind a call that may be long. Begins at now_ and leaves it at its end.
  template <class Run>
  bool work(std::uint64_t job, bool quick, Run run) {
    if (!out_.empty() && (!quick || out_.size() > kFlushBytes || now_ - last_flush_ > kFlushAfter)) {
      if (!flush()) return true;  // the engine is gone: the next read ends the loop
    }
    page_.phase.store(wire::Page::calling, std::memory_order_relaxed);
    page_.job.store(job, std::memory_order_release);
    const std::uint32_t before = measure_ ? cpu_micros() : 0;
    const auto begun = now_;
    const ScriptResult result = run();
    now_ = std::chrono::steady_clock::now();
    wire::Answer answer;
    answer.job = job;
    answer.status = result.status;
    answer.cpu_us = measure_ ? cpu_micros() - before : 0;
    answer.time_us =
        static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::microseconds>(now_ - begun).count());
    answer.text = result.text;
    wire::append(out_, answer);
    return true;
  }

  bool flush() {
    std::size_t sent = 0;
    while (sent < out_.size()) {
      const auto count = ::write(wire::kSocketFd, out_.data() + sent, out_.size() - sent);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return false;
      sent += static_cast<std::size_t>(count);
    }
    out_.clear();
    last_flush_ = std::chrono::steady_clock::now();
    return true;
  }

  wire::Page& page_;
  ScriptHost scripts_;
  wire::Reader reader_;
  std::string out_;
  std::chrono::steady_clock::time_point last_flush_{}, now_{};
  bool measure_ = false;
};

}  // namespace

int run_host() {
  if (!sandbox::prepare()) return static_cast<int>(sandbox::Exit::no_socket);
  void* const mapped = ::mmap(nullptr, wire::kPageSize, PROT_READ | PROT_WRITE, MAP_SHARED, wire::kPageFd, 0);
  if (mapped == MAP_FAILED) return static_cast<int>(sandbox::Exit::no_page);
  ::close(wire::kPageFd);
  Host host(*new (mapped) wire::Page);
  const auto code = static_cast<int>(host.run());
  // Without the destructors of JavaScriptCore's statics: nothing in them is worth the time.
  ::_exit(code);
}

}  // namespace sluice::driver

#ifdef SLUICE_DRIVER_HOST_MAIN
// A host by itself, for builds whose main program carries a sanitizer that JavaScriptCore does not stand.
int main() {
  return sluice::driver::run_host();
}
#endif
