// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <rocksdb/db.h>
#include <thread>

#include "queue/queue.h"
#include "queue/repeats.h"

namespace sluice::queue {

// The log half of the embedded queue: one thread takes all reports that wait, writes them in one synced batch, then
// answers each. What was committed is kept in memory for the router as far as it is not too far behind.
class RocksLog {
 public:
  static Result<std::unique_ptr<RocksLog>> open(const Options& options, Clock& clock, Metrics& metrics);
  ~RocksLog();

  void append(message::Message message, AppendDone done);
  std::vector<message::MessagePtr> next(std::uint64_t after, std::size_t max, std::chrono::milliseconds timeout);
  void wake();
  // One message, or null where it is gone or damaged. Blocks on the disk.
  message::MessagePtr get(std::uint64_t seq);
  std::vector<message::MessagePtr> read_after(std::uint64_t after, std::size_t max);
  // As Queue::seq_before.
  std::uint64_t seq_before(UnixMillis time);
  void read_back(std::size_t max_count, std::uint64_t max_bytes,
                 const std::function<bool(const message::MessagePtr&)>& look);
  // Drops settled messages below `needed` that are over keep_bytes, and looks at the room left.
  void trim(std::uint64_t needed);
  [[nodiscard]] bool full() const { return full_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t last() const { return last_.load(std::memory_order_acquire); }
  // Seqs already routed must not be given again although the log has lost them.
  void start_after(std::uint64_t seq);
  void start();
  void close();

 private:
  struct Waiting {
    message::Message message;
    AppendDone done;
  };
  // A run of messages whose size is known, for trimming.
  struct Chunk {
    std::uint64_t first = 0, last = 0, bytes = 0;
  };

  RocksLog(const Options& options, Clock& clock, Metrics& metrics);
  void run();
  void commit(std::vector<Waiting>& batch);
  void account(std::uint64_t seq, std::uint64_t bytes);

  const Options options_;
  Clock& clock_;
  std::unique_ptr<rocksdb::DB> db_;

  std::mutex mutex_;  // of what waits
  std::condition_variable arrived_;
  std::vector<Waiting> waiting_;
  std::size_t waiting_bytes_ = 0;
  bool closing_ = false;

  std::mutex ring_mutex_;  // of what is committed and not yet taken by the router
  std::condition_variable committed_;
  std::deque<message::MessagePtr> ring_;
  std::size_t ring_bytes_ = 0;
  bool woken_ = false;

  std::mutex chunks_mutex_;
  std::deque<Chunk> chunks_;
  std::uint64_t bytes_ = 0;

  std::atomic<std::uint64_t> last_{0};
  std::atomic<bool> full_{false};
  std::uint64_t hash_seed_;
  Repeats repeats_;
  std::thread thread_;

  std::shared_ptr<Metrics::Value> appended_, repeated_, refused_, commits_, log_bytes_;
  std::shared_ptr<Metrics::Histogram> commit_seconds_;
};

// The options both databases share.
rocksdb::Options rocks_options(std::size_t write_buffer);
Error rocks_error(const rocksdb::Status& status, const std::string& doing);

}  // namespace sluice::queue
