// SPDX-License-Identifier: Apache-2.0
#include <charconv>

#include "connection/runner.h"

namespace sluice::connection {
namespace {

constexpr const char* kState = "sluice_connection_state";
constexpr const char* kStateHelp = "1 for the state that the connection is in; of \"other\", how many are.";
constexpr const char* kPending = "sluice_connection_pending";
constexpr const char* kPendingHelp = "Messages waiting for the connection or sent and not yet acknowledged.";
constexpr const char* kOldest = "sluice_connection_oldest_pending_seconds";
constexpr const char* kOldestHelp = "Age of the oldest pending message; 0 when none is. Of \"other\", the greatest.";
constexpr const char* kPaused = "sluice_connection_paused";
constexpr const char* kPausedHelp = "1 while delivery is halted by a user; of \"other\", how many are.";

}  // namespace

Result<std::vector<SeriesPoint>> Runner::series(const std::string& id, UnixMillis from, UnixMillis to,
                                                std::chrono::minutes step) {
  if (!find(id)) return Error{ErrorKind::permanent, "there is no connection " + id, "com-4004"};
  std::uint64_t number = 0;
  std::from_chars(id.data(), id.data() + id.size(), number);
  return ledger_.series(number, from, to, step);
}

void Runner::sample(std::vector<Metrics::Sample>& out) const {
  std::vector<std::pair<std::uint64_t, std::shared_ptr<Connection>>> all;
  {
    std::shared_lock lock(mutex_);
    all.assign(connections_.begin(), connections_.end());
  }
  struct Other {
    bool any = false;
    double pending = 0, oldest = 0, paused = 0;
    std::map<State, double> states;
  } other;
  auto now = shared_.clock.now();
  for (const auto& [number, connection] : all) {
    auto id = std::to_string(number);
    auto state = connection->status().state;
    auto pending = static_cast<double>(shared_.queue.count(number));
    double age = 0;
    if (pending > 0) {
      auto oldest = shared_.queue.state(number).oldest;
      if (oldest) age = std::max(0.0, static_cast<double>(now - *oldest) / 1000);
    }
    double paused = connection->pump().paused() ? 1 : 0;
    if (connection->pump().label() != id) {
      other.any = true;
      other.pending += pending;
      other.oldest = std::max(other.oldest, age);
      other.paused += paused;
      other.states[state] += 1;
      continue;
    }
    out.push_back({kState, kStateHelp, "gauge", {{"connection", id}, {"state", to_string(state)}}, 1});
    out.push_back({kPending, kPendingHelp, "gauge", {{"connection", id}}, pending});
    out.push_back({kOldest, kOldestHelp, "gauge", {{"connection", id}}, age});
    out.push_back({kPaused, kPausedHelp, "gauge", {{"connection", id}}, paused});
  }
  if (!other.any) return;
  for (const auto& [state, count] : other.states)
    out.push_back({kState, kStateHelp, "gauge", {{"connection", "other"}, {"state", to_string(state)}}, count});
  out.push_back({kPending, kPendingHelp, "gauge", {{"connection", "other"}}, other.pending});
  out.push_back({kOldest, kOldestHelp, "gauge", {{"connection", "other"}}, other.oldest});
  out.push_back({kPaused, kPausedHelp, "gauge", {{"connection", "other"}}, other.paused});
}

}  // namespace sluice::connection
