// SPDX-License-Identifier: Apache-2.0
#include "store/device_contexts.h"

#include <mutex>
#include <utility>

#include "store/database.h"

namespace sluice::store {
namespace {

class SqliteContexts final : public DeviceContexts {
 public:
  explicit SqliteContexts(std::unique_ptr<Database> database) : database_(std::move(database)) {}

  Result<std::vector<DeviceContext>> read(const std::vector<ContextKey>& keys) override {
    const std::lock_guard lock(mutex_);
    std::vector<DeviceContext> found;
    for (const auto& key : keys) {
      auto statement = database_->prepare("SELECT text, written FROM contexts WHERE account = ? AND dev_eui = ?");
      statement.bind(key.account).bind(key.dev_eui);
      const auto row = statement.step();
      if (!row) return row.error();
      if (*row) found.push_back({key, statement.text(0), statement.integer(1)});
    }
    return found;
  }

  Result<void> write(const std::vector<DeviceContext>& contexts) override {
    if (contexts.empty()) return {};
    const std::lock_guard lock(mutex_);
    return database_->transact([&]() -> Result<void> {
      for (const auto& context : contexts) {
        auto statement = database_->prepare(
            "INSERT INTO contexts (account, dev_eui, text, written) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (account, dev_eui) DO UPDATE SET text = excluded.text, written = excluded.written");
        auto done = statement.bind(context.key.account)
                        .bind(context.key.dev_eui)
                        .bind(context.text)
                        .bind(context.written)
                        .run();
        if (!done) return done;
      }
      return {};
    });
  }

  Result<std::size_t> drop_older(UnixMillis than) override {
    const std::lock_guard lock(mutex_);
    auto done = database_->prepare("DELETE FROM contexts WHERE written < ?").bind(than).run();
    if (!done) return done.error();
    return static_cast<std::size_t>(database_->changes());
  }

 private:
  std::mutex mutex_;
  std::unique_ptr<Database> database_;
};

}  // namespace

Result<std::unique_ptr<DeviceContexts>> open_device_contexts(const std::string& directory) {
  auto database = Database::open(directory + "/contexts.db");
  if (!database) return database.error();
  // NORMAL: a commit is in the operating system's hands, which a killed process leaves alone; only checkpoints sync.
  auto made = (*database)->execute(
      "PRAGMA synchronous = NORMAL; PRAGMA secure_delete = OFF;"
      "CREATE TABLE IF NOT EXISTS contexts (account TEXT NOT NULL, dev_eui TEXT NOT NULL, text TEXT NOT NULL,"
      " written INTEGER NOT NULL, PRIMARY KEY (account, dev_eui)) STRICT, WITHOUT ROWID;"
      "CREATE INDEX IF NOT EXISTS contexts_by_age ON contexts (written);");
  if (!made) return made.error().wrap("opening " + directory + "/contexts.db");
  return std::unique_ptr<DeviceContexts>(std::make_unique<SqliteContexts>(std::move(*database)));
}

}  // namespace sluice::store
