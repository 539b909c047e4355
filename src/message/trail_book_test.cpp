// SPDX-License-Identifier: Apache-2.0
#include "message/trail_book.h"

#include <gtest/gtest.h>
#include <thread>

namespace sluice::message {
namespace {

struct ManualClock final : Clock {
  std::atomic<UnixMillis> time{1'700'000'000'000};
  [[nodiscard]] UnixMillis now() const override { return time; }
  [[nodiscard]] std::chrono::steady_clock::time_point steady() const override {
    return std::chrono::steady_clock::time_point(std::chrono::milliseconds(time));
  }
};

Message uplink(std::uint64_t seq, const std::string& dev_eui = "0018B20000000B20", const std::string& account = "1") {
  Message message;
  message.seq = seq;
  message.account = account;
  message.dev_eui = dev_eui;
  message.type = MessageType::uplink;
  message.fport = 2;
  message.fcnt_up = static_cast<std::int64_t>(seq);
  message.arrived = 1'699'999'999'000;
  return message;
}

TEST(TrailBook, KeepsTheWholeWayInOrder) {
  ManualClock clock;
  TrailBook book(clock);
  auto message = uplink(7);
  book.note(message, {.stage = Stage::stored});
  book.note(message, {.stage = Stage::routed, .connection = 3, .flow = "12", .driver = "acme:d:1"});
  clock.time += 5;
  book.note(message, {.stage = Stage::decoded, .driver = "acme:d:1", .text = "boom"});
  auto trail = book.of_message("1", 7);
  ASSERT_TRUE(trail);
  EXPECT_TRUE(trail->whole);
  EXPECT_EQ(trail->dev_eui, "0018B20000000B20");
  EXPECT_EQ(trail->account, "1");
  EXPECT_EQ(trail->fcnt_up, 7);
  ASSERT_EQ(trail->steps.size(), 3u);
  EXPECT_EQ(trail->steps[0].stage, Stage::stored);
  EXPECT_EQ(trail->steps[0].time, message.arrived) << "when it came, not when it was noted";
  EXPECT_EQ(trail->steps[1].connection, 3u);
  EXPECT_EQ(trail->steps[1].flow, "12");
  EXPECT_EQ(trail->steps[1].driver, "acme:d:1");
  EXPECT_EQ(trail->steps[2].text, "boom");
  EXPECT_EQ(trail->steps[2].time, clock.now());
}

TEST(TrailBook, KeepsAccountsApart) {
  ManualClock clock;
  TrailBook book(clock);
  book.note(uplink(7), {.stage = Stage::stored});
  EXPECT_FALSE(book.of_message("2", 7));
  EXPECT_TRUE(book.of_device("2", "0018B20000000B20", 10).empty());
  // A name with a slash does not lead into another account.
  book.note(uplink(8, "B", "1/A"), {.stage = Stage::stored});
  EXPECT_TRUE(book.of_message("1/A", 8));
  EXPECT_FALSE(book.of_message("1", 8));
}

TEST(TrailBook, GivesADevicesNewestFirst) {
  ManualClock clock;
  TrailBook book(clock);
  for (std::uint64_t seq : {5, 9, 7})
    book.note(uplink(seq), {.stage = Stage::stored});
  book.note(uplink(6, "0018B20000000B21"), {.stage = Stage::stored});
  auto found = book.of_device("1", "0018B20000000B20", 2);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].seq, 9u);
  EXPECT_EQ(found[1].seq, 7u);
}

TEST(TrailBook, TellsThatTheBeginningIsMissing) {
  ManualClock clock;
  TrailBook book(clock);
  book.note(uplink(7), {.stage = Stage::sent, .connection = 3});
  EXPECT_FALSE(book.of_message("1", 7)->whole);
  book.note(uplink(0), {.stage = Stage::stored});  // without a number: nothing to find it by
  EXPECT_FALSE(book.of_message("1", 0));
}

TEST(TrailBook, StaysWithinItsBoundAndForgetsTheOldest) {
  ManualClock clock;
  TrailBook book(clock, 1u << 20);
  for (std::uint64_t seq = 1; seq <= 20'000; ++seq)
    book.note(uplink(seq, "DEVICE" + std::to_string(seq % 50)), {.stage = Stage::stored});
  EXPECT_LE(book.bytes(), 1u << 20);
  EXPECT_GT(book.bytes(), 1u << 18);
  EXPECT_FALSE(book.of_message("1", 1));
  EXPECT_TRUE(book.of_message("1", 20'000));
  auto found = book.of_device("1", "DEVICE0", 1000);
  ASSERT_FALSE(found.empty());
  EXPECT_EQ(found.front().seq, 20'000u);
  for (std::size_t i = 1; i < found.size(); ++i)
    EXPECT_EQ(found[i].seq, found[i - 1].seq - 50);
}

TEST(TrailBook, LeavesOutTheMiddleOfAnEndlessStory) {
  ManualClock clock;
  TrailBook book(clock);
  auto message = uplink(7);
  book.note(message, {.stage = Stage::stored});
  constexpr int kTries = 5000;
  for (int i = 0; i < kTries; ++i)
    book.note(message, {.stage = Stage::retried, .connection = 3, .text = "connection refused"});
  book.note(message, {.stage = Stage::delivered, .connection = 3});
  auto trail = book.of_message("1", 7);
  EXPECT_EQ(trail->steps.front().stage, Stage::stored);
  EXPECT_EQ(trail->steps.back().stage, Stage::delivered);
  EXPECT_GT(trail->left_out, 0u);
  EXPECT_EQ(trail->left_out + trail->steps.size(), kTries + 2u);
  EXPECT_LT(book.bytes(), 20'000u);
}

TEST(TrailBook, CutsLongTextsBetweenCharacters) {
  ManualClock clock;
  TrailBook book(clock);
  std::string text = "x";
  for (int i = 0; i < 1000; ++i)
    text += "ö";
  book.note(uplink(7), {.stage = Stage::refused, .connection = 3, .text = text});
  auto kept = book.of_message("1", 7)->steps[0].text;
  EXPECT_LT(kept.size(), 400u);
  EXPECT_EQ(kept.size() % 2, 1u) << "x and whole two-byte characters";
}

TEST(TrailBook, WatchersSeeTheirAccountUntilTheyLetGo) {
  ManualClock clock;
  TrailBook book(clock);
  EXPECT_FALSE(book.watched("1"));
  std::vector<std::string> seen;
  auto watch = book.watch("1", [&](const Seen& one) {
    seen.push_back(std::string(to_string(one.note.stage)) + " " + std::string(one.note.document) + " " +
                   std::to_string(one.routed.size()));
  });
  EXPECT_TRUE(book.watched("1"));
  EXPECT_FALSE(book.watched("2"));
  book.note(uplink(7), {.stage = Stage::stored, .document = "{}"});
  book.note(uplink(7), {.stage = Stage::routed, .connection = 3, .flow = "12"});
  book.note(uplink(8, "0018B20000000B20", "2"), {.stage = Stage::stored});
  EXPECT_EQ(seen, (std::vector<std::string>{"stored {} 0", "routed  1"}));
  watch.reset();
  EXPECT_FALSE(book.watched("1"));
  book.note(uplink(9), {.stage = Stage::stored});
  EXPECT_EQ(seen.size(), 2u);
}

TEST(TrailBook, TakesNotesFromManyThreads) {
  ManualClock clock;
  TrailBook book(clock, 256u << 10);
  std::atomic<int> seen{0};
  auto watch = book.watch("1", [&](const Seen&) { ++seen; });
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (std::uint64_t i = 1; i <= 500; ++i) {
        auto message = uplink(t * 1000 + i, "DEVICE" + std::to_string(i % 7));
        book.note(message, {.stage = Stage::stored});
        book.note(message, {.stage = Stage::delivered, .connection = 3});
        (void)book.of_device("1", "DEVICE1", 5);
      }
    });
  }
  for (auto& thread : threads)
    thread.join();
  EXPECT_EQ(seen, 4000);
  EXPECT_LE(book.bytes(), 256u << 10);
}

}  // namespace
}  // namespace sluice::message
