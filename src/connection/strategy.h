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

// When to try again (spec api.md 5.4): three quick tries after 1, 5 and 20 s, then the strategy's phases. Not
// thread-safe.
class ReconnectSchedule {
 public:
  // `random` gives numbers from 0 (inclusive) to 1 (exclusive), for the jitter.
  ReconnectSchedule(Strategy strategy, std::function<double()> random)
      : strategy_(strategy), random_(std::move(random)) {}
  // The wait before the next try; nothing when the strategy has ended (CALM). `quick` false skips the quick tries (the
  // credentials were refused).
  std::optional<std::chrono::milliseconds> next(bool quick);
  void reset() { tries_ = 0, quick_tries_ = 0; }

 private:
  Strategy strategy_;
  std::function<double()> random_;
  unsigned quick_tries_ = 0;
  unsigned tries_ = 0;
};

}  // namespace sluice::connection
