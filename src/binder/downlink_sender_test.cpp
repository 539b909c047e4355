// SPDX-License-Identifier: Apache-2.0
#include "binder/downlink_sender.h"

#include <atomic>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"

namespace sluice::binder {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Verdict = DownlinkAnswer::Verdict;

class FakeClock final : public Clock {
 public:
  [[nodiscard]] UnixMillis now() const override { return time; }
  [[nodiscard]] std::chrono::steady_clock::time_point steady() const override {
    return std::chrono::steady_clock::time_point(milliseconds(time));
  }
  std::atomic<UnixMillis> time = 1'700'000'000'000;  // the thread that writes events reads it too
};

// What a disk keeps over restarts; told to fail.
class FakeQueue final : public store::DownlinkQueue {
 public:
  Result<std::vector<store::QueuedDownlinkRow>> read() override {
    std::vector<store::QueuedDownlinkRow> all;
    for (const auto& [id, row] : rows)
      all.push_back(row);
    return all;
  }
  Result<void> write(const std::vector<store::QueuedDownlinkRow>& added,
                     const std::vector<std::uint64_t>& removed) override {
    if (broken) return Error{ErrorKind::transient, "disk full", "com-5003"};
    ++commits;
    for (const auto& row : added)
      rows[row.id] = row;
    for (auto id : removed)
      rows.erase(id);
    return {};
  }
  std::map<std::uint64_t, store::QueuedDownlinkRow> rows;
  bool broken = false;
  int commits = 0;
};

// A network server, a disk and a clock that the test turns by hand.
class SenderTest : public testing::Test {
 protected:
  struct Sent {
    HttpRequest request;
    std::function<void(Result<HttpResponse>)> done;
  };
  SenderTest() : directory_(fresh_directory()) {
    auto opened = store::open_sqlite(directory_, SecretBox(std::string(32, 'k')), clock_);
    EXPECT_TRUE(opened);
    store_ = std::move(*opened);
    EXPECT_TRUE(store_->put_account({"acme", "acme"}));
    events_.emplace(*store_, clock_, metrics_);
    binder_->id = "b1";
    binder_->downlink_url = "https://ns/downlink";
    open();
  }
  ~SenderTest() override {
    sender_.reset();
    events_.reset();
    store_.reset();
    std::filesystem::remove_all(directory_);
  }
  static std::string fresh_directory() {
    auto path = (std::filesystem::temp_directory_path() / "sluice-sender-XXXXXX").string();
    EXPECT_NE(mkdtemp(path.data()), nullptr);
    return path;
  }
  // A sender, as a new process would make it.
  void open() {
    sender_.reset();
    due_.clear();
    disk_.clear();
    sender_.emplace(
        DownlinkTransport{
            [this](HttpRequest request, auto done) {
              sent_.push_back({std::move(request), std::move(done)});
            },
            [this](milliseconds delay, auto call) { due_.emplace(clock_.time + delay.count(), std::move(call)); },
            [this](auto call) { disk_.push_back(std::move(call)); }, [] { return 1.0; }},
        queue_, [this](const std::string& id) { return id == "b1" ? binder_ : nullptr; }, settings_, *events_, clock_,
        metrics_);
    EXPECT_TRUE(sender_->start([this](const OutgoingDownlink& out, const DownlinkAnswer& answer) {
      settled_.emplace_back(*out.downlink.payload_hex, answer);
    }));
    run();
  }
  // Runs what is due, and after it what became due by it. The disk is quick, unless it is held.
  void run(milliseconds pass = milliseconds(0)) {
    auto until = clock_.time + pass.count();
    for (;;) {
      if (!disk_.empty() && !disk_held_) {
        auto call = std::move(disk_.front());
        disk_.pop_front();
        call();
      } else if (!due_.empty() && due_.begin()->first <= until) {
        auto call = due_.extract(due_.begin());
        clock_.time = std::max(clock_.time.load(), call.key());
        call.mapped()();
      } else {
        break;
      }
    }
    clock_.time = until;
  }
  void send(const std::string& dev_eui, std::string_view payload, std::optional<UnixMillis> valid_until = {},
            bool keep = true) {
    OutgoingDownlink out{.account = "acme", .connection_id = "7", .binder_id = "b1", .keep = keep};
    out.downlink.dev_eui = "000000000000000" + dev_eui;
    out.downlink.fport = 1;
    out.downlink.payload_hex = payload;
    out.downlink.valid_until = valid_until;
    sender_->send(
        std::move(out), [this] { ++stored_; },
        [this](DownlinkAnswer answer) { answers_.push_back(std::move(answer)); });
    run();
  }
  void answer(std::size_t index, int status, std::string body = "",
              std::vector<std::pair<std::string, std::string>> headers = {}) {
    sent_.at(index).done(HttpResponse{status, std::move(headers), std::move(body)});
    run();
  }
  void unreachable(std::size_t index) {
    sent_.at(index).done(Error{ErrorKind::not_connected, "connection refused"});
    run();
  }
  std::string payload_of(std::size_t index) {
    const auto& url = sent_.at(index).request.url;
    auto at = url.find("Payload=") + 8;
    return url.substr(at, url.find('&', at) - at);
  }
  std::vector<store::Event> events(const std::string& code) {
    events_->flush();
    return *store_->events({.account = "acme", .from = 0, .to = clock_.time + 1, .code = code});
  }

  FakeClock clock_;
  Metrics metrics_;
  std::string directory_;
  std::unique_ptr<store::Store> store_;
  std::optional<store::Events> events_;
  FakeQueue queue_;
  DownlinkSettings settings_;
  std::shared_ptr<thingpark::Settings> binder_ = std::make_shared<thingpark::Settings>();
  std::vector<Sent> sent_;
  std::multimap<UnixMillis, std::function<void()>> due_;
  std::deque<std::function<void()>> disk_;
  bool disk_held_ = false;
  int stored_ = 0;
  std::vector<DownlinkAnswer> answers_;
  std::vector<std::pair<std::string, DownlinkAnswer>> settled_;
  std::optional<DownlinkSender> sender_;
};

TEST_F(SenderTest, PostsTheQueryWithAnEmptyBody) {
  send("A", "00");
  ASSERT_EQ(sent_.size(), 1u);
  EXPECT_EQ(sent_[0].request.method, "POST");
  EXPECT_EQ(sent_[0].request.url, "https://ns/downlink?DevEUI=000000000000000A&FPort=1&Payload=00");
  EXPECT_EQ(sent_[0].request.body, "");
  EXPECT_THAT(sent_[0].request.headers,
              ElementsAre(testing::Pair("Content-Type", "application/x-www-form-urlencoded")));
  answer(0, 200, "<html><body>Request queued by LRC</body></html>");
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_EQ(answers_[0].verdict, Verdict::accepted);
  EXPECT_EQ(answers_[0].text, "Request queued by LRC");
  EXPECT_THAT(metrics_.text(), HasSubstr("sluice_binder_downlinks_total{result=\"accepted\"} 1"));
  EXPECT_THAT(queue_.rows, IsEmpty());
  EXPECT_THAT(settled_, IsEmpty()) << "its caller was told";
}

TEST_F(SenderTest, SendsNothingBeforeItIsOnTheDisk) {
  disk_held_ = true;
  send("A", "00");
  send("B", "01");
  EXPECT_THAT(sent_, IsEmpty());
  EXPECT_EQ(stored_, 0);
  disk_held_ = false;
  run();
  EXPECT_EQ(stored_, 2);
  EXPECT_EQ(queue_.commits, 1) << "one commit for all that wait";
  EXPECT_EQ(sent_.size(), 2u);
}

TEST_F(SenderTest, RefusesWhatTheDiskDoesNotTake) {
  queue_.broken = true;
  send("A", "00");
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_EQ(answers_[0].verdict, Verdict::full);
  EXPECT_THAT(answers_[0].text, HasSubstr("disk full"));
  EXPECT_EQ(stored_, 0);
  EXPECT_THAT(sent_, IsEmpty());
  queue_.broken = false;
  send("A", "01");
  EXPECT_EQ(payload_of(0), "01");
  queue_.broken = true;
  answer(0, 200);
  EXPECT_EQ(answers_[1].verdict, Verdict::accepted) << "the note of it may come later";
  queue_.broken = false;
  run(milliseconds(1000));
  EXPECT_THAT(queue_.rows, IsEmpty());
}

TEST_F(SenderTest, KeepsTheOrderOfADeviceAndHoldsUpNoOther) {
  send("A", "01");
  send("A", "02");
  send("B", "03");
  ASSERT_EQ(sent_.size(), 2u);
  EXPECT_EQ(payload_of(1), "03");
  answer(0, 500);
  ASSERT_EQ(sent_.size(), 2u) << "the second of A waits for the final verdict on the first";
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_EQ(answers_[0].verdict, Verdict::pending);
  answer(1, 200);
  EXPECT_EQ(answers_[1].verdict, Verdict::accepted);
  run(milliseconds(1000));
  ASSERT_EQ(sent_.size(), 3u);
  EXPECT_EQ(payload_of(2), "01");
  answer(2, 200);
  ASSERT_EQ(settled_.size(), 1u) << "the verdict of one that was pending";
  EXPECT_EQ(settled_[0].first, "01");
  EXPECT_EQ(settled_[0].second.verdict, Verdict::accepted);
  ASSERT_EQ(sent_.size(), 4u);
  EXPECT_EQ(payload_of(3), "02");
}

TEST_F(SenderTest, PassesARefusalOnAtOnceWithoutTags) {
  send("A", "00");
  answer(0, 400, "<html>\n<head></head><body>Invalid <b>FPort</b> &lt;0&gt; &amp; caf\xC3\xA9\xFF</body></html>");
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_EQ(answers_[0].verdict, Verdict::refused);
  EXPECT_EQ(answers_[0].status, 400);
  EXPECT_EQ(answers_[0].text, "Invalid FPort <0> & caf???") << "always valid UTF-8";
  EXPECT_THAT(queue_.rows, IsEmpty());
}

TEST_F(SenderTest, WaitsForANetworkServerThatIsAwayAndLetsOneTry) {
  send("A", "01");
  send("B", "02");
  unreachable(0);
  unreachable(1);
  ASSERT_EQ(answers_.size(), 2u);
  EXPECT_EQ(answers_[0].verdict, Verdict::pending);
  EXPECT_EQ(answers_[0].text, "connection refused");
  EXPECT_EQ(answers_[0].expires, clock_.time + 24 * 3'600'000);
  send("C", "03");
  ASSERT_EQ(answers_.size(), 3u) << "known to be away: nobody waits for it";
  EXPECT_EQ(answers_[2].verdict, Verdict::pending);
  EXPECT_EQ(sent_.size(), 2u);
  run(milliseconds(1000));
  ASSERT_EQ(sent_.size(), 3u) << "one tries";
  unreachable(2);
  run(milliseconds(1999));
  EXPECT_EQ(sent_.size(), 3u);
  run(milliseconds(1));
  ASSERT_EQ(sent_.size(), 4u);
  answer(3, 200);
  EXPECT_EQ(sent_.size(), 6u) << "it is back: all go";
  auto told = events("binder-5002");
  ASSERT_FALSE(told.empty());
  EXPECT_EQ(json::text_or(told[0].data, "binderId"), "b1");
}

TEST_F(SenderTest, GrowsItsDelayToAMinute) {
  send("A", "00");
  std::vector<UnixMillis> delays;
  for (std::size_t i = 0; i < 9; ++i) {
    auto before = clock_.time.load();
    unreachable(i);
    while (sent_.size() == i + 1)
      run(milliseconds(1000));
    delays.push_back(clock_.time - before);
  }
  EXPECT_THAT(delays, ElementsAre(1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000));
}

TEST_F(SenderTest, HeedsRetryAfter) {
  send("A", "00");
  answer(0, 429, "slow", {{"retry-after", "4"}});
  run(milliseconds(3999));
  EXPECT_EQ(sent_.size(), 1u);
  run(milliseconds(1));
  EXPECT_EQ(sent_.size(), 2u);
}

TEST_F(SenderTest, GivesUpAtTheValidity) {
  send("A", "01", clock_.time + 10'000);
  send("B", "02");
  unreachable(0);
  unreachable(1);
  run(milliseconds(15'000));
  ASSERT_EQ(settled_.size(), 1u);
  EXPECT_EQ(settled_[0].first, "01");
  EXPECT_EQ(settled_[0].second.verdict, Verdict::expired);
  EXPECT_THAT(settled_[0].second.text, HasSubstr("connection refused"));
  // Nothing but the other one is left, which waits for a day.
  ASSERT_EQ(queue_.rows.size(), 1u);
  for (std::size_t i = 2; settled_.size() == 1 && clock_.time < 1'700'000'000'000 + 25 * 3'600'000LL;) {
    if (i < sent_.size()) {
      unreachable(i++);
    } else {
      run(milliseconds(30'000));
    }
  }
  ASSERT_EQ(settled_.size(), 2u);
  EXPECT_EQ(settled_[1].second.verdict, Verdict::expired);
  EXPECT_NEAR(static_cast<double>(clock_.time - 1'700'000'000'000), 24 * 3'600'000.0, 60'000.0);
}

TEST_F(SenderTest, ASlowAnswerIsNotWaitedForByTheCaller) {
  send("A", "00");
  run(milliseconds(7999));
  EXPECT_THAT(answers_, IsEmpty());
  run(milliseconds(1));
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_EQ(answers_[0].verdict, Verdict::pending);
  answer(0, 350, "no");
  ASSERT_EQ(settled_.size(), 1u);
  EXPECT_EQ(settled_[0].second.verdict, Verdict::refused);
}

TEST_F(SenderTest, OneThatIsNotKeptIsTriedOnce) {
  send("A", "00", {}, false);
  EXPECT_THAT(queue_.rows, IsEmpty());
  EXPECT_EQ(stored_, 0);
  unreachable(0);
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_EQ(answers_[0].verdict, Verdict::no_answer);
  send("A", "01", {}, false);
  ASSERT_EQ(answers_.size(), 2u) << "the network server is known to be away";
  EXPECT_EQ(answers_[1].verdict, Verdict::no_answer);
  EXPECT_THAT(answers_[1].text, HasSubstr("connection refused"));
}

TEST_F(SenderTest, GoesOnAfterARestartInOrder) {
  send("A", "01");
  send("A", "02");
  send("B", "03");
  unreachable(0);
  ASSERT_EQ(queue_.rows.size(), 3u);
  answers_.clear();
  sent_.clear();
  open();
  ASSERT_EQ(sent_.size(), 2u);
  EXPECT_EQ(payload_of(0), "01");
  EXPECT_EQ(payload_of(1), "03");
  answer(0, 200);
  answer(1, 350, "no");
  ASSERT_EQ(sent_.size(), 3u);
  EXPECT_EQ(payload_of(2), "02");
  answer(2, 200);
  EXPECT_EQ(settled_.size(), 3u);
  EXPECT_THAT(queue_.rows, IsEmpty());
  send("A", "04");
  EXPECT_EQ(queue_.rows.begin()->first, 4u) << "ids go on";
}

TEST_F(SenderTest, AnAnswerAfterTheStopIsNotNoted) {
  send("A", "01");
  send("B", "02");
  sender_->stop(milliseconds(0));
  ASSERT_EQ(answers_.size(), 2u);
  EXPECT_EQ(answers_[0].verdict, Verdict::pending);
  answer(0, 200);
  EXPECT_EQ(queue_.rows.size(), 2u) << "sent again after the start: duplicate allowed, loss not";
}

TEST_F(SenderTest, RefusesOverTheBound) {
  settings_.max_queued = 10;
  open();
  for (int i = 0; i < 10; ++i)
    send("A", "00");
  EXPECT_THAT(answers_, IsEmpty());
  send("B", "00");
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_EQ(answers_[0].verdict, Verdict::full);
  answer(0, 200);
  send("B", "00");
  EXPECT_EQ(answers_.size(), 2u);
}

TEST_F(SenderTest, HasABoundOfRequestsInFlight) {
  settings_.in_flight = 2;
  open();
  for (const char* device : {"A", "B", "C", "D"})
    send(device, "00");
  EXPECT_EQ(sent_.size(), 2u);
  answer(0, 200);
  EXPECT_EQ(sent_.size(), 3u);
}

TEST_F(SenderTest, ListsAndDropsWhatWaits) {
  send("A", "01");
  send("A", "02");
  send("B", "03");
  answer(1, 500, "later");
  auto page = sender_->queued("7", 0, 2);
  EXPECT_EQ(page.total, 3u);
  ASSERT_EQ(page.items.size(), 2u);
  EXPECT_TRUE(page.items[0].in_flight);
  EXPECT_EQ(page.items[1].tries, 0u);
  EXPECT_EQ(sender_->queued("7", 2, 10).items.at(0).last_error, "later");
  EXPECT_EQ(sender_->queued("8", 0, 10).total, 0u);
  EXPECT_EQ(sender_->purge("8"), 0u);
  EXPECT_EQ(sender_->purge("7"), 2u);
  run();
  EXPECT_EQ(queue_.rows.size(), 1u) << "what is under way is left to its answer";
  EXPECT_EQ(answers_.back().verdict, Verdict::purged);
  EXPECT_EQ(settled_.at(0).second.verdict, Verdict::purged);
  answer(0, 200);
  EXPECT_EQ(sender_->queued("7", 0, 10).total, 0u);
  run(milliseconds(10'000));
  EXPECT_EQ(sent_.size(), 2u);
}

TEST_F(SenderTest, EndsWhereItsNetworkServerHasGone) {
  binder_->downlink_url.clear();
  send("A", "01");
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_EQ(answers_[0].verdict, Verdict::not_there);
}

TEST_F(SenderTest, ACommandIsSignedWithTheTimeOfEachTry) {
  OutgoingDownlink out{.account = "acme", .connection_id = "7", .binder_id = "b1"};
  out.downlink = message::parse_downlink(
                     R"({"DevEUI":"000000000000000A","FPort":1,"payload_hex":"00","AS_KEY":"k","ValidityTime":"60",)"
                     R"("Time":"2023-11-14T00:00:00Z"})",
                     {}, true, clock_.time)
                     .downlink;
  sender_->send(std::move(out), {}, [this](DownlinkAnswer answer) { answers_.push_back(std::move(answer)); });
  run();
  EXPECT_THAT(sent_.at(0).request.url, HasSubstr("&Time=2023-11-14T00%3A00%3A00Z&"));
  EXPECT_THAT(sent_.at(0).request.url, HasSubstr("&ValidityTime=60&"));
  answer(0, 500);
  run(milliseconds(1000));
  EXPECT_THAT(sent_.at(1).request.url, HasSubstr("&Time=2023-11-14T22%3A13%3A21.000%2B00%3A00&"));
  EXPECT_THAT(sent_.at(1).request.url, HasSubstr("&ValidityTime=59&"));
}

TEST(DownlinkQueue, KeepsSealedRowsOverARestart) {
  auto directory = (std::filesystem::temp_directory_path() / "sluice-queue-XXXXXX").string();
  ASSERT_NE(mkdtemp(directory.data()), nullptr);
  const SecretBox box(std::string(32, 'k'));
  {
    auto queue = store::open_downlink_queue(directory, box);
    ASSERT_TRUE(queue);
    ASSERT_TRUE((*queue)->write({{1, "a", "7", "b", 10, 20, "planted-secret"}, {2, "a", "7", "b", 11, 21, "two"}}, {}));
    ASSERT_TRUE((*queue)->write({{3, "a", "8", "b", 12, 22, "three"}}, {2, 99}));
  }
  auto again = store::open_downlink_queue(directory, box);
  ASSERT_TRUE(again);
  auto rows = (*again)->read();
  ASSERT_TRUE(rows);
  ASSERT_EQ(rows->size(), 2u);
  EXPECT_EQ((*rows)[0].text, "planted-secret");
  EXPECT_EQ((*rows)[1].id, 3u);
  EXPECT_EQ((*rows)[1].connection_id, "8");
  auto other = store::open_downlink_queue(directory, SecretBox(std::string(32, 'x')));
  ASSERT_TRUE(other);
  auto unreadable = (*other)->read();
  ASSERT_TRUE(unreadable);
  EXPECT_THAT(*unreadable, IsEmpty());
  std::filesystem::remove_all(directory);
}

TEST(DownlinkSender, EndsCleanlyWithItsOwnThreads) {
  FakeClock clock;
  Metrics metrics;
  HttpClient http;
  FakeQueue queue;
  auto directory = (std::filesystem::temp_directory_path() / "sluice-sender-XXXXXX").string();
  ASSERT_NE(mkdtemp(directory.data()), nullptr);
  auto store = store::open_sqlite(directory, SecretBox(std::string(32, 'k')), clock);
  ASSERT_TRUE(store);
  std::atomic<int> answers = 0;
  {
    store::Events events(**store, clock, metrics);
    auto settings = std::make_shared<thingpark::Settings>();
    settings->downlink_url = "unknown-scheme://x";
    DownlinkSender sender(
        http, queue, [&](const std::string&) { return settings; }, {}, events, clock, metrics);
    ASSERT_TRUE(sender.start([](const OutgoingDownlink&, const DownlinkAnswer&) {}));
    OutgoingDownlink out;
    out.downlink.dev_eui = "000000000000000A";
    out.downlink.flush_queue = true;
    sender.send(out, {}, [&](const DownlinkAnswer& answer) {
      EXPECT_NE(answer.verdict, Verdict::accepted);
      ++answers;
    });
  }
  EXPECT_EQ(answers, 1);
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace sluice::binder
