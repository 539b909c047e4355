// SPDX-License-Identifier: Apache-2.0
#include "store/downlink_queue.h"

#include <mutex>
#include <utility>

#include "base/log.h"
#include "store/database.h"

namespace sluice::store {
namespace {

std::string context_of(std::uint64_t id) {
  return "downlink/" + std::to_string(id);
}

class SqliteDownlinks final : public DownlinkQueue {
 public:
  SqliteDownlinks(std::unique_ptr<Database> database, SecretBox box)
      : database_(std::move(database)), box_(std::move(box)) {}

  Result<std::vector<QueuedDownlinkRow>> read() override {
    const std::lock_guard lock(mutex_);
    std::vector<QueuedDownlinkRow> rows;
    std::vector<std::uint64_t> damaged;
    {
      auto statement = database_->prepare(
          "SELECT id, account, connection, binder, queued, expires, sealed FROM downlinks ORDER BY id");
      for (;;) {
        auto more = statement.step();
        if (!more) return more.error();
        if (!*more) break;
        QueuedDownlinkRow row;
        row.id = static_cast<std::uint64_t>(statement.integer(0));
        row.account = statement.text(1);
        row.connection_id = statement.text(2);
        row.binder_id = statement.text(3);
        row.queued = statement.integer(4);
        row.expires = statement.integer(5);
        auto opened = box_.open(statement.text(6), context_of(row.id));
        if (!opened) {
          log::error("downlink {} of connection {} cannot be read and is lost: {}", row.id, row.connection_id,
                     opened.error().text);
          damaged.push_back(row.id);
          continue;
        }
        row.text = std::move(*opened);
        rows.push_back(std::move(row));
      }
    }
    if (auto dropped = commit({}, damaged); !dropped) return dropped.error();
    return rows;
  }

  Result<void> write(const std::vector<QueuedDownlinkRow>& added, const std::vector<std::uint64_t>& removed) override {
    const std::lock_guard lock(mutex_);
    return commit(added, removed);
  }

 private:
  Result<void> commit(const std::vector<QueuedDownlinkRow>& added, const std::vector<std::uint64_t>& removed) {
    if (added.empty() && removed.empty()) return {};
    return database_->transact([&]() -> Result<void> {
      for (const auto& row : added) {
        auto sealed = box_.seal(row.text, context_of(row.id));
        auto statement = database_->prepare(
            "INSERT INTO downlinks (id, account, connection, binder, queued, expires, sealed)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)");
        auto done = statement.bind(row.id)
                        .bind(row.account)
                        .bind(row.connection_id)
                        .bind(row.binder_id)
                        .bind(row.queued)
                        .bind(row.expires)
                        .bind(sealed)
                        .run();
        if (!done) return done;
      }
      for (auto id : removed) {
        auto done = database_->prepare("DELETE FROM downlinks WHERE id = ?").bind(id).run();
        if (!done) return done;
      }
      return {};
    });
  }

  std::mutex mutex_;
  std::unique_ptr<Database> database_;
  SecretBox box_;
};

}  // namespace

Result<std::unique_ptr<DownlinkQueue>> open_downlink_queue(const std::string& directory, SecretBox box) {
  auto database = Database::open(directory + "/downlinks.db");
  if (!database) return database.error();
  auto made = (*database)->execute(
      "CREATE TABLE IF NOT EXISTS downlinks (id INTEGER PRIMARY KEY, account TEXT NOT NULL, connection TEXT NOT NULL,"
      " binder TEXT NOT NULL, queued INTEGER NOT NULL, expires INTEGER NOT NULL, sealed TEXT NOT NULL) STRICT;");
  if (!made) return made.error().wrap("opening " + directory + "/downlinks.db");
  return std::unique_ptr<DownlinkQueue>(std::make_unique<SqliteDownlinks>(std::move(*database), std::move(box)));
}

}  // namespace sluice::store
