// SPDX-License-Identifier: Apache-2.0
#include "app/simulate_book.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <optional>

namespace sluice::app {
namespace {

// The text after `key` up to the closing quote, or the digits after it.
std::string_view text_after(std::string_view document, std::string_view key) {
  const std::size_t at = document.find(key);
  if (at == std::string_view::npos) return {};
  const std::string_view rest = document.substr(at + key.size());
  return rest.substr(0, rest.find('"'));
}

std::optional<std::uint64_t> number(std::string_view text, int base) {
  std::uint64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (result.ec != std::errc() || result.ptr == text.data()) return std::nullopt;
  return value;
}

}  // namespace

void Latencies::add(std::int64_t micros) {
  const auto value = static_cast<std::uint64_t>(std::max<std::int64_t>(micros, 1));
  const int power = std::bit_width(value) - 1;
  const std::uint64_t inside = power >= 5 ? (value >> (power - 5)) & 31 : (value << (5 - power)) & 31;
  const std::size_t bucket = static_cast<std::size_t>(power) * kSteps + inside;
  ++buckets_[std::min(bucket, buckets_.size() - 1)];
  ++count_;
  max_ = std::max(max_, micros);
}

double Latencies::quantile_ms(double share) const {
  const auto wanted = static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(count_)));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < buckets_.size() && count_; ++i) {
    seen += buckets_[i];
    if (buckets_[i] && seen >= wanted) {
      // The upper end of the bucket: never told better than it was.
      const double upper = std::ldexp(1.0 + static_cast<double>(i % kSteps + 1) / kSteps, static_cast<int>(i / kSteps));
      return std::min(upper, static_cast<double>(max_)) / 1000.0;
    }
  }
  return 0;
}

Book::Book(const ReportMaker& maker, std::uint32_t devices, std::uint32_t first_fcnt, bool keep)
    : maker_(maker), first_fcnt_(first_fcnt), keep_(keep), devices_(devices, Device{first_fcnt, 0, {}}) {}

std::uint32_t Book::issue(std::uint32_t device, std::int64_t due_us) {
  ++counts_.sent;
  if (keep_) devices_[device].entries.push_back({due_us, false, false});
  return devices_[device].next++;
}

void Book::answered(std::uint32_t device, std::uint32_t fcnt) {
  ++counts_.answered;
  if (!keep_) return;
  Entry& entry = devices_[device].entries[fcnt - first_fcnt_];
  entry.answered = true;
  if (entry.arrived) ++counts_.answered_arrived;
}

void Book::arrived(std::string_view document, std::int64_t now_us) {
  const auto eui = number(text_after(document, R"("DevEUI":")"), 16);
  const std::size_t counter = document.find(R"("FCntUp":)");
  const auto fcnt = counter == std::string_view::npos ? std::nullopt : number(document.substr(counter + 9), 10);
  const std::uint64_t first = maker_.settings().first_dev_eui;
  if (!eui || !fcnt || *eui < first || *eui - first >= devices_.size() || *fcnt < first_fcnt_ ||
      *fcnt >= devices_[*eui - first].next) {
    ++counts_.unknown;
    return;
  }
  const auto index = static_cast<std::uint32_t>(*eui - first);
  const auto wanted = static_cast<std::uint32_t>(*fcnt);
  Device& device = devices_[index];
  Entry& entry = device.entries[wanted - first_fcnt_];
  if (text_after(document, R"("payload_hex":")") != maker_.payload_hex(index, wanted)) {
    ++counts_.damaged;
    return;
  }
  if (entry.arrived) {
    ++counts_.duplicates;
    return;
  }
  entry.arrived = true;
  ++counts_.arrived;
  if (entry.answered) ++counts_.answered_arrived;
  if (wanted < device.newest_arrived) ++counts_.reordered;
  device.newest_arrived = std::max(device.newest_arrived, wanted);
  if (document.find(R"("payload":{)") == std::string_view::npos) ++counts_.undecoded;
  latencies_.add(now_us - entry.due_us);
}

}  // namespace sluice::app
