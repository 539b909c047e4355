// SPDX-License-Identifier: Apache-2.0
#include "app/simulate_load.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cinttypes>
#include <cstring>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

namespace sluice::app {
namespace {

constexpr std::int64_t kSecond = 1000000;
constexpr std::int64_t kAnswerLimit = 30 * kSecond;
constexpr std::int64_t kRetryPause = 100000;
constexpr std::uint64_t kBrokerTag = 0;

std::int64_t now_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

Result<std::string> resolve(const std::string& host, const std::string& port, int& family) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int code = getaddrinfo(host.c_str(), port.c_str(), &hints, &found); code != 0) {
    return Error{ErrorKind::not_connected, "resolving " + host + ": " + gai_strerror(code)};
  }
  family = found->ai_family;
  std::string address(reinterpret_cast<const char*>(found->ai_addr), found->ai_addrlen);
  freeaddrinfo(found);
  return address;
}

template <class... Arguments>
std::string format(const char* form, Arguments... arguments) {
  std::array<char, 1024> buffer;
  const int length = std::snprintf(buffer.data(), buffer.size(), form, arguments...);
  return {buffer.data(), static_cast<std::size_t>(length)};
}

}  // namespace

// One HTTP connection and the devices that use it.
struct Load::Channel {
  enum class State { closed, connecting, idle, writing, waiting };
  std::uint32_t index = 0;
  int fd = -1;
  State state = State::closed;
  std::uint32_t turn = 0;   // flat out: the next of its devices
  std::deque<Due> backlog;  // with a rate
  bool loaded = false;      // `output` holds the report below
  std::uint32_t device = 0, fcnt = 0;
  std::int64_t written_at = 0, retry_at = 0;
  std::string output, input;
  std::size_t written = 0;
};

Load::Load(LoadSettings settings, ReportMaker& maker, std::function<int()> signals)
    : settings_(std::move(settings)),
      maker_(maker),
      signals_(std::move(signals)),
      book_(maker, settings_.devices, settings_.first_fcnt, settings_.expect.has_value()) {
  settings_.connections = std::min(settings_.connections, settings_.devices);
}

Load::~Load() {
  for (auto& channel : channels_) {
    if (channel->fd >= 0) ::close(channel->fd);
  }
  if (broker_ >= 0) ::close(broker_);
  if (poll_ >= 0) ::close(poll_);
  if (ledger_ != nullptr) std::fclose(ledger_);
}

Result<void> Load::start() {
  auto address = resolve(settings_.host, settings_.port, family_);
  if (!address) return address.error();
  address_ = std::move(*address);
  if (!settings_.ledger.empty()) {
    ledger_ = std::fopen(settings_.ledger.c_str(), "we");
    if (ledger_ == nullptr)
      return Error{ErrorKind::bad_config, "opening " + settings_.ledger + ": " + std::strerror(errno)};
  }
  poll_ = epoll_create1(EPOLL_CLOEXEC);
  for (std::uint32_t i = 0; i < settings_.connections; ++i) {
    channels_.push_back(std::make_unique<Channel>());
    channels_.back()->index = i;
  }
  return settings_.expect ? subscribe() : Result<void>{};
}

// Blocking: the subscription stands before the first report leaves.
Result<void> Load::subscribe() {
  int family = 0;
  auto address = resolve(settings_.expect->host, settings_.expect->port, family);
  if (!address) return address.error();
  broker_ = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval limit{10, 0};
  ::setsockopt(broker_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  if (::connect(broker_, reinterpret_cast<const sockaddr*>(address->data()), static_cast<socklen_t>(address->size())) !=
      0) {
    return Error{ErrorKind::not_connected, "connecting to the broker: " + std::string(std::strerror(errno))};
  }
  mqtt_.on_connack = [this](int code) { connack_ = code; };
  mqtt_.on_suback = [this](int code) { suback_ = code; };
  mqtt_.on_publish = [this](const MqttReader::Publish& publish) {
    last_arrival_ = now_us();
    book_.arrived(publish.payload, last_arrival_);
    // A broken connection shows at the next read.
    if (publish.qos == 1) (void)write_broker(mqtt_puback(publish.packet_id));
  };
  if (auto sent = write_broker(mqtt_connect("sluice-simulate-" + std::to_string(::getpid()), *settings_.expect)); !sent)
    return sent;
  for (const int* answer : {&connack_, &suback_}) {
    while (*answer < 0) {
      std::array<char, 4096> buffer;
      const ssize_t got = ::recv(broker_, buffer.data(), buffer.size(), 0);
      if (got <= 0) return Error{ErrorKind::not_connected, "the broker does not answer the subscription"};
      if (auto fed = mqtt_.feed({buffer.data(), static_cast<std::size_t>(got)}); !fed) return fed;
    }
    if (answer == &connack_) {
      if (connack_ != 0) return Error{ErrorKind::bad_config, "the broker refuses us, code " + std::to_string(connack_)};
      if (auto sent = write_broker(mqtt_subscribe(1, settings_.expect->filter, settings_.expect_qos)); !sent)
        return sent;
    } else if (suback_ >= 0x80) {
      return Error{ErrorKind::bad_config, "the broker refuses the subscription"};
    }
  }
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kBrokerTag;
  epoll_ctl(poll_, EPOLL_CTL_ADD, broker_, &event);
  return {};
}

Result<void> Load::write_broker(const std::string& bytes) {
  // Small packets on a socket that is read all the time: written whole or the connection is gone.
  if (::send(broker_, bytes.data(), bytes.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size())) {
    return Error{ErrorKind::not_connected, "writing to the broker: " + std::string(std::strerror(errno))};
  }
  return {};
}

Result<void> Load::read_broker() {
  static constexpr std::size_t kRead = 256 * 1024;
  std::string buffer(kRead, '\0');
  const ssize_t got = ::recv(broker_, buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return {};
  if (got <= 0) return Error{ErrorKind::not_connected, "the broker has closed the subscription"};
  return mqtt_.feed({buffer.data(), static_cast<std::size_t>(got)});
}

bool Load::exhausted() const {
  return settings_.count != 0 && scheduled_ >= settings_.count;
}

void Load::schedule(std::int64_t now) {
  if (settings_.rate <= 0) return;
  while (!exhausted()) {
    const std::int64_t due =
        started_ + static_cast<std::int64_t>(static_cast<double>(scheduled_) * kSecond / settings_.rate);
    if (due > now) return;
    const auto device = static_cast<std::uint32_t>(scheduled_ % settings_.devices);
    channels_[device % settings_.connections]->backlog.push_back({device, due});
    ++scheduled_;
    ++backlog_;
  }
}

// Takes the channel's next report, if there is one and it is free, and writes it.
void Load::pump(Channel& channel) {
  const std::int64_t now = now_us();
  if (channel.retry_at > now) return;
  if (!channel.loaded) {
    Due due{};
    if (!channel.backlog.empty()) {
      due = channel.backlog.front();
      channel.backlog.pop_front();
      --backlog_;
    } else if (sending_ && settings_.rate <= 0 && !exhausted()) {
      const std::uint32_t turns = (settings_.devices - channel.index - 1) / settings_.connections + 1;
      due = {channel.index + (channel.turn++ % turns) * settings_.connections, now};
      ++scheduled_;
    } else {
      return;
    }
    channel.device = due.device;
    channel.fcnt = book_.issue(due.device, due.due_us);
    channel.output = maker_.request(due.device, channel.fcnt, system_clock().now());
    channel.loaded = true;
    ++under_way_;
    if (ledger_ != nullptr) {
      std::fprintf(ledger_, "S %s %u %s\n", maker_.dev_eui(due.device).c_str(), channel.fcnt,
                   maker_.payload_hex(due.device, channel.fcnt).c_str());
    }
  }
  channel.written = 0;
  channel.input.clear();
  channel.written_at = now;
  if (channel.fd < 0) {
    connect(channel);
  } else {
    channel.state = Channel::State::writing;
    write(channel);
  }
}

void Load::connect(Channel& channel) {
  channel.fd = ::socket(family_, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(channel.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const int code = ::connect(channel.fd, reinterpret_cast<const sockaddr*>(address_.data()),
                             static_cast<socklen_t>(address_.size()));
  if (channel.fd < 0 || (code != 0 && errno != EINPROGRESS)) return broken(channel);
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT;
  event.data.u64 = channel.index + 1;
  epoll_ctl(poll_, EPOLL_CTL_ADD, channel.fd, &event);
  channel.state = Channel::State::connecting;
}

// The connection is gone: what was under way stays unanswered, or is sent again.
void Load::broken(Channel& channel) {
  if (channel.fd >= 0) ::close(channel.fd);
  channel.fd = -1;
  channel.state = Channel::State::closed;
  if (!channel.loaded) return;
  ++broken_;
  channel.retry_at = now_us() + kRetryPause;
  if (settings_.resend && signals_() < 2) return;
  channel.loaded = false;
  --under_way_;
}

void Load::write(Channel& channel) {
  while (channel.written < channel.output.size()) {
    const ssize_t sent = ::send(channel.fd, channel.output.data() + channel.written,
                                channel.output.size() - channel.written, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) {
      epoll_event event{};
      event.events = EPOLLIN | EPOLLOUT;
      event.data.u64 = channel.index + 1;
      epoll_ctl(poll_, EPOLL_CTL_MOD, channel.fd, &event);
      return;
    }
    if (sent <= 0) return broken(channel);
    channel.written += static_cast<std::size_t>(sent);
  }
  channel.state = Channel::State::waiting;
}

void Load::on_ready(Channel& channel, std::uint32_t events) {
  if (channel.fd < 0) return;
  if (channel.state == Channel::State::connecting || (events & EPOLLOUT) != 0) {
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(channel.fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return broken(channel);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = channel.index + 1;
    epoll_ctl(poll_, EPOLL_CTL_MOD, channel.fd, &event);
    channel.state = Channel::State::writing;
    write(channel);
    if (channel.fd < 0) return;
  }
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) read(channel);
}

void Load::read(Channel& channel) {
  std::array<char, 8192> buffer;
  const ssize_t got = ::recv(channel.fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return broken(channel);
  channel.input.append(buffer.data(), static_cast<std::size_t>(got));
  if (channel.state != Channel::State::waiting || channel.input.size() > (1u << 20)) return broken(channel);
  if (parse(channel)) pump(channel);
}

// True when a whole answer was read.
bool Load::parse(Channel& channel) {
  const std::string& input = channel.input;
  const std::size_t head = input.find("\r\n\r\n");
  if (head == std::string::npos) return false;
  if (input.size() < 12 || input.compare(0, 7, "HTTP/1.") != 0) {
    broken(channel);
    return false;
  }
  const int status = std::atoi(input.c_str() + 9);
  std::size_t length = 0;
  bool closes = false;
  for (std::size_t line = input.find("\r\n") + 2; line < head; line = input.find("\r\n", line) + 2) {
    const char* text = input.c_str() + line;
    if (strncasecmp(text, "content-length:", 15) == 0) length = std::strtoul(text + 15, nullptr, 10);
    if (strncasecmp(text, "connection: close", 17) == 0) closes = true;
  }
  if (input.size() < head + 4 + length) return false;
  finish(channel, status);
  if (closes) {
    ::close(channel.fd);
    channel.fd = -1;
    channel.state = Channel::State::closed;
  }
  return true;
}

void Load::finish(Channel& channel, int status) {
  channel.state = Channel::State::idle;
  const std::int64_t now = now_us();
  if (status >= 200 && status < 300) {
    answers_.add(now - channel.written_at);
    book_.answered(channel.device, channel.fcnt);
    if (ledger_ != nullptr) std::fprintf(ledger_, "A %s %u\n", maker_.dev_eui(channel.device).c_str(), channel.fcnt);
  } else {
    ++refused_;
    // 503 asks to wait; hammering on after any other refusal helps nobody either.
    channel.retry_at = now + kRetryPause;
    if (settings_.resend && signals_() < 2) return;
  }
  channel.loaded = false;
  --under_way_;
}

void Load::check_times(std::int64_t now) {
  for (auto& channel : channels_) {
    const bool busy = channel->state == Channel::State::connecting || channel->state == Channel::State::writing ||
                      channel->state == Channel::State::waiting;
    if (busy && now - channel->written_at > kAnswerLimit) broken(*channel);
    if (channel->state == Channel::State::idle || channel->state == Channel::State::closed) pump(*channel);
  }
}

bool Load::all_done() const {
  return !sending_ && under_way_ == 0 && backlog_ == 0 && (!settings_.expect || book_.missing() == 0);
}

Result<void> Load::run() {
  started_ = last_progress_ = last_arrival_ = now_us();
  next_ping_ = started_ + 20 * kSecond;
  std::array<epoll_event, 256> events;
  std::int64_t last_check = 0;
  while (true) {
    std::int64_t now = now_us();
    const bool time_over = settings_.duration.count() > 0 && now - started_ >= settings_.duration.count() * 1000;
    if (sending_ && (time_over || signals_() > 0 || exhausted())) {
      sending_ = false;
      ended_ = now;
      if (signals_() > 0) {
        for (auto& channel : channels_)
          backlog_ -= std::exchange(channel->backlog, {}).size();
      }
    }
    if (all_done()) break;
    if (!sending_ && (signals_() > 1 || now - std::max(ended_, last_arrival_) > settings_.drain.count() * 1000)) break;
    if (sending_) schedule(now);
    if (now - last_check >= 1000) {
      check_times(now);
      last_check = now;
    }
    const int count = epoll_wait(poll_, events.data(), static_cast<int>(events.size()), 1);
    for (int i = 0; i < count; ++i) {
      if (events[static_cast<std::size_t>(i)].data.u64 == kBrokerTag) {
        if (auto read = read_broker(); !read) return read;
      } else {
        on_ready(*channels_[events[static_cast<std::size_t>(i)].data.u64 - 1],
                 events[static_cast<std::size_t>(i)].events);
      }
    }
    now = now_us();
    if (broker_ >= 0 && now >= next_ping_) {
      next_ping_ = now + 20 * kSecond;
      if (auto sent = write_broker(mqtt_pingreq()); !sent) return sent;
    }
    progress(now);
  }
  if (ledger_ != nullptr) std::fflush(ledger_);
  return {};
}

void Load::progress(std::int64_t now) {
  if (settings_.quiet || now - last_progress_ < kSecond) return;
  const Book::Counts& counts = book_.counts();
  const double seconds = static_cast<double>(now - last_progress_) / kSecond;
  std::string line =
      format("%5.0f s  sent %" PRIu64 "  answered %" PRIu64 " (%.0f/s)  refused %" PRIu64 "  broken %" PRIu64,
             static_cast<double>(now - started_) / kSecond, counts.sent, counts.answered,
             static_cast<double>(counts.answered - last_answered_) / seconds, refused_, broken_);
  if (settings_.expect) {
    line += format("  arrived %" PRIu64 "  p99 %.1f ms", counts.arrived, book_.latencies().quantile_ms(0.99));
  } else {
    line += format("  p99 %.1f ms", answers_.quantile_ms(0.99));
  }
  std::fprintf(stderr, "%s\n", line.c_str());
  last_progress_ = now;
  last_answered_ = counts.answered;
}

bool Load::good() const {
  const Book::Counts& counts = book_.counts();
  if (counts.answered == 0) return false;
  return !settings_.expect ||
         (book_.missing() == 0 && counts.damaged == 0 && counts.unknown == 0 && counts.reordered == 0);
}

std::string Load::summary_text() const {
  const Book::Counts& counts = book_.counts();
  const double seconds = static_cast<double>(ended_ - started_) / kSecond;
  std::string out =
      format("sent %" PRIu64 ", answered %" PRIu64 " in %.1f s (%.0f/s), refused %" PRIu64 ", broken %" PRIu64 "\n",
             counts.sent, counts.answered, seconds, static_cast<double>(counts.answered) / std::max(seconds, 1e-3),
             refused_, broken_);
  out += format("answer:  p50 %.2f ms, p95 %.2f ms, p99 %.2f ms, max %.2f ms\n", answers_.quantile_ms(0.5),
                answers_.quantile_ms(0.95), answers_.quantile_ms(0.99), answers_.max_ms());
  if (settings_.expect) {
    const Latencies& latencies = book_.latencies();
    out += format("arrival: p50 %.2f ms, p95 %.2f ms, p99 %.2f ms, max %.2f ms\n", latencies.quantile_ms(0.5),
                  latencies.quantile_ms(0.95), latencies.quantile_ms(0.99), latencies.max_ms());
    out += format("arrived %" PRIu64 ", lost %" PRIu64 ", duplicates %" PRIu64 ", reordered %" PRIu64
                  ", damaged %" PRIu64 ", unknown %" PRIu64 ", undecoded %" PRIu64 "\n",
                  counts.arrived, book_.missing(), counts.duplicates, counts.reordered, counts.damaged, counts.unknown,
                  counts.undecoded);
  }
  return out;
}

std::string Load::summary_json() const {
  const Book::Counts& counts = book_.counts();
  const double seconds = static_cast<double>(ended_ - started_) / kSecond;
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const double cpu = static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                     static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / kSecond;
  std::string out =
      format(R"({"seconds":%.3f,"cpuSeconds":%.3f,"sent":%)" PRIu64 R"(,"answered":%)" PRIu64 R"(,"refused":%)" PRIu64
             R"(,"broken":%)" PRIu64 R"(,"answerMs":{"p50":%.3f,"p95":%.3f,"p99":%.3f,"max":%.3f})",
             seconds, cpu, counts.sent, counts.answered, refused_, broken_, answers_.quantile_ms(0.5),
             answers_.quantile_ms(0.95), answers_.quantile_ms(0.99), answers_.max_ms());
  if (settings_.expect) {
    const Latencies& latencies = book_.latencies();
    out += format(R"(,"arrivalMs":{"p50":%.3f,"p95":%.3f,"p99":%.3f,"max":%.3f},"secondsToLastArrival":%.3f)",
                  latencies.quantile_ms(0.5), latencies.quantile_ms(0.95), latencies.quantile_ms(0.99),
                  latencies.max_ms(), static_cast<double>(last_arrival_ - started_) / kSecond);
    out += format(R"(,"arrived":%)" PRIu64 R"(,"lost":%)" PRIu64 R"(,"duplicates":%)" PRIu64 R"(,"reordered":%)" PRIu64
                  R"(,"damaged":%)" PRIu64 R"(,"unknown":%)" PRIu64 R"(,"undecoded":%)" PRIu64,
                  counts.arrived, book_.missing(), counts.duplicates, counts.reordered, counts.damaged, counts.unknown,
                  counts.undecoded);
  }
  return out + "}\n";
}

}  // namespace sluice::app
