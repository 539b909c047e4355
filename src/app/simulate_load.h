// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/simulate_book.h"
#include "app/simulate_mqtt.h"
#include "app/simulate_report.h"
#include "base/result.h"

namespace sluice::app {

struct LoadSettings {
  std::string host, port;
  std::uint32_t devices = 10;
  double rate = 1;                        // reports a second; 0: flat out
  std::chrono::milliseconds duration{0};  // 0: no bound
  std::uint64_t count = 0;                // 0: no bound
  std::uint32_t connections = 64;
  std::uint32_t first_fcnt = 1;
  std::optional<MqttPlace> expect;
  int expect_qos = 0;
  std::chrono::milliseconds drain{30000};
  std::string ledger;
  bool resend = false, quiet = false;
};

// Sends reports over kept-alive HTTP connections and, if asked, watches them arrive at a broker: one thread, epoll,
// requests written by hand, so that a small share of one core drives the engine.
//
// 1. A device has at most one report under way (all of a device's reports go by the same connection), so its order is
//    defined and can be judged at the other end.
// 2. With a rate, a report is due by the clock alone and its latency counts from then: a slow answer delays no due
// time.
// 3. A report is answered only by a 2xx read in whole. A broken connection leaves it unanswered: it may arrive or not.
class Load {
 public:
  // `signals` gives how often the process was asked to end.
  Load(LoadSettings settings, ReportMaker& maker, std::function<int()> signals);
  ~Load();
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  // Resolves, opens the ledger, subscribes. Errors: bad_config, not_connected.
  Result<void> start();
  // Sends and waits to the end. Errors: not_connected when the subscription breaks.
  Result<void> run();
  // Something was answered, and with `expect` all that was answered arrived once, intact and in order.
  [[nodiscard]] bool good() const;
  [[nodiscard]] std::string summary_text() const;
  [[nodiscard]] std::string summary_json() const;

 private:
  struct Channel;
  struct Due {
    std::uint32_t device;
    std::int64_t due_us;
  };

  void schedule(std::int64_t now);
  void pump(Channel& channel);
  void connect(Channel& channel);
  void broken(Channel& channel);
  void finish(Channel& channel, int status);
  void on_ready(Channel& channel, std::uint32_t events);
  void write(Channel& channel);
  void read(Channel& channel);
  bool parse(Channel& channel);
  Result<void> subscribe();
  Result<void> read_broker();
  Result<void> write_broker(const std::string& bytes);
  void check_times(std::int64_t now);
  void progress(std::int64_t now);
  [[nodiscard]] bool all_done() const;
  [[nodiscard]] bool exhausted() const;

  LoadSettings settings_;
  ReportMaker& maker_;
  std::function<int()> signals_;
  Book book_;
  Latencies answers_;
  std::vector<std::unique_ptr<Channel>> channels_;
  MqttReader mqtt_;
  std::FILE* ledger_ = nullptr;
  int poll_ = -1, broker_ = -1;
  int connack_ = -1, suback_ = -1;
  std::string address_;  // sockaddr of the server
  int family_ = 0;
  std::int64_t started_ = 0, ended_ = 0, last_arrival_ = 0, last_progress_ = 0, next_ping_ = 0;
  std::uint64_t scheduled_ = 0, refused_ = 0, broken_ = 0, backlog_ = 0, under_way_ = 0;
  std::uint64_t last_answered_ = 0;
  bool sending_ = true;
};

}  // namespace sluice::app
