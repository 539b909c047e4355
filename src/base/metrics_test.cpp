// SPDX-License-Identifier: Apache-2.0
#include "base/metrics.h"

#include <algorithm>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(MetricsTest, WritesThePrometheusForm) {
  Metrics metrics;
  metrics.counter("a_total", "As.", {{"kind", "x\"y\\z"}})->add(3);
  metrics.gauge("b", "Bs.")->set(-2);
  auto seconds = metrics.histogram("c_seconds", "Cs.", {0.5, 1}, {{"kind", "q"}});
  seconds->observe(0.25);
  seconds->observe(0.75);
  seconds->observe(5);
  metrics.histogram("d_seconds", "Ds.", {1})->observe(1);
  EXPECT_EQ(metrics.text(), R"(# HELP a_total As.
# TYPE a_total counter
a_total{kind="x\"y\\z"} 3
# HELP b Bs.
# TYPE b gauge
b -2
# HELP c_seconds Cs.
# TYPE c_seconds histogram
c_seconds_bucket{kind="q",le="0.5"} 1
c_seconds_bucket{kind="q",le="1"} 2
c_seconds_bucket{kind="q",le="+Inf"} 3
c_seconds_sum{kind="q"} 6
c_seconds_count{kind="q"} 3
# HELP d_seconds Ds.
# TYPE d_seconds histogram
d_seconds_bucket{le="1"} 1
d_seconds_bucket{le="+Inf"} 1
d_seconds_sum 1
d_seconds_count 1
)");
}

TEST(MetricsTest, SamplesOfOneNameStandTogether) {
  Metrics metrics;
  metrics.on_samples([](std::vector<Metrics::Sample>& out) {
    for (const char* id : {"1", "2"}) {
      out.push_back({"state", "State.", "gauge", {{"id", id}}, 1});
      out.push_back({"age", "Age.", "gauge", {{"id", id}}, 0.5});
    }
  });
  EXPECT_EQ(metrics.text(), R"(# HELP age Age.
# TYPE age gauge
age{id="1"} 0.5
age{id="2"} 0.5
# HELP state State.
# TYPE state gauge
state{id="1"} 1
state{id="2"} 1
)");
  metrics.end_samples();
  EXPECT_EQ(metrics.text(), "");
}

TEST(MetricsTest, ALabelHasSoManyValuesAndThenOthers) {
  Metrics metrics;
  for (std::size_t i = 0; i < Metrics::kMostOfLabel + 1000; ++i) {
    auto label = metrics.bounded("connection", std::to_string(i));
    EXPECT_EQ(label, i < Metrics::kMostOfLabel ? std::to_string(i) : "other");
    metrics.counter("n_total", "N.", {{"connection", label}})->add();
  }
  auto text = metrics.text();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), static_cast<std::ptrdiff_t>(Metrics::kMostOfLabel + 3));
  EXPECT_THAT(text, HasSubstr("n_total{connection=\"other\"} 1000\n"));
  // A known one stays; one that is gone makes room.
  EXPECT_EQ(metrics.bounded("connection", "17"), "17");
  metrics.remove("connection", "17");
  EXPECT_THAT(metrics.text(), Not(HasSubstr("connection=\"17\"")));
  EXPECT_EQ(metrics.bounded("connection", "new"), "new");
  EXPECT_EQ(metrics.bounded("connection", "17"), "other");
  EXPECT_EQ(metrics.bounded("another", "x"), "x");
}

}  // namespace
}  // namespace sluice
