// SPDX-License-Identifier: Apache-2.0
// The dead letters of the pending lists: read, taken out again, dropped over their bounds. They are written where an
// entry leaves its list, in rocks_lists.cpp.
#include <algorithm>

#include "queue/rocks_lists.h"

namespace sluice::queue {
namespace {

// Letters handled in one write.
constexpr std::size_t kLettersAtOnce = 200;

// The letters of one connection, by id. Holds the bounds that the iterator points into.
class LetterRange {
 public:
  LetterRange(rocksdb::DB& db, std::uint64_t connection)
      : first_(letter_key(connection, 0)), end_(letter_key(connection + 1, 0)), lower_(first_), upper_(end_) {
    rocksdb::ReadOptions options;
    options.iterate_lower_bound = &lower_;
    options.iterate_upper_bound = &upper_;
    options.fill_cache = false;
    it_.reset(db.NewIterator(options));
  }
  LetterRange(const LetterRange&) = delete;
  LetterRange& operator=(const LetterRange&) = delete;
  rocksdb::Iterator& first() {
    it_->SeekToFirst();
    return *it_;
  }
  rocksdb::Iterator& last() {
    it_->SeekToLast();
    return *it_;
  }
  static std::uint64_t id(const rocksdb::Iterator& it) { return read_u64(it.key().ToStringView().substr(9)); }

 private:
  const std::string first_, end_;
  const rocksdb::Slice lower_, upper_;
  std::unique_ptr<rocksdb::Iterator> it_;
};

}  // namespace

bool RocksLists::remove_letters(std::uint64_t connection, const std::vector<Letter>& letters,
                                rocksdb::WriteBatch& batch) {
  std::uint64_t bytes = 0;
  for (const auto& letter : letters) {
    batch.Delete(letter_key(connection, letter.id));
    bytes += letter.bytes;
  }
  if (!write_batch(batch)) return false;
  std::lock_guard lock(lists_mutex_);
  auto& list = lists_[connection];
  list.letters -= std::min<std::uint64_t>(list.letters, letters.size());
  list.letter_bytes -= std::min(list.letter_bytes, bytes);
  return true;
}

LetterPage RocksLists::letters(std::uint64_t connection, const LetterQuery& query) {
  wait_for_settles();
  LetterPage page;
  LetterRange range(*db_, connection);
  bool all = query.dev_eui.empty() && query.from <= 0 && query.to == INT64_MAX;
  if (all) {
    std::lock_guard lock(lists_mutex_);
    if (auto found = lists_.find(connection); found != lists_.end()) page.total = found->second.letters;
  }
  std::uint64_t fitting = 0;
  for (auto& it = range.last(); it.Valid(); it.Prev()) {
    if (all && (fitting >= query.offset + query.limit || query.limit == 0)) break;
    if (all && fitting < query.offset) {
      ++fitting;
      continue;
    }
    auto letter = decode_letter(it.value().ToStringView());
    if (!letter) continue;
    if (!query.dev_eui.empty() && letter->message->dev_eui != query.dev_eui) continue;
    if (letter->time < query.from || letter->time >= query.to) continue;
    if (fitting >= query.offset && page.letters.size() < query.limit) {
      letter->id = LetterRange::id(it);
      page.letters.push_back(std::move(*letter));
    }
    ++fitting;
  }
  if (!all) page.total = fitting;
  return page;
}

std::optional<Letter> RocksLists::letter(std::uint64_t connection, std::uint64_t id) {
  wait_for_settles();
  std::string value;
  if (!db_->Get({}, letter_key(connection, id), &value).ok()) return std::nullopt;
  auto letter = decode_letter(value);
  if (letter) letter->id = id;
  return letter;
}

std::uint64_t RocksLists::take_letters(std::uint64_t connection, std::vector<std::uint64_t> ids, bool again) {
  wait_for_settles();
  if (ids.empty()) {
    LetterRange range(*db_, connection);
    for (auto& it = range.first(); it.Valid(); it.Next())
      ids.push_back(LetterRange::id(it));
  }
  std::sort(ids.begin(), ids.end());  // the order in which they were given up
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  std::uint64_t taken = 0;
  for (std::size_t at = 0; at < ids.size(); at += kLettersAtOnce) {
    std::vector<Letter> letters;
    std::vector<Again> messages;
    // One reader at a time takes a letter: what is read here is gone before the next one looks.
    std::lock_guard taking(letters_mutex_);
    for (std::size_t i = at; i < std::min(ids.size(), at + kLettersAtOnce); ++i) {
      std::string value;
      if (!db_->Get({}, letter_key(connection, ids[i]), &value).ok()) continue;
      auto letter = decode_letter(value);
      if (!letter) {
        if (again) continue;
        letter.emplace();
        letter->bytes = value.size();
      }
      letter->id = ids[i];
      if (again) messages.push_back({letter->message, letter->decoded, letter->validity_ms});
      letters.push_back(std::move(*letter));
    }
    if (letters.empty()) continue;
    if (again) {
      if (!put_again(connection, std::move(messages), letters)) return taken;
    } else {
      std::lock_guard writing(write_mutex_);
      rocksdb::WriteBatch batch;
      if (!remove_letters(connection, letters, batch)) return taken;
    }
    taken += letters.size();
  }
  return taken;
}

void RocksLists::drop_letters_over_bounds(std::uint64_t connection, const List& seen) {
  auto oldest_allowed =
      clock_.now() - std::chrono::duration_cast<std::chrono::milliseconds>(options_.letters_max_age).count();
  std::vector<Letter> over;
  {
    LetterRange range(*db_, connection);
    std::uint64_t bytes = 0;
    for (auto& it = range.first(); it.Valid(); it.Next()) {
      bool too_many = seen.letters - over.size() > options_.letters_max_count ||
                      seen.letter_bytes - std::min(seen.letter_bytes, bytes) > options_.letters_max_bytes;
      if (!too_many) {
        auto letter = decode_letter(it.value().ToStringView());
        if (letter && letter->time >= oldest_allowed) break;
      }
      Letter gone;
      gone.id = LetterRange::id(it);
      gone.bytes = it.value().size();
      bytes += gone.bytes;
      over.push_back(std::move(gone));
      if (over.size() >= seen.letters) break;
    }
  }
  if (over.empty()) return;
  {
    std::lock_guard taking(letters_mutex_);
    std::lock_guard writing(write_mutex_);
    // Some may have been taken meanwhile: those are not to be counted twice.
    std::erase_if(over, [&](const Letter& letter) {
      std::string value;
      return !db_->Get({}, letter_key(connection, letter.id), &value).ok();
    });
    rocksdb::WriteBatch batch;
    if (over.empty() || !remove_letters(connection, over, batch)) return;
  }
  letters_dropped_->add(static_cast<std::int64_t>(over.size()));
  std::lock_guard lock(subscriber_mutex_);
  if (subscriber_) subscriber_->on_letters_dropped(connection, over.size());
}

}  // namespace sluice::queue
