// SPDX-License-Identifier: Apache-2.0
#include "binder/binders.h"

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"

namespace sluice::binder {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;

class FakeClock final : public Clock {
 public:
  [[nodiscard]] UnixMillis now() const override { return time; }
  [[nodiscard]] std::chrono::steady_clock::time_point steady() const override {
    return std::chrono::steady_clock::time_point(milliseconds(time));
  }
  UnixMillis time = 1'700'000'000'000;
};

// A network server whose answers and clock the test turns by hand.
class SenderTest : public testing::Test {
 protected:
  struct Sent {
    HttpRequest request;
    std::function<void(Result<HttpResponse>)> done;
  };
  SenderTest() {
    settings_->id = "b1";
    settings_->downlink_url = "https://ns/downlink";
    sender_.emplace(DownlinkTransport{[this](HttpRequest request, auto done) {
                                        sent_.push_back({std::move(request), std::move(done)});
                                      },
                                      [this](milliseconds delay, auto call) {
                                        due_.emplace(clock_.time + delay.count(), std::move(call));
                                      },
                                      [] { return 1.0; }},
                    clock_, metrics_);
    run();
  }
  // Runs what is due, and after it what became due by it.
  void run(milliseconds pass = milliseconds(0)) {
    auto until = clock_.time + pass.count();
    while (!due_.empty() && due_.begin()->first <= until) {
      auto call = due_.extract(due_.begin());
      clock_.time = std::max(clock_.time, call.key());
      call.mapped()();
    }
    clock_.time = until;
  }
  void send(const std::string& dev_eui, std::string_view payload, std::optional<UnixMillis> valid_until = {}) {
    message::Downlink downlink;
    downlink.dev_eui = dev_eui;
    downlink.fport = 1;
    downlink.payload_hex = payload;
    downlink.valid_until = valid_until;
    sender_->send(settings_, std::move(downlink),
                  [this](DownlinkAnswer answer) { answers_.push_back(std::move(answer)); });
    run();
  }
  void answer(std::size_t index, int status, std::string body = "") {
    sent_.at(index).done(HttpResponse{status, {}, std::move(body)});
    run();
  }

  FakeClock clock_;
  Metrics metrics_;
  std::shared_ptr<thingpark::Settings> settings_ = std::make_shared<thingpark::Settings>();
  std::vector<Sent> sent_;
  std::multimap<UnixMillis, std::function<void()>> due_;
  std::vector<DownlinkAnswer> answers_;
  std::optional<DownlinkSender> sender_;
};

TEST_F(SenderTest, PostsTheQueryWithAnEmptyBody) {
  send("A", "00");
  ASSERT_EQ(sent_.size(), 1u);
  EXPECT_EQ(sent_[0].request.method, "POST");
  EXPECT_EQ(sent_[0].request.url, "https://ns/downlink?DevEUI=A&FPort=1&Payload=00");
  EXPECT_EQ(sent_[0].request.body, "");
  EXPECT_THAT(sent_[0].request.headers,
              ElementsAre(testing::Pair("Content-Type", "application/x-www-form-urlencoded")));
  answer(0, 200, "<html><body>Request queued by LRC</body></html>");
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_TRUE(answers_[0].accepted);
  EXPECT_EQ(answers_[0].text, "Request queued by LRC");
  EXPECT_THAT(metrics_.text(), HasSubstr("sluice_binder_downlinks_total{result=\"accepted\"} 1"));
}

TEST_F(SenderTest, KeepsTheOrderOfADeviceAndHoldsUpNoOther) {
  send("A", "01");
  send("A", "02");
  send("B", "03");
  ASSERT_EQ(sent_.size(), 2u);
  EXPECT_THAT(sent_[1].request.url, HasSubstr("Payload=03"));
  answer(0, 503);
  ASSERT_EQ(sent_.size(), 2u) << "the second of A waits for the final verdict on the first";
  run(milliseconds(1000));
  ASSERT_EQ(sent_.size(), 3u);
  EXPECT_THAT(sent_[2].request.url, HasSubstr("Payload=01"));
  answer(2, 200);
  ASSERT_EQ(sent_.size(), 4u);
  EXPECT_THAT(sent_[3].request.url, HasSubstr("Payload=02"));
}

TEST_F(SenderTest, PassesARefusalOnAtOnceWithoutTags) {
  send("A", "00");
  answer(0, 400, "<html>\n<head></head><body>Invalid <b>FPort</b> &lt;0&gt; &amp; caf\xC3\xA9\xFF</body></html>");
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_FALSE(answers_[0].accepted);
  EXPECT_EQ(answers_[0].status, 400);
  EXPECT_EQ(answers_[0].text, "Invalid FPort <0> & caf???") << "always valid UTF-8";
  EXPECT_TRUE(due_.empty());
}

TEST_F(SenderTest, RepeatsWithGrowingDelayForFiveMinutes) {
  auto start = clock_.time;
  send("A", "00");
  std::vector<UnixMillis> delays;
  for (std::size_t i = 0; answers_.empty(); ++i) {
    ASSERT_LT(i, 50u);
    auto before = clock_.time;
    sent_[i].done(Error{ErrorKind::not_connected, "connection refused"});
    if (!answers_.empty()) break;
    run(milliseconds(due_.begin()->first - clock_.time));
    delays.push_back(clock_.time - before);
  }
  EXPECT_THAT(delays, ElementsAre(1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000));
  EXPECT_LT(clock_.time, start + 300'000);
  EXPECT_EQ(answers_[0].status, 0);
  EXPECT_EQ(answers_[0].text, "connection refused");
}

TEST_F(SenderTest, StopsAtTheValidityAndHeedsRetryAfter) {
  send("A", "00", clock_.time + 10'000);
  sent_[0].done(HttpResponse{429, {{"retry-after", "4"}}, "slow"});
  run(milliseconds(3999));
  EXPECT_EQ(sent_.size(), 1u);
  run(milliseconds(1));
  ASSERT_EQ(sent_.size(), 2u);
  sent_[1].done(HttpResponse{429, {{"retry-after", "6"}}, "slow"});
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_EQ(answers_[0].status, 429);
  send("A", "01", clock_.time);
  ASSERT_EQ(answers_.size(), 2u);
  EXPECT_THAT(answers_[1].text, HasSubstr("validity"));
  EXPECT_EQ(sent_.size(), 2u);
}

TEST_F(SenderTest, GivesUpWhereAPersonIsNeeded) {
  send("A", "00");
  sent_[0].done(Error{ErrorKind::bad_config, "unknown CA"});
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_EQ(answers_[0].text, "unknown CA");
}

TEST_F(SenderTest, RefusesOverTheBound) {
  for (int i = 0; i < 10'000; ++i)
    send("A", "00");
  EXPECT_TRUE(answers_.empty());
  send("B", "00");
  ASSERT_EQ(answers_.size(), 1u);
  EXPECT_EQ(answers_[0].status, 503);
  sender_.reset();
  EXPECT_EQ(answers_.size(), 10'001u) << "each gets one verdict";
  answer(0, 200);
  EXPECT_EQ(answers_.size(), 10'001u);
}

TEST(DownlinkSender, EndsCleanlyWithItsOwnTimer) {
  FakeClock clock;
  Metrics metrics;
  HttpClient http;
  std::atomic<int> answers = 0;
  {
    DownlinkSender sender(http, clock, metrics);
    auto settings = std::make_shared<thingpark::Settings>();
    settings->downlink_url = "unknown-scheme://x";
    message::Downlink downlink;
    downlink.dev_eui = "A";
    downlink.flush_queue = true;
    sender.send(settings, downlink, [&](const DownlinkAnswer& answer) {
      EXPECT_FALSE(answer.accepted);
      ++answers;
    });
  }
  EXPECT_EQ(answers, 1);
}

// ---- binders

// The store below a directory of its own, gone with the test.
class BindersTest : public testing::Test {
 protected:
  BindersTest() {
    auto opened = store::open_sqlite(directory_, SecretBox(std::string(32, 'k')), clock_);
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().text);
    if (opened) store_ = std::move(*opened);
    for (const char* account : {"acme", "two", "other"}) {
      EXPECT_TRUE(store_->put_account({account, account}));
    }
  }
  ~BindersTest() override {
    store_.reset();
    std::filesystem::remove_all(directory_);
  }
  static std::string fresh_directory() {
    auto path = (std::filesystem::temp_directory_path() / "sluice-binders-XXXXXX").string();
    EXPECT_NE(mkdtemp(path.data()), nullptr);
    return path;
  }
  void add(store::Binder row) {
    auto inserted = store_->insert_binder(std::move(row));
    EXPECT_TRUE(inserted) << (inserted ? "" : inserted.error().text);
  }

  FakeClock clock_;
  std::string directory_ = fresh_directory();
  std::unique_ptr<store::Store> store_;
};

store::Binder binder(std::string id, std::string account, std::string_view resource) {
  store::Binder row;
  row.id = std::move(id);
  row.account = std::move(account);
  row.resource = json::parse(resource)->as_object();
  row.as_key = "k";
  return row;
}

TEST_F(BindersTest, ReadsTheStoreAnew) {
  Binders binders(*store_);
  EXPECT_EQ(binders.find("b1"), nullptr);
  add(binder("b1", "acme",
             R"({"type":"thingpark","asId":"as.1","downlinkUrl":"https://ns/d","maxTimeDeviation":"5m"})"));
  add(binder("b2", "acme", R"({"type":"thingpark","security":false})"));
  add(binder("b3", "other", R"({"type":"unknown"})"));
  ASSERT_TRUE(binders.reload());
  auto first = binders.find("b1");
  ASSERT_TRUE(first);
  EXPECT_EQ(first->as_id, "as.1");
  EXPECT_EQ(first->as_key, "k");
  EXPECT_EQ(first->account, "acme");
  EXPECT_TRUE(first->security);
  EXPECT_EQ(first->max_time_deviation, std::chrono::minutes(5));
  auto second = binders.find("b2");
  ASSERT_TRUE(second);
  EXPECT_FALSE(second->security);
  EXPECT_FALSE(second->max_time_deviation);
  EXPECT_EQ(binders.find("b3"), nullptr);
  EXPECT_EQ(binders.find(""), nullptr);
  ASSERT_TRUE(store_->erase_binder("b1"));
  ASSERT_TRUE(binders.reload());
  EXPECT_EQ(binders.find("b1"), nullptr);
  EXPECT_EQ(first->as_id, "as.1") << "who holds the old settings may use them up";
}

TEST_F(BindersTest, FindsTheWayBackToADevice) {
  add(binder("b1", "acme", R"({"downlinkUrl":"https://ns/1"})"));
  add(binder("b2", "acme", "{}"));
  add(binder("b3", "two", R"({"downlinkUrl":"https://ns/3"})"));
  add(binder("b4", "two", R"({"downlinkUrl":"https://ns/4"})"));
  Binders binders(*store_);
  ASSERT_TRUE(binders.reload());
  auto id = [&](const std::string& account, const std::string& name) {
    auto found = binders.for_downlink(account, name);
    return found ? found->id : "";
  };
  EXPECT_EQ(id("acme", "b1"), "b1");
  EXPECT_EQ(id("acme", "b2"), "b1");
  EXPECT_EQ(id("acme", ""), "b1");
  EXPECT_EQ(id("acme", "b3"), "b1") << "another account's binder is no way";
  EXPECT_EQ(id("two", "b4"), "b4");
  EXPECT_EQ(id("two", ""), "");
  EXPECT_EQ(id("none", ""), "");
}

}  // namespace
}  // namespace sluice::binder
