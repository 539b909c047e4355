// SPDX-License-Identifier: Apache-2.0
#include "binder/thingpark/tunnel.h"

#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <iterator>

#include "base/codec.h"
#include "base/json.h"

namespace sluice::binder::thingpark {
namespace {

using message::Message;
using message::MessageType;
using testing::HasSubstr;

constexpr std::string_view kKey = "46ab678cd45df4a4e4b375eacd096acc";
const UnixMillis kNow = *parse_time("2024-05-02T06:00:00Z");

std::string sample(const std::string& name) {
  std::ifstream in(SLUICE_SOURCE_DIR "/tests/data/messages/" + name, std::ios::binary);
  EXPECT_TRUE(in) << name;
  return {std::istreambuf_iterator<char>(in), {}};
}

Settings settings(std::string_view key = kKey) {
  return {"b1", "acme", "as.1", std::string(key), true, "", std::nullopt};
}

constexpr std::string_view kQuery = "LrnDevEui=1&LrnFPort=2&LrnInfos=x y&AS_ID=as.1&Time=2024-05-02T08:00:00.000+02:00";
constexpr std::string_view kWire =
    "LrnDevEui=1&LrnFPort=2&LrnInfos=x%20y&AS_ID=as.1&Time=2024-05-02T08%3A00%3A00.000%2B02%3A00";

std::string signed_query(std::string_view elements, std::string_view key = kKey) {
  return std::string(kWire) + "&Token=" + make_token(elements, kQuery, key);
}

// The status of a refusal, 0 where the report is taken.
int status(const std::variant<Message, Refusal>& answer) {
  const auto* refusal = std::get_if<Refusal>(&answer);
  if (refusal && refusal->status == 401) {
    EXPECT_EQ(refusal->text, "Authentication failed");
  }
  return refusal ? refusal->status : 0;
}

int post(std::string_view body, std::string_view query, const Settings& with = settings(),
         std::string_view type = "application/json") {
  return status(accept(with, {query, type, body}, kNow));
}

std::string body_of(const json::object& vector) {
  json::object fields = vector.at("bodyElements").as_object();
  json::object root;
  root[json::text_or(vector, "message")] = fields;
  return json::write(root);
}

TEST(Tunnel, TakesThePublishedVectors) {
  auto vectors = json::parse(sample("tunnel-token-vectors.json"));
  ASSERT_TRUE(vectors);
  int seen = 0;
  for (const auto& item : vectors->as_array()) {
    const auto& vector = item.as_object();
    auto text = json::text_or(vector, "signedText");
    auto key = json::text_or(vector, "asKey");
    auto query = json::text_or(vector, "query");
    auto elements = text.substr(0, text.size() - key.size() - query.size());
    EXPECT_EQ(make_token(elements, query, key), json::text_or(vector, "token"));
    if (vector.at("direction") != "uplink") continue;
    ++seen;
    Settings with = settings(key);
    with.as_id = query.substr(query.find("AS_ID=") + 6);
    with.as_id.resize(with.as_id.find('&'));
    auto body = body_of(vector);
    auto wire = json::text_or(vector, "queryOnTheWire");
    auto answer = accept(with, {wire, "application/json", body}, kNow);
    ASSERT_EQ(status(answer), 0) << json::text_or(vector, "name");
    const auto& message = std::get<Message>(answer);
    EXPECT_EQ(message.account, "acme");
    EXPECT_EQ(message.binder, "b1");
    EXPECT_EQ(message.arrived, kNow);
    with.as_key = to_upper(key);
    if (key != to_lower(key)) continue;
    EXPECT_EQ(post(body, wire, with), 0) << "the lower-case form of the key is tried";
    with.as_key.back() = with.as_key.back() == '0' ? '1' : '0';
    EXPECT_EQ(post(body, wire, with), 401);
  }
  EXPECT_EQ(seen, 5);
}

TEST(Tunnel, TakesEachSampleInBothForms) {
  const std::pair<std::string, std::string> kSamples[] = {
      {"tunnel-uplink", "100000507000000000F1D8693270110027bd00"},
      {"tunnel-downlink-sent", "100000507000000000F1D8693222"},
      {"tunnel-location", "000000000F1D8693"},
      {"tunnel-notification-reset", "100000507F03D291E001001C9"},
  };
  for (const auto& [name, elements] : kSamples) {
    auto query = signed_query(elements);
    EXPECT_EQ(post(sample(name + ".json"), query), 0) << name;
    EXPECT_EQ(post(sample(name + ".xml"), query, settings(), "application/xml; charset=utf-8"), 0) << name;
    EXPECT_EQ(post(sample(name + ".xml"), query, settings(), ""), 0) << name;
    EXPECT_EQ(post(sample(name + ".json"), query, settings(), "text/plain"), 0) << name;
    EXPECT_EQ(post("\xEF\xBB\xBF" + sample(name + ".xml"), query, settings(), ""), 0) << name;
    EXPECT_EQ(post("\xEF\xBB\xBF" + sample(name + ".json"), query), 0) << name;
    EXPECT_EQ(post(sample(name + ".json"), signed_query(elements + "0")), 401) << name;
  }
}

TEST(Tunnel, TriesTheElementsThatMayBeMissing) {
  std::string device = R"("CustomerID":"C","DevEUI":"000000000f1d8693")";
  auto body = [&](std::string_view root, std::string_view rest) {
    return "{\"" + std::string(root) + "\":{" + device + std::string(rest) + "}}";
  };
  auto taken = [&](std::string_view root, std::string_view rest, std::string_view elements) {
    return post(body(root, rest), signed_query(elements)) == 0;
  };
  EXPECT_TRUE(taken("DevEUI_uplink", R"(,"FPort":17,"FCntUp":18)", "C000000000f1d86931718"));
  EXPECT_TRUE(taken("DevEUI_uplink", R"(,"FCntUp":18)", "C000000000f1d8693018"));
  EXPECT_TRUE(taken("DevEUI_uplink", R"(,"FCntUp":18)", "C000000000f1d869318"));
  EXPECT_TRUE(taken("DevEUI_uplink", R"(,"rawJoinRequest":"00")", "C000000000f1d86930"));
  EXPECT_TRUE(taken("DevEUI_uplink", R"(,"rawJoinRequest":"00")", "C000000000f1d8693"));
  EXPECT_FALSE(taken("DevEUI_uplink", R"(,"FPort":17,"FCntUp":18)", "C000000000f1d8693"));
  EXPECT_FALSE(taken("DevEUI_uplink", R"(,"FPort":17,"FCntUp":18)", "C000000000F1D86931718")) << "taken as written";
  for (const char* root : {"DevEUI_alarm", "DevEUI_multicast_summary", "DevEUI_downlink_Rejected", "DevEUI_new"}) {
    EXPECT_TRUE(taken(root, "", "C000000000f1d8693")) << root;
    EXPECT_TRUE(taken(root, "", "C")) << root;
    EXPECT_TRUE(taken(root, "", "")) << root;
    EXPECT_FALSE(taken(root, "", "X")) << root;
  }
  EXPECT_EQ(post(sample("bs-alarm.json"), signed_query("100002164100001C2")), 0);
  EXPECT_EQ(post(sample("bs-alarm.json"), signed_query("")), 401);
}

TEST(Tunnel, RefusesWhatIsNotSigned) {
  std::string body = sample("tunnel-notification-reset.json");
  std::string elements = "100000507F03D291E001001C9";
  auto query = signed_query(elements);
  EXPECT_EQ(post(body, query), 0);
  auto upper = query.substr(0, query.size() - 64) + to_upper(query.substr(query.size() - 64));
  EXPECT_EQ(post(body, upper), 0) << "tokens compare without case";
  EXPECT_EQ(post(body, "Token=" + query.substr(query.size() - 64) + "&" + std::string(kWire)), 0) << "in any order";
  EXPECT_EQ(post(body, ""), 401);
  EXPECT_EQ(post(body, kWire), 401);
  EXPECT_EQ(post(body, std::string(kWire) + "&Token="), 401);
  EXPECT_EQ(post(body, query.substr(0, query.size() - 1)), 401);
  for (std::string_view part : {"AS_ID=as.1", "Time=2024"}) {
    auto without = query;
    without.replace(without.find(part), 1, "x");
    EXPECT_EQ(post(body, without), 401) << part;
  }
  auto broken = query;
  broken.replace(broken.find("%20"), 3, "%zz");
  EXPECT_EQ(post(body, broken), 401);
  auto other = settings();
  other.as_id = "as.2";
  EXPECT_EQ(post(body, query, other), 401);
  EXPECT_EQ(post(body, signed_query(elements, ""), settings("")), 401) << "no key never fits";
  auto open = settings();
  open.security = false;
  EXPECT_EQ(post(body, "", open), 0);
}

TEST(Tunnel, BoundsTheTimeWhereAsked) {
  auto body = sample("tunnel-notification-reset.json");
  auto query = signed_query("100000507F03D291E001001C9");
  auto bounded = settings();
  bounded.max_time_deviation = std::chrono::minutes(5);
  EXPECT_EQ(status(accept(bounded, {query, "", body}, kNow + 300'000)), 0);
  EXPECT_EQ(status(accept(bounded, {query, "", body}, kNow + 300'001)), 401);
  EXPECT_EQ(status(accept(bounded, {query, "", body}, kNow - 300'001)), 401);
}

TEST(Tunnel, SaysWhatIsWrongWithTheBody) {
  auto open = settings();
  open.security = false;
  auto refusal = [&](std::string_view body, std::string_view type = "application/json") {
    auto answer = accept(open, {"", type, body}, kNow);
    return std::holds_alternative<Refusal>(answer) ? std::get<Refusal>(answer) : Refusal{0, ""};
  };
  EXPECT_EQ(refusal("{}").status, 400);
  EXPECT_THAT(refusal("").text, HasSubstr("not valid JSON"));
  EXPECT_THAT(refusal("<a>", "text/xml").text, HasSubstr("not valid XML"));
  EXPECT_THAT(refusal(R"({"DevEUI_uplink":{"DevEUI":"1"}})").text, HasSubstr("16 hex digits"));
  EXPECT_EQ(refusal(std::string((1 << 20) + 1, ' ')).status, 413);
}

}  // namespace
}  // namespace sluice::binder::thingpark
