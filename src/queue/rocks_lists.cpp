// SPDX-License-Identifier: Apache-2.0
#include "queue/rocks_lists.h"

#include <algorithm>

#include "base/log.h"

namespace sluice::queue {
namespace {

// Routed messages waiting for the writer; over it put() waits.
constexpr std::size_t kMaxWaiting = 16'384;
// A disk that fails must not hold a reader for ever; the worst is a message sent twice.
constexpr std::chrono::seconds kSettleLimit{5};
// How far apart in seq entries of one list may stand out of order: the router's window, with room to spare.
constexpr std::uint64_t kDisorder = 32'768;

std::string fact_key(const std::string& key) {
  return "F" + key;
}

std::uint64_t entry_bytes(const message::Message& message, const message::Decoded* decoded) {
  return message.body.size() + (decoded ? decoded->payload.size() + decoded->points.size() : 0) + 64;
}

}  // namespace

RocksLists::RocksLists(const Options& options, RocksLog& log, Clock& clock, Metrics& metrics)
    : options_(options), log_(log), clock_(clock) {
  dropped_ =
      metrics.counter("sluice_queue_dropped_total", "Pending messages dropped because a list was over its bounds.");
  letters_dropped_ =
      metrics.counter("sluice_queue_letters_dropped_total", "Dead letters dropped because more are not kept.");
  gone_ = metrics.counter("sluice_queue_gone_total", "Pending entries whose message was missing from the log.");
}

Result<std::unique_ptr<RocksLists>> RocksLists::open(const Options& options, RocksLog& log, Clock& clock,
                                                     Metrics& metrics) {
  std::unique_ptr<RocksLists> lists(new RocksLists(options, log, clock, metrics));
  rocksdb::DB* db = nullptr;
  auto status = rocksdb::DB::Open(rocks_options(16u << 20), options.directory + "/lists", &db);
  if (!status.ok()) {
    auto error = rocks_error(status, "opening the queue's lists in " + options.directory + "/lists");
    error.kind = ErrorKind::bad_config;
    return error;
  }
  lists->db_.reset(db);
  auto loaded = lists->load();
  if (!loaded) return loaded.error();
  return lists;
}

Result<void> RocksLists::load() {
  std::string value;
  auto status = db_->Get({}, "C", &value);
  if (status.ok()) {
    auto cursor = decode_cursor(value);
    if (cursor)
      cursor_ = std::move(*cursor);
    else
      log::error("the queue's progress is damaged: routing starts again from the oldest message");
  } else if (!status.IsNotFound()) {
    return rocks_error(status, "reading the queue's progress");
  }
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator(options));
  for (it->Seek("L"); it->Valid() && it->key().starts_with("L"); it->Next()) {
    lists_[read_u64(it->key().ToStringView().substr(1))].low = read_u64(it->value().ToStringView());
  }
  // Counts what is pending: some 3 million entries a second.
  std::uint64_t connection = 0;
  it->Seek("P");
  while (it->Valid() && it->key().starts_with("P")) {
    auto key = it->key().ToStringView();
    auto here = read_u64(key.substr(1));
    auto& list = lists_[here];
    if (here != connection) {
      connection = here;
      if (read_u64(key.substr(9)) < list.low) {  // jump over what was settled before, if it is still there
        it->Seek(entry_key(here, list.low));
        continue;
      }
    }
    auto entry = decode_entry(it->value().ToStringView(), false);
    ++list.count;
    if (entry) list.bytes += entry->bytes;
    cursor_.next_place = std::max(cursor_.next_place, read_u64(key.substr(9)) + 1);
    it->Next();
  }
  load_letters(*it);
  for (it->Seek("T"); it->Valid() && it->key().starts_with("T"); it->Next()) {
    auto totals = decode_totals(it->value().ToStringView());
    auto& list = lists_[read_u64(it->key().ToStringView().substr(1))];
    if (totals)
      list.totals = *totals;
    else
      log::error("the totals of a list are damaged: they start anew");
  }
  for (auto& [id, list] : lists_) {
    // Written by a version that kept no totals.
    if (list.totals.accepted == 0) list.totals.accepted = list.count;
  }
  if (!it->status().ok()) return rocks_error(it->status(), "reading the pending lists");
  return {};
}

void RocksLists::load_letters(rocksdb::Iterator& it) {
  for (it.Seek("D"); it.Valid() && it.key().starts_with("D"); it.Next()) {
    auto key = it.key().ToStringView();
    auto& list = lists_[read_u64(key.substr(1))];
    ++list.letters;
    list.letter_bytes += it.value().size();
    list.next_letter = read_u64(key.substr(9)) + 1;
  }
}

RocksLists::~RocksLists() {
  close();
}

void RocksLists::start() {
  thread_ = std::thread([this] { run(); });
}

void RocksLists::close() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  drained_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Progress RocksLists::progress() {
  std::lock_guard lock(lists_mutex_);
  return cursor_.progress;
}

void RocksLists::put(std::vector<Routed> routed, Progress progress) {
  {
    std::unique_lock lock(mutex_);
    drained_.wait(lock, [this] { return closing_ || work_.routed.size() < kMaxWaiting; });
    if (closing_) return;  // routed again from the log at the next start
    std::move(routed.begin(), routed.end(), std::back_inserter(work_.routed));
    work_.progress = std::move(progress);
  }
  changed_.notify_one();
}

void RocksLists::put_fact(std::string key, std::string value) {
  {
    std::lock_guard lock(mutex_);
    work_.facts.emplace_back(fact_key(key), std::move(value));
  }
  changed_.notify_one();
}

std::optional<std::string> RocksLists::fact(const std::string& key) {
  std::string value;
  if (!db_->Get({}, fact_key(key), &value).ok()) return std::nullopt;
  return value;
}

Result<void> RocksLists::keep_fact(const std::string& key, const std::string& value) {
  rocksdb::WriteOptions options;
  options.sync = true;
  auto status = value.empty() ? db_->Delete(options, fact_key(key)) : db_->Put(options, fact_key(key), value);
  if (!status.ok()) return rocks_error(status, "writing a fact");
  return {};
}

void RocksLists::settle(std::uint64_t connection, std::vector<Settled> entries, std::uint64_t low) {
  {
    std::lock_guard lock(mutex_);
    work_.settlements.push_back({connection, low, std::move(entries)});
    ++settles_given_;
  }
  changed_.notify_one();
}

void RocksLists::subscribe(Subscriber* subscriber) {
  std::lock_guard lock(subscriber_mutex_);
  subscriber_ = subscriber;
}

void RocksLists::run() {
  for (;;) {
    Work work;
    std::uint64_t settles = 0;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return closing_ || !work_.empty(); });
      if (work_.empty()) return;
      std::swap(work, work_);
      settles = settles_given_;
    }
    drained_.notify_all();
    write(work);
    {
      std::lock_guard lock(mutex_);
      settles_written_ = settles;
    }
    drained_.notify_all();
  }
}

// Writes until it succeeds: what is waiting stays bounded because put() waits. Gives up only when closing.
bool RocksLists::write_batch(rocksdb::WriteBatch& batch) {
  for (;;) {
    auto status = db_->Write({}, &batch);
    if (status.ok()) return true;
    log::error("the queue cannot write its lists and tries again: {}", status.ToString());
    std::unique_lock lock(mutex_);
    if (changed_.wait_for(lock, std::chrono::seconds(1), [this] { return closing_; })) return false;
    lock.unlock();
    db_->Resume().PermitUncheckedError();
  }
}

void RocksLists::write(Work& work) {
  std::lock_guard writing(write_mutex_);
  rocksdb::WriteBatch batch;
  std::map<std::uint64_t, std::vector<Pending>> fresh;
  Cursor cursor;
  {
    std::lock_guard lock(lists_mutex_);
    cursor.next_place = cursor_.next_place;
    cursor.progress = work.progress ? std::move(*work.progress) : cursor_.progress;
  }
  for (auto& routed : work.routed) {
    for (auto& target : routed.targets) {
      Pending pending;
      pending.place = cursor.next_place++;
      pending.message = routed.message;
      pending.decoded = std::move(target.decoded);
      pending.validity_ms = target.validity_ms;
      pending.bytes = entry_bytes(*routed.message, pending.decoded.get());
      Entry entry;
      entry.seq = routed.message->seq;
      entry.arrived = routed.message->arrived;
      entry.bytes = pending.bytes;
      entry.validity_ms = pending.validity_ms;
      entry.decoded = pending.decoded;
      entry.device = device_hash(routed.message->dev_eui);
      batch.Put(entry_key(target.connection, pending.place), encode_entry(entry));
      fresh[target.connection].push_back(std::move(pending));
    }
  }
  {
    std::lock_guard lock(lists_mutex_);
    std::set<std::uint64_t> touched;
    for (const auto& settlement : work.settlements) {
      settle_into(batch, settlement);
      touched.insert(settlement.connection);
    }
    for (const auto& [connection, entries] : fresh) {
      auto& list = lists_[connection];
      list.count += entries.size();
      list.totals.accepted += entries.size();
      for (const auto& entry : entries)
        list.bytes += entry.bytes;
      touched.insert(connection);
    }
    for (auto connection : touched)
      batch.Put(list_key('T', connection), encode_totals(lists_[connection].totals));
  }
  for (auto& [key, value] : work.facts)
    batch.Put(key, value);
  if (work.progress) batch.Put("C", encode_cursor(cursor));
  if (!write_batch(batch)) return;
  {
    std::lock_guard lock(lists_mutex_);
    cursor_ = std::move(cursor);
  }
  std::lock_guard lock(subscriber_mutex_);
  if (!subscriber_) return;
  for (auto& [connection, entries] : fresh)
    subscriber_->on_pending(connection, std::move(entries));
}

// Under lists_mutex_.
void RocksLists::settle_into(rocksdb::WriteBatch& batch, const Settlement& settlement) {
  auto& list = lists_[settlement.connection];
  for (const auto& entry : settlement.entries) {
    if (entry.place < list.low) continue;  // dropped over the bounds in the meantime
    batch.SingleDelete(entry_key(settlement.connection, entry.place));
    list.count -= std::min<std::uint64_t>(list.count, 1);
    list.bytes -= std::min(list.bytes, entry.bytes);
    ++list.totals.fates[static_cast<std::size_t>(entry.fate)];
    if (!entry.letter) continue;
    auto letter = encode_letter(*entry.letter);
    ++list.letters;
    list.letter_bytes += letter.size();
    batch.Put(letter_key(settlement.connection, list.next_letter++), letter);
  }
  if (settlement.low > list.low) {
    list.low = settlement.low;
    batch.Put(list_key('L', settlement.connection), key_u64(list.low));
  }
}

// What was settled before must be off the list before it is read, or a connection that reopens sends it a second time.
void RocksLists::wait_for_settles() {
  std::unique_lock lock(mutex_);
  drained_.wait_for(lock, kSettleLimit,
                    [this, given = settles_given_] { return closing_ || settles_written_ >= given; });
}

Batch RocksLists::read_some(std::uint64_t connection, std::uint64_t place, std::size_t max, const ReadFilter& filter) {
  wait_for_settles();
  Batch out;
  out.last = place;
  std::uint64_t from = place + 1;
  {
    std::lock_guard lock(lists_mutex_);
    auto found = lists_.find(connection);
    if (found == lists_.end()) {
      out.end = true;
      return out;
    }
    from = std::max(from, found->second.low);
  }
  std::vector<Settled> gone;
  auto end = entry_key(connection + 1, 0);
  rocksdb::Slice upper(end);
  rocksdb::ReadOptions options;
  options.iterate_upper_bound = &upper;
  options.fill_cache = false;
  std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator(options));
  auto wanted = [&](std::uint64_t device) {
    return filter.only ? device == *filter.only : device == 0 || !filter.without.contains(device);
  };
  bool filters = filter.only || !filter.without.empty();
  std::size_t looked = 0;
  for (it->Seek(entry_key(connection, from)); it->Valid() && out.entries.size() < max && looked < filter.scan;
       it->Next(), ++looked) {
    auto here = read_u64(it->key().ToStringView().substr(9));
    if (here > filter.up_to) {
      out.end = true;
      break;
    }
    out.last = here;
    if (filters) {
      auto head = decode_entry(it->value().ToStringView(), false);
      if (head && head->has_device && !wanted(head->device)) continue;
    }
    auto entry = decode_entry(it->value().ToStringView());
    message::MessagePtr message;
    if (entry && entry->record.empty()) {
      message = log_.get(entry->seq);
    } else if (entry) {
      if (auto own = message::decode_record(entry->record))
        message = std::make_shared<const message::Message>(std::move(*own));
    }
    if (!message) {
      gone.push_back({here, entry ? entry->bytes : 0, Fate::dropped});
      continue;
    }
    if (filters && !entry->has_device && !wanted(device_hash(message->dev_eui))) continue;
    out.entries.push_back(
        {here, std::move(message), std::move(entry->decoded), entry->validity_ms, entry->bytes, entry->again});
  }
  out.end = out.end || !it->Valid();
  if (!gone.empty()) {
    gone_->add(static_cast<std::int64_t>(gone.size()));
    log::error("{} pending messages of connection {} are missing from the log and were taken off its list", gone.size(),
               connection);
    settle(connection, std::move(gone), 0);
  }
  return out;
}

std::uint64_t RocksLists::purge(std::uint64_t connection, std::uint64_t* end) {
  wait_for_settles();
  std::lock_guard writing(write_mutex_);
  List list;
  std::uint64_t next = 0;
  {
    std::lock_guard lock(lists_mutex_);
    auto found = lists_.find(connection);
    if (found == lists_.end()) return 0;
    list = found->second;
    next = cursor_.next_place;
  }
  if (end) *end = next;
  list.totals.fates[static_cast<std::size_t>(Fate::dropped)] += list.count;
  rocksdb::WriteBatch batch;
  batch.DeleteRange(entry_key(connection, 0), entry_key(connection, next));
  batch.Put(list_key('L', connection), key_u64(next));
  batch.Put(list_key('T', connection), encode_totals(list.totals));
  if (!write_batch(batch)) return 0;
  std::lock_guard lock(lists_mutex_);
  auto& known = lists_[connection];
  known.count = 0;
  known.bytes = 0;
  known.low = next;
  known.totals = list.totals;
  return list.count;
}

void RocksLists::forget(std::uint64_t connection) {
  purge(connection, nullptr);
  std::lock_guard writing(write_mutex_);
  rocksdb::WriteBatch batch;
  batch.DeleteRange(letter_key(connection, 0), letter_key(connection + 1, 0));
  batch.Delete(list_key('T', connection));
  if (!write_batch(batch)) return;
  std::lock_guard lock(lists_mutex_);
  auto& list = lists_[connection];
  list = List{.low = list.low};
}

void RocksLists::set_bounds(std::uint64_t connection, Bounds bounds) {
  std::lock_guard lock(lists_mutex_);
  lists_[connection].bounds = bounds;
}

bool RocksLists::put_again(std::uint64_t connection, std::vector<Again> messages,
                           const std::vector<Letter>& instead_of) {
  std::lock_guard writing(write_mutex_);
  rocksdb::WriteBatch batch;
  std::vector<Pending> fresh;
  Cursor cursor;
  Totals totals;
  {
    std::lock_guard lock(lists_mutex_);
    cursor = cursor_;
    totals = lists_[connection].totals;
  }
  std::uint64_t bytes = 0;
  for (auto& message : messages) {
    Pending pending;
    pending.place = cursor.next_place++;
    pending.message = std::move(message.message);
    pending.decoded = std::move(message.decoded);
    pending.validity_ms = message.validity_ms;
    pending.bytes = entry_bytes(*pending.message, pending.decoded.get());
    pending.again = true;
    bytes += pending.bytes;
    Entry entry;
    entry.arrived = pending.message->arrived;
    entry.bytes = pending.bytes;
    entry.validity_ms = pending.validity_ms;
    entry.decoded = pending.decoded;
    entry.again = true;
    entry.device = device_hash(pending.message->dev_eui);
    entry.record = message::encode_record(*pending.message);
    batch.Put(entry_key(connection, pending.place), encode_entry(entry));
    fresh.push_back(std::move(pending));
  }
  totals.accepted += fresh.size();
  batch.Put("C", encode_cursor(cursor));
  batch.Put(list_key('T', connection), encode_totals(totals));
  if (!remove_letters(connection, instead_of, batch)) return false;
  {
    std::lock_guard lock(lists_mutex_);
    cursor_ = std::move(cursor);
    auto& list = lists_[connection];
    list.count += fresh.size();
    list.bytes += bytes;
    list.totals = totals;
  }
  std::lock_guard lock(subscriber_mutex_);
  if (subscriber_ && !fresh.empty()) subscriber_->on_pending(connection, std::move(fresh));
  return true;
}

// Under write_mutex_.
ListState RocksLists::state(std::uint64_t connection) {
  ListState state;
  std::uint64_t low = 0;
  {
    std::lock_guard lock(lists_mutex_);
    auto found = lists_.find(connection);
    if (found == lists_.end()) return state;
    state.count = found->second.count;
    state.bytes = found->second.bytes;
    state.letters = found->second.letters;
    state.letter_bytes = found->second.letter_bytes;
    state.totals = found->second.totals;
    low = found->second.low;
    if (state.count == 0) return state;
  }
  auto end = entry_key(connection + 1, 0);
  rocksdb::Slice upper(end);
  rocksdb::ReadOptions options;
  options.iterate_upper_bound = &upper;
  options.fill_cache = false;
  std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator(options));
  it->Seek(entry_key(connection, low));
  if (!it->Valid()) return state;
  if (auto entry = decode_entry(it->value().ToStringView(), false)) state.oldest = entry->arrived;
  return state;
}

std::uint64_t RocksLists::count(std::uint64_t connection) {
  std::lock_guard lock(lists_mutex_);
  auto found = lists_.find(connection);
  return found == lists_.end() ? 0 : found->second.count;
}

std::vector<std::uint64_t> RocksLists::lists() {
  std::lock_guard lock(lists_mutex_);
  std::vector<std::uint64_t> out;
  for (const auto& [connection, list] : lists_) {
    if (list.count > 0 || list.letters > 0) out.push_back(connection);
  }
  return out;
}

std::uint64_t RocksLists::needed() {
  std::map<std::uint64_t, List> lists;
  std::uint64_t needed = 0;
  {
    std::lock_guard lock(lists_mutex_);
    lists = lists_;
    needed = cursor_.progress.watermark + 1;
  }
  for (const auto& [connection, list] : lists) {
    if (list.count == 0) continue;
    auto end = entry_key(connection + 1, 0);
    rocksdb::Slice upper(end);
    rocksdb::ReadOptions options;
    options.iterate_upper_bound = &upper;
    std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator(options));
    for (it->Seek(entry_key(connection, list.low)); it->Valid(); it->Next()) {
      auto entry = decode_entry(it->value().ToStringView(), false);
      if (entry && entry->seq == 0) continue;  // carries its message itself
      auto seq = entry ? entry->seq : 0;
      needed = std::min(needed, seq > kDisorder ? seq - kDisorder : 0);
      break;
    }
  }
  return needed;
}

void RocksLists::enforce_bounds() {
  std::map<std::uint64_t, List> lists;
  {
    std::lock_guard lock(lists_mutex_);
    lists = lists_;
  }
  for (const auto& [connection, list] : lists) {
    if (list.count > 0) drop_over_bounds(connection);
    if (list.letters > 0) drop_letters_over_bounds(connection, list);
  }
}

void RocksLists::check_totals() {
  std::vector<std::pair<std::uint64_t, std::int64_t>> gaps;
  {
    std::lock_guard writing(write_mutex_);
    std::lock_guard lock(lists_mutex_);
    for (auto& [connection, list] : lists_) {
      auto gap = static_cast<std::int64_t>(list.totals.accepted - list.totals.settled() - list.count);
      if (gap == list.told_gap) continue;
      list.told_gap = gap;
      gaps.emplace_back(connection, gap);
    }
  }
  std::lock_guard lock(subscriber_mutex_);
  for (auto [connection, gap] : gaps) {
    log::error("the totals of connection {} do not add up: {} messages", connection, gap);
    if (subscriber_) subscriber_->on_gap(connection, gap);
  }
}

void RocksLists::drop_over_bounds(std::uint64_t connection) {
  std::lock_guard writing(write_mutex_);
  List seen;
  {
    std::lock_guard lock(lists_mutex_);
    seen = lists_[connection];
  }
  const auto& own = seen.bounds;
  auto max_age = std::chrono::duration_cast<std::chrono::milliseconds>(options_.list_max_age).count();
  if (own.max_age_ms > 0) max_age = std::min<std::int64_t>(max_age, own.max_age_ms);
  auto max_count = own.max_count > 0 ? std::min(own.max_count, options_.list_max_count) : options_.list_max_count;
  auto max_bytes = own.max_bytes > 0 ? std::min(own.max_bytes, options_.list_max_bytes) : options_.list_max_bytes;
  auto oldest_allowed = clock_.now() - max_age;
  auto end = entry_key(connection + 1, 0);
  rocksdb::Slice upper(end);
  rocksdb::ReadOptions options;
  options.iterate_upper_bound = &upper;
  options.fill_cache = false;
  std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator(options));
  rocksdb::WriteBatch batch;
  std::uint64_t count = 0, bytes = 0, last = 0;
  const char* reason = nullptr;
  for (it->Seek(entry_key(connection, seen.low)); it->Valid(); it->Next()) {
    auto entry = decode_entry(it->value().ToStringView(), false);
    const char* why = nullptr;
    if (entry && entry->arrived < oldest_allowed)
      why = "older than the queue keeps messages";
    else if (seen.count - count > max_count)
      why = "more messages waiting than the queue keeps";
    else if (seen.bytes - bytes > max_bytes)
      why = "more bytes waiting than the queue keeps";
    if (!why) break;
    reason = why;
    batch.SingleDelete(it->key());
    last = read_u64(it->key().ToStringView().substr(9));
    bytes += std::min(seen.bytes - bytes, entry ? entry->bytes : 0);
    if (++count == seen.count) break;
  }
  if (count == 0) return;
  batch.Put(list_key('L', connection), key_u64(last + 1));
  auto totals = seen.totals;
  totals.fates[static_cast<std::size_t>(Fate::dropped)] += count;
  batch.Put(list_key('T', connection), encode_totals(totals));
  if (!write_batch(batch)) return;
  {
    std::lock_guard lock(lists_mutex_);
    auto& list = lists_[connection];
    list.totals = totals;
    list.low = std::max(list.low, last + 1);
    list.count -= std::min(list.count, count);
    list.bytes -= std::min(list.bytes, bytes);
  }
  dropped_->add(static_cast<std::int64_t>(count));
  std::lock_guard lock(subscriber_mutex_);
  if (subscriber_) subscriber_->on_dropped(connection, last, count, reason);
}

}  // namespace sluice::queue
