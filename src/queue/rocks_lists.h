// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>
#include <set>
#include <thread>

#include "queue/layout.h"
#include "queue/queue.h"
#include "queue/rocks_log.h"

namespace sluice::queue {

// The pending lists of the embedded queue. One thread writes all there is to write in one batch, without sync: what is
// lost with a power cut is done again from the log (invariant 3 of queue.h).
class RocksLists {
 public:
  static Result<std::unique_ptr<RocksLists>> open(const Options& options, RocksLog& log, Clock& clock,
                                                  Metrics& metrics);
  ~RocksLists();

  Progress progress();
  void put(std::vector<Routed> routed, Progress progress);
  std::optional<std::string> fact(const std::string& key);
  void put_fact(std::string key, std::string value);
  void subscribe(Subscriber* subscriber);
  Result<void> keep_fact(const std::string& key, const std::string& value);
  Batch read_some(std::uint64_t connection, std::uint64_t place, std::size_t max, const ReadFilter& filter);
  void settle(std::uint64_t connection, std::vector<Settled> entries, std::uint64_t low);
  std::uint64_t purge(std::uint64_t connection, std::uint64_t* end);
  void forget(std::uint64_t connection);
  void set_bounds(std::uint64_t connection, Bounds bounds);
  // Appends messages kept in their entries, and takes letters away, in one write; false when closing.
  bool put_again(std::uint64_t connection, std::vector<Again> messages, const std::vector<Letter>& instead_of);
  LetterPage letters(std::uint64_t connection, const LetterQuery& query);
  std::optional<Letter> letter(std::uint64_t connection, std::uint64_t id);
  // Letters (all, where `ids` is empty) out of the letters, `again` onto the list. Gives the number.
  std::uint64_t take_letters(std::uint64_t connection, std::vector<std::uint64_t> ids, bool again);
  ListState state(std::uint64_t connection);
  std::uint64_t count(std::uint64_t connection);
  std::vector<std::uint64_t> lists();
  // The lowest seq that any list or the routing may still need.
  std::uint64_t needed();
  // Drops what is over the lists' bounds.
  void enforce_bounds();
  // Tells the subscriber of lists whose totals do not add up.
  void check_totals();
  void start();
  void close();

 private:
  struct List {
    std::uint64_t count = 0, bytes = 0;
    std::uint64_t low = 1;  // every entry below it is gone
    Totals totals;
    std::uint64_t letters = 0, letter_bytes = 0, next_letter = 1;
    std::int64_t told_gap = 0;
    Bounds bounds;
  };
  struct Settlement {
    std::uint64_t connection, low;
    std::vector<Settled> entries;
  };
  struct Work {
    std::vector<Routed> routed;
    std::optional<Progress> progress;
    std::vector<Settlement> settlements;
    std::vector<std::pair<std::string, std::string>> facts;
    [[nodiscard]] bool empty() const { return !progress && settlements.empty() && facts.empty(); }
  };

  RocksLists(const Options& options, RocksLog& log, Clock& clock, Metrics& metrics);
  Result<void> load();
  void run();
  void write(Work& work);
  bool write_batch(rocksdb::WriteBatch& batch);
  void wait_for_settles();
  void load_letters(rocksdb::Iterator& it);
  void settle_into(rocksdb::WriteBatch& batch, const Settlement& settlement);
  void drop_over_bounds(std::uint64_t connection);
  void drop_letters_over_bounds(std::uint64_t connection, const List& seen);
  // Takes letters off the books and out of the database.
  bool remove_letters(std::uint64_t connection, const std::vector<Letter>& letters, rocksdb::WriteBatch& batch);

  const Options options_;
  RocksLog& log_;
  Clock& clock_;
  std::unique_ptr<rocksdb::DB> db_;

  std::mutex mutex_;  // of the work that waits
  std::condition_variable changed_, drained_;
  Work work_;
  bool closing_ = false;
  std::uint64_t settles_given_ = 0, settles_written_ = 0;

  std::mutex write_mutex_;    // one writer at a time: the thread, purge, bounds. Taken before lists_mutex_.
  std::mutex letters_mutex_;  // of who takes letters away. Taken before write_mutex_.
  std::mutex lists_mutex_;
  std::map<std::uint64_t, List> lists_;
  Cursor cursor_;
  Subscriber* subscriber_ = nullptr;
  std::mutex subscriber_mutex_;  // held while the subscriber is called, so that subscribe(null) ends all calls
  std::thread thread_;

  std::shared_ptr<Metrics::Value> dropped_, gone_, letters_dropped_;
};

}  // namespace sluice::queue
