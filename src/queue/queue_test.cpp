// SPDX-License-Identifier: Apache-2.0
#include "queue/queue.h"

#include <condition_variable>
#include <filesystem>
#include <future>
#include <gtest/gtest.h>
#include <mutex>
#include <random>
#include <set>

#include "base/crypto.h"
#include "queue/layout.h"
#include "queue/repeats.h"

namespace sluice::queue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class TestClock final : public Clock {
 public:
  [[nodiscard]] UnixMillis now() const override { return now_; }
  [[nodiscard]] std::chrono::steady_clock::time_point steady() const override { return system_clock().steady(); }
  std::atomic<UnixMillis> now_{1'700'000'000'000};
};

class Collector final : public Subscriber {
 public:
  void on_pending(std::uint64_t connection, std::vector<Pending> entries) override {
    std::lock_guard lock(mutex_);
    for (auto& entry : entries)
      seen_[connection].push_back(std::move(entry));
    changed_.notify_all();
  }
  void on_dropped(std::uint64_t, std::uint64_t, std::uint64_t count, const char*) override {
    std::lock_guard lock(mutex_);
    dropped_ += count;
    changed_.notify_all();
  }
  void on_letters_dropped(std::uint64_t, std::uint64_t count) override {
    std::lock_guard lock(mutex_);
    letters_dropped_ += count;
    changed_.notify_all();
  }
  void on_gap(std::uint64_t, std::int64_t gap) override {
    std::lock_guard lock(mutex_);
    gaps_.push_back(gap);
  }
  std::uint64_t wait_letters_dropped(std::uint64_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, seconds(10), [&] { return letters_dropped_ >= count; });
    return letters_dropped_;
  }
  std::vector<std::int64_t> gaps() {
    std::lock_guard lock(mutex_);
    return gaps_;
  }
  std::vector<Pending> wait(std::uint64_t connection, std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, seconds(10), [&] { return seen_[connection].size() >= count; });
    return seen_[connection];
  }
  std::uint64_t wait_dropped(std::uint64_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, seconds(10), [&] { return dropped_ >= count; });
    return dropped_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::uint64_t, std::vector<Pending>> seen_;
  std::uint64_t dropped_ = 0, letters_dropped_ = 0;
  std::vector<std::int64_t> gaps_;
};

class QueueTest : public testing::Test {
 protected:
  QueueTest() {
    options_.directory = std::filesystem::temp_directory_path() / ("sluice-queue-" + random_uuid());
    options_.maintenance = milliseconds(10);
  }
  ~QueueTest() override {
    queue_.reset();
    std::filesystem::remove_all(options_.directory);
  }
  void open() {
    queue_.reset();
    collector_ = std::make_unique<Collector>();
    auto opened = open_rocks(options_, clock_, metrics_);
    ASSERT_TRUE(opened) << opened.error().text;
    queue_ = std::move(*opened);
    queue_->subscribe(collector_.get());
  }
  message::Message report(int device, int counter) {
    char eui[17];
    std::snprintf(eui, sizeof eui, "%016X", device);
    auto parsed = message::parse_report(R"({"DevEUI_uplink":{"DevEUI":")" + std::string(eui) + R"(","FCntUp":)" +
                                        std::to_string(counter) + R"(,"payload_hex":"00"}})");
    EXPECT_TRUE(parsed) << parsed.error().text;
    parsed->account = "1";
    parsed->binder = "b";
    parsed->arrived = clock_.now();
    return std::move(*parsed);
  }
  Result<Appended> append(message::Message message) {
    std::promise<Result<Appended>> promise;
    auto future = promise.get_future();
    queue_->append(std::move(message), [&](Result<Appended> result) { promise.set_value(std::move(result)); });
    return future.get();
  }
  // Gives the entry up, with a letter.
  void give_up(std::uint64_t connection, const Pending& pending) {
    auto letter = std::make_shared<Letter>();
    letter->time = clock_.now();
    letter->message = pending.message;
    letter->decoded = pending.decoded;
    letter->validity_ms = pending.validity_ms;
    letter->cause = "refused";
    letter->answer = "no such thing";
    letter->sent = "{}";
    letter->tries = 3;
    queue_->settle(connection, {{pending.place, pending.bytes, Fate::dead, std::move(letter)}}, 0);
  }
  void expect_adds_up(std::uint64_t connection) {
    auto state = queue_->state(connection);
    EXPECT_EQ(state.totals.accepted, state.totals.settled() + state.count);
    EXPECT_EQ(collector_->gaps(), std::vector<std::int64_t>{});
  }
  // Routes everything after `after` to the connection; gives the last seq.
  std::uint64_t route_all(std::uint64_t after, std::uint64_t connection) {
    for (;;) {
      auto messages = queue_->next(after, 100, milliseconds(0));
      if (messages.empty()) return after;
      std::vector<Routed> routed;
      for (auto& message : messages) {
        after = message->seq;
        auto decoded = std::make_shared<message::Decoded>();
        decoded->driver_id = "a:b:1";
        decoded->payload = R"({"t":)" + std::to_string(after) + "}";
        routed.push_back({message, {{connection, decoded, 5000}}});
      }
      queue_->put(std::move(routed), {after, {}});
    }
  }

  Options options_;
  TestClock clock_;
  Metrics metrics_;
  std::unique_ptr<Collector> collector_;
  std::unique_ptr<Queue> queue_;
};

TEST(Layout, RoundTrips) {
  EXPECT_EQ(read_u64(key_u64(0x0123456789abcdefull)), 0x0123456789abcdefull);
  EXPECT_LT(entry_key(1, 0xffffffff), entry_key(2, 0));
  Cursor cursor{{100, {103, 107, 1000}}, 42};
  auto read = decode_cursor(encode_cursor(cursor));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->progress.watermark, 100u);
  EXPECT_EQ(read->progress.beyond, cursor.progress.beyond);
  EXPECT_EQ(read->next_place, 42u);
  auto bytes = encode_entry({7, 1234, 99, 5, nullptr});
  for (std::size_t cut = 0; cut < bytes.size(); ++cut)
    EXPECT_FALSE(decode_entry(bytes.substr(0, cut)));
  EXPECT_EQ(decode_entry(bytes)->seq, 7u);
}

TEST(Layout, ReadsEntriesOfTheFirstForm) {
  std::string bytes = "\1";
  for (std::uint64_t n : {7u, 1234u, 99u, 5u})
    put_varint(bytes, n);
  auto entry = decode_entry(bytes);
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->seq, 7u);
  EXPECT_EQ(entry->validity_ms, 5);
  EXPECT_FALSE(entry->has_device);
  EXPECT_FALSE(entry->again);
}

TEST(Layout, AnEntryThatCarriesItsMessagePinsNothing) {
  Entry entry;
  entry.seq = 7;
  entry.record = "record";
  entry.again = true;
  entry.device = device_hash("0018B20000000B20");
  auto read = decode_entry(encode_entry(entry));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->seq, 0u);
  EXPECT_EQ(read->record, "record");
  EXPECT_TRUE(read->again);
  EXPECT_EQ(read->device, entry.device);
}

TEST(Repeats, ForgetsAfterTenMinutesAndStaysBounded) {
  Repeats repeats(10'000);
  std::chrono::steady_clock::time_point now{};
  EXPECT_FALSE(repeats.seen(5, now));
  EXPECT_TRUE(repeats.seen(5, now + std::chrono::minutes(10)));
  EXPECT_FALSE(repeats.seen(5, now + std::chrono::minutes(12)));
  repeats.forget(5);
  EXPECT_FALSE(repeats.seen(5, now + std::chrono::minutes(12)));
  for (std::uint64_t i = 100; i < 100'000; ++i)
    repeats.seen(i * 0x9e3779b97f4a7c15ull, now + std::chrono::minutes(13));
  EXPECT_LE(repeats.size(), 10'000u);
  EXPECT_TRUE(repeats.seen(99'999 * 0x9e3779b97f4a7c15ull, now + std::chrono::minutes(13)));
}

TEST_F(QueueTest, AnsweredIsOnDiskAndInOrder) {
  open();
  for (int i = 0; i < 50; ++i)
    ASSERT_TRUE(append(report(i % 5, i)));
  open();  // nothing was routed: everything comes again
  auto messages = queue_->next(0, 1000, milliseconds(0));
  ASSERT_EQ(messages.size(), 50u);
  for (std::size_t i = 0; i < 50; ++i) {
    EXPECT_EQ(messages[i]->fcnt_up, static_cast<int>(i));
    if (i > 0) {
      EXPECT_GT(messages[i]->seq, messages[i - 1]->seq);
    }
    EXPECT_EQ(messages[i]->account, "1");
  }
}

TEST_F(QueueTest, RepetitionIsAnsweredAndNotStored) {
  open();
  EXPECT_EQ(*append(report(1, 1)), Appended::stored);
  EXPECT_EQ(*append(report(1, 1)), Appended::repeated);
  auto other = report(1, 1);
  other.binder = "c";
  EXPECT_EQ(*append(std::move(other)), Appended::stored);
  EXPECT_EQ(queue_->next(0, 10, milliseconds(0)).size(), 2u);
}

TEST_F(QueueTest, PendingSurvivesAReopenUntilItIsSettled) {
  open();
  for (int i = 0; i < 10; ++i)
    ASSERT_TRUE(append(report(i, i)));
  auto last = route_all(0, 7);
  auto seen = collector_->wait(7, 10);
  ASSERT_EQ(seen.size(), 10u);
  EXPECT_EQ(queue_->state(7).count, 10u);
  queue_->settle(7, {{seen[0].place, seen[0].bytes}, {seen[1].place, seen[1].bytes}, {seen[5].place, seen[5].bytes}},
                 seen[2].place);
  open();
  EXPECT_EQ(queue_->progress().watermark, last);
  EXPECT_EQ(queue_->state(7).count, 7u);
  auto rest = queue_->read(7, 0, 100);
  ASSERT_EQ(rest.size(), 7u);
  EXPECT_EQ(rest[0].place, seen[2].place);
  EXPECT_EQ(rest[0].decoded->payload, R"({"t":3})");
  EXPECT_EQ(rest[0].validity_ms, 5000);
  std::uint64_t bytes = 0;
  for (const auto& entry : rest)
    bytes += entry.bytes;
  EXPECT_EQ(queue_->state(7).bytes, bytes);
  // New places go on above the old ones, and seqs too.
  ASSERT_TRUE(append(report(99, 99)));
  route_all(last, 7);
  EXPECT_GT(collector_->wait(7, 1).at(0).place, rest.back().place);
}

TEST_F(QueueTest, PurgeEmptiesOneListOnly) {
  open();
  ASSERT_TRUE(append(report(1, 1)));
  auto messages = queue_->next(0, 1, milliseconds(0));
  queue_->put({{messages[0], {{1, nullptr, 0}, {2, nullptr, 0}}}}, {messages[0]->seq, {}});
  collector_->wait(2, 1);
  EXPECT_EQ(queue_->purge(1), 1u);
  EXPECT_EQ(queue_->state(1).count, 0u);
  EXPECT_TRUE(queue_->read(1, 0, 10).empty());
  EXPECT_EQ(queue_->read(2, 0, 10).size(), 1u);
  EXPECT_EQ(queue_->lists(), std::vector<std::uint64_t>{2});
}

TEST_F(QueueTest, OverTheBoundsTheOldestGoAndAreCounted) {
  options_.list_max_count = 5;
  open();
  for (int i = 0; i < 12; ++i)
    ASSERT_TRUE(append(report(i, i)));
  route_all(0, 3);
  EXPECT_EQ(collector_->wait_dropped(7), 7u);
  auto rest = queue_->read(3, 0, 100);
  ASSERT_EQ(rest.size(), 5u);
  EXPECT_EQ(rest[0].message->fcnt_up, 7);
}

TEST_F(QueueTest, OverAgeGoes) {
  open();
  auto old = report(1, 1);
  old.arrived = clock_.now() - std::chrono::milliseconds(std::chrono::hours(24 * 8)).count();
  ASSERT_TRUE(append(std::move(old)));
  auto fresh = report(2, 2);
  fresh.arrived = clock_.now();
  ASSERT_TRUE(append(std::move(fresh)));
  route_all(0, 3);
  EXPECT_EQ(collector_->wait_dropped(1), 1u);
  EXPECT_EQ(queue_->read(3, 0, 100).size(), 1u);
}

TEST_F(QueueTest, FullRefusesAndTakesAgain) {
  options_.max_bytes = 1;  // full as soon as anything lies there
  options_.append_max_count = 1000;
  open();
  ASSERT_TRUE(append(report(1, 1)));
  auto deadline = std::chrono::steady_clock::now() + seconds(20);
  while (!queue_->full() && std::chrono::steady_clock::now() < deadline)
    std::this_thread::yield();
  auto refused = append(report(1, 2));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::transient);
  EXPECT_TRUE(refused.error().wait);
  EXPECT_EQ(refused.error().code, "com-5003");
}

TEST_F(QueueTest, BoundsOfOneListAreItsOwn) {
  open();
  queue_->set_bounds(3, {.max_count = 2});
  for (int i = 0; i < 5; ++i)
    ASSERT_TRUE(append(report(i, i)));
  auto messages = queue_->next(0, 10, milliseconds(0));
  std::vector<Routed> routed;
  for (const auto& message : messages)
    routed.push_back({message, {{3, nullptr, 0}, {4, nullptr, 0}}});
  queue_->put(std::move(routed), {messages.back()->seq, {}});
  EXPECT_EQ(collector_->wait_dropped(3), 3u);
  EXPECT_EQ(queue_->count(3), 2u);
  EXPECT_EQ(queue_->count(4), 5u);
  EXPECT_EQ(queue_->state(3).totals.fates[static_cast<std::size_t>(Fate::dropped)], 3u);
  expect_adds_up(3);
}

TEST_F(QueueTest, LettersStayUntilTheyAreResentOrDiscarded) {
  open();
  for (int i = 1; i <= 3; ++i)
    ASSERT_TRUE(append(report(i, i)));
  route_all(0, 3);
  collector_->wait(3, 3);
  auto entries = queue_->read(3, 0, 10);
  for (const auto& entry : entries) {
    give_up(3, entry);
    clock_.now_ += 1000;
  }
  open();  // over a restart
  auto page = queue_->letters(3, {});
  ASSERT_EQ(page.total, 3u);
  ASSERT_EQ(page.letters.size(), 3u);
  EXPECT_EQ(page.letters[0].message->fcnt_up, 3);  // newest first
  EXPECT_EQ(queue_->letters(3, {.offset = 1, .limit = 1}).letters.at(0).message->fcnt_up, 2);
  EXPECT_EQ(queue_->letters(3, {.dev_eui = "0000000000000002"}).total, 1u);
  EXPECT_EQ(queue_->letters(3, {.from = page.letters[1].time}).total, 2u);
  EXPECT_EQ(queue_->letters(3, {.to = page.letters[1].time}).total, 1u);
  auto one = queue_->letter(3, page.letters[0].id);
  ASSERT_TRUE(one);
  EXPECT_EQ(one->answer, "no such thing");
  EXPECT_EQ(one->tries, 3u);
  EXPECT_EQ(queue_->state(3).letters, 3u);
  EXPECT_EQ(queue_->count(3), 0u);

  EXPECT_EQ(queue_->resend(3, {page.letters[0].id, 999}), 1u);
  auto again = collector_->wait(3, 1);
  ASSERT_EQ(again.size(), 1u);
  EXPECT_TRUE(again[0].again);
  EXPECT_EQ(again[0].message->fcnt_up, 3);
  EXPECT_EQ(again[0].decoded->driver_id, "a:b:1");
  EXPECT_EQ(queue_->discard(3, {page.letters[1].id}), 1u);
  EXPECT_EQ(queue_->letters(3, {}).total, 1u);
  EXPECT_EQ(queue_->resend(3, {}), 1u);
  EXPECT_EQ(queue_->state(3).letters, 0u);
  open();
  auto rest = queue_->read(3, 0, 10);
  ASSERT_EQ(rest.size(), 2u);
  EXPECT_EQ(rest[0].message->body, again[0].message->body);
  EXPECT_EQ(rest[1].message->fcnt_up, 1);
  expect_adds_up(3);
  EXPECT_EQ(queue_->state(3).totals.accepted, 5u);
  EXPECT_EQ(queue_->state(3).totals.fates[static_cast<std::size_t>(Fate::dead)], 3u);
}

TEST_F(QueueTest, OfTooManyLettersTheOldestGo) {
  options_.letters_max_count = 2;
  options_.letters_max_age = std::chrono::hours(1);
  open();
  for (int i = 1; i <= 5; ++i)
    ASSERT_TRUE(append(report(i, i)));
  route_all(0, 3);
  collector_->wait(3, 5);
  for (const auto& entry : queue_->read(3, 0, 10))
    give_up(3, entry);
  EXPECT_EQ(collector_->wait_letters_dropped(3), 3u);
  auto page = queue_->letters(3, {});
  ASSERT_EQ(page.letters.size(), 2u);
  EXPECT_EQ(page.letters[1].message->fcnt_up, 4);
  clock_.now_ += milliseconds(std::chrono::hours(2)).count();
  EXPECT_EQ(collector_->wait_letters_dropped(5), 5u);
  EXPECT_EQ(queue_->state(3).letters, 0u);
  EXPECT_EQ(queue_->state(3).letter_bytes, 0u);
}

TEST_F(QueueTest, TotalsAddUpThroughAllThatCanHappen) {
  open();
  for (int i = 1; i <= 10; ++i)
    ASSERT_TRUE(append(report(i, i)));
  route_all(0, 3);
  collector_->wait(3, 10);
  auto entries = queue_->read(3, 0, 10);
  queue_->settle(3, {{entries[0].place, entries[0].bytes}, {entries[1].place, entries[1].bytes, Fate::filtered}},
                 entries[2].place);
  queue_->settle(3, {{entries[2].place, entries[2].bytes, Fate::expired}}, entries[3].place);
  give_up(3, entries[3]);
  open();
  auto state = queue_->state(3);
  EXPECT_EQ(state.totals.accepted, 10u);
  EXPECT_EQ(state.totals.fates, (std::array<std::uint64_t, kFates>{1, 1, 1, 1, 0}));
  EXPECT_EQ(state.count, 6u);
  std::uint64_t end = 0;
  EXPECT_EQ(queue_->purge(3, &end), 6u);
  EXPECT_GT(end, entries[9].place);
  queue_->settle(3, {{entries[9].place, entries[9].bytes}}, 0);  // came too late: it has been purged
  EXPECT_TRUE(queue_->put_again(3, {{entries[0].message, nullptr, 0}}));
  state = queue_->state(3);
  EXPECT_EQ(state.totals.accepted, 11u);
  EXPECT_EQ(state.totals.fates, (std::array<std::uint64_t, kFates>{1, 1, 1, 1, 6}));
  expect_adds_up(3);
  queue_->forget(3);
  EXPECT_EQ(queue_->state(3).totals.accepted, 0u);
  EXPECT_EQ(queue_->letters(3, {}).total, 0u);
  expect_adds_up(3);
}

TEST_F(QueueTest, AListIsReadWithoutSomeDevicesOrForOneAlone) {
  open();
  for (int i = 1; i <= 30; ++i)
    ASSERT_TRUE(append(report(i % 3, i)));
  route_all(0, 3);
  collector_->wait(3, 30);
  auto all = queue_->read(3, 0, 100);
  ReadFilter without;
  without.without.insert(device_hash("0000000000000001"));
  auto batch = queue_->read_some(3, 0, 100, without);
  EXPECT_EQ(batch.entries.size(), 20u);
  EXPECT_TRUE(batch.end);
  EXPECT_EQ(batch.last, all.back().place);
  ReadFilter only;
  only.only = device_hash("0000000000000001");
  only.scan = 6;
  batch = queue_->read_some(3, 0, 100, only);
  ASSERT_EQ(batch.entries.size(), 2u);
  EXPECT_EQ(batch.entries[0].message->fcnt_up, 1);
  EXPECT_FALSE(batch.end);
  EXPECT_EQ(batch.last, all[5].place);
  only.scan = 100;
  only.up_to = all[9].place;
  batch = queue_->read_some(3, batch.last, 100, only);
  ASSERT_EQ(batch.entries.size(), 2u);
  EXPECT_EQ(batch.entries[1].message->fcnt_up, 10);
  EXPECT_TRUE(batch.end);
}

TEST_F(QueueTest, TheLogIsFoundByTime) {
  open();
  EXPECT_EQ(queue_->seq_before(0), 0u);
  auto start = clock_.now();
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(append(report(1, i)));
    clock_.now_ += 1000;
  }
  EXPECT_EQ(queue_->seq_before(start), 0u);
  EXPECT_EQ(queue_->seq_before(start + 1), 1u);
  EXPECT_EQ(queue_->seq_before(start + 20'000), 20u);
  EXPECT_EQ(queue_->seq_before(start + 1'000'000), 50u);
  auto messages = queue_->stored_after(20, 2);
  ASSERT_EQ(messages.size(), 2u);
  EXPECT_EQ(messages[0]->fcnt_up, 20);
  EXPECT_EQ(queue_->newest(), 50u);
}

TEST_F(QueueTest, KeptFactsStayAndGo) {
  open();
  EXPECT_TRUE(queue_->keep_fact("paused/1", "1"));
  open();
  EXPECT_EQ(queue_->fact("paused/1"), "1");
  EXPECT_TRUE(queue_->keep_fact("paused/1", ""));
  EXPECT_FALSE(queue_->fact("paused/1"));
}

TEST_F(QueueTest, FactsStay) {
  open();
  queue_->put_fact("dev/1", "x");
  queue_->put_fact("dev/1", "y");
  open();
  EXPECT_EQ(queue_->fact("dev/1"), "y");
  EXPECT_FALSE(queue_->fact("dev/2"));
}

// Invariants 2 to 4 against a model, with random actions and reopenings.
TEST_F(QueueTest, RandomActionsAgainstAModel) {
  std::mt19937 random(20261122);
  open();
  std::map<std::uint64_t, std::map<std::uint64_t, std::int64_t>> model;  // connection -> place -> counter
  std::uint64_t routed_to = 0;
  std::int64_t counter = 0;
  std::map<std::uint64_t, std::size_t> notified;
  for (int step = 0; step < 300; ++step) {
    switch (random() % 8) {
      case 0:
      case 1:
      case 2:
      case 3: {
        ASSERT_TRUE(append(report(static_cast<int>(random() % 4), static_cast<int>(++counter))));
        auto connection = 1 + random() % 3;
        routed_to = route_all(routed_to, connection);
        auto seen = collector_->wait(connection, ++notified[connection]);
        model[connection][seen.back().place] = counter;
        break;
      }
      case 4:
      case 5: {
        auto connection = 1 + random() % 3;
        auto& list = model[connection];
        if (list.empty()) break;
        auto entry = std::next(list.begin(), static_cast<long>(random() % list.size()));
        auto place = entry->first;
        std::uint64_t bytes = 0;
        for (const auto& pending : queue_->read(connection, place - 1, 1))
          bytes = pending.bytes;
        list.erase(entry);
        queue_->settle(connection, {{place, bytes}}, list.empty() ? place + 1 : std::min(list.begin()->first, place));
        break;
      }
      case 6: {
        if (random() % 4) break;
        auto connection = 1 + random() % 3;
        // What is settled before must be written before: the purge is another caller's.
        queue_->put_fact("barrier", std::to_string(step));
        while (queue_->fact("barrier") != std::to_string(step))
          std::this_thread::yield();
        EXPECT_EQ(queue_->purge(connection), model[connection].size());
        model[connection].clear();
        break;
      }
      case 7:
        open();
        notified.clear();
        break;
    }
  }
  open();
  for (std::uint64_t connection = 1; connection <= 3; ++connection) {
    auto rest = queue_->read(connection, 0, 10'000);
    ASSERT_EQ(rest.size(), model[connection].size());
    auto expected = model[connection].begin();
    for (const auto& pending : rest) {
      EXPECT_EQ(pending.place, expected->first);
      EXPECT_EQ(pending.message->fcnt_up, expected->second);
      ++expected;
    }
    EXPECT_EQ(queue_->state(connection).count, rest.size());
  }
}

TEST_F(QueueTest, ReadsBackFromTheNewestRoutedOrNot) {
  open();
  for (int i = 1; i <= 20; ++i)
    ASSERT_TRUE(append(report(1, i)));
  route_all(0, 7);
  for (int i = 21; i <= 30; ++i)
    ASSERT_TRUE(append(report(1, i)));
  auto read = [&](std::size_t max, std::uint64_t bytes, std::size_t want) {
    std::vector<std::int64_t> counters;
    queue_->read_back(max, bytes, [&](const message::MessagePtr& message) {
      counters.push_back(*message->fcnt_up);
      return counters.size() < want;
    });
    return counters;
  };
  auto all = read(1000, 1u << 20, 1000);
  ASSERT_EQ(all.size(), 30u);
  EXPECT_EQ(all.front(), 30);
  EXPECT_EQ(all.back(), 1);
  EXPECT_EQ(read(1000, 1u << 20, 3), (std::vector<std::int64_t>{30, 29, 28}));
  EXPECT_EQ(read(5, 1u << 20, 1000).size(), 5u);
  EXPECT_EQ(read(1000, 1, 1000).size(), 1u);
  open();
  EXPECT_EQ(read(1000, 1u << 20, 1000).size(), 30u);
}

}  // namespace
}  // namespace sluice::queue
