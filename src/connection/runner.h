// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <shared_mutex>
#include <unordered_map>

#include "connection/connection.h"
#include "connection/ledger.h"
#include "connection/manager.h"
#include "connection/replays.h"

namespace sluice::connection {

// All connections of this process: makes them, hands them what is pending, ends them.
class Runner final : public Manager, public queue::Subscriber {
 public:
  explicit Runner(Shared shared);
  ~Runner() override;

  // Starts all stored connections, spread over some seconds when there are many, and takes what the queue announces.
  void start(const std::vector<store::Connection>& stored);
  // Closes all; false when one had not ended after `limit`: then its coroutine still refers to this object.
  bool stop(std::chrono::milliseconds limit);

  void apply(const store::Connection& connection) override;
  void remove(const std::string& id) override;
  Result<void> restart(const std::string& id) override;
  [[nodiscard]] Status status(const std::string& id) const override;
  [[nodiscard]] WindowCounts windows(const std::string& id) const override;
  void count(const std::string& id, Counter counter) override;
  std::uint64_t purge(const std::string& id) override;
  void test(store::Connection draft, std::string uplink, std::function<void(TestReport)> done) override;
  Result<void> pause(const std::string& id) override;
  Result<void> resume(const std::string& id) override;
  DeadLetterPage dead_letters(const std::string& id, const DeadLetterFilter& filter, std::size_t offset,
                              std::size_t limit) override;
  std::optional<DeadLetter> dead_letter(const std::string& id, std::uint64_t letter) override;
  std::uint64_t resend(const std::string& id, std::vector<std::uint64_t> letters) override;
  std::uint64_t discard(const std::string& id, std::vector<std::uint64_t> letters) override;
  Result<ReplayReport> replay(const std::string& id, const ReplayRequest& request) override;
  bool end_replay(const std::string& id) override;
  [[nodiscard]] QueueStatus queue(const std::string& id) override;
  Result<std::vector<SeriesPoint>> series(const std::string& id, UnixMillis from, UnixMillis to,
                                          std::chrono::minutes step) override;

  void on_pending(std::uint64_t connection, std::vector<queue::Pending> entries) override;
  void on_dropped(std::uint64_t connection, std::uint64_t place, std::uint64_t count, const char* reason) override;
  void on_letters_dropped(std::uint64_t connection, std::uint64_t count) override;
  void on_gap(std::uint64_t connection, std::int64_t gap) override;

 private:
  [[nodiscard]] std::shared_ptr<Connection> find(std::uint64_t id) const;
  [[nodiscard]] std::shared_ptr<Connection> find(const std::string& id) const;

  // Numbers that are read when Prometheus asks: state, pending, age of the oldest. One look at the disk for each
  // connection that has something pending.
  void sample(std::vector<Metrics::Sample>& out) const;

  Shared shared_;
  Replays replays_;
  Ledger ledger_;
  mutable std::shared_mutex mutex_;
  std::unordered_map<std::uint64_t, std::shared_ptr<Connection>> connections_;
};

}  // namespace sluice::connection
