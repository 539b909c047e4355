// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string_view>

namespace sluice::connection {

enum class Strategy : std::uint8_t { calm, normal, aggressive };
// "CALM", "NORMAL", "AGGRESSIVE"; anything else is NORMAL, the default.
Strategy strategy_of(std::string_view name);
// The wait between tries of its first phase: 10, 5 or 3 minutes.
std::chrono::milliseconds first_interval(Strategy strategy);

// When to try again (spec api.md 5.4): three quick tries after 1, 5 and 20 s, then the strategy's phases. The phases
// are judged from the moment the connection left OPENED (or first failed to get there): how long tries take, and their
// jitter, never add up. Not thread-safe.
class ReconnectSchedule {
 public:
  using Time = std::chrono::steady_clock::time_point;
  // `random` gives numbers from 0 (inclusive) to 1 (exclusive), for the jitter.
  ReconnectSchedule(Strategy strategy, std::function<double()> random)
      : strategy_(strategy), random_(std::move(random)) {}
  // Starts anew, judged from the next call of next() on.
  void reset() { reset(std::nullopt); }
  // Starts anew, judged from `left`.
  void reset(std::optional<Time> left) { tries_ = 0, quick_tries_ = 0, left_ = left; }
  // The time of the next try; nothing when the strategy has ended (CALM). `quick` false skips the quick tries (the
  // credentials were refused). A try that would lie in the past is left out.
  std::optional<Time> next(Time now, bool quick);

 private:
  Strategy strategy_;
  std::function<double()> random_;
  unsigned quick_tries_ = 0;
  unsigned tries_ = 0;
  std::optional<Time> left_;
};

}  // namespace sluice::connection
