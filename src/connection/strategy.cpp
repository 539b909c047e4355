// SPDX-License-Identifier: Apache-2.0
#include "connection/strategy.h"

#include <array>
#include <limits>

namespace sluice::connection {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

struct Phase {
  milliseconds every;
  unsigned tries;
};
constexpr unsigned kWithoutEnd = std::numeric_limits<unsigned>::max();
constexpr std::array<seconds, 3> kQuick{seconds(1), seconds(5), seconds(20)};
// Connections that fell together must not come back together.
constexpr milliseconds kJitter = minutes(1);

constexpr std::array<Phase, 3> phases(Strategy strategy) {
  switch (strategy) {
    case Strategy::calm:
      return {{{minutes(10), 72}, {hours(1), 24}, {hours(0), 0}}};
    case Strategy::normal:
      return {{{minutes(5), 12}, {hours(1), 24}, {hours(24), kWithoutEnd}}};
    case Strategy::aggressive:
      return {{{minutes(3), 60}, {minutes(30), 336}, {hours(1), kWithoutEnd}}};
  }
  return {};
}

}  // namespace

Strategy strategy_of(std::string_view name) {
  if (name == "CALM") return Strategy::calm;
  if (name == "AGGRESSIVE") return Strategy::aggressive;
  return Strategy::normal;
}

std::optional<milliseconds> ReconnectSchedule::next(bool quick) {
  if (quick && quick_tries_ < kQuick.size()) {
    auto base = milliseconds(kQuick[quick_tries_++]);
    return base / 2 + milliseconds(static_cast<std::int64_t>(static_cast<double>(base.count()) * random_()));
  }
  unsigned before = 0;
  for (const auto& phase : phases(strategy_)) {
    if (tries_ - before < phase.tries) {
      ++tries_;
      return phase.every +
             milliseconds(static_cast<std::int64_t>(static_cast<double>(kJitter.count()) * (2 * random_() - 1)));
    }
    before += phase.tries;
  }
  return std::nullopt;
}

}  // namespace sluice::connection
