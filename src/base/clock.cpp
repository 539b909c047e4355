// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <fmt/format.h>

namespace sluice {
namespace {

class SystemClock final : public Clock {
 public:
  [[nodiscard]] UnixMillis now() const override {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
        .count();
  }
  [[nodiscard]] std::chrono::steady_clock::time_point steady() const override {
    return std::chrono::steady_clock::now();
  }
};

// Reads exactly `digits` digits and moves on; -1 where there are not that many.
int read_number(std::string_view& text, std::size_t digits) {
  if (text.size() < digits) return -1;
  int n = 0;
  for (std::size_t i = 0; i < digits; ++i) {
    if (text[i] < '0' || text[i] > '9') return -1;
    n = n * 10 + (text[i] - '0');
  }
  text.remove_prefix(digits);
  return n;
}

bool read_char(std::string_view& text, std::string_view any_of) {
  if (text.empty() || any_of.find(text.front()) == std::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

Clock& system_clock() {
  static SystemClock clock;
  return clock;
}

std::optional<UnixMillis> parse_time(std::string_view text) {
  int year = read_number(text, 4);
  if (year < 0 || !read_char(text, "-")) return std::nullopt;
  int month = read_number(text, 2);
  if (month < 0 || !read_char(text, "-")) return std::nullopt;
  int day = read_number(text, 2);
  if (day < 0 || !read_char(text, "Tt ")) return std::nullopt;
  int hour = read_number(text, 2);
  if (hour < 0 || hour > 23 || !read_char(text, ":")) return std::nullopt;
  int minute = read_number(text, 2);
  if (minute < 0 || minute > 59) return std::nullopt;
  int second = 0;
  int millis = 0;
  if (read_char(text, ":")) {
    second = read_number(text, 2);
    if (second < 0 || second > 60) return std::nullopt;
    if (read_char(text, ".,")) {
      int scale = 100;
      std::size_t digits = 0;
      while (!text.empty() && text.front() >= '0' && text.front() <= '9') {
        millis += scale * (text.front() - '0');
        scale /= 10;
        text.remove_prefix(1);
        ++digits;
      }
      if (digits == 0 || digits > 9) return std::nullopt;
    }
  }
  int offset_minutes = 0;
  if (!text.empty() && !read_char(text, "Zz")) {
    bool west = text.front() == '-';
    if (!read_char(text, "+-")) return std::nullopt;
    int hours = read_number(text, 2);
    read_char(text, ":");
    int minutes = text.empty() ? 0 : read_number(text, 2);
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return std::nullopt;
    offset_minutes = (west ? -1 : 1) * (hours * 60 + minutes);
  }
  if (!text.empty()) return std::nullopt;
  std::chrono::year_month_day date{std::chrono::year{year}, std::chrono::month{static_cast<unsigned>(month)},
                                   std::chrono::day{static_cast<unsigned>(day)}};
  if (!date.ok()) return std::nullopt;
  std::int64_t days = std::chrono::sys_days{date}.time_since_epoch().count();
  return ((days * 24 + hour) * 60 + minute - offset_minutes) * 60'000 + second * 1000 + millis;
}

std::string format_time(UnixMillis time) {
  std::int64_t days = time >= 0 ? time / 86'400'000 : (time - 86'399'999) / 86'400'000;
  auto in_day = static_cast<int>(time - days * 86'400'000);
  std::chrono::year_month_day date{std::chrono::sys_days{std::chrono::days{days}}};
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}+00:00", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), in_day / 3'600'000,
                     in_day / 60'000 % 60, in_day / 1000 % 60, in_day % 1000);
}

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) {
  constexpr std::int64_t kMost = 100LL * 365 * 86'400;
  std::int64_t total = 0;
  while (!text.empty()) {
    std::int64_t n = 0;
    std::size_t digits = 0;
    while (digits < text.size() && text[digits] >= '0' && text[digits] <= '9') {
      n = n * 10 + (text[digits] - '0');
      if (n > kMost) return std::nullopt;
      ++digits;
    }
    if (digits == 0 || digits == text.size()) return std::nullopt;
    std::int64_t unit = 0;
    switch (text[digits]) {
      case 'd':
        unit = 86'400;
        break;
      case 'h':
        unit = 3600;
        break;
      case 'm':
        unit = 60;
        break;
      case 's':
        unit = 1;
        break;
      default:
        return std::nullopt;
    }
    total += n * unit;
    if (total > kMost) return std::nullopt;
    text.remove_prefix(digits + 1);
  }
  return std::chrono::seconds(total);
}

}  // namespace sluice
