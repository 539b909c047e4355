// SPDX-License-Identifier: Apache-2.0
// A connection's counters as a series (spec api.md 5.7).
#include <algorithm>
#include <array>
#include <chrono>
#include <optional>

#include "api/router.h"

namespace sluice::api {
namespace {

struct Step {
  std::string_view name;
  std::chrono::minutes length;
  std::chrono::hours usual;  // what is shown where no time is given
};
constexpr std::array<Step, 3> kSteps{{{"1m", std::chrono::minutes(1), std::chrono::hours(1)},
                                      {"1h", std::chrono::hours(1), std::chrono::hours(24)},
                                      {"1d", std::chrono::hours(24), std::chrono::hours(31 * 24)}}};

// What was asked for. Bounded by what is kept: 1,441 steps at most.
struct Asked {
  Step step = kSteps[1];
  UnixMillis from = 0, to = 0;
};

Asked read(const Call& call, std::vector<FieldFault>& faults) {
  Asked asked;
  if (auto name = call.request.parameter("step")) {
    const auto* step = std::find_if(kSteps.begin(), kSteps.end(), [&](const Step& one) { return one.name == *name; });
    if (step == kSteps.end())
      faults.push_back({"step", "must be 1m, 1h or 1d"});
    else
      asked.step = *step;
  }
  auto time = [&](const char* name) -> std::optional<UnixMillis> {
    auto text = call.request.parameter(name);
    if (!text) return std::nullopt;
    auto read = time_parameter(*text);
    if (!read) faults.push_back({name, "must be a time as 2024-05-02T08:15:22.118+02:00"});
    return read;
  };
  auto from = time("startTime"), to = time("endTime");
  asked.to = to.value_or(call.context.clock.now() + 1);
  asked.from = from.value_or(asked.to - std::chrono::milliseconds(asked.step.usual).count());
  if (faults.empty() && asked.from > asked.to) faults.push_back({"startTime", "must not be after endTime"});
  return asked;
}

Response statistics(Call& call) {
  auto found = own_connection(call);
  if (!found) return fail(found.error());
  std::vector<FieldFault> faults;
  auto asked = read(call, faults);
  if (!faults.empty()) return fail(faults);
  auto points = call.context.connections.series(call.params[0], asked.from, asked.to, asked.step.length);
  if (!points) return fail(points.error());
  boost::json::array items;
  for (auto& point : *points) {
    boost::json::object item{{"time", format_time(point.time)}};
    for (auto& counter : point.counters)
      item.emplace(counter.key(), std::move(counter.value()));
    items.push_back(std::move(item));
  }
  return answer(std::move(items));
}

}  // namespace

void add_statistics(std::vector<Route>& routes) {
  routes.push_back({"GET", "/iot-flow/v1/connections/{id}/statistics", Access::reader, statistics});
}

}  // namespace sluice::api
