// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace sluice {

// Counters and gauges, written out in Prometheus' text form 0.0.4. Incrementing is one relaxed atomic addition; making
// a series takes a lock, so keep the reference. Thread-safe. Labels come from small sets, never a DevEUI, never error
// text.
class Metrics {
 public:
  using Labels = std::map<std::string, std::string>;
  class Value {
   public:
    void add(std::int64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
    void set(std::int64_t n) { value_.store(n, std::memory_order_relaxed); }
    [[nodiscard]] std::int64_t get() const { return value_.load(std::memory_order_relaxed); }

   private:
    std::atomic<std::int64_t> value_{0};
  };
  // Bucket upper bounds in seconds, ascending; the sum and count come along.
  class Histogram {
   public:
    explicit Histogram(std::vector<double> bounds);
    void observe(double seconds);
    // The value below which `share` (0..1) of the observations lie, interpolated within its bucket; 0 without any.
    [[nodiscard]] double quantile(double share) const;

   private:
    friend class Metrics;
    std::vector<double> bounds_;
    std::vector<std::atomic<std::uint64_t>> counts_;
    std::atomic<std::uint64_t> sum_micros_{0};
  };

  // The series of that name and labels, made at first use; it lives as long as the Metrics or until `remove`.
  // Shared so that a removed connection's late increments stay harmless.
  std::shared_ptr<Value> counter(const std::string& name, const std::string& help, const Labels& labels = {});
  std::shared_ptr<Value> gauge(const std::string& name, const std::string& help, const Labels& labels = {});
  std::shared_ptr<Histogram> histogram(const std::string& name, const std::string& help, std::vector<double> bounds,
                                       const Labels& labels = {});
  // Called before each writing out, to set gauges that are cheaper to read than to keep.
  void on_collect(std::function<void()> collect);
  // One value of a series that is made at each writing out and kept nowhere: for gauges of many things. `name`, `help`
  // and `type` ("gauge" or "counter") are literals; no other way makes series of that name.
  struct Sample {
    const char *name, *help, *type;
    Labels labels;
    double value = 0;
  };
  // Adds its samples at each writing out, on the caller's thread. It lives as long as the Metrics or until
  // `end_samples`, which waits for a writing out under way.
  using Samples = std::function<void(std::vector<Sample>& out)>;
  void on_samples(Samples samples);
  void end_samples();
  // A label's value within a bound: `value` for the first 5,000 different ones, "other" for all further ones, so that
  // many things make no more series than a Prometheus bears. `remove` gives its place free.
  std::string bounded(const std::string& label, const std::string& value);
  static constexpr std::size_t kMostOfLabel = 5000;
  // Ends every series that has this label value (a deleted connection's).
  void remove(const std::string& label, const std::string& value);

  [[nodiscard]] std::string text() const;

 private:
  struct Family {
    std::string help, type;
    std::map<Labels, std::shared_ptr<Value>> values;
    std::map<Labels, std::shared_ptr<Histogram>> histograms;
  };
  void write_samples(std::string& out) const;
  std::shared_ptr<Value> value(const std::string& name, const std::string& help, const char* type,
                               const Labels& labels);

  mutable std::mutex mutex_;
  std::map<std::string, Family> families_;
  std::vector<std::function<void()>> collectors_;
  std::map<std::string, std::set<std::string>> bounded_;
  mutable std::mutex samples_mutex_;
  std::vector<Samples> samples_;
};

}  // namespace sluice
