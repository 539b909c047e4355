// SPDX-License-Identifier: Apache-2.0
#include "queue/rocks_log.h"

#include <rocksdb/convenience.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>
#include <sys/statvfs.h>

#include "base/crypto.h"
#include "base/log.h"
#include "queue/layout.h"

namespace sluice::queue {
namespace {

constexpr std::size_t kRingMaxCount = 20'000;
constexpr std::size_t kRingMaxBytes = 48u << 20;
constexpr std::uint64_t kChunkBytes = 16u << 20;
// One commit at most: keeps the synced write, and with it each report's wait, short.
constexpr std::size_t kCommitMaxCount = 2048;

rocksdb::WriteOptions commit_options() {
  rocksdb::WriteOptions options;
#ifdef SLUICE_NO_SYNC
  options.sync = false;
#else
  options.sync = true;
#endif
  return options;
}

}  // namespace

rocksdb::Options rocks_options(std::size_t write_buffer) {
  rocksdb::Options options;
  options.create_if_missing = true;
  options.write_buffer_size = write_buffer;
  options.max_write_buffer_number = 3;
  options.max_background_jobs = 2;
  options.max_open_files = 256;
  options.keep_log_file_num = 2;
  options.max_log_file_size = 1u << 20;
  options.recycle_log_file_num = 2;  // syncing a file whose blocks exist already spares the file system's journal
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;  // a torn last write is cut off
  options.compression = rocksdb::kLZ4Compression;
  options.info_log_level = rocksdb::WARN_LEVEL;
  rocksdb::BlockBasedTableOptions table;
  table.block_size = 16u << 10;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.block_cache = rocksdb::NewLRUCache(16u << 20);
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

Error rocks_error(const rocksdb::Status& status, const std::string& doing) {
  return Error{ErrorKind::transient, doing + ": " + status.ToString(), "com-5003", std::chrono::seconds(5)};
}

RocksLog::RocksLog(const Options& options, Clock& clock, Metrics& metrics)
    : options_(options), clock_(clock), repeats_(options.repeats_max) {
  hash_seed_ = read_u64(random_bytes(8));
  appended_ = metrics.counter("sluice_queue_appended_total", "Reports stored.");
  repeated_ = metrics.counter("sluice_queue_repeated_total", "Repetitions of stored reports, dropped.");
  refused_ = metrics.counter("sluice_queue_refused_total", "Reports refused for lack of room or a failing disk.");
  commits_ = metrics.counter("sluice_queue_commits_total", "Synced writes of the log.");
  log_bytes_ = metrics.gauge("sluice_queue_log_bytes", "Bytes of messages in the log.");
  commit_seconds_ = metrics.histogram("sluice_queue_commit_seconds", "Time of one synced write.",
                                      {0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5});
}

Result<std::unique_ptr<RocksLog>> RocksLog::open(const Options& options, Clock& clock, Metrics& metrics) {
  std::unique_ptr<RocksLog> log(new RocksLog(options, clock, metrics));
  rocksdb::DB* db = nullptr;
  auto status = rocksdb::DB::Open(rocks_options(32u << 20), options.directory + "/log", &db);
  if (!status.ok()) {
    auto error = rocks_error(status, "opening the queue's log in " + options.directory + "/log");
    error.kind = ErrorKind::bad_config;
    return error;
  }
  log->db_.reset(db);
  std::unique_ptr<rocksdb::Iterator> it(db->NewIterator({}));
  it->SeekToFirst();
  if (it->Valid()) {
    Chunk chunk;
    chunk.first = read_u64(it->key().ToStringView());
    it->SeekToLast();
    chunk.last = read_u64(it->key().ToStringView());
    db->GetIntProperty(rocksdb::DB::Properties::kEstimateLiveDataSize, &chunk.bytes);
    std::uint64_t mem = 0;
    db->GetIntProperty(rocksdb::DB::Properties::kCurSizeAllMemTables, &mem);
    chunk.bytes += mem;
    log->last_ = chunk.last;
    log->bytes_ = chunk.bytes;
    log->chunks_.push_back(chunk);
  }
  return log;
}

RocksLog::~RocksLog() {
  close();
}

void RocksLog::start_after(std::uint64_t seq) {
  if (seq > last_) last_ = seq;
}

void RocksLog::start() {
  trim(0);
  thread_ = std::thread([this] { run(); });
}

void RocksLog::close() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
  }
  arrived_.notify_all();
  wake();
  if (thread_.joinable()) thread_.join();
}

void RocksLog::append(message::Message message, AppendDone done) {
  const char* refusal = nullptr;
  {
    std::lock_guard lock(mutex_);
    if (closing_)
      refusal = "the queue is closing";
    else if (full_)
      refusal = "the queue's storage is full";
    else if (waiting_.size() >= options_.append_max_count || waiting_bytes_ >= options_.append_max_bytes)
      refusal = "too many reports wait for the disk";
    if (!refusal) {
      waiting_bytes_ += message.body.size();
      waiting_.push_back({std::move(message), std::move(done)});
    }
  }
  if (refusal) {
    refused_->add();
    done(Error{ErrorKind::transient, refusal, "com-5003", std::chrono::seconds(5)});
    return;
  }
  arrived_.notify_one();
}

void RocksLog::run() {
  std::vector<Waiting> batch;
  for (;;) {
    batch.clear();
    {
      std::unique_lock lock(mutex_);
      arrived_.wait(lock, [this] { return closing_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      if (waiting_.size() <= kCommitMaxCount) {
        batch.swap(waiting_);
        waiting_bytes_ = 0;
      } else {
        auto end = waiting_.begin() + kCommitMaxCount;
        batch.assign(std::make_move_iterator(waiting_.begin()), std::make_move_iterator(end));
        waiting_.erase(waiting_.begin(), end);
        for (const auto& item : batch)
          waiting_bytes_ -= item.message.body.size();
      }
    }
    commit(batch);
  }
}

void RocksLog::commit(std::vector<Waiting>& batch) {
  auto started = clock_.steady();
  rocksdb::WriteBatch write;
  std::vector<std::uint64_t> hashes;
  std::vector<message::MessagePtr> stored;
  std::vector<bool> repeated(batch.size());
  std::vector<std::uint64_t> sizes;
  auto last = last_.load(std::memory_order_relaxed);
  for (std::size_t i = 0; i < batch.size(); ++i) {
    auto& message = batch[i].message;
    auto hash = std::hash<std::string>{}(message.body) ^
                (std::hash<std::string>{}(message.binder) * 0x9e3779b97f4a7c15ull) ^ hash_seed_;
    if (repeats_.seen(hash, started)) {
      repeated[i] = true;
      continue;
    }
    hashes.push_back(hash);
    message.seq = ++last;
    auto record = message::encode_record(message);
    sizes.push_back(record.size());
    write.Put(key_u64(message.seq), record);
    stored.push_back(std::make_shared<const message::Message>(std::move(message)));
  }
  rocksdb::Status status;
  if (!stored.empty()) {
    status = db_->Write(commit_options(), &write);
    commit_seconds_->observe(std::chrono::duration<double>(clock_.steady() - started).count());
    commits_->add();
  }
  // A failed write may still be on the disk: its seqs are not given again.
  last_.store(last, std::memory_order_release);
  if (!status.ok()) {
    log::error("the queue cannot write its log: {}", status.ToString());
    for (auto hash : hashes)
      repeats_.forget(hash);
    // A full disk puts RocksDB into a read-only state until it is told to go on.
    db_->Resume().PermitUncheckedError();
    refused_->add(static_cast<std::int64_t>(batch.size()));
    for (auto& item : batch)
      item.done(rocks_error(status, "writing the log"));
    return;
  }
  for (std::size_t i = 0; i < stored.size(); ++i)
    account(stored[i]->seq, sizes[i]);
  {
    std::lock_guard lock(ring_mutex_);
    for (auto& message : stored) {
      ring_bytes_ += message->body.size();
      ring_.push_back(std::move(message));
    }
    while (ring_.size() > kRingMaxCount || ring_bytes_ > kRingMaxBytes) {  // the router reads those from the disk
      ring_bytes_ -= ring_.front()->body.size();
      ring_.pop_front();
    }
  }
  committed_.notify_one();
  appended_->add(static_cast<std::int64_t>(stored.size()));
  repeated_->add(static_cast<std::int64_t>(batch.size() - stored.size()));
  for (std::size_t i = 0; i < batch.size(); ++i)
    batch[i].done(repeated[i] ? Appended::repeated : Appended::stored);
}

void RocksLog::account(std::uint64_t seq, std::uint64_t bytes) {
  std::lock_guard lock(chunks_mutex_);
  if (chunks_.empty() || chunks_.back().bytes >= kChunkBytes) chunks_.push_back({seq, seq, 0});
  chunks_.back().last = seq;
  chunks_.back().bytes += bytes;
  bytes_ += bytes;
}

std::vector<message::MessagePtr> RocksLog::next(std::uint64_t after, std::size_t max,
                                                std::chrono::milliseconds timeout) {
  std::vector<message::MessagePtr> out;
  {
    std::unique_lock lock(ring_mutex_);
    committed_.wait_for(lock, timeout, [&] { return woken_ || last_.load(std::memory_order_acquire) > after; });
    woken_ = false;
    while (!ring_.empty() && ring_.front()->seq <= after) {
      ring_bytes_ -= ring_.front()->body.size();
      ring_.pop_front();
    }
    if (!ring_.empty() && ring_.front()->seq == after + 1) {
      while (!ring_.empty() && out.size() < max) {
        ring_bytes_ -= ring_.front()->body.size();
        out.push_back(std::move(ring_.front()));
        ring_.pop_front();
      }
      return out;
    }
  }
  if (last_.load(std::memory_order_acquire) > after) out = read_after(after, max);
  return out;
}

void RocksLog::wake() {
  {
    std::lock_guard lock(ring_mutex_);
    woken_ = true;
  }
  committed_.notify_all();
}

std::vector<message::MessagePtr> RocksLog::read_after(std::uint64_t after, std::size_t max) {
  std::vector<message::MessagePtr> out;
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator(options));
  for (it->Seek(key_u64(after + 1)); it->Valid() && out.size() < max; it->Next()) {
    auto message = message::decode_record(it->value().ToStringView());
    auto seq = read_u64(it->key().ToStringView());
    if (!message) {
      log::error("message {} in the log is damaged and set aside: {}", seq, message.error().text);
      continue;
    }
    message->seq = seq;
    out.push_back(std::make_shared<const message::Message>(std::move(*message)));
  }
  if (!it->status().ok()) log::error("the queue cannot read its log: {}", it->status().ToString());
  return out;
}

message::MessagePtr RocksLog::get(std::uint64_t seq) {
  rocksdb::PinnableSlice value;
  auto status = db_->Get({}, db_->DefaultColumnFamily(), key_u64(seq), &value);
  if (!status.ok()) return nullptr;
  auto message = message::decode_record(value.ToStringView());
  if (!message) return nullptr;
  message->seq = seq;
  return std::make_shared<const message::Message>(std::move(*message));
}

std::uint64_t RocksLog::seq_before(UnixMillis time) {
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator(options));
  it->SeekToFirst();
  if (!it->Valid()) return last();
  // Invariant: what is at `low` or before arrived earlier than `time`, what is after `high` did not.
  auto low = read_u64(it->key().ToStringView()) - 1;
  auto high = last();
  while (low < high) {
    auto middle = low + (high - low + 1) / 2;
    it->Seek(key_u64(middle));
    std::optional<UnixMillis> arrived;
    auto seq = high + 1;
    while (it->Valid() && !arrived) {
      seq = read_u64(it->key().ToStringView());
      if (seq > high) break;
      if (auto message = message::decode_record(it->value().ToStringView())) arrived = message->arrived;
      if (!arrived) it->Next();
    }
    if (arrived && *arrived < time)
      low = seq;
    else
      high = middle - 1;
  }
  return low;
}

void RocksLog::read_back(std::size_t max_count, std::uint64_t max_bytes,
                         const std::function<bool(const message::MessagePtr&)>& look) {
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator(options));
  std::uint64_t bytes = 0;
  std::size_t count = 0;
  for (it->SeekToLast(); it->Valid() && count < max_count && bytes < max_bytes; it->Prev(), ++count) {
    bytes += it->value().size();
    auto message = message::decode_record(it->value().ToStringView());
    if (!message) continue;
    message->seq = read_u64(it->key().ToStringView());
    if (!look(std::make_shared<const message::Message>(std::move(*message)))) return;
  }
}

void RocksLog::trim(std::uint64_t needed) {
  std::uint64_t cut = 0;
  std::uint64_t bytes = 0;
  {
    std::lock_guard lock(chunks_mutex_);
    // The newest chunk stays: a seq must never be given twice.
    while (chunks_.size() > 1 && bytes_ > options_.keep_bytes && chunks_.front().last < needed) {
      cut = chunks_.front().last;
      bytes_ -= chunks_.front().bytes;
      chunks_.pop_front();
    }
    bytes = bytes_;
  }
  if (cut > 0) {
    auto from = key_u64(0);
    auto to = key_u64(cut + 1);
    rocksdb::Slice first(from), end(to);
    rocksdb::DeleteFilesInRange(db_.get(), db_->DefaultColumnFamily(), &first, &end, false).PermitUncheckedError();
    auto status = db_->DeleteRange({}, db_->DefaultColumnFamily(), first, end);
    if (!status.ok()) log::warn("the queue cannot trim its log: {}", status.ToString());
  }
  log_bytes_->set(static_cast<std::int64_t>(bytes));
  struct statvfs room {};
  bool low = ::statvfs(options_.directory.c_str(), &room) == 0 &&
             static_cast<std::uint64_t>(room.f_bavail) * room.f_frsize < options_.min_free_bytes;
  bool full = low || bytes > options_.max_bytes;
  if (full != full_.exchange(full)) {
    if (full)
      log::error("reports are refused: {}", low ? "the disk is full" : "the queue is over its bound");
    else
      log::info("reports are taken again: the queue has room");
  }
}

}  // namespace sluice::queue
