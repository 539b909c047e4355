// SPDX-License-Identifier: Apache-2.0
#include "store/sqlite.h"

#include <cerrno>
#include <charconv>
#include <cstring>
#include <sys/stat.h>

#include "base/json.h"
#include "store/migrations.h"

namespace sluice::store {
namespace {

std::string setting_context(const std::string& name) {
  return "setting:" + name;
}

}  // namespace

std::string object_text(const boost::json::object& object) {
  return json::write(object);
}

Result<boost::json::object> read_object(const std::string& text) {
  auto parsed = json::parse(text);
  if (!parsed || !parsed->is_object()) {
    return Error{ErrorKind::bad_config, "the configuration store is damaged: a row holds no JSON object", "com-5000"};
  }
  return std::move(parsed->get_object());
}

std::optional<std::int64_t> row_id(const std::string& id) {
  std::int64_t number = 0;
  auto end = std::from_chars(id.data(), id.data() + id.size(), number);
  if (end.ec != std::errc() || end.ptr != id.data() + id.size() || std::to_string(number) != id || number <= 0)
    return {};
  return number;
}

Error not_found(const char* what, const std::string& id) {
  return {ErrorKind::permanent, std::string("there is no ") + what + " " + id, "com-4004"};
}

Result<std::optional<std::string>> SqliteStore::setting(const std::string& name) {
  std::lock_guard lock(mutex_);
  auto statement = database_->prepare("SELECT value FROM settings WHERE name = ?");
  statement.bind(name);
  return read_one<std::string>(statement,
                               [&](const Statement& row) { return box_.open(row.text(0), setting_context(name)); });
}

Result<void> SqliteStore::put_setting(const std::string& name, const std::string& value) {
  std::lock_guard lock(mutex_);
  auto sealed = box_.seal(value, setting_context(name));
  return database_
      ->prepare(
          "INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value")
      .bind(name)
      .bind(sealed)
      .run();
}

Result<std::unique_ptr<Store>> open_sqlite(const std::string& directory, SecretBox box, Clock& clock) {
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return Error{ErrorKind::bad_config, "cannot make the directory " + directory + ": " + std::strerror(errno)};
  }
  auto database = Database::open(directory + "/sluice.db");
  if (!database) return database.error();
  if (auto migrated = migrate(**database); !migrated) return migrated.error();
  auto store = std::make_unique<SqliteStore>(std::move(*database), std::move(box), clock);
  auto check = store->setting(kKeyCheck);
  if (!check) return check.error();
  if (!*check) {
    if (auto put = store->put_setting(kKeyCheck, "ok"); !put) return put.error();
  }
  if (auto sealed = store->seal_downlink_urls(); !sealed) return sealed.error();
  return std::unique_ptr<Store>(std::move(store));
}

}  // namespace sluice::store
