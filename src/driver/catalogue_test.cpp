// SPDX-License-Identifier: Apache-2.0
#include "driver/catalogue.h"

#include <boost/json/parse.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <set>
#include <stdexcept>

#include "base/json.h"
#include "driver/limits.h"

namespace sluice::driver {
namespace {

using message::ModuleRef;

// The drivers alone; nothing else of a store is asked for.
class FakeStore : public store::Store {
 public:
  std::vector<store::Driver> rows;
  bool away = false;

  Result<std::vector<store::Driver>> all_drivers() override {
    if (away) return Error{ErrorKind::transient, "the disk is full", "com-5003"};
    return rows;
  }

  Result<std::optional<store::Account>> account(const std::string&) override { return none(); }
  Result<void> put_account(const store::Account&) override { return none(); }
  Result<std::optional<store::Client>> client(const std::string&) override { return none(); }
  Result<void> put_client(const store::Client&) override { return none(); }
  store::Accounts& accounts() override { throw std::logic_error("not asked for"); }
  Result<std::vector<store::Connection>> connections(const std::string&) override { return none(); }
  Result<std::optional<store::Connection>> connection(const std::string&) override { return none(); }
  Result<std::optional<store::Connection>> connection_of_downlink(const std::string&) override { return none(); }
  Result<store::Connection> insert_connection(store::Connection) override { return none(); }
  Result<store::Connection> update_connection(store::Connection) override { return none(); }
  Result<void> erase_connection(const std::string&) override { return none(); }
  Result<std::vector<store::Flow>> flows(const std::string&) override { return none(); }
  Result<std::optional<store::Flow>> flow(const std::string&) override { return none(); }
  Result<store::Flow> insert_flow(store::Flow) override { return none(); }
  Result<store::Flow> update_flow(store::Flow) override { return none(); }
  Result<void> erase_flow(const std::string&) override { return none(); }
  Result<std::vector<store::Driver>> drivers(const std::string&) override { return none(); }
  Result<std::optional<store::Driver>> driver(const std::string&, const std::string&) override { return none(); }
  Result<store::Driver> insert_driver(store::Driver) override { return none(); }
  Result<store::Driver> update_driver(store::Driver) override { return none(); }
  Result<void> erase_driver(const std::string&, const std::string&) override { return none(); }
  Result<std::vector<store::Binder>> binders(const std::string&) override { return none(); }
  Result<std::optional<store::Binder>> binder(const std::string&) override { return none(); }
  Result<store::Binder> insert_binder(store::Binder) override { return none(); }
  Result<store::Binder> update_binder(store::Binder) override { return none(); }
  Result<void> erase_binder(const std::string&) override { return none(); }
  Result<std::vector<std::int64_t>> put_events(const std::vector<store::Event>&) override { return none(); }
  Result<std::vector<store::Event>> events(const store::EventQuery&) override { return none(); }
  Result<std::size_t> count_events(const store::EventQuery&) override { return none(); }
  Result<void> put_driver_log(const std::vector<store::DriverLogEntry>&) override { return none(); }
  Result<std::vector<store::DriverLogEntry>> driver_log(const store::DriverLogQuery&) override { return none(); }
  Result<std::size_t> count_driver_log(const store::DriverLogQuery&) override { return none(); }
  Result<void> clear_driver_log(const std::string&, const std::string&) override { return none(); }
  Result<std::optional<std::string>> setting(const std::string&) override { return none(); }
  Result<void> put_setting(const std::string&, const std::string&) override { return none(); }

 private:
  static Error none() { return {ErrorKind::bug, "not part of this test"}; }
};

store::Driver row(const std::string& account, const std::string& id, const std::string& resource,
                  const std::string& code = "1;") {
  store::Driver driver;
  driver.account = account;
  driver.id = id;
  driver.resource = boost::json::parse(resource).as_object();
  driver.code = code;
  return driver;
}

constexpr const char* kThermo =
    R"({"type":"lora-alliance","version":"1.2.0","application":{"producerId":"acme","moduleId":"thermo","version":"1"}})";
const ModuleRef kApplication{"Acme", "THERMO", "1"};

std::string id_of(const DriverCodePtr& code) {
  return code ? code->account + "/" + code->id : "none";
}

class CatalogueTest : public testing::Test {
 protected:
  FakeStore store_;
  Catalogue catalogue_{store_};
};

TEST_F(CatalogueTest, FindsTheAccountsOwnBeforeTheSystems) {
  store_.rows = {row("", "acme:thermo:1", kThermo, "system"), row("a", "acme:thermo:1", kThermo, "own")};
  ASSERT_TRUE(catalogue_.reload());
  EXPECT_EQ(catalogue_.find("a", "acme:thermo:1")->source, "own");
  EXPECT_EQ(catalogue_.find("b", "ACME:thermo:1")->source, "system");
  EXPECT_EQ(catalogue_.find("b", "acme:other:1"), nullptr);
}

TEST_F(CatalogueTest, GivesASystemDriverToEachAccountAsItsOwn) {
  store_.rows = {row("", "acme:thermo:1", kThermo)};
  ASSERT_TRUE(catalogue_.reload());
  const auto a = catalogue_.find("a", "acme:thermo:1"), b = catalogue_.find("b", "acme:thermo:1");
  EXPECT_EQ(a->account, "a");
  EXPECT_EQ(b->account, "b");
  EXPECT_EQ(catalogue_.find("a", "acme:thermo:1"), a);  // not made anew for every message
  EXPECT_EQ(catalogue_.find("", "acme:thermo:1")->account, "");
}

TEST_F(CatalogueTest, ChoosesByApplicationElseByModel) {
  store_.rows = {row("", "acme:thermo:1", kThermo)};
  ASSERT_TRUE(catalogue_.reload());
  EXPECT_EQ(id_of(catalogue_.choose("a", kApplication, {})), "a/acme:thermo:1");
  EXPECT_EQ(id_of(catalogue_.choose("a", {}, kApplication)), "a/acme:thermo:1");
  EXPECT_EQ(id_of(catalogue_.choose("a", ModuleRef{"acme", "thermo", "1.4.2"}, {})), "a/acme:thermo:1");
  EXPECT_EQ(id_of(catalogue_.choose("a", ModuleRef{"acme", "thermo", "2"}, {})), "none");
  EXPECT_EQ(id_of(catalogue_.choose("a", ModuleRef{"acme", "other", "1"}, kApplication)), "none");
  EXPECT_EQ(id_of(catalogue_.choose("a", {}, {})), "none");
}

TEST_F(CatalogueTest, ComparesFullVersionsAsTheyAre) {
  store_.rows = {
      row("", "x:y:1", R"({"type":"ttn","application":{"producerId":"x","moduleId":"y","version":"1.2.0"}})")};
  ASSERT_TRUE(catalogue_.reload());
  EXPECT_EQ(id_of(catalogue_.choose("a", ModuleRef{"x", "y", "1.2.0"}, {})), "a/x:y:1");
  EXPECT_EQ(id_of(catalogue_.choose("a", ModuleRef{"x", "y", "1"}, {})), "a/x:y:1");
  EXPECT_EQ(id_of(catalogue_.choose("a", ModuleRef{"x", "y", "1.3.0"}, {})), "none");
}

TEST_F(CatalogueTest, PrefersOwnThenModelThenVersionThenId) {
  const auto thermo = [](const std::string& version, const std::string& models) {
    return R"({"type":"ttn","version":")" + version +
           R"(","application":{"producerId":"acme","moduleId":"thermo","version":1},"models":)" + models + "}";
  };
  const std::string model = R"([{"producerId":"acme","moduleId":"t100","version":"1"}])";
  store_.rows = {row("", "s:b:1", thermo("1.10.0", "[]")), row("", "s:a:1", thermo("1.10.0", "[]")),
                 row("", "s:c:1", thermo("1.9.0", "[]"))};
  ASSERT_TRUE(catalogue_.reload());
  EXPECT_EQ(id_of(catalogue_.choose("a", kApplication, {})), "a/s:a:1");
  store_.rows.push_back(row("", "s:z:1", thermo("0.1.0", model)));
  ASSERT_TRUE(catalogue_.reload());
  EXPECT_EQ(id_of(catalogue_.choose("a", kApplication, ModuleRef{"ACME", "t100", "1"})), "a/s:z:1");
  EXPECT_EQ(id_of(catalogue_.choose("a", kApplication, ModuleRef{"acme", "t200", "1"})), "a/s:a:1");
  store_.rows.push_back(row("a", "custom:mine:1", thermo("0.0.1", "[]")));
  ASSERT_TRUE(catalogue_.reload());
  EXPECT_EQ(id_of(catalogue_.choose("a", kApplication, ModuleRef{"acme", "t100", "1"})), "a/custom:mine:1");
  EXPECT_EQ(id_of(catalogue_.choose("b", kApplication, ModuleRef{"acme", "t100", "1"})), "b/s:z:1");
}

TEST_F(CatalogueTest, PutsAPreReleaseBelowItsRelease) {
  const auto version = [](const std::string& v) {
    return R"({"type":"ttn","version":")" + v +
           R"(","application":{"producerId":"acme","moduleId":"thermo","version":"1"}})";
  };
  store_.rows = {row("", "a:a:1", version("2.0.0-rc.1")), row("", "b:b:1", version("2.0.0")),
                 row("", "c:c:1", version("1.99.0"))};
  ASSERT_TRUE(catalogue_.reload());
  EXPECT_EQ(id_of(catalogue_.choose("x", kApplication, {})), "x/b:b:1");
}

TEST_F(CatalogueTest, NewCodeIsANewRevision) {
  store_.rows = {row("", "acme:thermo:1", kThermo, "1")};
  ASSERT_TRUE(catalogue_.reload());
  const auto before = catalogue_.find("a", "acme:thermo:1");
  ASSERT_TRUE(catalogue_.reload());
  EXPECT_EQ(catalogue_.find("a", "acme:thermo:1")->revision, before->revision);
  store_.rows[0].code = "2";
  ASSERT_TRUE(catalogue_.reload());
  EXPECT_NE(catalogue_.find("a", "acme:thermo:1")->revision, before->revision);
  store_.rows[0].code = "1";
  store_.rows[0].extract_points = "3";
  ASSERT_TRUE(catalogue_.reload());
  EXPECT_NE(catalogue_.find("a", "acme:thermo:1")->revision, before->revision);
  EXPECT_EQ(before->source, "1");
}

TEST_F(CatalogueTest, GoesOnWithWhatItHasWhenTheStoreIsAway) {
  store_.rows = {row("", "acme:thermo:1", kThermo)};
  ASSERT_TRUE(catalogue_.reload());
  store_.away = true;
  const auto failed = catalogue_.reload();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().kind, ErrorKind::transient);
  EXPECT_NE(catalogue_.find("a", "acme:thermo:1"), nullptr);
}

TEST_F(CatalogueTest, DriversWithoutCodeDecodeNothing) {
  store_.rows = {row("", "acme:thermo:1", kThermo, ""), row("", "acme:java:1", R"({"type":"thingpark-x-java"})")};
  ASSERT_TRUE(catalogue_.reload());
  EXPECT_EQ(catalogue_.find("a", "acme:thermo:1"), nullptr);
  EXPECT_EQ(catalogue_.find("a", "acme:java:1"), nullptr);
  EXPECT_EQ(catalogue_.choose("a", kApplication, {}), nullptr);
}

TEST_F(CatalogueTest, ReadsContextTrustAndLimits) {
  auto resource = json::parse(kThermo)->as_object();
  store_.rows = {row("1", "acme:thermo:1", kThermo)};
  ASSERT_TRUE(catalogue_.reload());
  auto plain = catalogue_.find("1", "acme:thermo:1");
  EXPECT_FALSE(plain->use_context || plain->trusted);
  EXPECT_EQ(plain->limits, Limits{});
  EXPECT_EQ(plain->version, "1.2.0");
  std::set<std::string> revisions{plain->revision};
  const char* changes[] = {R"({"useContext":true})",
                           R"({"trusted":true})",
                           R"({"limits":{"callTime":"500ms"}})",
                           R"({"limits":{"memory":"64MiB"}})",
                           R"({"limits":{"result":"256KiB"}})",
                           R"({"limits":{"depth":50}})"};
  for (const char* change : changes) {
    auto changed = resource;
    const auto parsed = *json::parse(change);
    for (const auto& member : parsed.as_object())
      changed[member.key()] = member.value();
    store_.rows = {row("1", "acme:thermo:1", json::write(changed))};
    ASSERT_TRUE(catalogue_.reload());
    revisions.insert(catalogue_.find("1", "acme:thermo:1")->revision);
  }
  EXPECT_EQ(revisions.size(), 7u) << "whatever changes behaviour is another revision";
  resource["useContext"] = resource["trusted"] = true;
  resource["limits"] = json::parse(R"({"callTime":"2s","memory":"64MiB","result":"256KiB","depth":50})").value();
  store_.rows = {row("1", "acme:thermo:1", json::write(resource))};
  ASSERT_TRUE(catalogue_.reload());
  auto code = catalogue_.find("1", "acme:thermo:1");
  EXPECT_TRUE(code->use_context && code->trusted);
  EXPECT_EQ(code->limits, (Limits{std::chrono::milliseconds(2000), 64u << 20, 256u << 10, 50}));
}

TEST_F(CatalogueTest, ADriverWithoutCodeIsKnown) {
  store_.rows = {row("", "acme:thermo:1", kThermo, "")};
  ASSERT_TRUE(catalogue_.reload());
  EXPECT_EQ(catalogue_.find("1", "acme:thermo:1"), nullptr);
  EXPECT_TRUE(catalogue_.is_without_code("1", "acme:thermo:1"));
  EXPECT_FALSE(catalogue_.is_without_code("1", "acme:other:1"));
  EXPECT_EQ(catalogue_.choose_without_code("1", kApplication, {}), "acme:thermo:1");
  EXPECT_EQ(catalogue_.choose_without_code("1", ModuleRef{"acme", "other", "1"}, {}), "");
  // An own one with code stands in for it.
  store_.rows.push_back(row("1", "acme:thermo:1", kThermo));
  ASSERT_TRUE(catalogue_.reload());
  EXPECT_FALSE(catalogue_.is_without_code("1", "acme:thermo:1"));
  EXPECT_EQ(catalogue_.choose_without_code("1", kApplication, {}), "");
}

TEST(LimitsTest, AreReadWithTheirUnits) {
  const Limits most{std::chrono::milliseconds(1000), 128u << 20, 1u << 20, kMaxDepth};
  auto read = [&](const char* text) {
    std::vector<LimitFault> faults;
    auto limits = read_limits(json::parse(text)->as_object(), most, faults);
    std::string all;
    for (const auto& fault : faults)
      all += fault.name + ": " + fault.text + "\n";
    return std::pair(limits, all);
  };
  EXPECT_EQ(read("{}").second, "");
  auto [limits, faults] = read(R"({"callTime":"500ms","memory":"65536KiB","result":"4096","depth":7})");
  EXPECT_EQ(faults, "");
  EXPECT_EQ(limits, (Limits{std::chrono::milliseconds(500), 64u << 20, 4096, 7}));
  EXPECT_EQ(read(R"({"callTime":"2s"})").second, "callTime: may be at most 1000ms, the engine's own limit\n");
  EXPECT_EQ(read(R"({"callTime":"0ms"})").second, "callTime: must be a time as \"500ms\" or \"1s\", at least 1ms\n");
  EXPECT_EQ(read(R"({"callTime":500})").second, "callTime: must be a time as \"500ms\" or \"1s\", at least 1ms\n");
  EXPECT_EQ(read(R"({"memory":"1GiB"})").second, "memory: may be at most 128MiB, the engine's own limit\n");
  EXPECT_EQ(read(R"({"memory":"64MB"})").second, "memory: must be a size as \"64MiB\" or \"256KiB\", at least 1MiB\n");
  EXPECT_EQ(read(R"({"result":"10"})").second, "result: must be a size as \"64MiB\" or \"256KiB\", at least 1KiB\n");
  EXPECT_EQ(read(R"({"depth":1000})").second, "depth: must be a whole number from 1 to 100\n");
  EXPECT_EQ(read(R"({"memory":"99999999999999999999KiB"})").second,
            "memory: must be a size as \"64MiB\" or \"256KiB\", at least 1MiB\n");
}

}  // namespace
}  // namespace sluice::driver
