// SPDX-License-Identifier: Apache-2.0
// Low rate alarms in request bodies (spec api.md 5.6).
#include <algorithm>
#include <array>
#include <charconv>

#include "api/fields.h"
#include "base/clock.h"
#include "base/codec.h"
#include "connection/recurrence.h"

namespace sluice::api {
namespace {

constexpr std::size_t kMostAlarms = 100, kMostRules = 32, kLongestText = 1000;
constexpr std::array<std::string_view, 7> kFrequencies = {"secondly", "minutely", "hourly", "daily",
                                                          "weekly",   "monthly",  "yearly"};
constexpr std::array<std::string_view, 7> kWeekdays = {"sunday",   "monday", "tuesday", "wednesday",
                                                       "thursday", "friday", "saturday"};

// [("+"/"-")1*2DIGIT]weekday
bool is_day(std::string_view text, bool ordinals) {
  auto day = std::find_if(kWeekdays.begin(), kWeekdays.end(), [&](auto name) { return text.ends_with(name); });
  if (day == kWeekdays.end()) return false;
  text.remove_suffix(day->size());
  if (text.empty()) return true;
  int number = 0;
  auto end = std::from_chars(text.data() + 1, text.data() + text.size(), number);
  return ordinals && (text.front() == '+' || text.front() == '-') && end.ec == std::errc() &&
         end.ptr == text.data() + text.size() && text.size() <= 3 && number >= 1 && number <= 53;
}

class AlarmCheck {
 public:
  AlarmCheck(const boost::json::object& alarm, std::string path, std::vector<FieldFault>& faults)
      : alarm_(alarm), path_(std::move(path)), faults_(faults) {}

  void run() {
    auto start = time(alarm_, path_, "startTime", true);
    auto end = time(alarm_, path_, "endTime", true);
    if (start && end && *end <= *start) fault(path_, "endTime", "must be after startTime");
    if (const auto* zone = json::find(alarm_, "timezone")) {
      if (!zone->is_string() || !connection::is_time_zone(std::string(zone->get_string())))
        fault(path_, "timezone", "must be a name of the IANA time zones, as Europe/Paris");
    }
    number(alarm_, path_, "uplinkRateMinPerHour", 0);
    if (json::find(alarm_, "uplinkRateMinPerHour") == nullptr) fault(path_, "uplinkRateMinPerHour", "is required");
    if (const auto* message = json::find(alarm_, "message");
        message != nullptr && (!message->is_string() || message->get_string().size() > kLongestText)) {
      fault(path_, "message", "must be a text of at most 1000 characters");
    }
    if (const auto* target = json::find(alarm_, "deliverTo"); target != nullptr && !target->is_string())
      fault(path_, "deliverTo", "must be the id of a connection, as a text");
    const auto* recurrence = json::find(alarm_, "recurrence");
    if (recurrence == nullptr) return;
    if (!recurrence->is_array()) return fault(path_, "recurrence", "must be an array");
    if (recurrence->get_array().size() > kMostRules) fault(path_, "recurrence", "must hold at most 32 rules");
    for (std::size_t i = 0; i < recurrence->get_array().size() && !enough(faults_); ++i) {
      check_recurrence(recurrence->get_array()[i], path_ + "/recurrence/" + std::to_string(i), start);
    }
  }

 private:
  void fault(const std::string& path, const char* name, const char* message) {
    faults_.push_back({path + "/" + name, message});
  }

  std::optional<UnixMillis> time(const boost::json::object& from, const std::string& path, const char* name,
                                 bool required) {
    const auto* value = json::find(from, name);
    if (value == nullptr) {
      if (required) fault(path, name, "is required");
      return {};
    }
    auto read = value->is_string() ? parse_time(value->get_string()) : std::nullopt;
    if (!read) fault(path, name, "must be a time as 2019-01-31T09:00:00+01:00");
    return read;
  }

  void number(const boost::json::object& from, const std::string& path, const char* name, std::int64_t least) {
    const auto* value = json::find(from, name);
    if (value != nullptr && (!value->is_int64() || value->get_int64() < least || value->get_int64() > INT32_MAX)) {
      faults_.push_back({path + "/" + name, "must be a whole number of at least " + std::to_string(least)});
    }
  }

  void check_recurrence(const boost::json::value& value, const std::string& path, std::optional<UnixMillis> start) {
    if (!value.is_object()) {
      faults_.push_back({path, "must be an object"});
      return;
    }
    const auto& rule = value.get_object();
    auto frequency = json::text_or(rule, "frequency");
    if (std::find(kFrequencies.begin(), kFrequencies.end(), frequency) == kFrequencies.end()) {
      fault(path, "frequency", "must be secondly, minutely, hourly, daily, weekly, monthly or yearly");
    }
    number(rule, path, "interval", 1);
    number(rule, path, "count", 1);
    if (auto until = time(rule, path, "until", false); until && start && *until < *start)
      fault(path, "until", "must not be before startTime");
    if (json::find(rule, "count") != nullptr && json::find(rule, "until") != nullptr) {
      fault(path, "until", "must not stand beside count");
    }
    const auto* days = json::find(rule, "byDays");
    if (days == nullptr) return;
    bool ordinals = frequency == "monthly" || frequency == "yearly";
    bool sound =
        days->is_array() && std::all_of(days->get_array().begin(), days->get_array().end(), [&](const auto& day) {
          return day.is_string() && is_day(to_lower(day.get_string()), ordinals);
        });
    if (!sound)
      fault(path, "byDays", "must list days as monday, and +2tuesday or -1friday with monthly and yearly only");
  }

  const boost::json::object& alarm_;
  std::string path_;
  std::vector<FieldFault>& faults_;
};

}  // namespace

void check_alarms(const boost::json::array& alarms, const std::string& path, std::vector<FieldFault>& faults) {
  if (alarms.size() > kMostAlarms) faults.push_back({path, "must hold at most 100 alarms"});
  for (std::size_t i = 0; i < alarms.size() && !enough(faults); ++i) {
    auto at = path + "/" + std::to_string(i);
    if (alarms[i].is_object()) {
      AlarmCheck(alarms[i].get_object(), at, faults).run();
    } else {
      faults.push_back({at, "must be an object"});
    }
  }
}

}  // namespace sluice::api
