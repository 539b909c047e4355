// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "api/event_sink.h"
#include "api/limits.h"
#include "api/tap.h"

namespace sluice::api {
namespace {

using message::Stage;

struct StillClock final : Clock {
  std::chrono::milliseconds time{1'000'000};
  [[nodiscard]] UnixMillis now() const override { return time.count(); }
  [[nodiscard]] std::chrono::steady_clock::time_point steady() const override {
    return std::chrono::steady_clock::time_point(time);
  }
};

struct KeptEvents final : StreamSink {
  bool event(std::string_view name, std::string_view, std::string_view data) override {
    all.emplace_back(std::string(name) + " " + std::string(data));
    return true;
  }
  std::vector<std::string> all;
};

TEST(EventText, KeepsLineBreaksInTheDataAndOutOfTheRest) {
  EXPECT_EQ(event_text("message", "7", "a\nb\r\nc"), "event: message\nid: 7\ndata: a\ndata: b\ndata: c\n\n");
  EXPECT_EQ(event_text("a\nid: 9", "", "x"), "event: aid: 9\ndata: x\n\n");
}

TEST(EventSink, GivesWhatWaitsInOrder) {
  EventSink sink;
  EXPECT_EQ(sink.take(), "");
  EXPECT_TRUE(sink.event("e", "1", "a"));
  EXPECT_TRUE(sink.event("e", "2", "b"));
  EXPECT_EQ(sink.take(), "event: e\nid: 1\ndata: a\n\nevent: e\nid: 2\ndata: b\n\n");
  EXPECT_EQ(sink.take(), "");
}

TEST(EventSink, DropsTheOldestAndTellsHowMany) {
  EventSink sink;
  for (std::size_t i = 0; i < EventSink::kMaxEvents + 10; ++i)
    sink.event("e", std::to_string(i), "x");
  auto text = sink.take();
  EXPECT_TRUE(text.starts_with("event: dropped\ndata: {\"count\":10}\n\nevent: e\nid: 10\n")) << text.substr(0, 80);
  sink.event("e", "next", "x");
  while (text.find("id: next") == std::string::npos) {
    text = sink.take();
    ASSERT_FALSE(text.empty());
    EXPECT_EQ(text.find("dropped"), std::string::npos) << "told once";
  }
}

TEST(EventSink, IsBoundedInBytesToo) {
  EventSink sink;
  std::string large(100u << 10, 'x');
  for (int i = 0; i < 10; ++i)
    sink.event("e", std::to_string(i), large);
  auto all = std::string();
  for (auto text = sink.take(); !text.empty(); text = sink.take())
    all += text;
  EXPECT_LE(all.size(), EventSink::kMaxBytes + 200);
  EXPECT_NE(all.find("id: 9\n"), std::string::npos) << "the newest stays";
  // One that is larger than the bound by itself still goes out.
  sink.event("e", "huge", std::string(EventSink::kMaxBytes * 2, 'x'));
  EXPECT_GT(sink.take().size(), EventSink::kMaxBytes);
}

TEST(EventSink, WakesOnceForWhatComes) {
  EventSink sink;
  int woken = 0;
  sink.when_ready([&] { ++woken; });
  EXPECT_EQ(woken, 0);
  sink.event("e", "", "a");
  sink.event("e", "", "b");
  EXPECT_EQ(woken, 1);
  sink.when_ready([&] { ++woken; });
  EXPECT_EQ(woken, 2) << "something waits already";
  (void)sink.take();
  sink.when_ready([&] { ++woken; });
  sink.close();
  EXPECT_EQ(woken, 3) << "so that the session sees the end";
  EXPECT_FALSE(sink.event("e", "", "c"));
}

TEST(Places, AreBoundedInAllAndByKey) {
  Places places(3, 2);
  auto one = places.take("a"), two = places.take("a");
  EXPECT_TRUE(one && two);
  EXPECT_FALSE(places.take("a"));
  auto three = places.take("b");
  EXPECT_TRUE(three);
  EXPECT_FALSE(places.take("c")) << "full in all";
  one.reset();
  EXPECT_TRUE(places.take("c"));
}

class TapTest : public testing::Test {
 protected:
  TapTest() {
    message_.seq = 7;
    message_.account = "1";
    message_.dev_eui = "0018B20000000B20";
    message_.type = message::MessageType::uplink;
    message_.body = R"({"DevEUI_uplink":{}})";
    message_.arrived = clock_.now();
  }
  void open(TapFilter filter) {
    tap_ = std::make_shared<Tap>(std::move(filter), clock_);
    tap_->open(sink_);
    watch_ = book_.watch("1", [tap = tap_](const message::Seen& seen) { tap->look(seen); });
  }
  // A message that flows 12 and 13 take, to connections 3 and 4, by a driver each.
  void send_one() {
    book_.note(message_, {.stage = Stage::stored, .document = message_.body});
    book_.note(message_, {.stage = Stage::routed, .connection = 3, .flow = "12", .driver = "acme:a:1"});
    book_.note(message_, {.stage = Stage::routed, .connection = 4, .flow = "13", .driver = "acme:b:1"});
    book_.note(message_, {.stage = Stage::decoded, .driver = "acme:a:1", .document = R"({"t":1})"});
    book_.note(message_, {.stage = Stage::decoded, .driver = "acme:b:1", .text = "boom"});
    book_.note(message_, {.stage = Stage::sent, .connection = 3, .document = "{\n \"t\": 1}"});
    book_.note(message_, {.stage = Stage::sent, .connection = 4, .document = "no JSON"});
    book_.note(message_, {.stage = Stage::delivered, .connection = 3});
    book_.note(message_, {.stage = Stage::refused, .connection = 4, .text = "400"});
  }
  std::vector<std::string> stages() const {
    std::vector<std::string> all;
    for (const auto& event : sink_->all) {
      auto from = event.find("\"stage\":\"") + 9;
      all.push_back(event.substr(from, event.find('"', from) - from));
    }
    return all;
  }

  StillClock clock_;
  message::TrailBook book_{clock_};
  std::shared_ptr<KeptEvents> sink_ = std::make_shared<KeptEvents>();
  std::shared_ptr<Tap> tap_;
  std::shared_ptr<void> watch_;
  message::Message message_;
};

TEST_F(TapTest, ShowsEveryStageWithItsDocument) {
  open({});
  send_one();
  EXPECT_EQ(stages(), (std::vector<std::string>{"raw", "routed", "routed", "decoded", "decoded", "transformed",
                                                "transformed", "delivered", "refused"}));
  EXPECT_NE(sink_->all[0].find(R"("document":{"DevEUI_uplink":{}})"), std::string::npos) << sink_->all[0];
  EXPECT_NE(sink_->all[4].find(R"("driverId":"acme:b:1","text":"boom")"), std::string::npos) << sink_->all[4];
  EXPECT_NE(sink_->all[5].find(R"("document":{"t":1})"), std::string::npos) << sink_->all[5];
  EXPECT_NE(sink_->all[6].find(R"("document":"no JSON")"), std::string::npos) << sink_->all[6];
  EXPECT_NE(sink_->all[8].find(R"("connectionId":"4")"), std::string::npos) << sink_->all[8];
}

TEST_F(TapTest, FollowsOneConnectionFromTheRawReportOn) {
  open({.connection = 4});
  send_one();
  EXPECT_EQ(stages(), (std::vector<std::string>{"raw", "routed", "decoded", "transformed", "refused"}));
  EXPECT_NE(sink_->all[2].find("acme:b:1"), std::string::npos);
}

TEST_F(TapTest, FollowsOneFlow) {
  open({.flow = "12"});
  send_one();
  EXPECT_EQ(stages(), (std::vector<std::string>{"raw", "routed", "decoded", "transformed", "delivered"}));
  EXPECT_NE(sink_->all[2].find("acme:a:1"), std::string::npos);
}

TEST_F(TapTest, ShowsNothingOfOtherDevicesAndStages) {
  open({.dev_eui = "0018B20000000B21"});
  send_one();
  EXPECT_TRUE(sink_->all.empty());
  open({.dev_eui = message_.dev_eui, .stages = {Stage::delivered, Stage::refused}});
  send_one();
  EXPECT_EQ(stages(), (std::vector<std::string>{"delivered", "refused"}));
}

TEST_F(TapTest, CountsWhatIsOverTheRate) {
  open({.rate = 5});
  send_one();
  EXPECT_EQ(sink_->all.size(), 5u);
  tap_->tick();
  ASSERT_EQ(sink_->all.size(), 6u);
  EXPECT_EQ(sink_->all.back(), R"(skipped {"count":4})");
  tap_->tick();
  EXPECT_EQ(sink_->all.size(), 6u) << "told once";
  clock_.time += std::chrono::milliseconds(1000);
  send_one();
  EXPECT_EQ(sink_->all.size(), 11u);
}

TEST_F(TapTest, TellsALargeDocumentByItsSize) {
  open({.stages = {Stage::stored}});
  message_.body = "\"" + std::string(100'000, 'x') + "\"";
  send_one();
  ASSERT_EQ(sink_->all.size(), 1u);
  EXPECT_NE(sink_->all[0].find(R"("documentBytes":100002})"), std::string::npos) << sink_->all[0].substr(0, 300);
}

TEST(TapStage, HasBothNames) {
  EXPECT_EQ(tap_stage("raw"), Stage::stored);
  EXPECT_EQ(tap_stage("stored"), Stage::stored);
  EXPECT_EQ(tap_stage("transformed"), Stage::sent);
  EXPECT_EQ(tap_stage("dropped"), Stage::dropped);
  EXPECT_FALSE(tap_stage("nothing"));
}

}  // namespace
}  // namespace sluice::api
