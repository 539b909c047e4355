// SPDX-License-Identifier: Apache-2.0
#include "driver/failures.h"

#include <algorithm>

namespace sluice::driver {
namespace {

constexpr UnixMillis kCalm = 3600LL * 1000;
constexpr UnixMillis kDay = 24 * kCalm;
constexpr std::size_t kMaxDrivers = 10'000;
constexpr std::size_t kMaxDevices = 100;
constexpr std::size_t kMaxCause = 512;

}  // namespace

Notice Failures::failed(const EndedCall& call, std::uint32_t p99_us) {
  auto now = clock_.now();
  bool limit = call.outcome.code == "com-5004";
  const char* code = limit ? "driver-2002" : "driver-2001";
  auto cause = cut_text(call.outcome.message, kMaxCause);
  std::lock_guard lock(mutex_);
  make_room(now);
  auto& troubles = drivers_[{call.code.account, call.code.id}];
  auto found = std::ranges::find(troubles, code, &Trouble::code);
  if (found == troubles.end()) {
    troubles.push_back({.code = code, .began = now});
    found = std::prev(troubles.end());
  }
  auto& trouble = *found;
  // A clock set back starts a new event as well.
  if (trouble.count == 0 || now - trouble.event_began >= kDay || now < trouble.event_began) {
    trouble.key = std::string(code) + '\0' + call.code.account + '\0' + call.code.id + '\0' + std::to_string(++next_);
    trouble.event_began = now;
    trouble.count = 0;
    trouble.first_cause = cause;
    trouble.devices.clear();
    trouble.more_devices = false;
  }
  ++trouble.count;
  trouble.last = now;
  trouble.revision = call.code.revision;
  if (!call.dev_eui.empty() && !trouble.devices.contains(call.dev_eui)) {
    if (trouble.devices.size() < kMaxDevices)
      trouble.devices.emplace(call.dev_eui);
    else
      trouble.more_devices = true;
  }
  Notice notice{.key = trouble.key,
                .account = call.code.account,
                .level = "error",
                .code = code,
                .message = (limit ? "Driver over its time or memory: " : "Driver failed on a message: ") + cause};
  notice.data = {{"driverId", call.code.id},
                 {"DevEUI", call.dev_eui},
                 {"cause", cause},
                 {"firstCause", trouble.first_cause},
                 {"count", trouble.count},
                 {"devices", trouble.devices.size()},
                 {"since", format_time(trouble.began)},
                 {"lastTime", format_time(now)}};
  if (trouble.more_devices) notice.data["moreDevices"] = true;
  if (limit && p99_us > 0) notice.data["p99Ms"] = static_cast<double>(p99_us) / 1000;
  return notice;
}

std::vector<Notice> Failures::worked(const EndedCall& call) {
  std::vector<Notice> notices;
  auto now = clock_.now();
  std::lock_guard lock(mutex_);
  if (drivers_.empty()) return notices;
  auto driver = drivers_.find(std::pair(call.code.account, call.code.id));
  if (driver == drivers_.end()) return notices;
  std::erase_if(driver->second, [&](const Trouble& trouble) {
    bool new_code = call.code.revision != trouble.revision;
    if (!new_code && now - trouble.last < kCalm) return false;
    Notice notice{.key = "driver-2004" + trouble.key,
                  .account = call.code.account,
                  .level = "info",
                  .code = "driver-2004",
                  .message = "Driver works again: " + call.code.id};
    notice.data = {{"driverId", call.code.id},
                   {"failed", trouble.code},
                   {"since", format_time(trouble.began)},
                   {"lastTime", format_time(trouble.last)}};
    notices.push_back(std::move(notice));
    return true;
  });
  if (driver->second.empty()) drivers_.erase(driver);
  return notices;
}

void Failures::forget(const std::string& account, const std::string& driver_id) {
  std::lock_guard lock(mutex_);
  drivers_.erase({account, driver_id});
}

// Drivers that nobody calls any more would stay for ever.
void Failures::make_room(UnixMillis now) {
  if (drivers_.size() < kMaxDrivers) return;
  std::erase_if(drivers_, [&](const auto& entry) {
    return std::ranges::all_of(entry.second, [&](const Trouble& t) { return now - t.last >= kCalm; });
  });
  if (drivers_.size() >= kMaxDrivers) drivers_.erase(drivers_.begin());
}

}  // namespace sluice::driver
