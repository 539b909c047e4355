// SPDX-License-Identifier: Apache-2.0
#include "connection/strategy.h"

#include <algorithm>
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

milliseconds first_interval(Strategy strategy) {
  return phases(strategy).front().every;
}

namespace {

// How long after the connection was left that try comes, the first being 0; nothing behind the last one.
std::optional<milliseconds> offset_of(Strategy strategy, unsigned number) {
  milliseconds offset{0};
  unsigned before = 0;
  for (const auto& phase : phases(strategy)) {
    if (number - before < phase.tries) return offset + phase.every * (number - before + 1);
    offset += phase.every * phase.tries;
    before += phase.tries;
  }
  return std::nullopt;
}

}  // namespace

std::optional<ReconnectSchedule::Time> ReconnectSchedule::next(Time now, bool quick) {
  if (!left_) left_ = now;
  if (quick && quick_tries_ < kQuick.size()) {
    auto base = milliseconds(kQuick[quick_tries_++]);
    return now + base / 2 + milliseconds(static_cast<std::int64_t>(static_cast<double>(base.count()) * random_()));
  }
  while (auto offset = offset_of(strategy_, tries_)) {
    ++tries_;
    if (*left_ + *offset <= now) continue;
    auto jitter = milliseconds(static_cast<std::int64_t>(static_cast<double>(kJitter.count()) * (2 * random_() - 1)));
    return std::max(*left_ + *offset + jitter, now + seconds(1));
  }
  return std::nullopt;
}

}  // namespace sluice::connection
