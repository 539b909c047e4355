// SPDX-License-Identifier: Apache-2.0
#include "connection/recurrence.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <date/tz.h>

#include "base/codec.h"

namespace sluice::connection {
namespace {

constexpr std::int64_t kSecond = 1000, kHour = 3600 * kSecond, kDay = 24 * kHour;
constexpr std::int64_t kLastDay = 2'932'896;  // 9999-12-31, the last one that a text can name
// A count that has not run out by then (2200-01-01) ends then: what it takes to find its last window stays bounded.
constexpr std::int64_t kHorizon = 84'006;
// So many empty periods in a row: there is no further window. The calendar repeats after 400 years.
constexpr int kEmptyPeriods = 500;
constexpr std::array<std::string_view, 7> kWeekdays = {"sunday",   "monday", "tuesday", "wednesday",
                                                       "thursday", "friday", "saturday"};

enum class Frequency { secondly, minutely, hourly, daily, weekly, monthly, yearly };
constexpr std::array<std::string_view, 7> kFrequencies = {"secondly", "minutely", "hourly", "daily",
                                                          "weekly",   "monthly",  "yearly"};

std::int64_t floor_div(std::int64_t a, std::int64_t b) {
  return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
}
std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return -floor_div(-a, b);
}
std::int64_t floor_mod(std::int64_t a, std::int64_t b) {
  return a - floor_div(a, b) * b;
}

// Days are counted from 1970-01-01, a Thursday; Sunday is 0.
unsigned weekday_of(std::int64_t day) {
  return static_cast<unsigned>(floor_mod(day + 4, 7));
}

struct Date {
  std::int64_t year = 0;
  unsigned month = 1, day = 1;
};

Date date_of(std::int64_t day) {
  std::chrono::year_month_day read{std::chrono::sys_days{std::chrono::days{day}}};
  return {static_cast<int>(read.year()), static_cast<unsigned>(read.month()), static_cast<unsigned>(read.day())};
}

std::int64_t day_of(std::int64_t year, unsigned month, unsigned day) {
  return std::chrono::sys_days{std::chrono::year{static_cast<int>(year)} / std::chrono::month{month} /
                               std::chrono::day{day}}
      .time_since_epoch()
      .count();
}

unsigned days_in(std::int64_t year, unsigned month) {
  std::chrono::year_month_day_last last{std::chrono::year{static_cast<int>(year)},
                                        std::chrono::month_day_last{std::chrono::month{month}}};
  return static_cast<unsigned>(last.day());
}

// "+2tuesday": the second one of the month or year; ordinal 0: every one.
struct Weekday {
  unsigned weekday = 0;
  int ordinal = 0;
};

std::optional<Weekday> weekday_from(std::string_view text) {
  for (unsigned i = 0; i < kWeekdays.size(); ++i) {
    if (!text.ends_with(kWeekdays[i])) continue;
    text.remove_suffix(kWeekdays[i].size());
    Weekday out{i, 0};
    if (text.empty()) return out;
    bool back = text.front() == '-';
    text.remove_prefix(1);
    auto end = std::from_chars(text.data(), text.data() + text.size(), out.ordinal);
    if (end.ec != std::errc() || end.ptr != text.data() + text.size()) return std::nullopt;
    if (back) out.ordinal = -out.ordinal;
    return out;
  }
  return std::nullopt;
}

// The offset that an RFC 3339 time is written with.
std::int64_t offset_of(std::string_view text) {
  auto sign = text.find_first_of("+-", std::min<std::size_t>(text.size(), 11));
  if (sign == std::string_view::npos) return 0;
  std::string digits;
  for (char c : text.substr(sign + 1)) {
    if (c != ':') digits += c;
  }
  digits.resize(4, '0');
  auto number = [&](std::size_t at) { return (digits[at] - '0') * 10 + (digits[at + 1] - '0'); };
  auto offset = (number(0) * 60 + number(2)) * 60 * kSecond;
  return text[sign] == '-' ? -offset : offset;
}

struct Spec {
  Frequency frequency = Frequency::daily;
  std::int64_t interval = 1;
  std::optional<std::int64_t> count;
  std::optional<UnixMillis> until;
  std::vector<Weekday> days;
  [[nodiscard]] unsigned mask() const {
    unsigned mask = 0;
    for (const auto& day : days)
      mask |= 1u << day.weekday;
    return mask;
  }
};

Error fault(const std::string& field, const std::string& text) {
  return Error{ErrorKind::permanent, field + " " + text};
}

Result<Spec> read_rule(const json::object& rule) {
  Spec out;
  auto name = json::text_or(rule, "frequency");
  auto found = std::find(kFrequencies.begin(), kFrequencies.end(), name);
  if (found == kFrequencies.end()) return fault("recurrence/frequency", "is not known");
  out.frequency = static_cast<Frequency>(found - kFrequencies.begin());
  auto number = [&](const char* field) -> std::optional<std::int64_t> {
    const auto* value = json::find(rule, field);
    if (!value || !value->is_int64()) return std::nullopt;
    return std::clamp<std::int64_t>(value->get_int64(), 1, INT32_MAX);
  };
  out.interval = number("interval").value_or(1);
  out.count = number("count");
  if (const auto* until = json::find(rule, "until"); until && until->is_string()) {
    out.until = parse_time(until->get_string());
    if (!out.until) return fault("recurrence/until", "is no time");
  }
  if (const auto* days = json::find(rule, "byDays"); days && days->is_array()) {
    for (const auto& one : days->get_array()) {
      auto day = one.is_string() ? weekday_from(to_lower(one.get_string())) : std::nullopt;
      if (!day) return fault("recurrence/byDays", "holds what is no day");
      out.days.push_back(*day);
    }
  }
  return out;
}

const date::time_zone* zone_of(const std::string& name) {
  // The library throws where a zone is unknown, or the machine has no zones at all.
  try {
    return date::locate_zone(name);
  } catch (const std::exception&) {
    return nullptr;
  }
}

}  // namespace

bool is_time_zone(const std::string& name) {
  return zone_of(name) != nullptr;
}

// The first window and the clock on which it repeats.
struct Recurrence::Frame {
  const date::time_zone* zone = nullptr;  // lives as long as the process
  std::int64_t offset = 0;                // without a zone
  Occurrence first;
  std::int64_t local_start = 0, local_duration = 0;

  // Milliseconds of the wall clock since its 1970-01-01 00:00.
  [[nodiscard]] std::int64_t to_local(UnixMillis time) const {
    if (!zone) return time + offset;
    auto info = zone->get_info(date::sys_seconds{std::chrono::seconds{floor_div(time, kSecond)}});
    return time + info.offset.count() * kSecond;
  }
  // One that does not exist is read by the offset before the gap, one that comes twice by that of the first.
  [[nodiscard]] UnixMillis to_time(std::int64_t local) const {
    if (!zone) return local - offset;
    auto info = zone->get_info(date::local_seconds{std::chrono::seconds{floor_div(local, kSecond)}});
    return local - info.first.offset.count() * kSecond;
  }
  [[nodiscard]] std::int64_t day(UnixMillis time) const { return floor_div(to_local(time), kDay); }
  [[nodiscard]] UnixMillis midnight(std::int64_t day) const { return to_time(day * kDay); }
  [[nodiscard]] std::int64_t first_day() const { return floor_div(local_start, kDay); }
  [[nodiscard]] Occurrence window(std::int64_t day) const {
    auto local = day * kDay + floor_mod(local_start, kDay);
    Occurrence out{to_time(local), to_time(local + local_duration)};
    if (out.end <= out.start) out.end = out.start + local_duration;
    return out;
  }
};

// The windows that one entry of `recurrence` adds to the first.
class Recurrence::Rule {
 public:
  virtual ~Rule() = default;
  // The last that has begun by then.
  [[nodiscard]] virtual std::optional<Occurrence> last_at(UnixMillis time) const = 0;
  // The first that begins after it.
  [[nodiscard]] virtual std::optional<Occurrence> first_after(UnixMillis time) const = 0;
  // Of those that hold that time, the one that began first.
  [[nodiscard]] virtual std::optional<Occurrence> covering(UnixMillis time) const = 0;
};

// secondly, minutely, hourly: the k-th window begins k periods after the first.
class Recurrence::Elapsed final : public Rule {
 public:
  Elapsed(const Frame& frame, const Spec& spec) : frame_(frame), mask_(spec.mask()) {
    constexpr std::array<std::int64_t, 3> kUnits = {kSecond, 60 * kSecond, kHour};
    period_ = spec.interval * kUnits[static_cast<std::size_t>(spec.frequency)];
    duration_ = frame.first.end - frame.first.start;
    last_ = floor_div(kLastDay * kDay - frame.first.start, period_);
    if (spec.until) last_ = std::min(last_, floor_div(*spec.until - frame.first.start, period_));
    if (spec.count) last_ = std::min(last_, mask_ == 0 ? *spec.count - 1 : find_last(*spec.count - 1));
  }
  [[nodiscard]] std::optional<Occurrence> last_at(UnixMillis time) const override {
    auto k = std::min(last_, floor_div(time - frame_.first.start, period_));
    for (int steps = 0; k >= 1 && steps < kEmptyPeriods; ++steps) {
      auto start = start_of(k);
      if (is_wanted(start)) return window(k);
      auto day_before = frame_.midnight(frame_.day(start)) - 1;
      k = std::min(k - 1, floor_div(day_before - frame_.first.start, period_));
    }
    return std::nullopt;
  }
  [[nodiscard]] std::optional<Occurrence> first_after(UnixMillis time) const override {
    auto k = std::max<std::int64_t>(1, floor_div(time - frame_.first.start, period_) + 1);
    for (int steps = 0; k <= last_ && steps < kEmptyPeriods; ++steps) {
      auto start = start_of(k);
      if (is_wanted(start)) return window(k);
      auto next_day = frame_.midnight(frame_.day(start) + 1);
      k = std::max(k + 1, ceil_div(next_day - frame_.first.start, period_));
    }
    return std::nullopt;
  }
  [[nodiscard]] std::optional<Occurrence> covering(UnixMillis time) const override {
    auto found = first_after(time - duration_);
    return found && found->start <= time ? found : std::nullopt;
  }

 private:
  [[nodiscard]] UnixMillis start_of(std::int64_t k) const { return frame_.first.start + k * period_; }
  [[nodiscard]] Occurrence window(std::int64_t k) const { return {start_of(k), start_of(k) + duration_}; }
  [[nodiscard]] bool is_wanted(UnixMillis start) const {
    return mask_ == 0 || (mask_ >> weekday_of(frame_.day(start)) & 1) != 0;
  }
  // The `left`-th wanted k, counted a day at a time.
  [[nodiscard]] std::int64_t find_last(std::int64_t left) const {
    std::int64_t k = 1;
    for (auto day = frame_.first_day(); left > 0 && day < kHorizon; ++day) {
      auto after = std::max(k, ceil_div(frame_.midnight(day + 1) - frame_.first.start, period_));
      if ((mask_ >> weekday_of(day) & 1) != 0) {
        if (left <= after - k) return k + left - 1;
        left -= after - k;
      }
      k = after;
    }
    return k - 1;
  }

  const Frame& frame_;
  unsigned mask_;
  std::int64_t period_ = 0, duration_ = 0;
  std::int64_t last_ = 0;  // of k, inclusive
};

// daily to yearly: windows begin on days of the wall clock, which are sought a period (day, week, month, year) at a
// time.
class Recurrence::Days final : public Rule {
 public:
  Days(const Frame& frame, Spec spec) : frame_(frame), spec_(std::move(spec)), mask_(spec_.mask()) {
    first_ = frame.first_day();
    date_ = date_of(first_);
    base_ = period_of(first_);
    if (spec_.until) {
      last_ = std::min(last_, frame.day(*spec_.until) + 1);
      while (last_ > first_ && frame.window(last_).start > *spec_.until)
        --last_;
    }
    if (spec_.count) last_ = std::min(last_, find_last(*spec_.count - 1));
  }
  [[nodiscard]] std::optional<Occurrence> last_at(UnixMillis time) const override {
    // In the doubled hours of a night of change the day of the clock may be the one before.
    for (auto day = previous(frame_.day(time) + 1); day; day = previous(*day - 1)) {
      if (auto window = frame_.window(*day); window.start <= time) return window;
    }
    return std::nullopt;
  }
  [[nodiscard]] std::optional<Occurrence> first_after(UnixMillis time) const override {
    for (auto day = next(frame_.day(time) - 2); day; day = next(*day)) {
      if (auto window = frame_.window(*day); window.start > time) return window;
    }
    return std::nullopt;
  }
  [[nodiscard]] std::optional<Occurrence> covering(UnixMillis time) const override {
    // A window may be longer than its clock says by what a change adds: a day covers every change there was.
    for (auto day = next(frame_.day(time - frame_.local_duration) - 2); day; day = next(*day)) {
      auto window = frame_.window(*day);
      if (window.start > time) break;
      if (window.end > time) return window;
    }
    return std::nullopt;
  }

 private:
  using List = std::vector<std::int64_t>;

  [[nodiscard]] std::int64_t period_of(std::int64_t day) const {
    switch (spec_.frequency) {
      case Frequency::weekly:
        return floor_div(day + 3, 7);
      case Frequency::monthly: {
        auto date = date_of(day);
        return date.year * 12 + date.month - 1;
      }
      case Frequency::yearly:
        return date_of(day).year;
      default:
        return day;
    }
  }
  [[nodiscard]] std::int64_t aligned(std::int64_t day) const {
    auto period = period_of(day);
    return period - floor_mod(period - base_, spec_.interval);
  }
  [[nodiscard]] std::int64_t begin_of(std::int64_t period) const {
    switch (spec_.frequency) {
      case Frequency::weekly:
        return period * 7 - 3;
      case Frequency::monthly:
        return day_of(floor_div(period, 12), static_cast<unsigned>(floor_mod(period, 12)) + 1, 1);
      case Frequency::yearly:
        return day_of(period, 1, 1);
      default:
        return period;
    }
  }
  // The days of a period on which windows begin, in order; those up to the first window's are left out by the callers.
  void fill(std::int64_t period, List& out) const {
    out.clear();
    auto begin = begin_of(period);
    if (spec_.frequency == Frequency::daily) {
      if (mask_ == 0 || (mask_ >> weekday_of(begin) & 1) != 0) out.push_back(begin);
    } else if (spec_.frequency == Frequency::weekly) {
      auto mask = mask_ == 0 ? 1u << weekday_of(first_) : mask_;
      for (auto day = begin; day < begin + 7; ++day) {
        if ((mask >> weekday_of(day) & 1) != 0) out.push_back(day);
      }
    } else if (mask_ == 0) {
      auto year = spec_.frequency == Frequency::yearly ? period : floor_div(period, 12);
      auto month =
          spec_.frequency == Frequency::yearly ? date_.month : static_cast<unsigned>(floor_mod(period, 12)) + 1;
      if (date_.day <= days_in(year, month)) out.push_back(day_of(year, month, date_.day));
    } else {
      auto end = begin_of(period + 1);
      for (const auto& one : spec_.days)
        fill_weekday(one, begin, end, out);
      std::sort(out.begin(), out.end());
      out.erase(std::unique(out.begin(), out.end()), out.end());
    }
  }
  static void fill_weekday(const Weekday& one, std::int64_t begin, std::int64_t end, List& out) {
    auto earliest = begin + floor_mod(static_cast<int>(one.weekday) - static_cast<int>(weekday_of(begin)), 7);
    if (one.ordinal == 0) {
      for (auto day = earliest; day < end; day += 7)
        out.push_back(day);
      return;
    }
    auto latest = earliest + (end - 1 - earliest) / 7 * 7;
    auto day = one.ordinal > 0 ? earliest + 7 * (one.ordinal - 1) : latest + 7 * (one.ordinal + 1);
    if (day >= begin && day < end) out.push_back(day);
  }
  [[nodiscard]] std::optional<std::int64_t> previous(std::int64_t day) const {
    day = std::min(day, last_);
    if (day <= first_) return std::nullopt;
    List days;
    auto period = aligned(day);
    for (int steps = 0; period >= base_ && steps < kEmptyPeriods; ++steps, period -= spec_.interval) {
      fill(period, days);
      auto found = std::upper_bound(days.begin(), days.end(), day);
      if (found == days.begin()) continue;
      if (*--found > first_) return *found;
      return std::nullopt;
    }
    return std::nullopt;
  }
  // After that day.
  [[nodiscard]] std::optional<std::int64_t> next(std::int64_t day) const {
    day = std::max(day, first_);
    if (day >= last_) return std::nullopt;
    List days;
    auto last = period_of(last_);
    auto period = aligned(day);
    for (int steps = 0; period <= last && steps < kEmptyPeriods; ++steps, period += spec_.interval) {
      fill(period, days);
      auto found = std::upper_bound(days.begin(), days.end(), day);
      if (found == days.end()) continue;
      if (*found <= last_) return *found;
      return std::nullopt;
    }
    return std::nullopt;
  }
  // The day of the `left`-th window after the first.
  [[nodiscard]] std::int64_t find_last(std::int64_t left) const {
    if (left == 0) return first_;
    if (mask_ == 0 && spec_.frequency <= Frequency::weekly) {
      auto step = spec_.interval * (spec_.frequency == Frequency::weekly ? 7 : 1);
      return left > (kLastDay - first_) / step ? kLastDay : first_ + left * step;
    }
    List days;
    auto horizon = period_of(kHorizon);
    for (auto period = base_; period <= horizon; period += spec_.interval) {
      fill(period, days);
      for (auto day : days) {
        if (day > first_ && --left == 0) return day;
      }
    }
    return kHorizon;
  }

  const Frame& frame_;
  const Spec spec_;
  const unsigned mask_;
  std::int64_t first_ = 0;
  Date date_;  // of first_
  std::int64_t base_ = 0;
  std::int64_t last_ = kLastDay;  // on which a window may begin
};

Recurrence::Recurrence() : frame_(std::make_unique<Frame>()) {}
Recurrence::~Recurrence() = default;
Recurrence::Recurrence(Recurrence&&) noexcept = default;
Recurrence& Recurrence::operator=(Recurrence&&) noexcept = default;

Result<Recurrence> Recurrence::read(const json::object& alarm) {
  Recurrence out;
  auto& frame = *out.frame_;
  auto start_text = json::text_or(alarm, "startTime");
  auto start = parse_time(start_text);
  if (!start) return fault("startTime", "is no time");
  auto end = parse_time(json::text_or(alarm, "endTime"));
  if (!end || *end <= *start) return fault("endTime", "is no time after startTime");
  frame.first = {*start, *end};
  if (auto name = json::text_or(alarm, "timezone"); !name.empty()) {
    frame.zone = zone_of(name);
    if (!frame.zone) return fault("timezone", "is not known");
  } else {
    frame.offset = offset_of(start_text);
  }
  frame.local_start = frame.to_local(*start);
  frame.local_duration = frame.to_local(*end) - frame.local_start;
  if (frame.local_duration <= 0) frame.local_duration = *end - *start;  // in the doubled hour
  const auto* rules = json::find(alarm, "recurrence");
  if (!rules || !rules->is_array()) return out;
  for (const auto& one : rules->get_array()) {
    if (!one.is_object()) return fault("recurrence", "holds what is no object");
    auto rule = read_rule(one.get_object());
    if (!rule) return rule.error();
    if (rule->frequency <= Frequency::hourly)
      out.rules_.push_back(std::make_unique<Elapsed>(frame, *rule));
    else
      out.rules_.push_back(std::make_unique<Days>(frame, std::move(*rule)));
  }
  return out;
}

std::optional<Occurrence> Recurrence::covering(UnixMillis time) const {
  std::optional<Occurrence> best;
  const auto& first = frame_->first;
  if (first.start <= time && time < first.end) best = first;
  for (const auto& rule : rules_) {
    auto found = rule->covering(time);
    if (found && (!best || found->start < best->start)) best = found;
  }
  return best;
}

UnixMillis Recurrence::covered_until(UnixMillis time, UnixMillis limit) const {
  for (bool further = true; further && time < limit;) {
    further = false;
    auto extend = [&](const Occurrence& window) {
      if (window.start > time || window.end <= time) return;
      time = window.end;
      further = true;
    };
    extend(frame_->first);
    for (const auto& rule : rules_) {
      if (auto window = rule->last_at(time)) extend(*window);
    }
  }
  return std::min(time, limit);
}

std::optional<Occurrence> Recurrence::after(UnixMillis time) const {
  std::optional<Occurrence> best;
  if (frame_->first.start > time) best = frame_->first;
  for (const auto& rule : rules_) {
    auto found = rule->first_after(time);
    if (found && (!best || found->start < best->start)) best = found;
  }
  return best;
}

}  // namespace sluice::connection
