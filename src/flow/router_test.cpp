// SPDX-License-Identifier: Apache-2.0
#include "flow/router.h"

#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <future>
#include <gtest/gtest.h>
#include <thread>
#include <unistd.h>

#include "base/crypto.h"
#include "base/json.h"
#include "flow/downlinks.h"
#include "queue/queue.h"

namespace sluice::flow {
namespace {

// The engine starts its hosts from this very program.
[[gnu::constructor]] void become_a_host() {
  std::ifstream arguments("/proc/self/cmdline");
  std::string program, word;
  std::getline(arguments, program, '\0');
  std::getline(arguments, word, '\0');
  if (word == "driver-host") ::_exit(driver::run_host());
}

class Collector final : public queue::Subscriber {
 public:
  void on_pending(std::uint64_t connection, std::vector<queue::Pending> entries) override {
    std::lock_guard lock(mutex_);
    for (auto& entry : entries)
      seen_[connection].push_back(std::move(entry));
    changed_.notify_all();
  }
  void on_dropped(std::uint64_t, std::uint64_t, std::uint64_t, const char*) override {}
  std::vector<queue::Pending> wait(std::uint64_t connection, std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(20), [&] { return seen_[connection].size() >= count; });
    return seen_[connection];
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::uint64_t, std::vector<queue::Pending>> seen_;
};

class RouterTest : public testing::Test {
 protected:
  RouterTest() {
    std::filesystem::create_directories(directory_);
    store_ = std::move(*store::open_sqlite(directory_, SecretBox(random_bytes(32)), system_clock()));
    events_ = std::make_unique<store::Events>(*store_, system_clock(), metrics_);
    log_ = std::make_unique<store::DriverLog>(*store_, system_clock(), metrics_);
    journal_ = std::make_unique<driver::Journal>(*log_, *events_, system_clock(), metrics_);
    catalogue_ = std::make_unique<driver::Catalogue>(*store_);
    engine_ = std::make_unique<driver::Engine>(driver::EngineOptions{}, metrics_);
    auto started = engine_->start();
    EXPECT_TRUE(started) << started.error().text;
    open();
  }
  ~RouterTest() override {
    router_->stop();
    queue_->close();
    engine_.reset();
    std::filesystem::remove_all(directory_);
  }
  void open() {
    if (router_) router_->stop();
    router_.reset();
    queue_.reset();
    queue::Options options;
    options.directory = directory_ + "/queue";
    queue_ = std::move(*queue::open_rocks(options, system_clock(), metrics_));
    queue_->subscribe(&collector_);
    router_ = std::make_unique<Router>(*queue_, *store_, *catalogue_, *engine_, *journal_, *events_, system_clock(),
                                       metrics_);
    EXPECT_TRUE(router_->start());
  }
  void add_flow(const std::string& resource) {
    store::Flow flow;
    flow.account = "1";
    flow.resource = json::parse(resource)->get_object();
    ASSERT_TRUE(store_->insert_flow(flow));
    ASSERT_TRUE(router_->reload());
  }
  void add_driver(const std::string& name, const std::string& code) {
    store::Driver driver;
    driver.id = "custom:" + name + ":1";
    driver.account = "1";
    driver.code = code;
    driver.resource =
        json::parse(
            R"({"type":"lora-alliance","version":"1.0.0","source":"custom","application":{"producerId":"acme","moduleId":")" +
            name + R"(","version":"1"}})")
            ->get_object();
    ASSERT_TRUE(store_->insert_driver(driver));
    ASSERT_TRUE(catalogue_->reload());
  }
  void send(const std::string& body, const std::string& binder = "b") {
    auto message = message::parse_report(body);
    ASSERT_TRUE(message) << message.error().text;
    message->account = "1";
    message->binder = binder;
    message->arrived = system_clock().now();
    std::promise<void> stored;
    queue_->append(std::move(*message), [&](Result<queue::Appended> result) {
      EXPECT_TRUE(result);
      stored.set_value();
    });
    stored.get_future().wait();
  }
  static std::string uplink(const std::string& dev_eui, int counter, const std::string& more = "") {
    return R"({"DevEUI_uplink":{"DevEUI":")" + dev_eui + R"(","FPort":1,"FCntUp":)" + std::to_string(counter) +
           R"(,"payload_hex":"0102")" + more + "}}";
  }

  std::string directory_ = std::filesystem::temp_directory_path() / ("sluice-router-" + random_uuid());
  Metrics metrics_;
  Collector collector_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<store::Events> events_;
  std::unique_ptr<store::DriverLog> log_;
  std::unique_ptr<driver::Journal> journal_;
  std::unique_ptr<driver::Catalogue> catalogue_;
  std::unique_ptr<driver::Engine> engine_;
  std::unique_ptr<queue::Queue> queue_;
  std::unique_ptr<Router> router_;
};

constexpr const char* kA = "00000000000000AA";
constexpr const char* kB = "00000000000000BB";

TEST_F(RouterTest, RoutesByKeyAndGoesOnAfterARestart) {
  add_flow(
      R"({"matchers":[{"type":"key","key":"lora:00000000000000aa"}],"connectors":[{"id":"x","connectionId":"3","uplinkTimeValidity":"1m"}]})");
  send(uplink(kA, 1));
  send(uplink(kB, 1));
  auto seen = collector_.wait(3, 1);
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].validity_ms, 60'000);
  EXPECT_EQ(seen[0].decoded, nullptr);
  open();  // nothing is routed a second time
  send(uplink(kA, 2));
  seen = collector_.wait(3, 2);
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[1].message->fcnt_up, 2);
  EXPECT_EQ(queue_->count(3), 2u);
}

TEST_F(RouterTest, AConnectionOfSeveralFlowsGetsItOnceByTheFirst) {
  add_flow(
      R"({"matchers":[{"type":"key","key":"lora:00000000000000aa"}],"connectors":[{"connectionId":"3","uplinkTimeValidity":"1m"}]})");
  add_flow(
      R"({"matchers":[{"type":"thing","tags":["Hall"]}],"connectors":[{"connectionId":"3"},{"connectionId":"4"}]})");
  send(uplink(kA, 1, R"(,"ModelCfg":"1:hall")"));
  EXPECT_EQ(collector_.wait(4, 1).size(), 1u);
  auto seen = collector_.wait(3, 1);
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].validity_ms, 60'000);
}

TEST_F(RouterTest, AMessageWithoutTagsTakesThoseOfItsDevice) {
  add_flow(R"({"matchers":[{"type":"thing","tags":["hall"]}],"connectors":[{"connectionId":"3"}]})");
  send(uplink(kA, 1, R"(,"ModelCfg":"1:Hall")"));
  collector_.wait(3, 1);
  open();  // what is known of a device survives
  send(R"({"DevEUI_downlink_Sent":{"DevEUI":"00000000000000AA","DeliveryStatus":1}})");
  auto seen = collector_.wait(3, 2);
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[1].message->type, message::MessageType::downlink_sent);
  EXPECT_EQ(router_->device("1", kA)->binder, "b");
  EXPECT_FALSE(router_->device("2", kA));
}

TEST_F(RouterTest, DecodesOnceForAllConnectionsAndKeepsTheOrderOfADevice) {
  add_driver("echo", R"(function decodeUplink(input) {
    if (input.FCntUp === 1) for (let until = Date.now() + 300; Date.now() < until;) ;
    if (input.FCntUp === 3) throw new Error("Invalid fPort!");
    return {data: {n: input.FCntUp, bytes: input.bytes}}; })");
  add_flow(
      R"({"matchers":[],"driver":{"id":"actility:auto:1"},"connectors":[{"connectionId":"3"},{"connectionId":"4"}]})");
  const std::string cfg = R"(,"DriverCfg":{"app":{"pId":"acme","mId":"echo","ver":"1"}})";
  for (int i = 1; i <= 4; ++i)
    send(uplink(kA, i, cfg));
  send(uplink(kB, 100));  // no DriverCfg: passes undecoded, and past the slow device
  auto seen = collector_.wait(3, 5);
  ASSERT_EQ(seen.size(), 5u);
  std::vector<int> of_a;
  for (const auto& pending : seen) {
    if (pending.message->dev_eui != kA) {
      EXPECT_EQ(pending.decoded, nullptr);
      continue;
    }
    of_a.push_back(static_cast<int>(*pending.message->fcnt_up));
    ASSERT_TRUE(pending.decoded);
    EXPECT_EQ(pending.decoded->driver_id, "custom:echo:1");
    if (pending.message->fcnt_up == 3) {
      EXPECT_EQ(pending.decoded->error_code, "com-5002");
      EXPECT_EQ(pending.decoded->error_message, "driver internal error: Error: Invalid fPort!");
    } else {
      EXPECT_EQ(pending.decoded->payload, R"({"n":)" + std::to_string(of_a.back()) + R"(,"bytes":[1,2]})");
    }
  }
  EXPECT_EQ(of_a, (std::vector{1, 2, 3, 4}));
  EXPECT_EQ(collector_.wait(4, 5)[0].decoded, collector_.wait(3, 5)[0].decoded);
  EXPECT_EQ(router_->driver_for("1", kA, "3"), "actility:auto:1");
  EXPECT_EQ(router_->driver_for("1", kA, "9"), "");
}

TEST_F(RouterTest, AReportOfOursGoesToItsConnectionAlone) {
  add_flow(R"({"matchers":[],"connectors":[{"connectionId":"3"},{"connectionId":"4"}]})");
  send(R"({"DevEUI_downlink_Rejected":{"DevEUI":"00000000000000AA"}})", message::binder_of_connection("4"));
  send(uplink(kA, 1));
  EXPECT_EQ(collector_.wait(4, 2).size(), 2u);
  EXPECT_EQ(collector_.wait(3, 1).size(), 1u);
}

TEST_F(RouterTest, MatchlessIsCountedAndTold) {
  send(uplink(kA, 1));
  send(uplink(kA, 2));
  auto unmatched = metrics_.counter("sluice_flow_unmatched_total", "Messages that matched no flow.");
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (unmatched->get() < 2 && std::chrono::steady_clock::now() < deadline)
    std::this_thread::yield();
  EXPECT_EQ(unmatched->get(), 2);
  events_->flush();
  store::EventQuery query;
  query.account = "1";
  query.code = "flow-4001";
  query.to = system_clock().now() + 1000;
  auto events = store_->events(query);
  ASSERT_TRUE(events);
  ASSERT_EQ(events->size(), 1u);  // folded
}

TEST_F(RouterTest, AFailingDriverIsOneEventAndItsConsoleIsKept) {
  add_driver("bad",
             "function decodeUplink(i) { console.log('got', i.bytes.length); throw new Error('no ' + Math.random()) }");
  add_flow(R"({"connectors":[{"id":"x","connectionId":"7"}],"driver":{"id":"custom:bad:1"}})");
  for (int i = 0; i < 300; ++i)
    send(uplink(i % 2 ? kA : kB, i));
  collector_.wait(7, 300);
  events_->flush();
  auto told = *store_->events({.account = "1", .from = 0, .to = system_clock().now() + 1, .code = "driver-2001"});
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].data.at("count"), 300);
  EXPECT_EQ(told[0].data.at("devices"), 2);
  journal_->flush_log();
  auto entries =
      *store_->driver_log({.account = "1", .driver_id = "custom:bad:1", .from = 0, .to = system_clock().now() + 1});
  ASSERT_FALSE(entries.empty());
  EXPECT_EQ(entries.back().data.at("lines").at(0), "got 2");
  EXPECT_EQ(entries.back().data.at("payload"), "0102");
  auto statistics = journal_->statistics().of("1", "custom:bad:1");
  ASSERT_TRUE(statistics);
  EXPECT_EQ(statistics->of(driver::Operation::decode_uplink).failures, 300u);
  EXPECT_GT(statistics->of(driver::Operation::decode_uplink).times.quantile(0.5), 0u);
}

TEST_F(RouterTest, FindsTheLastUplinksOfADriver) {
  add_driver("one", "function decodeUplink(i) { return {data: {}} }");
  add_driver("two", "function decodeUplink(i) { return {data: {}} }");
  add_flow(
      R"({"connectors":[{"id":"x","connectionId":"7"}],"matchers":[{"type":"key","key":"lora:00000000000000aa"}],"driver":{"id":"custom:one:1"}})");
  add_flow(
      R"({"connectors":[{"id":"x","connectionId":"8"}],"matchers":[{"type":"key","key":"lora:00000000000000bb"}],"driver":{"id":"actility:auto:1"}})");
  const std::string cfg = R"(,"DriverCfg":{"app":{"pId":"acme","mId":"two","ver":"1"}})";
  for (int i = 0; i < 10; ++i) {
    send(uplink(kA, i));
    send(uplink(kB, i, i % 2 ? cfg : ""));
  }
  send(R"({"DevEUI_uplink":{"DevEUI":"00000000000000AA","FPort":1,"FCntUp":99}})");  // nothing to decode
  collector_.wait(7, 11);
  collector_.wait(8, 10);
  auto ones = router_->last_uplinks("1", "custom:one:1", 4);
  ASSERT_EQ(ones.size(), 4u);
  EXPECT_EQ(ones[0].message->fcnt_up, 9);
  EXPECT_EQ(ones[3].message->fcnt_up, 6);
  EXPECT_EQ(ones[0].input.payload_hex, "0102");
  EXPECT_EQ(router_->last_uplinks("1", "custom:one:1", 100).size(), 10u);
  EXPECT_EQ(router_->last_uplinks("1", "custom:two:1", 100).size(), 5u);
  EXPECT_TRUE(router_->last_uplinks("2", "custom:one:1", 100).empty());
}

TEST_F(RouterTest, ADriverKnownWithoutCodeIsTold) {
  add_driver("hidden", "");
  add_flow(R"({"connectors":[{"id":"x","connectionId":"7"}],"driver":{"id":"actility:auto:1"}})");
  send(uplink(kA, 1, R"(,"DriverCfg":{"app":{"pId":"acme","mId":"hidden","ver":"1"}})"));
  EXPECT_EQ(collector_.wait(7, 1)[0].decoded, nullptr);
  events_->flush();
  auto told = *store_->events({.account = "1", .from = 0, .to = system_clock().now() + 1, .code = "driver-2003"});
  ASSERT_EQ(told.size(), 1u);
  EXPECT_TRUE(told[0].message.starts_with("No driver code")) << told[0].message;
}

TEST_F(RouterTest, ADownlinkTellsWhatItsDriverSaid) {
  add_driver("hidden", "");
  add_driver("no", "function decodeUplink() {} function encodeDownlink(i) { return {errors: ['a'], warnings: ['w']} }");
  Downlinks downlinks(
      *router_, *catalogue_, *engine_, *journal_, *events_, system_clock(), metrics_,
      {.send = [](const OutgoingDownlink&, const auto&, const auto&) { FAIL() << "nothing is to be sent"; },
       .count = [](const std::string&, DownlinkCount) {},
       .report = [](message::Message) {}});
  auto send_down = [&](const std::string& module) {
    std::promise<DownlinkResult> promise;
    downlinks.handle({.account = "1", .connection_id = "7"},
                     R"({"DevEUI_downlink":{"DevEUI":"00000000000000AA","FPort":1,"payload":{"a":1},"DriverCfg":)" +
                         (R"({"app":{"pId":"acme","mId":")" + module) + R"(","ver":"1"}}}})",
                     [&](DownlinkResult result) { promise.set_value(std::move(result)); });
    return promise.get_future().get();
  };
  auto hidden = send_down("hidden");
  EXPECT_EQ(hidden.status, DownlinkResult::Status::driver_refused);
  EXPECT_TRUE(hidden.text.starts_with("no driver code: custom:hidden:1")) << hidden.text;
  auto refused = send_down("no");
  EXPECT_EQ(refused.status, DownlinkResult::Status::driver_refused);
  EXPECT_EQ(refused.code, "com-5000");
  EXPECT_EQ(refused.driver_id, "custom:no:1");
  EXPECT_EQ(refused.driver_errors, std::vector<std::string>{"a"});
  EXPECT_EQ(refused.warnings, std::vector<std::string>{"w"});
  EXPECT_EQ(journal_->statistics().of("1", "custom:no:1")->of(driver::Operation::encode_downlink).failures, 1u);
  journal_->flush_log();
  auto entries =
      *store_->driver_log({.account = "1", .driver_id = "custom:no:1", .from = 0, .to = system_clock().now() + 1});
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries[0].operation, "encodeDownlink");
  EXPECT_EQ(entries[0].data.at("payload"), R"({"a":1})");
  // What the engine still has to tell goes to `downlinks`, which therefore outlives it.
  router_->stop();
  engine_.reset();
}

}  // namespace
}  // namespace sluice::flow
