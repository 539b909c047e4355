// SPDX-License-Identifier: Apache-2.0
#include "driver/install.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/clock.h"
#include "base/json.h"
#include "driver/files.h"
#include "driver/temp_folder.h"
#include "driver/test_engine.h"

namespace sluice::driver {
namespace {

using Outcome = Installed::Outcome;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kCode = "function decodeUplink(input) { return { data: { n: input.bytes.length } }; }\n";

Package package(const std::string& name, const std::string& version = "1.0.0", const std::string& code = kCode) {
  return {.path = "/x/" + name,
          .name = name,
          .version = version,
          .producer = "lab",
          .label = "Label",
          .application = ModuleName{"maker", name, version.substr(0, version.find('.'))},
          .signature = Signature::lora_alliance,
          .code = code};
}

class Install : public testing::Test {
 protected:
  Install() : store_(std::move(*store::open_sqlite(folder_.path(), SecretBox(std::string(32, 'k')), system_clock()))) {
    options_.inspect = [](Engine::Inspected what) { return test_engine().inspect(std::move(what)); };
  }

  Installed install(const Package& package, bool dry = false) {
    Installer installer(*store_, options_);
    EXPECT_TRUE(installer.load());
    return installer.put(installer.prepare(package), dry);
  }
  Outcome outcome(const Package& package) { return install(package).outcome; }

  std::optional<store::Driver> stored(const std::string& id, const std::string& account = "") {
    return *store_->driver(account, id);
  }

  TempFolder folder_;
  std::unique_ptr<store::Store> store_;
  InstallOptions options_;
};

TEST_F(Install, CreatesLeavesAndReplaces) {
  auto one = package("t", "1.2.0");
  one.description = std::string(5000, 'x');
  one.models = {{"maker", "m", "1"}};
  one.use_context = true;
  one.extract_points = "exports.extractPoints = function () { return {}; };";
  one.points_schema = {{"temperature", json::object{{"type", "double"}, {"unitId", "Cel"}}}};
  one.uplink_schema = {{"type", "object"}};
  one.links = {{"specification", "https://x"}, {"deviceImageUrl", std::string(3000, 'x')}};
  one.examples = {{.description = "a",
                   .input = {{"bytes", "00"}, {"fPort", 1}},
                   .output = json::object{{"data", json::object{{"n", 1}}}}},
                  {.description = "b", .for_tests = true}};
  const auto made = install(one);
  EXPECT_EQ(made.outcome, Outcome::created) << made.reason;
  EXPECT_EQ(made.id, "lab:t:1");
  const auto row = stored("lab:t:1");
  ASSERT_TRUE(row);
  EXPECT_EQ(row->code, kCode);
  EXPECT_EQ(row->extract_points, one.extract_points);
  auto resource = row->resource;
  EXPECT_EQ(resource["description"].get_string().size(), 4096U);
  resource.stable_erase("description");
  EXPECT_EQ(
      json::write(resource),
      R"({"id":"lab:t:1","name":"Label","producerId":"lab","moduleId":"t","version":"1.2.0",)"
      R"("application":{"producerId":"maker","moduleId":"t","version":"1"},"type":"lora-alliance","private":false,)"
      R"("specification":"https://x","examples":[{"description":"a","type":"uplink","bytes":"00","fPort":1,"data":{"n":1}}],)"
      R"("pointsSchema":{"temperature":{"type":"double","unitId":"Cel"}},"uplinkJsonSchema":{"type":"object"},)"
      R"("models":[{"producerId":"maker","moduleId":"m","version":"1"}],"useContext":true,"source":"system"})");

  EXPECT_EQ(outcome(one), Outcome::unchanged);
  one.code += "// changed\n";
  EXPECT_EQ(outcome(one), Outcome::replaced);
  EXPECT_THAT(stored("lab:t:1")->code, HasSubstr("changed"));
  one.label = "Other";
  EXPECT_EQ(outcome(one), Outcome::replaced);
  EXPECT_EQ(outcome(package("t", "2.0.0")), Outcome::created);  // a new major is another driver
  EXPECT_TRUE(stored("lab:t:1"));
}

TEST_F(Install, OlderIsRefusedUnlessForced) {
  EXPECT_EQ(outcome(package("t", "1.2.0")), Outcome::created);
  const auto refused = install(package("t", "1.1.0"));
  EXPECT_EQ(refused.outcome, Outcome::refused);
  EXPECT_EQ(refused.reason, "version 1.1.0 is older than the installed 1.2.0");
  EXPECT_FALSE(refused.own_fault);
  options_.force = true;
  EXPECT_EQ(outcome(package("t", "1.1.0")), Outcome::replaced);
}

TEST_F(Install, ADryRunChangesNothing) {
  EXPECT_EQ(install(package("t"), true).outcome, Outcome::created);
  EXPECT_FALSE(stored("lab:t:1"));
}

TEST_F(Install, FaultsOfItsOwn) {
  auto broken = install(package("t", "1.0.0", "function ("));
  EXPECT_EQ(broken.outcome, Outcome::refused);
  EXPECT_TRUE(broken.own_fault);
  EXPECT_THAT(broken.reason, HasSubstr("SyntaxError"));
  auto loose = package("t", "1.0.0", "var nothing = 1;");
  loose.signature.reset();
  EXPECT_THAT(install(loose).reason, HasSubstr("driver code must have one type of signatures"));
  options_.point_fault = [](std::string_view name, const json::value&) { return name == "bad" ? "no unit" : ""; };
  auto points = package("t");
  points.points_schema = {{"good", json::object()}, {"bad", json::object()}};
  EXPECT_EQ(install(points).reason, "point bad: no unit");
  auto nameless = package("t");
  nameless.application.reset();
  EXPECT_FALSE(install(nameless).own_fault);
  EXPECT_THAT(*store_->all_drivers(), IsEmpty());
  options_.inspect = [](Engine::Inspected) -> Result<Engine::Inspection> {
    return Error{ErrorKind::transient, "ended", "com-5003"};
  };
  EXPECT_FALSE(install(package("t")).own_fault);
}

TEST_F(Install, SignatureIsFoundByLooking) {
  auto loose = package("t", "1.0.0", "function Decode(fPort, bytes) { return {}; }");
  loose.signature.reset();
  EXPECT_EQ(outcome(loose), Outcome::created);
  EXPECT_EQ(json::text_or(stored("lab:t:1")->resource, "type"), "chirpstack");
}

TEST_F(Install, ACataloguesDriverIsFoundByItsProtocol) {
  auto one = package("one", "1.0.0");
  one.by_protocol = true;
  EXPECT_EQ(outcome(one), Outcome::created);
  // The same protocol under another name: the id stays.
  auto renamed = one;
  renamed.name = "renamed";
  renamed.version = "2.0.0";
  auto done = install(renamed);
  EXPECT_EQ(done.outcome, Outcome::replaced);
  EXPECT_EQ(done.id, "lab:one:1");
  EXPECT_THAT(done.warnings, ElementsAre("it keeps the id lab:one:1 that its protocolId has"));
  EXPECT_EQ(json::text_or(stored("lab:one:1")->resource, "version"), "2.0.0");
  EXPECT_EQ(outcome(renamed), Outcome::unchanged);
  // Another protocol that comes to the id of the first.
  auto other = one;
  other.application = ModuleName{"maker", "two", "7"};
  done = install(other);
  EXPECT_EQ(done.outcome, Outcome::created);
  EXPECT_EQ(done.id, "lab:two:7");
  EXPECT_EQ(outcome(other), Outcome::unchanged);
  EXPECT_THAT(*store_->all_drivers(), testing::SizeIs(2));
}

TEST_F(Install, AccountsHaveTheirOwn) {
  EXPECT_EQ(outcome(package("t")), Outcome::created);
  options_.account = "7";
  EXPECT_EQ(outcome(package("t", "1.0.0", std::string(kCode) + "//7")), Outcome::created);
  EXPECT_EQ(outcome(package("own")), Outcome::created);
  EXPECT_EQ(json::text_or(stored("lab:t:1", "7")->resource, "source"), "imported");
  EXPECT_EQ(json::text_or(stored("lab:own:1", "7")->resource, "source"), "custom");
  EXPECT_EQ(stored("lab:t:1")->code, kCode);
}

TEST_F(Install, TrustNeedsLeaveAndTheRightChecksum) {
  const std::string code = "// needs crypto\n";
  options_.inspect = [&](Engine::Inspected what) -> Result<Engine::Inspection> {
    if (what.source == code && !what.trusted) return Error{ErrorKind::permanent, "Cannot find module", "com-5002"};
    return Engine::Inspection{.signature = Signature::lora_alliance, .decode_uplink = true};
  };
  auto one = package("t", "1.0.0", code);
  one.trusted_crc = crc32(code);
  one.trusted_crc_matches = true;
  EXPECT_THAT(install(one).reason, HasSubstr("Cannot find module"));
  options_.trust = true;
  ASSERT_EQ(outcome(one), Outcome::created);
  EXPECT_TRUE(json::bool_or(stored("lab:t:1")->resource, "trusted", false));
  auto wrong = package("w", "1.0.0", code);
  wrong.trusted_crc = "00000000";
  EXPECT_EQ(outcome(wrong), Outcome::refused);
  // Changed without leave: what it was trusted for is gone.
  options_.trust = false;
  auto changed = package("t", "1.0.1");
  const auto done = install(changed);
  EXPECT_EQ(done.outcome, Outcome::replaced);
  EXPECT_THAT(done.warnings, ElementsAre("it is no longer trusted"));
  EXPECT_FALSE(stored("lab:t:1")->resource.contains("trusted"));
}

TEST_F(Install, KeepsLimitsThatAPersonSet) {
  EXPECT_EQ(outcome(package("t")), Outcome::created);
  auto row = *stored("lab:t:1");
  row.resource["limits"] = json::object{{"depth", 5}};
  ASSERT_TRUE(store_->update_driver(row));
  EXPECT_EQ(outcome(package("t")), Outcome::unchanged);
  EXPECT_EQ(outcome(package("t", "1.0.1")), Outcome::replaced);
  EXPECT_EQ(json::write(*json::find(stored("lab:t:1")->resource, "limits")), R"({"depth":5})");
}

TEST_F(Install, PrivateWithoutCodeIsKept) {
  auto hidden = package("h", "1.0.0", "");
  hidden.is_private = true;
  EXPECT_EQ(outcome(hidden), Outcome::created);
  EXPECT_EQ(stored("lab:h:1")->code, "");
  EXPECT_EQ(outcome(hidden), Outcome::unchanged);
}

}  // namespace
}  // namespace sluice::driver
