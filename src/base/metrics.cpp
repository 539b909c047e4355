// SPDX-License-Identifier: Apache-2.0
#include "base/metrics.h"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>
#include <string_view>

namespace sluice {
namespace {

std::string escape(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
  return out;
}

std::string write_labels(const Metrics::Labels& labels) {
  std::string out;
  for (const auto& [key, value] : labels)
    out += (out.empty() ? "" : ",") + key + "=\"" + escape(value) + "\"";
  return out.empty() ? out : "{" + out + "}";
}

}  // namespace

Metrics::Histogram::Histogram(std::vector<double> bounds) : bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {}

void Metrics::Histogram::observe(double seconds) {
  auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), seconds) - bounds_.begin();
  counts_[static_cast<std::size_t>(bucket)].fetch_add(1, std::memory_order_relaxed);
  sum_micros_.fetch_add(static_cast<std::uint64_t>(seconds * 1e6), std::memory_order_relaxed);
}

double Metrics::Histogram::quantile(double share) const {
  std::uint64_t total = 0;
  for (const auto& count : counts_)
    total += count.load(std::memory_order_relaxed);
  if (total == 0) return 0;
  double wanted = share * static_cast<double>(total);
  double seen = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    auto here = static_cast<double>(counts_[i].load(std::memory_order_relaxed));
    if (here > 0 && seen + here >= wanted) {
      double low = i == 0 ? 0 : bounds_[i - 1];
      double high = i < bounds_.size() ? bounds_[i] : bounds_.back();
      return low + (high - low) * (wanted - seen) / here;
    }
    seen += here;
  }
  return bounds_.back();
}

std::shared_ptr<Metrics::Value> Metrics::value(const std::string& name, const std::string& help, const char* type,
                                               const Labels& labels) {
  std::lock_guard lock(mutex_);
  auto& family = families_[name];
  family.help = help;
  family.type = type;
  auto& series = family.values[labels];
  if (!series) series = std::make_shared<Value>();
  return series;
}

std::shared_ptr<Metrics::Value> Metrics::counter(const std::string& name, const std::string& help,
                                                 const Labels& labels) {
  return value(name, help, "counter", labels);
}

std::shared_ptr<Metrics::Value> Metrics::gauge(const std::string& name, const std::string& help, const Labels& labels) {
  return value(name, help, "gauge", labels);
}

std::shared_ptr<Metrics::Histogram> Metrics::histogram(const std::string& name, const std::string& help,
                                                       std::vector<double> bounds, const Labels& labels) {
  std::lock_guard lock(mutex_);
  auto& family = families_[name];
  family.help = help;
  family.type = "histogram";
  auto& series = family.histograms[labels];
  if (!series) series = std::make_shared<Histogram>(std::move(bounds));
  return series;
}

void Metrics::on_collect(std::function<void()> collect) {
  std::lock_guard lock(mutex_);
  collectors_.push_back(std::move(collect));
}

void Metrics::on_samples(Samples samples) {
  std::lock_guard lock(samples_mutex_);
  samples_.push_back(std::move(samples));
}

void Metrics::end_samples() {
  std::lock_guard lock(samples_mutex_);
  samples_.clear();
}

std::string Metrics::bounded(const std::string& label, const std::string& value) {
  std::lock_guard lock(mutex_);
  auto& known = bounded_[label];
  if (known.contains(value)) return value;
  if (known.size() >= kMostOfLabel) return "other";
  known.insert(value);
  return value;
}

void Metrics::remove(const std::string& label, const std::string& value) {
  std::lock_guard lock(mutex_);
  if (auto known = bounded_.find(label); known != bounded_.end()) known->second.erase(value);
  auto has = [&](const auto& entry) {
    auto found = entry.first.find(label);
    return found != entry.first.end() && found->second == value;
  };
  for (auto& [name, family] : families_) {
    std::erase_if(family.values, has);
    std::erase_if(family.histograms, has);
  }
}

void Metrics::write_samples(std::string& out) const {
  std::vector<Sample> samples;
  {
    std::lock_guard lock(samples_mutex_);
    for (const auto& one : samples_)
      one(samples);
  }
  std::stable_sort(samples.begin(), samples.end(), [](const Sample& a, const Sample& b) {
    return std::string_view(a.name) < std::string_view(b.name);
  });
  std::string_view name;
  for (const auto& sample : samples) {
    if (sample.name != name) {
      name = sample.name;
      fmt::format_to(std::back_inserter(out), "# HELP {} {}\n# TYPE {} {}\n", name, sample.help, name, sample.type);
    }
    fmt::format_to(std::back_inserter(out), "{}{} {}\n", name, write_labels(sample.labels), sample.value);
  }
}

std::string Metrics::text() const {
  std::vector<std::function<void()>> collectors;
  {
    std::lock_guard lock(mutex_);
    collectors = collectors_;
  }
  for (const auto& collect : collectors)
    collect();  // without the lock: collectors may make series
  std::string out;
  write_samples(out);
  std::lock_guard lock(mutex_);
  for (const auto& [name, family] : families_) {
    if (family.values.empty() && family.histograms.empty()) continue;
    out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, family.help, name, family.type);
    for (const auto& [labels, series] : family.values) {
      out += fmt::format("{}{} {}\n", name, write_labels(labels), series->get());
    }
    for (const auto& [labels, series] : family.histograms) {
      std::uint64_t total = 0;
      auto written = write_labels(labels);
      auto open = written.empty() ? "{" : written.substr(0, written.size() - 1) + ",";
      for (std::size_t i = 0; i < series->counts_.size(); ++i) {
        total += series->counts_[i].load(std::memory_order_relaxed);
        if (i < series->bounds_.size())
          fmt::format_to(std::back_inserter(out), "{}_bucket{}le=\"{}\"}} {}\n", name, open, series->bounds_[i], total);
        else
          fmt::format_to(std::back_inserter(out), "{}_bucket{}le=\"+Inf\"}} {}\n", name, open, total);
      }
      out += fmt::format("{}_sum{} {}\n", name, written,
                         static_cast<double>(series->sum_micros_.load(std::memory_order_relaxed)) / 1e6);
      out += fmt::format("{}_count{} {}\n", name, written, total);
    }
  }
  return out;
}

}  // namespace sluice
