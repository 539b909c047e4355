// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "base/codec.h"
#include "base/json.h"
#include "store/sqlite.h"

namespace sluice::store {
namespace {

constexpr UnixMillis kKeep = 30LL * 24 * 3600 * 1000;
constexpr int kKeepPerAccount = 100'000;

// 0 debug .. 3 error, for "this level and graver".
int gravity(std::string_view level) {
  constexpr std::string_view kLevels[] = {"debug", "info", "warn", "error"};
  auto found = std::find(std::begin(kLevels), std::end(kLevels), level);
  return found == std::end(kLevels) ? 0 : static_cast<int>(found - std::begin(kLevels));
}

#define SLUICE_EVENT_FILTER                                                                          \
  " FROM events WHERE account = ?1 AND time >= ?2 AND time < ?3 AND (?4 = '' OR connection_id = ?4)" \
  " AND (?5 = '' OR instr(lower(message || char(10) || code || char(10) || data), ?5) > 0)"          \
  " AND (?6 = '' OR code = ?6) AND (?7 = '' OR dev_eui = ?7) AND (?8 = '' OR flow_id = ?8)"          \
  " AND (CASE level WHEN 'error' THEN 3 WHEN 'warn' THEN 2 WHEN 'info' THEN 1 ELSE 0 END) >= ?9"     \
  " AND id > ?10"

// The texts that the filter's bindings point into.
struct Filter {
  explicit Filter(const EventQuery& query)
      : query(query), text(to_lower(query.text)), dev_eui(to_upper(query.dev_eui)) {}
  void bind(Statement& statement) const {
    statement.bind(query.account).bind(query.from).bind(query.to).bind(query.connection_id).bind(text).bind(query.code);
    statement.bind(dev_eui).bind(query.flow_id).bind(gravity(query.level)).bind(query.after);
  }
  const EventQuery& query;
  std::string text, dev_eui;
};

Result<Event> read_event(const Statement& row) {
  auto data = read_object(row.text(6));
  if (!data) return data.error();
  return Event{.id = row.integer(0),
               .account = row.text(1),
               .time = row.integer(2),
               .level = row.text(3),
               .code = row.text(4),
               .message = row.text(5),
               .data = std::move(*data)};
}

}  // namespace

Result<std::vector<std::int64_t>> SqliteStore::put_events(const std::vector<Event>& events) {
  std::lock_guard lock(mutex_);
  return database_->transact([&]() -> Result<std::vector<std::int64_t>> {
    std::vector<std::int64_t> ids;
    for (const auto& event : events) {
      auto data = object_text(event.data);
      // A folded event shows the device of the newest one, and is found by it.
      auto dev_eui = to_upper(json::text_or(event.data, "DevEUI"));
      if (event.id != 0) {
        auto replaced =
            database_->prepare("UPDATE events SET level = ?, message = ?, data = ?, dev_eui = ? WHERE id = ?")
                .bind(event.level)
                .bind(event.message)
                .bind(data)
                .bind(dev_eui)
                .bind(event.id)
                .run();
        if (!replaced) return replaced.error();
        ids.push_back(event.id);
        continue;
      }
      auto connection = json::text_or(event.data, "connectionId");
      auto flow = json::text_or(event.data, "flowId");
      auto inserted = database_
                          ->prepare(
                              "INSERT INTO events (account, time, level, code, message, data, connection_id, flow_id, "
                              "dev_eui) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")
                          .bind(event.account)
                          .bind(event.time)
                          .bind(event.level)
                          .bind(event.code)
                          .bind(event.message)
                          .bind(data)
                          .bind(connection)
                          .bind(flow)
                          .bind(dev_eui)
                          .run();
      if (!inserted) return inserted.error();
      ids.push_back(database_->last_id());
    }
    if (auto dropped = drop_old_events(events); !dropped) return dropped.error();
    return ids;
  });
}

Result<void> SqliteStore::drop_old_events(const std::vector<Event>& added) {
  auto dropped = database_->prepare("DELETE FROM events WHERE time < ?").bind(clock_.now() - kKeep).run();
  if (!dropped) return dropped;
  std::set<std::string_view> accounts;
  for (const auto& event : added)
    accounts.insert(event.account);
  for (auto account : accounts) {
    auto bounded = database_
                       ->prepare(
                           "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE account = ? "
                           "ORDER BY time DESC, id DESC LIMIT -1 OFFSET ?)")
                       .bind(account)
                       .bind(kKeepPerAccount)
                       .run();
    if (!bounded) return bounded;
  }
  return {};
}

Result<std::vector<Event>> SqliteStore::events(const EventQuery& query) {
  std::lock_guard lock(mutex_);
  Filter filter(query);
  auto statement = database_->prepare("SELECT id, account, time, level, code, message, data" SLUICE_EVENT_FILTER
                                      " ORDER BY time DESC, id DESC LIMIT ?11 OFFSET ?12");
  filter.bind(statement);
  statement.bind(query.limit).bind(query.offset);
  return read_all<Event>(statement, read_event);
}

// The same as SLUICE_EVENT_FILTER says.
bool matches(const EventQuery& query, const Event& event) {
  auto is = [](const std::string& wanted, const std::string& given) { return wanted.empty() || wanted == given; };
  if (event.account != query.account || gravity(event.level) < gravity(query.level)) return false;
  if (!is(query.connection_id, json::text_or(event.data, "connectionId"))) return false;
  if (!is(query.flow_id, json::text_or(event.data, "flowId")) || !is(query.code, event.code)) return false;
  if (!is(to_upper(query.dev_eui), to_upper(json::text_or(event.data, "DevEUI")))) return false;
  if (query.text.empty()) return true;
  auto text = to_lower(event.message + "\n" + event.code + "\n" + object_text(event.data));
  return text.find(to_lower(query.text)) != std::string::npos;
}

Result<std::size_t> SqliteStore::count_events(const EventQuery& query) {
  std::lock_guard lock(mutex_);
  Filter filter(query);
  auto statement = database_->prepare("SELECT count(*)" SLUICE_EVENT_FILTER);
  filter.bind(statement);
  auto row = statement.step();
  if (!row) return row.error();
  return static_cast<std::size_t>(statement.integer(0));
}

}  // namespace sluice::store
