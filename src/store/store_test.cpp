// SPDX-License-Identifier: Apache-2.0
#include "store/store.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>

#include "base/codec.h"
#include "base/json.h"
#include "store/driver_log.h"
#include "store/events.h"
#include "store/migrations.h"

namespace sluice::store {
namespace {

struct ManualClock final : Clock {
  UnixMillis time = 1'700'000'000'000;
  [[nodiscard]] UnixMillis now() const override { return time; }
  [[nodiscard]] std::chrono::steady_clock::time_point steady() const override {
    return std::chrono::steady_clock::time_point(std::chrono::milliseconds(time));
  }
};

class StoreTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = std::filesystem::temp_directory_path() / ("sluice-store-" + random_uuid());
    open();
  }
  void TearDown() override {
    store_.reset();
    std::filesystem::remove_all(directory_);
  }
  void open() {
    store_.reset();
    auto opened = open_sqlite(directory_, SecretBox(key_), clock_);
    ASSERT_TRUE(opened) << opened.error().text;
    store_ = std::move(*opened);
  }
  // Every byte of the database and its log.
  std::string files() const {
    std::string all;
    for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
      std::ostringstream text;
      text << std::ifstream(entry.path(), std::ios::binary).rdbuf();
      all += text.str();
    }
    return all;
  }
  Connection connection(std::string account = "1") {
    return {.account = std::move(account),
            .resource = {{"name", "one"}, {"zeta", 1}, {"alpha", 2.5}},
            .secrets = {{"/configuration/password", "do-not-show-me"}}};
  }

  ManualClock clock_;
  std::string key_ = std::string(32, 'k');
  std::string directory_;
  std::unique_ptr<Store> store_;
};

TEST_F(StoreTest, KeepsConnectionsOverReopening) {
  auto made = store_->insert_connection(connection());
  ASSERT_TRUE(made);
  EXPECT_EQ(made->id, "1");
  EXPECT_EQ(made->downlink_uuid.size(), 36u);
  EXPECT_EQ(made->created, clock_.time);
  open();
  auto read = store_->connection("1");
  ASSERT_TRUE(read && *read);
  EXPECT_EQ(json::write((*read)->resource), R"({"name":"one","zeta":1,"alpha":2.5})");
  EXPECT_EQ((*read)->secrets, made->secrets);
  EXPECT_EQ((*read)->downlink_uuid, made->downlink_uuid);
}

TEST_F(StoreTest, UpdatesAConnection) {
  auto made = store_->insert_connection(connection());
  ASSERT_TRUE(made);
  clock_.time += 5000;
  auto changed = *made;
  changed.resource["name"] = "two";
  changed.secrets = {};
  auto updated = store_->update_connection(changed);
  ASSERT_TRUE(updated);
  EXPECT_EQ(updated->updated, made->created + 5000);
  auto read = store_->connection(made->id);
  EXPECT_EQ((*read)->resource.at("name"), "two");
  EXPECT_TRUE((*read)->secrets.empty());
  EXPECT_EQ((*read)->created, made->created);
  changed.id = "77";
  EXPECT_EQ(store_->update_connection(changed).error().code, "com-4004");
}

TEST_F(StoreTest, NeverUsesAnIdAgain) {
  ASSERT_TRUE(store_->insert_connection(connection()));
  ASSERT_TRUE(store_->insert_connection(connection()));
  ASSERT_TRUE(store_->erase_connection("2"));
  open();
  EXPECT_EQ(store_->insert_connection(connection())->id, "3");
  EXPECT_EQ(store_->erase_connection("2").error().code, "com-4004");
  EXPECT_FALSE(*store_->connection("2"));
  for (const char* odd : {"", "x", "01", "+1", "-1", "1 ", "99999999999999999999"})
    EXPECT_FALSE(*store_->connection(odd)) << odd;
}

TEST_F(StoreTest, ListsByNumberAndAccount) {
  for (int i = 0; i < 11; ++i)
    ASSERT_TRUE(store_->insert_connection(connection(i % 2 ? "2" : "1")));
  auto mine = store_->connections("1");
  ASSERT_TRUE(mine);
  ASSERT_EQ(mine->size(), 6u);
  EXPECT_EQ(mine->back().id, "11");
  EXPECT_EQ(store_->connections("")->size(), 11u);
  EXPECT_EQ(store_->connections("3")->size(), 0u);
}

TEST_F(StoreTest, FindsAConnectionByItsDownlinkUuid) {
  auto made = store_->insert_connection(connection());
  auto found = store_->connection_of_downlink(made->downlink_uuid);
  ASSERT_TRUE(found && *found);
  EXPECT_EQ((*found)->id, made->id);
  auto rotated = *made;
  rotated.downlink_uuid = random_uuid();
  ASSERT_TRUE(store_->update_connection(rotated));
  EXPECT_FALSE(*store_->connection_of_downlink(made->downlink_uuid));
  EXPECT_TRUE(*store_->connection_of_downlink(rotated.downlink_uuid));
  EXPECT_FALSE(*store_->connection_of_downlink(""));
}

TEST_F(StoreTest, NoSecretIsInTheFile) {
  ASSERT_TRUE(store_->insert_connection(connection()));
  ASSERT_TRUE(
      store_->insert_binder({.account = "1", .resource = {{"name", "binder-in-clear"}}, .as_key = "do-not-show-me"}));
  ASSERT_TRUE(store_->put_setting("signing-key", "do-not-show-me"));
  ASSERT_EQ(*store_->setting("signing-key"), "do-not-show-me");
  EXPECT_EQ(files().find("do-not-show-me"), std::string::npos);
  EXPECT_NE(files().find("binder-in-clear"), std::string::npos);  // the search itself works
  store_.reset();
  EXPECT_EQ(files().find("do-not-show-me"), std::string::npos);
}

TEST_F(StoreTest, RefusesAnotherKey) {
  ASSERT_TRUE(store_->insert_connection(connection()));
  store_.reset();
  auto opened = open_sqlite(directory_, SecretBox(std::string(32, 'x')), clock_);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind, ErrorKind::bad_config);
}

TEST_F(StoreTest, SecretsFitOnlyTheirOwnRow) {
  ASSERT_TRUE(store_->insert_connection(connection()));
  ASSERT_TRUE(store_->insert_connection({.account = "1", .resource = {{"name", "two"}}, .secrets = {}}));
  store_.reset();
  auto database = Database::open(directory_ + "/sluice.db");
  ASSERT_TRUE((*database)->execute(
      "UPDATE connections SET secrets = (SELECT secrets FROM connections WHERE id = 1) WHERE id = 2"));
  database->reset();
  open();
  EXPECT_TRUE(store_->connection("1"));
  EXPECT_FALSE(store_->connection("2"));
}

TEST_F(StoreTest, BringsAnOldSchemaUpToDate) {
  store_.reset();
  std::filesystem::remove_all(directory_);
  std::filesystem::create_directory(directory_);
  {
    auto database = Database::open(directory_ + "/sluice.db");
    ASSERT_TRUE(migrate(**database, 1));
    ASSERT_TRUE((*database)->execute("INSERT INTO accounts VALUES ('1', 'old')"));
    ASSERT_TRUE((*database)->execute(
        "INSERT INTO events VALUES (5, '1', 1700000000000, 'warn', 'a-1', 'm', '{}', '8', '', '')"));
  }
  open();
  EXPECT_EQ((*store_->account("1"))->name, "old");
  EXPECT_EQ(*store_->count_events({.account = "1", .from = 0, .to = clock_.time + 1, .connection_id = "8"}), 1u);
  store_.reset();
  {
    auto database = Database::open(directory_ + "/sluice.db");
    ASSERT_TRUE((*database)->execute("PRAGMA user_version = 1000"));
  }
  auto newer = open_sqlite(directory_, SecretBox(key_), clock_);
  ASSERT_FALSE(newer);
  EXPECT_NE(newer.error().text.find("newer version"), std::string::npos);
}

// What a version without members kept: a client of one account, and downlink URLs in clear.
TEST_F(StoreTest, ClientsOfAnOldSchemaBecomeMembers) {
  store_.reset();
  std::filesystem::remove_all(directory_);
  std::filesystem::create_directory(directory_);
  const std::string uuid = "0b6b8a4e-1111-4222-8333-444455556666";
  {
    auto database = Database::open(directory_ + "/sluice.db");
    ASSERT_TRUE(migrate(**database, 3));
    ASSERT_TRUE((*database)->execute("INSERT INTO accounts VALUES ('1', 'default'), ('2', 'other')"));
    ASSERT_TRUE((*database)->execute(
        "INSERT INTO clients VALUES ('admin', '1', 3, 'hash', 'epoch'), ('reader', '2', 0, 'h', 'e')"));
    auto sealed = SecretBox(key_).seal(R"({"/configuration/password":"p"})", "connection:1");
    auto sql = "INSERT INTO connections VALUES (1, '1', '{}', '" + sealed + "', '" + uuid + "', '" +
               to_hex(sha256(uuid)) + "', 5, 5)";
    ASSERT_TRUE((*database)->execute(sql.c_str()));
  }
  open();
  auto admin = store_->client("admin");
  ASSERT_TRUE(admin && *admin);
  EXPECT_EQ((*admin)->account, "1");
  EXPECT_EQ((*admin)->role, Role::owner);
  EXPECT_EQ((*admin)->secret_hash, "hash");
  EXPECT_EQ((*admin)->token_epoch, "epoch");
  auto members = store_->accounts().members("2");
  ASSERT_EQ(members->size(), 1u);
  EXPECT_EQ((*members)[0].client_id, "reader");
  EXPECT_EQ((*members)[0].role, Role::reader);
  EXPECT_GT((*members)[0].since, 0);
  EXPECT_GT((*store_->account("1"))->created, 0);
  EXPECT_FALSE(*store_->accounts().standing("reader", "1"));
  auto found = store_->connection_of_downlink(uuid);
  ASSERT_TRUE(found && *found);
  EXPECT_EQ((*found)->id, "1");
  EXPECT_EQ((*found)->secrets.at("/configuration/password"), "p");
  store_.reset();
  EXPECT_EQ(files().find(uuid), std::string::npos);
}

TEST_F(StoreTest, KeepsTheRulesOfMembers) {
  ASSERT_TRUE(store_->put_account({.id = "1", .name = "one"}));
  ASSERT_TRUE(store_->put_client({.client_id = "ann", .account = "1", .role = Role::owner}));
  ASSERT_TRUE(store_->put_client({.client_id = "bob", .account = ""}));
  auto& accounts = store_->accounts();
  auto ann = (*accounts.members("1"))[0];
  EXPECT_EQ(accounts.set_role("1", ann.id, Role::reader).error().code, "com-4009");
  EXPECT_EQ(accounts.erase_member("1", ann.id, "").error().code, "com-4009");
  auto bob = accounts.insert_member("1", "bob", Role::owner);
  ASSERT_TRUE(bob);
  EXPECT_EQ(accounts.insert_member("1", "bob", Role::reader).error().code, "com-4009");
  EXPECT_EQ(accounts.insert_member("1", "nobody", Role::reader).error().code, "com-4004");
  EXPECT_EQ(accounts.insert_member("7", "bob", Role::reader).error().code, "com-4004");
  EXPECT_EQ(accounts.set_role("2", ann.id, Role::reader).error().code, "com-4004");
  EXPECT_TRUE(accounts.set_role("1", ann.id, Role::reader));
  EXPECT_EQ((*accounts.standing("ann", "1"))->role, Role::reader);
  EXPECT_TRUE(accounts.erase_member("1", ann.id, ""));
  EXPECT_FALSE(*store_->client("ann"));  // nowhere a member any more
  EXPECT_FALSE(*accounts.standing("ann", "1"));

  auto personal = accounts.insert({.name = "p", .type = AccountType::personal}, "bob");
  ASSERT_TRUE(personal);
  EXPECT_EQ(accounts.insert({.name = "q", .type = AccountType::personal}, "bob").error().code, "com-4009");
  EXPECT_EQ(accounts.insert_member(personal->id, "ann", Role::reader).error().code, "com-4009");
  EXPECT_EQ(accounts.of_user("bob")->size(), 2u);
  EXPECT_EQ((*store_->client("bob"))->account, "1");  // the first by number
  ASSERT_TRUE(store_->insert_connection(connection(personal->id)));
  EXPECT_EQ(accounts.erase(personal->id).error().code, "com-4009");
  ASSERT_TRUE(store_->erase_connection("1"));
  EXPECT_TRUE(accounts.erase(personal->id));
  EXPECT_EQ(accounts.erase(personal->id).error().code, "com-4004");
}

TEST_F(StoreTest, RemembersEndedTokensAsLongAsNeeded) {
  auto& accounts = store_->accounts();
  ASSERT_TRUE(accounts.end_token("one", clock_.time + 1000));
  ASSERT_TRUE(accounts.end_token("one", clock_.time + 1000));
  EXPECT_TRUE(*accounts.is_ended("one"));
  EXPECT_FALSE(*accounts.is_ended("two"));
  clock_.time += 2000;
  ASSERT_TRUE(accounts.end_token("two", clock_.time + 1000));
  EXPECT_FALSE(*accounts.is_ended("one"));
}

TEST_F(StoreTest, SealsEverySecretAnewOrNone) {
  auto made = store_->insert_connection(connection());
  ASSERT_TRUE(store_->insert_binder({.id = "b", .account = "1", .as_key = "as-key"}));
  ASSERT_TRUE(store_->put_setting("token-signing-key", "signing"));
  store_.reset();
  const SecretBox old(key_), fresh(std::string(32, 'n')), wrong(std::string(32, 'w'));
  EXPECT_EQ(sealed_with(directory_, old)->value_or(false), true);
  EXPECT_EQ(sealed_with(directory_, fresh)->value_or(true), false);
  EXPECT_FALSE(*sealed_with(directory_ + "/nothing", old));
  EXPECT_FALSE(seal_anew(directory_, wrong, fresh));
  EXPECT_EQ(sealed_with(directory_, old)->value_or(false), true);
  auto before = files();
  auto count = seal_anew(directory_, old, fresh);
  ASSERT_TRUE(count) << count.error().text;
  EXPECT_EQ(*count, 5u);  // secrets, downlink URL, binder's key, two settings
  EXPECT_EQ(sealed_with(directory_, fresh)->value_or(false), true);
  EXPECT_EQ(sealed_with(directory_, old)->value_or(true), false);
  EXPECT_FALSE(open_sqlite(directory_, old, clock_));
  key_ = std::string(32, 'n');
  open();
  EXPECT_EQ((*store_->connection("1"))->secrets, made->secrets);
  EXPECT_EQ((*store_->connection("1"))->downlink_uuid, made->downlink_uuid);
  EXPECT_EQ((*store_->binder("b"))->as_key, "as-key");
  EXPECT_EQ(**store_->setting("token-signing-key"), "signing");
}

TEST_F(StoreTest, AFileThatIsNoDatabaseIsNamed) {
  store_.reset();
  std::filesystem::remove_all(directory_);
  std::filesystem::create_directory(directory_);
  std::ofstream(directory_ + "/sluice.db") << std::string(4096, 'x');
  auto opened = open_sqlite(directory_, SecretBox(key_), clock_);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind, ErrorKind::bad_config);
}

TEST_F(StoreTest, KeepsAccountsAndClients) {
  ASSERT_TRUE(store_->put_account({.id = "1", .name = "first"}));
  ASSERT_TRUE(store_->put_account({.id = "1", .name = "renamed"}));
  EXPECT_EQ((*store_->account("1"))->name, "renamed");
  EXPECT_FALSE(*store_->account("2"));
  ASSERT_TRUE(store_->put_client(
      {.client_id = "admin", .account = "1", .role = Role::controller, .secret_hash = "h", .token_epoch = "e"}));
  open();
  auto client = *store_->client("admin");
  ASSERT_TRUE(client);
  EXPECT_EQ(client->role, Role::controller);
  EXPECT_EQ(client->token_epoch, "e");
}

TEST_F(StoreTest, KeepsFlows) {
  auto made = store_->insert_flow({.account = "1", .resource = {{"name", "f"}}});
  ASSERT_TRUE(made);
  made->resource["name"] = "g";
  ASSERT_TRUE(store_->update_flow(*made));
  EXPECT_EQ((*store_->flow(made->id))->resource.at("name"), "g");
  EXPECT_EQ(store_->flows("1")->size(), 1u);
  ASSERT_TRUE(store_->erase_flow(made->id));
  EXPECT_EQ(store_->erase_flow(made->id).error().code, "com-4004");
  EXPECT_EQ(store_->update_flow(*made).error().code, "com-4004");
}

TEST_F(StoreTest, KeepsDriversOfAccountsApart) {
  Driver driver{.id = "a:b:1", .account = "", .resource = {{"source", "system"}}, .code = "x", .extract_points = "y"};
  ASSERT_TRUE(store_->insert_driver(driver));
  driver.account = "1";
  ASSERT_TRUE(store_->insert_driver(driver));
  EXPECT_EQ(store_->insert_driver(driver).error().code, "com-4009");
  driver.account = "2";
  ASSERT_TRUE(store_->insert_driver(driver));
  EXPECT_EQ(store_->drivers("1")->size(), 2u);
  EXPECT_EQ(store_->all_drivers()->size(), 3u);
  driver.code = "z";
  ASSERT_TRUE(store_->update_driver(driver));
  EXPECT_EQ((*store_->driver("2", "a:b:1"))->code, "z");
  EXPECT_EQ((*store_->driver("1", "a:b:1"))->code, "x");
  ASSERT_TRUE(store_->erase_driver("2", "a:b:1"));
  EXPECT_FALSE(*store_->driver("2", "a:b:1"));
  EXPECT_TRUE(*store_->driver("1", "a:b:1"));
}

TEST_F(StoreTest, KeepsBinders) {
  auto made = store_->insert_binder({.account = "1", .resource = {{"type", "thingpark"}}, .as_key = "k"});
  ASSERT_TRUE(made);
  EXPECT_EQ(made->id.size(), 36u);
  made->as_key = "k2";
  ASSERT_TRUE(store_->update_binder(*made));
  open();
  EXPECT_EQ((*store_->binder(made->id))->as_key, "k2");
  EXPECT_EQ(store_->binders("")->size(), 1u);
  ASSERT_TRUE(store_->erase_binder(made->id));
  EXPECT_EQ(store_->binders("1")->size(), 0u);
}

TEST_F(StoreTest, FindsEvents) {
  std::vector<Event> events;
  for (int i = 0; i < 10; ++i) {
    events.push_back(
        {.account = i == 9 ? "2" : "1",
         .time = clock_.time + i,
         .level = i % 2    ? "warn"
                  : i == 4 ? "error"
                           : "info",
         .code = "connection-" + std::to_string(i),
         .message = i == 3 ? "Message Expired" : "other",
         .data = {{"connectionId", std::to_string(i)}, {"DevEUI", i == 2 ? "00ab" : "x"}, {"flowId", "7"}}});
  }
  ASSERT_TRUE(store_->add_events(events));
  EventQuery query{.account = "1", .from = clock_.time, .to = clock_.time + 100};
  auto all = store_->events(query);
  ASSERT_TRUE(all);
  ASSERT_EQ(all->size(), 9u);
  EXPECT_EQ(all->front().time, clock_.time + 8);
  auto count = [&](auto change) {
    auto copy = query;
    change(copy);
    return *store_->count_events(copy);
  };
  EXPECT_EQ(count([](auto&) {}), 9u);
  EXPECT_EQ(count([](auto& q) { q.level = "warn"; }), 5u);
  EXPECT_EQ(count([](auto& q) { q.level = "error"; }), 1u);
  EXPECT_EQ(count([](auto& q) { q.text = "mESSAGE expired"; }), 1u);
  EXPECT_EQ(count([](auto& q) { q.text = "%"; }), 0u);
  EXPECT_EQ(count([](auto& q) { q.code = "connection-5"; }), 1u);
  EXPECT_EQ(count([](auto& q) { q.dev_eui = "00AB"; }), 1u);
  EXPECT_EQ(count([](auto& q) { q.flow_id = "7"; }), 9u);
  EXPECT_EQ(count([](auto& q) { q.connection_id = "5"; }), 1u);
  EXPECT_EQ(count([](auto& q) {
              q.from += 3;
              q.to = q.from + 2;
            }),
            2u);
  query.offset = 2;
  query.limit = 3;
  auto page = store_->events(query);
  ASSERT_EQ(page->size(), 3u);
  EXPECT_EQ(page->front().time, clock_.time + 6);
}

TEST_F(StoreTest, EventsAreBoundedByAgeAndNumber) {
  ASSERT_TRUE(store_->add_events({{.account = "2", .time = clock_.time, .level = "info", .code = "c"}}));
  std::vector<Event> many(100'020, {.account = "1", .time = clock_.time, .level = "info", .code = "c"});
  ASSERT_TRUE(store_->add_events(many));
  EventQuery query{.account = "1", .from = 0, .to = clock_.time + 100};
  EXPECT_EQ(*store_->count_events(query), 100'000u);
  query.account = "2";
  EXPECT_EQ(*store_->count_events(query), 1u);
  clock_.time += 31LL * 24 * 3600 * 1000;
  ASSERT_TRUE(store_->add_events({{.account = "1", .time = clock_.time, .level = "info", .code = "new"}}));
  query = {.account = "1", .from = 0, .to = clock_.time + 1};
  EXPECT_EQ(*store_->count_events(query), 1u);
  query.account = "2";
  EXPECT_EQ(*store_->count_events(query), 0u);
}

class EventsTest : public StoreTest {
 protected:
  std::vector<Event> stored() { return *store_->events({.account = "1", .from = 0, .to = clock_.time + 1}); }
  Metrics metrics_;
};

TEST_F(EventsTest, FoldsAlikeOnes) {
  Events events(*store_, clock_, metrics_);
  boost::json::object data{{"connectionId", "8"}, {"cause", "refused"}};
  events.add("1", "error", "connection-1103", "unreachable", data);
  events.flush();
  ASSERT_EQ(stored().size(), 1u);
  EXPECT_FALSE(stored()[0].data.contains("count"));
  events.add("1", "error", "connection-1103", "unreachable again", data);
  events.flush();
  events.add("1", "error", "connection-1103", "unreachable", data);
  events.add("1", "error", "connection-1103", "unreachable", {{"connectionId", "9"}, {"cause", "refused"}});
  events.add("1", "error", "connection-1103", "unreachable", {{"connectionId", "8"}, {"cause", "DNS"}});
  events.add("1", "info", "connection-1005", "created", {{"connectionId", "8"}});
  events.add("1", "info", "connection-1005", "deleted", {{"connectionId", "8"}});
  events.flush();
  ASSERT_EQ(stored().size(), 5u);
  auto counts = 0;
  for (const auto& event : stored())
    counts += event.data.contains("count") ? event.data.at("count").as_int64() : 0;
  EXPECT_EQ(counts, 3);
  clock_.time += 60'000;
  events.add("1", "error", "connection-1103", "unreachable", data);
  events.flush();
  EXPECT_EQ(stored().size(), 6u);
}

TEST_F(EventsTest, AddsUpCountsThatEventsBring) {
  Events events(*store_, clock_, metrics_);
  events.add("1", "warn", "connection-1304", "Message expired", {{"connectionId", "8"}, {"count", 5}});
  events.add("1", "warn", "connection-1304", "Message expired", {{"connectionId", "8"}, {"count", 7}});
  events.flush();
  ASSERT_EQ(stored().size(), 1u);
  EXPECT_EQ(stored()[0].data.at("count"), 12);
}

TEST_F(EventsTest, WritesWhatWaitsAtItsEnd) {
  {
    Events events(*store_, clock_, metrics_);
    for (int i = 0; i < 500; ++i)
      events.add("1", "info", "c", "m" + std::to_string(i), {});
  }
  EXPECT_EQ(stored().size(), 500u);
}

TEST_F(EventsTest, AnEventThatChangesKeepsItsRow) {
  Events events(*store_, clock_, metrics_);
  auto began = clock_.time;
  for (int i = 1; i <= 10'000; ++i) {
    events.update("k", "1", "error", "driver-2001", "failed " + std::to_string(i), {{"count", i}});
    if (i == 5000) {
      events.flush();
      clock_.time += 3 * 3600 * 1000;
    }
  }
  events.update("another", "1", "error", "driver-2001", "failed", {{"count", 1}});
  events.flush();
  ASSERT_EQ(stored().size(), 2u);
  EXPECT_EQ(stored()[1].time, began);
  EXPECT_EQ(stored()[1].data.at("count"), 10'000);
  EXPECT_EQ(stored()[1].message, "failed 10000");
  // Silent for a day: another row.
  clock_.time += 24LL * 3600 * 1000;
  events.update("k", "1", "error", "driver-2001", "again", {{"count", 1}});
  events.flush();
  EXPECT_EQ(stored().size(), 3u);
}

class DriverLogTest : public StoreTest {
 protected:
  static DriverLogEntry entry(const std::string& text, const std::string& level = "log",
                              const std::string& driver = "acme:a:1", const std::string& account = "1") {
    return {.account = account,
            .driver_id = driver,
            .level = level,
            .operation = "decodeUplink",
            .dev_eui = "00000000000000aa",
            .data = {{"lines", boost::json::array{text}}}};
  }
  std::vector<DriverLogEntry> stored(DriverLogQuery query = {}) {
    query.account = "1";
    if (query.driver_id.empty()) query.driver_id = "acme:a:1";
    query.to = clock_.time + 1;
    auto found = *store_->driver_log(query);
    EXPECT_EQ(*store_->count_driver_log(query), found.size());
    return found;
  }
  // Puts `count` entries through the gate, as the engine's callers do.
  static void tell(DriverLog& log, int count, bool by_hand = false) {
    for (int i = 0; i < count; ++i) {
      if (log.admit("1", "acme:a:1", by_hand)) log.add(entry(std::to_string(i)), by_hand);
    }
  }
  Metrics metrics_;
};

TEST_F(DriverLogTest, KeepsEntriesByDriverNewestFirst) {
  {
    DriverLog log(*store_, clock_, metrics_);
    log.add(entry("first"), false);
    clock_.time += 1000;
    log.add(entry("second", "error"), false);
    log.add(entry("other", "log", "acme:b:1"), false);
    log.add(entry("foreign", "log", "acme:a:1", "2"), false);
    log.flush();
    ASSERT_EQ(stored().size(), 2u);
    EXPECT_EQ(stored()[0].data.at("lines").at(0), "second");
    EXPECT_EQ(stored()[0].dev_eui, "00000000000000AA");
    EXPECT_EQ(stored({.level = "warn"}).size(), 1u);
    EXPECT_EQ(stored({.from = clock_.time}).size(), 1u);
    EXPECT_EQ(stored({.operation = "encodeDownlink"}).size(), 0u);
    EXPECT_EQ(stored({.dev_eui = "00000000000000AA"}).size(), 2u);
    log.add(entry("at the end"), false);
  }
  open();
  EXPECT_EQ(stored().size(), 3u);
  ASSERT_TRUE(store_->clear_driver_log("1", "acme:a:1"));
  EXPECT_EQ(stored().size(), 0u);
  EXPECT_EQ(stored({.driver_id = "acme:b:1"}).size(), 1u);
}

TEST_F(DriverLogTest, LimitsItsRateAndTellsWhatWasLeftOut) {
  DriverLog log(*store_, clock_, metrics_);
  tell(log, 500);
  tell(log, 5, true);
  log.flush();
  EXPECT_EQ(stored().size(), 25u);
  clock_.time += 1000;
  tell(log, 1);
  log.flush();
  ASSERT_EQ(stored().size(), 26u);
  EXPECT_EQ(stored()[0].data.at("dropped"), 480);
  clock_.time += 1000;
  tell(log, 1);
  log.flush();
  EXPECT_FALSE(stored()[0].data.contains("dropped"));
}

TEST_F(DriverLogTest, IsBoundedByNumberAndAge) {
  std::vector<DriverLogEntry> entries;
  for (int i = 0; i < 1500; ++i) {
    entries.push_back(entry(std::to_string(i)));
    entries.back().time = clock_.time + i;
  }
  ASSERT_TRUE(store_->put_driver_log(entries));
  clock_.time += 2000;
  ASSERT_EQ(stored({.limit = 5000}).size(), 1000u);
  EXPECT_EQ(stored({.limit = 5000}).back().data.at("lines").at(0), "500");
  clock_.time += 7LL * 24 * 3600 * 1000;
  auto late = entry("late", "log", "acme:b:1");
  late.time = clock_.time;
  ASSERT_TRUE(store_->put_driver_log({late}));
  EXPECT_EQ(stored().size(), 0u);
}

}  // namespace
}  // namespace sluice::store
