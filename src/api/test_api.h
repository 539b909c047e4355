// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <condition_variable>
#include <filesystem>
#include <gtest/gtest.h>
#include <map>
#include <mutex>

#include "api/router.h"
#include "base/codec.h"
#include "base/crypto.h"

namespace sluice::api {

struct ManualClock final : Clock {
  std::atomic<UnixMillis> time{1'700'000'000'000};
  [[nodiscard]] UnixMillis now() const override { return time; }
  [[nodiscard]] std::chrono::steady_clock::time_point steady() const override {
    return std::chrono::steady_clock::time_point(std::chrono::milliseconds(time));
  }
};

struct FakeManager final : connection::Manager {
  void apply(const store::Connection& connection) override { applied.push_back(connection); }
  void remove(const std::string& id) override { removed.push_back(id); }
  Result<void> restart(const std::string& id) override {
    restarted.push_back(id);
    return {};
  }
  [[nodiscard]] connection::Status status(const std::string&) const override { return state; }
  [[nodiscard]] connection::WindowCounts windows(const std::string&) const override { return counts; }
  void count(const std::string&, connection::Counter counter) override { ++counted[counter]; }
  std::uint64_t purge(const std::string& id) override {
    purged.push_back(id);
    return 3;
  }
  void test(store::Connection draft, std::string uplink, std::function<void(connection::TestReport)> done) override {
    tested.emplace_back(std::move(draft), std::move(uplink));
    done(test_report);
  }
  Result<void> pause(const std::string&) override {
    state.paused = true;
    return {};
  }
  Result<void> resume(const std::string&) override {
    state.paused = false;
    return {};
  }
  connection::DeadLetterPage dead_letters(const std::string&, const connection::DeadLetterFilter& filter,
                                          std::size_t offset, std::size_t limit) override {
    letters_asked = {filter, offset, limit};
    return letters;
  }
  std::optional<connection::DeadLetter> dead_letter(const std::string&, std::uint64_t letter) override {
    for (const auto& one : letters.items) {
      if (one.id == letter) return one;
    }
    return std::nullopt;
  }
  // Gives the number of those that are there; all, where none is named.
  std::uint64_t resend(const std::string&, std::vector<std::uint64_t> which) override {
    resent.push_back(which);
    return known(which);
  }
  std::uint64_t discard(const std::string&, std::vector<std::uint64_t> which) override {
    discarded.push_back(which);
    return known(which);
  }
  [[nodiscard]] std::uint64_t known(const std::vector<std::uint64_t>& which) const {
    std::uint64_t count = 0;
    for (const auto& one : letters.items)
      count += which.empty() || std::find(which.begin(), which.end(), one.id) != which.end() ? 1 : 0;
    return count;
  }
  bool end_replay(const std::string&) override { return replay_runs; }
  [[nodiscard]] connection::QueueStatus queue(const std::string&) override { return queue_status; }
  Result<connection::ReplayReport> replay(const std::string&, const connection::ReplayRequest& request) override {
    replays.push_back(request);
    return connection::ReplayReport{.messages = 2, .bytes = 200};
  }
  Result<std::vector<connection::SeriesPoint>> series(const std::string&, UnixMillis from, UnixMillis to,
                                                      std::chrono::minutes step) override {
    series_asked = {from, to, step};
    return points;
  }
  struct SeriesAsked {
    UnixMillis from = 0, to = 0;
    std::chrono::minutes step{0};
  } series_asked;
  std::vector<std::pair<store::Connection, std::string>> tested;
  connection::TestReport test_report;
  connection::DeadLetterPage letters;
  struct LettersAsked {
    connection::DeadLetterFilter filter;
    std::size_t offset = 0, limit = 0;
  } letters_asked;
  std::vector<std::vector<std::uint64_t>> resent, discarded;
  bool replay_runs = false;
  connection::QueueStatus queue_status;
  std::vector<connection::ReplayRequest> replays;
  std::vector<connection::SeriesPoint> points;
  std::vector<store::Connection> applied;
  std::vector<std::string> removed, restarted, purged;
  std::map<connection::Counter, int> counted;
  connection::Status state;
  connection::WindowCounts counts;
};

// Keeps what is appended; answers at once from the caller's thread, or when told to.
struct FakeLog final : queue::Log {
  void append(message::Message message, queue::AppendDone done) override {
    std::lock_guard lock(mutex);
    messages.push_back(std::move(message));
    if (hold) {
      waiting.push_back(std::move(done));
      arrived.notify_all();
      return;
    }
    done(full ? Result<queue::Appended>(
                    Error{.kind = ErrorKind::transient, .text = "full", .wait = std::chrono::seconds(7)})
              : Result<queue::Appended>(queue::Appended::stored));
  }
  // Waits until so many wait, then answers all of them from another thread than the server's.
  void release(std::size_t count) {
    std::unique_lock lock(mutex);
    arrived.wait(lock, [&] { return waiting.size() >= count; });
    auto all = std::move(waiting);
    waiting.clear();
    lock.unlock();
    for (auto& done : all)
      done(queue::Appended::stored);
  }
  std::mutex mutex;
  std::condition_variable arrived;
  std::vector<message::Message> messages;
  std::vector<queue::AppendDone> waiting;
  bool hold = false, full = false;
};

// The API on a real store in a directory of its own; what lies behind it is played.
class ApiTest : public testing::Test {
 protected:
  ApiTest()
      : directory_(std::filesystem::temp_directory_path() / ("sluice-api-" + random_uuid())),
        store_(std::move(*store::open_sqlite(directory_, SecretBox(std::string(32, 'k')), clock_))),
        events_(*store_, clock_, metrics_),
        driver_log_(*store_, clock_, metrics_),
        journal_(driver_log_, events_, clock_, metrics_),
        api_(context()) {
    EXPECT_TRUE(bootstrap(*store_, "first-secret", directory_));
    EXPECT_TRUE(api_.open());
    token_ = token_of("admin", "first-secret");
  }
  ~ApiTest() override { std::filesystem::remove_all(directory_); }

  Context context() {
    return Context{
        .store = *store_,
        .events = events_,
        .clock = clock_,
        .metrics = metrics_,
        .registry = registry_,
        .connections = manager_,
        .log = log_,
        .find_binder =
            [this](std::string_view id) {
              return id == binder_->id ? std::shared_ptr<const binder::thingpark::Settings>(binder_) : nullptr;
            },
        .accept = [](const binder::thingpark::Settings& settings, const binder::thingpark::Request& request,
                     UnixMillis now) -> std::variant<message::Message, binder::thingpark::Refusal> {
          if (request.query == "wrong") return binder::thingpark::Refusal{401, "Authentication failed"};
          if (request.body.empty()) return binder::thingpark::Refusal{400, "no message"};
          message::Message message;
          message.account = settings.account;
          message.arrived = now;
          message.body = request.body;
          return message;
        },
        .reload_binders = [this] { return reload("binders"); },
        .reload_flows = [this] { return reload("flows"); },
        .reload_drivers = [this] { return reload("drivers"); },
        .find_driver = [this](const std::string& account, const std::string& id) { return driver(account, id); },
        .choose_driver = [this](const std::string& account, const std::optional<message::ModuleRef>& application,
                                const std::optional<message::ModuleRef>&) -> driver::DriverCodePtr {
          return application && application->module == "known" ? driver(account, "custom:known:1") : nullptr;
        },
        .is_without_code = [this](const std::string&, const std::string& id) { return id == without_code_; },
        .choose_without_code = [this](const std::string&, const std::optional<message::ModuleRef>& application,
                                      const std::optional<message::ModuleRef>&) -> std::string {
          return application && application->module == "hidden" ? without_code_ : "";
        },
        .inspect_driver = [this](driver::Engine::Inspected what) -> Result<driver::Engine::Inspection> {
          {
            const std::lock_guard lock(inspected_mutex_);  // the server's workers come side by side
            inspected_.push_back(what);
          }
          if (what.source == "syntax error")
            return Error{ErrorKind::permanent, "driver internal error: SyntaxError: x", "com-5002"};
          if (what.source == "nothing") {
            return Error{ErrorKind::permanent,
                         "unable to wrap driver, driver code must have one type of signatures (tpx, ttn, chirpstack)",
                         "com-4000"};
          }
          return driver::Engine::Inspection{.signature = what.declared.value_or(driver::Signature::actility),
                                            .decode_uplink = true,
                                            .encode_downlink = true};
        },
        .run_drivers =
            [this](std::vector<driver::Job> jobs) {
              for (auto& job : jobs)
                job.done(outcome_(job));
            },
        .journal = journal_,
        .driver_limits = {std::chrono::milliseconds(1000), 128u << 20, 1u << 20, driver::kMaxDepth},
        .last_uplinks =
            [this](const std::string&, const std::string&, std::size_t last) {
              auto uplinks = stored_uplinks_;
              if (uplinks.size() > last) uplinks.resize(last);
              return uplinks;
            },
        .handle_downlink =
            [this](flow::DownlinkSource source, std::string body,
                   const std::function<void(flow::DownlinkResult)>& done) {
              downlinks_.emplace_back(std::move(source), std::move(body));
              done(downlink_result_);
            },
        .public_url = "http://sluice.test",
        .ready = [this] { return ready_; },
        .data_directory = directory_,
        .queued_downlinks =
            [this](const std::string& connection, std::size_t offset, std::size_t limit) {
              queued_asked_ = connection + " " + std::to_string(offset) + " " + std::to_string(limit);
              return queued_;
            },
        .purge_downlinks = [this](const std::string& connection) -> std::size_t {
          purged_downlinks_.push_back(connection);
          return 1;
        },
    };
  }

  Result<void> reload(const std::string& what) {
    ++reloads_[what];
    return {};
  }
  driver::DriverCodePtr driver(const std::string& account, const std::string& id) {
    for (const auto& owner : {account, std::string()}) {
      auto found = store_->driver(owner, id);
      if (found && *found) {
        return std::make_shared<driver::DriverCode>(
            driver::DriverCode{.account = owner, .id = id, .source = (*found)->code});
      }
    }
    return nullptr;
  }

  std::string token_of(const std::string& client, const std::string& secret) {
    Request request{.method = "POST", .path = "/iot-flow/v1/oauth/token", .peer = "192.0.2.1"};
    request.body = "grant_type=client_credentials&client_id=" + client + "&client_secret=" + url_encode(secret);
    auto response = api_.handle(request);
    EXPECT_EQ(response.status, 200) << response.body;
    return json::text_or(json::parse(response.body)->as_object(), "access_token");
  }
  // A client with another role of the same account.
  std::string token_with(store::Role role, const std::string& account = "1") {
    std::string id = "client-" + std::to_string(static_cast<int>(role)) + account;
    EXPECT_TRUE(store_->put_account({.id = account, .name = "account " + account}));
    EXPECT_TRUE(store_->put_client(
        {.client_id = id, .account = account, .role = role, .secret_hash = hash_secret("s"), .token_epoch = "e"}));
    return token_of(id, "s");
  }

  Request request(const std::string& method, const std::string& target, const std::string& body = "") {
    auto question = target.find('?');
    Request made{.method = method, .path = target.substr(0, question), .body = body, .peer = "192.0.2.1"};
    if (question != std::string::npos) made.query = target.substr(question + 1);
    if (!made.path.starts_with("/iot-flow") && !made.path.ends_with("z") && made.path != "/metrics") {
      made.path = "/iot-flow/v1" + made.path;
    }
    made.headers = {{"authorization", "Bearer " + token_}};
    if (!body.empty()) made.headers.emplace_back("content-type", "application/json");
    return made;
  }
  Response send(const Request& request) {
    auto response = api_.handle(request);
    if (!response.later) return response;
    std::optional<Response> late;
    response.later->start([&](Response given) { late = std::move(given); });
    if (!late) late = response.later->too_late();
    api_.complete(request, *late);
    return *late;
  }
  Response send(const std::string& method, const std::string& target, const std::string& body = "") {
    return send(request(method, target, body));
  }
  static boost::json::value body_of(const Response& response) {
    auto parsed = json::parse(response.body);
    EXPECT_TRUE(parsed) << response.body;
    return parsed ? *parsed : nullptr;
  }
  static std::string header_of(const Response& response, std::string_view name) {
    for (const auto& [key, value] : response.headers) {
      if (equals_ignoring_case(key, name)) return value;
    }
    return {};
  }
  static std::string code_of(const Response& response) { return json::text_or(body_of(response).as_object(), "code"); }
  std::vector<store::Event> events(const std::string& code) {
    events_.flush();
    return *store_->events({.account = "1", .from = 0, .to = clock_.now() + 1, .code = code});
  }

  ManualClock clock_;
  Metrics metrics_;
  std::string directory_;
  std::unique_ptr<store::Store> store_;
  store::Events events_;
  store::DriverLog driver_log_;
  driver::Journal journal_;
  connector::Registry registry_;
  FakeManager manager_;
  FakeLog log_;
  std::shared_ptr<binder::thingpark::Settings> binder_ = std::make_shared<binder::thingpark::Settings>(
      binder::thingpark::Settings{.id = "0b6b8a4e-0000-4000-8000-000000000001", .account = "1"});
  std::map<std::string, int> reloads_;
  std::function<driver::Outcome(const driver::Job&)> outcome_ = [](const driver::Job&) {
    return driver::Outcome{.ok = true, .data = R"({"temperature":21.5})"};
  };
  std::vector<std::pair<flow::DownlinkSource, std::string>> downlinks_;
  binder::QueuedDownlinkPage queued_;
  std::string queued_asked_;
  std::vector<std::string> purged_downlinks_;
  flow::DownlinkResult downlink_result_{.dev_eui = "0018B20000000B20", .correlation_id = "4434704901C7450B"};
  std::mutex inspected_mutex_;
  std::vector<driver::Engine::Inspected> inspected_;
  std::string without_code_ = "acme:hidden:1";
  std::vector<flow::Router::StoredUplink> stored_uplinks_;
  bool ready_ = true;
  Api api_;
  std::string token_;
};

class DriversTest : public ApiTest {
 protected:
  static std::string driver(const std::string& code = "function decodeUplink(input) {}",
                            const std::string& version = "1.2.3") {
    return json::write(
        boost::json::object{{"name", "my driver"},
                            {"type", "thingpark-x-js"},
                            {"moduleId", "known"},
                            {"version", version},
                            {"application", {{"producerId", "acme"}, {"moduleId", "known"}, {"version", "1"}}},
                            {"code", to_base64(code)},
                            {"examples", boost::json::array{boost::json::object{{"description", "e"},
                                                                                {"type", "uplink"},
                                                                                {"bytes", "00ff"},
                                                                                {"fPort", 2},
                                                                                {"data", {{"temperature", 21.5}}}}}}});
  }
  // A system driver, `more` put over it.
  void system_driver(const boost::json::object& more = {}) {
    store::Driver driver{.id = "actility:sys:1",
                         .resource = {{"id", "actility:sys:1"},
                                      {"name", "sys"},
                                      {"producerId", "actility"},
                                      {"moduleId", "sys"},
                                      {"source", "system"},
                                      {"version", "1.0.0"},
                                      {"application", {{"producerId", "adeunis"}, {"moduleId", "m"}, {"version", "1"}}},
                                      {"type", "thingpark-x-js"},
                                      {"private", false}},
                         .code = "system code"};
    for (const auto& member : more)
      driver.resource[member.key()] = member.value();
    ASSERT_TRUE(store_->insert_driver(driver));
  }
};

}  // namespace sluice::api
