// SPDX-License-Identifier: Apache-2.0
#include "store/counters.h"

#include <array>
#include <charconv>
#include <mutex>
#include <set>

#include "store/database.h"

namespace sluice::store {
namespace {

constexpr std::array<Counters::Step, 3> kSteps{Counters::kMinute, Counters::kHour, Counters::kDay};

UnixMillis length(Counters::Step step) {
  return std::chrono::milliseconds(step).count();
}

UnixMillis oldest(Counters::Step step, UnixMillis now) {
  auto from = now - std::chrono::milliseconds(Counters::kept(step)).count();
  return from - from % length(step);
}

// "140 0 2": as text, so that a row can be read by eye; zeros at the end are left out.
std::string write_counts(const std::vector<std::uint64_t>& counts) {
  auto used = counts.size();
  while (used > 0 && counts[used - 1] == 0)
    --used;
  std::string text;
  for (std::size_t i = 0; i < used; ++i)
    text += (i == 0 ? "" : " ") + std::to_string(counts[i]);
  return text;
}

std::vector<std::uint64_t> read_counts(const std::string& text) {
  std::vector<std::uint64_t> counts;
  const char* at = text.data();
  const char* end = at + text.size();
  while (at < end) {
    std::uint64_t n = 0;
    auto read = std::from_chars(at, end, n);
    if (read.ec != std::errc()) break;
    counts.push_back(n);
    at = read.ptr + 1;
  }
  return counts;
}

// The numbers of the database are signed; the bits are kept.
std::int64_t row_key(std::uint64_t key) {
  return static_cast<std::int64_t>(key);
}

class SqliteCounters final : public Counters {
 public:
  explicit SqliteCounters(std::unique_ptr<Database> database) : database_(std::move(database)) {}

  Result<void> add(const std::vector<CounterStep>& minutes, const std::vector<CounterSeen>& seen,
                   UnixMillis now) override {
    if (minutes.empty() && seen.empty()) return {};
    const std::lock_guard lock(mutex_);
    return database_->transact([&]() -> Result<void> {
      std::set<std::uint64_t> touched;
      for (const auto& minute : minutes) {
        for (auto step : kSteps) {
          if (auto done = add_to(step, minute); !done) return done;
        }
        touched.insert(minute.connection);
      }
      for (const auto& one : seen) {
        auto done = database_
                        ->prepare(
                            "INSERT INTO seen (connection, cell, key, minute) VALUES (?, ?, ?, ?) "
                            "ON CONFLICT (connection, cell, key) DO UPDATE SET minute = max(minute, excluded.minute)")
                        .bind(one.connection)
                        .bind(one.cell ? 1 : 0)
                        .bind(row_key(one.key))
                        .bind(one.minute)
                        .run();
        if (!done) return done;
      }
      for (auto connection : touched) {
        for (auto step : kSteps) {
          auto done = database_->prepare("DELETE FROM steps WHERE connection = ? AND step = ? AND time < ?")
                          .bind(connection)
                          .bind(step.count())
                          .bind(oldest(step, now))
                          .run();
          if (!done) return done;
        }
      }
      return {};
    });
  }

  Result<std::vector<CounterStep>> steps(std::uint64_t connection, Step step, UnixMillis from, UnixMillis to) override {
    const std::lock_guard lock(mutex_);
    auto statement = database_->prepare(
        "SELECT time, counts FROM steps WHERE connection = ? AND step = ? AND time >= ? AND time < ? ORDER BY time");
    statement.bind(connection).bind(step.count()).bind(from).bind(to);
    std::vector<CounterStep> found;
    for (;;) {
      auto row = statement.step();
      if (!row) return row.error();
      if (!*row) return found;
      found.push_back({connection, statement.integer(0), read_counts(statement.text(1))});
    }
  }

  Result<std::vector<CounterSeen>> seen(std::uint64_t connection, std::int64_t minute) override {
    const std::lock_guard lock(mutex_);
    auto statement = database_->prepare("SELECT cell, key, minute FROM seen WHERE connection = ? AND minute >= ?");
    statement.bind(connection).bind(minute);
    std::vector<CounterSeen> found;
    for (;;) {
      auto row = statement.step();
      if (!row) return row.error();
      if (!*row) return found;
      found.push_back({connection, statement.integer(0) != 0, static_cast<std::uint64_t>(statement.integer(1)),
                       statement.integer(2)});
    }
  }

  Result<void> forget(std::uint64_t connection) override {
    const std::lock_guard lock(mutex_);
    return database_->transact([&] { return erase(connection); });
  }

  Result<void> tidy(const std::vector<std::uint64_t>& connections, UnixMillis now) override {
    const std::lock_guard lock(mutex_);
    return database_->transact([&]() -> Result<void> {
      for (auto step : kSteps) {
        auto done = database_->prepare("DELETE FROM steps WHERE step = ? AND time < ?")
                        .bind(step.count())
                        .bind(oldest(step, now))
                        .run();
        if (!done) return done;
      }
      auto done =
          database_->prepare("DELETE FROM seen WHERE minute < ?").bind(oldest(kMinute, now) / length(kMinute)).run();
      if (!done) return done;
      const std::set<std::uint64_t> known(connections.begin(), connections.end());
      std::vector<std::uint64_t> gone;
      {
        auto statement = database_->prepare("SELECT connection FROM steps UNION SELECT connection FROM seen");
        for (;;) {
          auto row = statement.step();
          if (!row) return row.error();
          if (!*row) break;
          auto connection = static_cast<std::uint64_t>(statement.integer(0));
          if (!known.contains(connection)) gone.push_back(connection);
        }
      }
      for (auto connection : gone) {
        if (auto erased = erase(connection); !erased) return erased;
      }
      return {};
    });
  }

 private:
  Result<void> add_to(Step step, const CounterStep& minute) {
    auto time = minute.time - minute.time % length(step);
    auto counts = minute.counts;
    {
      auto statement = database_->prepare("SELECT counts FROM steps WHERE connection = ? AND step = ? AND time = ?");
      statement.bind(minute.connection).bind(step.count()).bind(time);
      auto row = statement.step();
      if (!row) return row.error();
      if (*row) {
        auto before = read_counts(statement.text(0));
        counts.resize(std::max(counts.size(), before.size()));
        for (std::size_t i = 0; i < before.size(); ++i)
          counts[i] += before[i];
      }
    }
    auto text = write_counts(counts);
    return database_
        ->prepare(
            "INSERT INTO steps (connection, step, time, counts) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (connection, step, time) DO UPDATE SET counts = excluded.counts")
        .bind(minute.connection)
        .bind(step.count())
        .bind(time)
        .bind(text)
        .run();
  }

  Result<void> erase(std::uint64_t connection) {
    auto steps = database_->prepare("DELETE FROM steps WHERE connection = ?").bind(connection).run();
    if (!steps) return steps;
    return database_->prepare("DELETE FROM seen WHERE connection = ?").bind(connection).run();
  }

  std::mutex mutex_;
  std::unique_ptr<Database> database_;
};

}  // namespace

std::chrono::hours Counters::kept(Step step) {
  if (step == kMinute) return std::chrono::hours(24);
  if (step == kHour) return std::chrono::hours(31 * 24);
  if (step == kDay) return std::chrono::hours(400 * 24);
  return std::chrono::hours(0);
}

Result<std::unique_ptr<Counters>> open_counters(const std::string& directory) {
  auto database = Database::open(directory + "/counters.db");
  if (!database) return database.error();
  // NORMAL: a commit is in the operating system's hands, which a killed process leaves alone; only checkpoints sync.
  auto made = (*database)->execute(
      "PRAGMA synchronous = NORMAL; PRAGMA secure_delete = OFF;"
      "CREATE TABLE IF NOT EXISTS steps (connection INTEGER NOT NULL, step INTEGER NOT NULL, time INTEGER NOT NULL,"
      " counts TEXT NOT NULL, PRIMARY KEY (connection, step, time)) STRICT, WITHOUT ROWID;"
      "CREATE TABLE IF NOT EXISTS seen (connection INTEGER NOT NULL, cell INTEGER NOT NULL, key INTEGER NOT NULL,"
      " minute INTEGER NOT NULL, PRIMARY KEY (connection, cell, key)) STRICT, WITHOUT ROWID;");
  if (!made) return made.error().wrap("opening " + directory + "/counters.db");
  return std::unique_ptr<Counters>(std::make_unique<SqliteCounters>(std::move(*database)));
}

}  // namespace sluice::store
