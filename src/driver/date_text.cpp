// SPDX-License-Identifier: Apache-2.0
#include "driver/date_text.h"

#include <array>
#include <chrono>
#include <string>
#include <vector>

#include "base/codec.h"

namespace sluice::driver {
namespace {

constexpr std::int64_t kMinute = 60'000, kHour = 60 * kMinute, kDay = 24 * kHour;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

struct Fields {
  int year = 0, month = 1, day = 1;
  int hour = 0, minute = 0, second = 0, millisecond = 0;
  int offset = 0;  // minutes east
};

std::optional<UnixMillis> time_of(const Fields& f) {
  using namespace std::chrono;
  const bool midnight = f.hour == 24 && f.minute == 0 && f.second == 0 && f.millisecond == 0;
  if (f.year < 1 || f.year > 9999 || f.month < 1 || f.month > 12 || f.day < 1 || f.day > 31) return {};
  if ((f.hour > 23 && !midnight) || f.minute > 59 || f.second > 59) return {};
  // A day beyond the month's last goes on into the next month, as JavaScript counts.
  const sys_days first = year{f.year} / f.month / 1;
  return first.time_since_epoch().count() * kDay + (f.day - 1) * kDay + f.hour * kHour + f.minute * kMinute +
         f.second * 1000 + f.millisecond - f.offset * kMinute;
}

// Takes from the front of a text.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : rest_(text) {}
  [[nodiscard]] bool done() const { return rest_.empty(); }
  [[nodiscard]] char front() const { return rest_.empty() ? '\0' : rest_.front(); }
  bool take(char c) {
    if (front() != c || rest_.empty()) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void skip() { rest_.remove_prefix(1); }
  // Exactly `count` digits.
  bool digits(std::size_t count, int& into) {
    if (rest_.size() < count) return false;
    int value = 0;
    for (std::size_t i = 0; i < count; ++i) {
      if (!is_digit(rest_[i])) return false;
      value = value * 10 + (rest_[i] - '0');
    }
    rest_.remove_prefix(count);
    into = value;
    return true;
  }
  // As many digits as there are, at most nine; their number, 0 where there is none.
  std::size_t number(int& into) {
    std::size_t count = 0;
    int value = 0;
    while (count < rest_.size() && is_digit(rest_[count]) && count < 9)
      value = value * 10 + (rest_[count++] - '0');
    rest_.remove_prefix(count);
    if (count > 0) into = value;
    return count;
  }
  // Digits behind the point of seconds, cut to milliseconds.
  bool fraction(int& milliseconds) {
    std::size_t count = 0;
    int value = 0;
    while (is_digit(front())) {
      if (count++ < 3) value = value * 10 + (front() - '0');
      skip();
    }
    for (std::size_t i = count; i < 3; ++i)
      value *= 10;
    milliseconds = value;
    return count > 0;
  }
  std::string word() {
    std::size_t count = 0;
    while (count < rest_.size() && is_letter(rest_[count]))
      ++count;
    std::string out = to_lower(rest_.substr(0, count));
    rest_.remove_prefix(count);
    return out;
  }

 private:
  std::string_view rest_;
};

bool offset_of(Cursor& in, Fields& f) {
  if (in.take('Z') || in.take('z')) return true;
  const int sign = in.front() == '-' ? -1 : 1;
  if (!in.take('+') && !in.take('-')) return in.done();  // none: local time, which is UTC
  int hours = 0, minutes = 0;
  if (!in.digits(2, hours)) return false;
  in.take(':');
  if (!in.digits(2, minutes)) return false;
  f.offset = sign * (hours * 60 + minutes);
  return true;
}

// YYYY[-MM[-DD]][THH:mm[:ss[.s...]]][Z or offset]
std::optional<UnixMillis> read_iso(std::string_view text) {
  Cursor in(text);
  Fields f;
  if (!in.digits(4, f.year)) return {};
  if (in.take('-')) {
    if (!in.digits(2, f.month)) return {};
    if (in.take('-') && !in.digits(2, f.day)) return {};
  }
  if (in.take('T') || in.take('t') || in.take(' ')) {
    if (!in.digits(2, f.hour) || !in.take(':') || !in.digits(2, f.minute)) return {};
    if (in.take(':') && !in.digits(2, f.second)) return {};
    if ((in.take('.') || in.take(',')) && !in.fraction(f.millisecond)) return {};
    if (!offset_of(in, f)) return {};
  }
  return in.done() ? time_of(f) : std::nullopt;
}

constexpr std::array<std::string_view, 12> kMonths = {"jan", "feb", "mar", "apr", "may", "jun",
                                                      "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::array<std::string_view, 7> kDays = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

struct Zone {
  std::string_view name;
  int hours;
};
constexpr std::array<Zone, 12> kZones = {{{"gmt", 0},
                                          {"utc", 0},
                                          {"ut", 0},
                                          {"z", 0},
                                          {"est", -5},
                                          {"edt", -4},
                                          {"cst", -6},
                                          {"cdt", -5},
                                          {"mst", -7},
                                          {"mdt", -6},
                                          {"pst", -8},
                                          {"pdt", -7}}};

// Everything that is no ISO text, as browsers have always read it: words, a date of numbers, a time with colons, a
// zone.
class Loose {
 public:
  explicit Loose(std::string_view text) : in_(text) {}

  std::optional<UnixMillis> read() {
    while (!in_.done()) {
      if (!next()) return {};
    }
    if (!finish_date()) return {};
    if (half_day_ == 'p' && fields_.hour < 12) fields_.hour += 12;
    if (half_day_ == 'a' && fields_.hour == 12) fields_.hour = 0;
    return time_of(fields_);
  }

 private:
  bool next() {
    const char c = in_.front();
    if (c == '(') return comment();
    if (is_letter(c)) return word();
    if (is_digit(c)) return number();
    if ((c == '+' || c == '-') && has_time_ && offset_of(in_, fields_)) return true;
    if (c == ' ' || c == ',' || c == '.' || c == '-' || c == '/' || c == '\t' || c == '\n') {
      in_.skip();
      return true;
    }
    // A narrow no-break space stands before AM in some locales' texts.
    if (in_.take('\xe2')) return in_.take('\x80') && in_.take('\xaf');
    return false;
  }

  bool comment() {
    while (!in_.done() && in_.front() != ')')
      in_.skip();
    return in_.take(')');
  }

  bool word() {
    const std::string word = in_.word();
    if (word == "am" || word == "pm") {
      half_day_ = word[0];
      return has_time_ && fields_.hour >= 1 && fields_.hour <= 12;
    }
    if (word == "t") return true;
    for (const auto& zone : kZones) {
      if (word != zone.name) continue;
      fields_.offset = zone.hours * 60;
      return true;
    }
    const std::string_view start = std::string_view(word).substr(0, 3);
    for (std::size_t i = 0; i < kMonths.size(); ++i) {
      if (start != kMonths[i]) continue;
      if (month_ != 0) return false;
      month_ = static_cast<int>(i) + 1;
      return true;
    }
    // Only before the date: "Thu, 21 Nov".
    for (const auto day : kDays) {
      if (start == day) return numbers_.empty();
    }
    return false;
  }

  bool number() {
    int value = 0;
    const auto count = in_.number(value);
    if (is_digit(in_.front())) return false;
    if (in_.front() == ':' && !has_time_) {
      fields_.hour = value;
      return time();
    }
    numbers_.push_back({value, count});
    return numbers_.size() <= 3;
  }

  bool time() {
    has_time_ = true;
    if (!in_.take(':') || in_.number(fields_.minute) == 0) return false;
    if (in_.take(':') && in_.number(fields_.second) == 0) return false;
    if (in_.front() == '.') {
      in_.skip();
      return in_.fraction(fields_.millisecond);
    }
    return true;
  }

  bool finish_date() {
    if (month_ != 0) {
      if (numbers_.size() != 2) return false;
      const bool year_first = numbers_[0].digits >= 3 || numbers_[0].value > 31;
      return set(numbers_[year_first ? 0 : 1], month_, numbers_[year_first ? 1 : 0].value);
    }
    if (numbers_.size() != 3) return false;
    if (numbers_[0].digits >= 3 || numbers_[0].value > 31)
      return set(numbers_[0], numbers_[1].value, numbers_[2].value);
    return set(numbers_[2], numbers_[0].value, numbers_[1].value);
  }

  struct Number {
    int value;
    std::size_t digits;
  };

  bool set(Number year, int month, int day) {
    fields_.year = year.digits >= 3 ? year.value : year.value < 50 ? 2000 + year.value : 1900 + year.value;
    fields_.month = month;
    fields_.day = day;
    return true;
  }

  Cursor in_;
  Fields fields_;
  std::vector<Number> numbers_;
  int month_ = 0;
  char half_day_ = '\0';
  bool has_time_ = false;
};

}  // namespace

std::optional<UnixMillis> read_date(std::string_view text) {
  text = trim(text);
  if (const auto iso = read_iso(text)) return iso;
  return Loose(text).read();
}

std::optional<UnixMillis> read_date_day_first(std::string_view text) {
  Cursor in(trim(text));
  Fields f;
  const auto two = [](std::size_t count) { return count == 1 || count == 2; };
  const bool date = two(in.number(f.day)) && in.take('/') && two(in.number(f.month)) && in.take('/') &&
                    in.digits(4, f.year) && in.take(' ') && two(in.number(f.hour)) && in.take(':') &&
                    in.digits(2, f.minute) && (!in.take(':') || in.digits(2, f.second)) && in.done();
  if (date) {
    if (const auto time = time_of(f)) return time;
  }
  return read_date(text);
}

bool is_iso_text(std::string_view text) {
  static constexpr std::string_view kForm = "0000-00-00T00:00:00.000Z";
  if (text.size() != kForm.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (kForm[i] == '0' ? !is_digit(text[i]) : text[i] != kForm[i]) return false;
  }
  return true;
}

}  // namespace sluice::driver
