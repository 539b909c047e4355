// SPDX-License-Identifier: Apache-2.0
#include "connector/registry.h"

#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sstream>

#include "base/json.h"
#include "connector/embedded.h"

namespace sluice::connector {
namespace {

using boost::json::object;
using testing::HasSubstr;

std::string read(const std::string& path) {
  std::ifstream in(std::string(SLUICE_SOURCE_DIR) + "/" + path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

// A connector's folder may lie in another's.
std::string folder_path(const std::string& name) {
  std::string top = std::string(SLUICE_SOURCE_DIR) + "/src/connector";
  if (std::filesystem::exists(top + "/" + name)) return "src/connector/" + name;
  for (const auto& entry : std::filesystem::directory_iterator(top)) {
    if (std::filesystem::exists(entry.path() / name / "connector.cpp"))
      return "src/connector/" + entry.path().filename().string() + "/" + name;
  }
  return name;
}

Result<Descriptor> folder(const std::string& name) {
  return describe(name, read("src/connector/" + name + "/schema.json"), read("src/connector/common.schema.json"), "",
                  nullptr);
}

const Descriptor& mqtt() {
  static const Descriptor descriptor = *folder("mqtt");
  return descriptor;
}

const Descriptor& http() {
  static const Descriptor descriptor = *folder("http");
  return descriptor;
}

object parse(std::string_view text) {
  return json::parse(text)->get_object();
}

std::string faults_text(const std::vector<Fault>& faults) {
  std::string out;
  for (const auto& fault : faults)
    out += fault.path + ": " + fault.message + "\n";
  return out;
}

TEST(Registry, SettingsOfTheServer) {
  auto described = describe("x", R"({"id":"a-b","producerId":"a","moduleId":"b","version":"1","description":"d",
    "configurationId":"c","serverSettings":{"profile":{"default":"plain","description":"d"}}})",
                            "{}", "", nullptr);
  ASSERT_TRUE(described) << described.error().text;
  EXPECT_EQ(described->server_setting("profile", {}), "plain");
  EXPECT_EQ(described->server_setting("profile", {{"x.profile", "plant"}, {"y.profile", "other"}}), "plant");
  EXPECT_EQ(described->server_setting("other", {{"x.other", "plant"}}), "");
  auto unknown = Registry().check_server_settings({{"x.nothing", "1"}});
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error().text, HasSubstr("connectors.x.nothing"));
}

TEST(Registry, EveryEmbeddedFolderIsSound) {
  Registry registry;
  ASSERT_EQ(registry.all().size(), embedded().size());
  for (const auto& descriptor : registry.all()) {
    EXPECT_EQ(registry.find(descriptor.id), &descriptor);
    EXPECT_FALSE(descriptor.readme.empty());
    EXPECT_NE(descriptor.make, nullptr);
  }
  EXPECT_EQ(registry.find("actility-nothing-iot"), nullptr);
}

TEST(Registry, ResourceIsWhatTheApiShows) {
  const auto& resource = mqtt().resource;
  EXPECT_EQ(resource.at("id"), "actility-mqtt-iot");
  EXPECT_EQ(resource.at("producerId"), "actility");
  EXPECT_EQ(resource.at("moduleId"), "mqtt-iot");
  EXPECT_EQ(resource.at("flow"), boost::json::value(object()));
  const auto& schema = resource.at("connection").at("configurationSchema");
  EXPECT_EQ(schema.at("id"), "urn:jsonschema:com:actility:tpx:flow:core:domain:connection:mqtt:MqttConfig");
  EXPECT_EQ(schema.at("properties").at("createDevices").at("type"), "boolean");
  EXPECT_EQ(schema.at("properties").at("downlinkAsKey").at("x-secret"), true);
}

TEST(Registry, UnsoundFoldersAreRefused) {
  auto text = [](const std::string& properties, const std::string& more = "") {
    return R"({"id":"a-b","producerId":"a","moduleId":"b","version":"1","description":"d","configurationId":"c","properties":)" +
           properties + more + "}";
  };
  auto refusal = [](Result<Descriptor> result) { return result ? std::string("sound") : result.error().text; };
  EXPECT_EQ(refusal(describe("x", text("{}"), "{}", "", nullptr)), "sound");
  EXPECT_THAT(refusal(describe("X", text("{}"), "{}", "", nullptr)), HasSubstr("lower-case"));
  EXPECT_THAT(refusal(describe("x", text(R"({"p":{"type":"string","description":"d"}})"), "{}", "", nullptr)),
              HasSubstr("'p' has no title"));
  EXPECT_THAT(refusal(describe("x", text(R"({"p":{"type":"string","title":"t"}})"), "{}", "", nullptr)),
              HasSubstr("'p' has no description"));
  EXPECT_THAT(refusal(describe("x", text(R"({"p":{"title":"t","description":"d"}})"), "{}", "", nullptr)),
              HasSubstr("no type"));
  EXPECT_THAT(refusal(describe("x", text("{}", R"(,"$common":["nope"])"), "{}", "", nullptr)), HasSubstr("'nope'"));
  EXPECT_THAT(refusal(describe("x", text("{}", R"(,"required":["nope"])"), "{}", "", nullptr)), HasSubstr("required"));
  EXPECT_THAT(refusal(describe("x", text("{}", R"(,"brands":{"B":{"properties":{"q":{}}}})"), "{}", "", nullptr)),
              HasSubstr("brand 'B'"));
  EXPECT_THAT(refusal(describe("x", "{", "{}", "", nullptr)), HasSubstr("not valid JSON"));
}

TEST(Validate, EverySampleBodyIsAccepted) {
  int count = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(SLUICE_SOURCE_DIR) + "/tests/data/connections")) {
    auto body = parse(read("tests/data/connections/" + entry.path().filename().string()));
    auto id = json::text_or(body, "connectorId");
    if (id != "actility-mqtt-iot" && id != "actility-http-iot") continue;
    const auto& descriptor = id == "actility-mqtt-iot" ? mqtt() : http();
    auto faults = validate(descriptor, body.at("configuration").get_object(), json::text_or(body, "brand"));
    EXPECT_EQ(faults_text(faults), "") << entry.path();
    EXPECT_TRUE(unknown_keys(descriptor, body.at("configuration").get_object()).empty()) << entry.path();
    ++count;
  }
  EXPECT_GE(count, 15);
}

TEST(Validate, EveryExampleOfAFolderIsSound) {
  Registry registry;
  for (const auto& descriptor : registry.all()) {
    std::string path = folder_path(descriptor.folder) + "/examples";
    int count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(std::string(SLUICE_SOURCE_DIR) + "/" + path)) {
      auto body = parse(read(path + "/" + entry.path().filename().string()));
      EXPECT_EQ(json::text_or(body, "connectorId"), descriptor.id) << entry.path();
      const auto& configuration = body.at("configuration").get_object();
      EXPECT_EQ(faults_text(validate(descriptor, configuration, json::text_or(body, "brand"))), "") << entry.path();
      EXPECT_TRUE(unknown_keys(descriptor, configuration).empty()) << entry.path();
      ++count;
    }
    EXPECT_GT(count, 0) << path;
  }
}

TEST(Validate, TellsAllFaultsAtOnce) {
  auto faults = validate(mqtt(), parse(R"({"hostName":"http://broker","protocol":"UDP","uplinkTopicPattern":"a/{DevEUI",
      "connectionTimeout":30001,"actionTimeout":"1","uplinkTimeValidity":"1 h","downlinkPort":"225","sendMetadata":1,
      "reconnectStrategy":"calm"})"));
  std::map<std::string, std::string> by_path;
  for (const auto& fault : faults)
    EXPECT_TRUE(by_path.emplace(fault.path, fault.message).second) << fault.path;
  EXPECT_EQ(by_path.size(), 9u) << faults_text(faults);
  EXPECT_THAT(by_path["/configuration/hostName"], HasSubstr("without a scheme"));
  EXPECT_EQ(by_path["/configuration/protocol"], "must be one of SSL, WSS, TCP");
  EXPECT_THAT(by_path["/configuration/uplinkTopicPattern"], HasSubstr("pattern"));
  EXPECT_EQ(by_path["/configuration/connectionTimeout"], "must be an integer from 1 to 30000");
  EXPECT_EQ(by_path["/configuration/actionTimeout"], "must be an integer from 1 to 10000");
  EXPECT_THAT(by_path["/configuration/uplinkTimeValidity"], HasSubstr("3d12h60m"));
  EXPECT_EQ(by_path["/configuration/downlinkPort"], "must be a port from 1 to 224");
  EXPECT_EQ(by_path["/configuration/sendMetadata"], "must be a boolean");
  EXPECT_EQ(by_path["/configuration/reconnectStrategy"], "must be one of CALM, NORMAL, AGGRESSIVE");
}

TEST(Validate, EveryPropertyStandsEveryWrongType) {
  auto values = json::parse(R"([true, 5, -1.5e308, "text", [], [{}, 1e308, "a"], {}, {"hostname":[{}]}])")->get_array();
  for (const auto* descriptor : {&mqtt(), &http()}) {
    auto schema = descriptor->schema_for("");
    for (const auto& [name, property] : schema->at("properties").get_object()) {
      auto type = json::text_or(property.get_object(), "type");
      for (const auto& value : values) {
        auto faults = validate(*descriptor, object{{name, value}});
        bool fits = type.empty() || (type == "string" && value.is_string()) || (type == "boolean" && value.is_bool()) ||
                    (type == "integer" && value.is_int64()) || (type == "object" && value.is_object()) ||
                    (type == "array" && value.is_array());
        auto told =
            std::any_of(faults.begin(), faults.end(), [&, at = "/configuration/" + std::string(name)](auto& fault) {
              return fault.path.starts_with(at) && fault.message != "is required";
            });
        EXPECT_TRUE(fits || told) << name << " " << json::write(value) << "\n" << faults_text(faults);
      }
    }
  }
}

TEST(Validate, ListsOfHosts) {
  auto described = describe("x", R"({"id":"a-b","producerId":"a","moduleId":"b","version":"1","description":"d",
    "configurationId":"c","properties":{"servers":{"type":"string","format":"host-port-list","title":"t","description":"d"}}})",
                            "{}", "", nullptr);
  ASSERT_TRUE(described) << described.error().text;
  auto told = [&](const std::string& servers) {
    return faults_text(validate(*described, object{{"servers", servers}}));
  };
  EXPECT_EQ(told("k1.example.org:9092"), "");
  EXPECT_EQ(told("k1:9092, k2 ,[::1]:9094"), "");
  EXPECT_THAT(told("k1:9092,http://k2:9092"), HasSubstr("without a scheme"));
  EXPECT_THAT(told("k1:9092,"), HasSubstr("one of them is empty"));
  EXPECT_THAT(told("k1:9092,k2:0"), HasSubstr("'k2:0': the port"));
  EXPECT_THAT(told("k1:9092/up"), HasSubstr("without a path"));
  EXPECT_THAT(told("k1:9092 k2:9092"), HasSubstr("without blanks"));
}

TEST(Validate, MissingPropertiesAreNamed) {
  EXPECT_EQ(faults_text(validate(mqtt(), {})),
            "/configuration/hostName: is required\n/configuration/protocol: is required\n"
            "/configuration/uplinkTopicPattern: is required\n");
  EXPECT_EQ(faults_text(validate(http(), parse(R"({"destinationURL":null})"))),
            "/configuration/destinationURL: is required\n");
}

TEST(Validate, BrandsChangeLimitsAndRequirements) {
  auto body = parse(R"({"hostName":"h:8883","protocol":"SSL","uplinkTopicPattern":"u","actionTimeout":60000})");
  EXPECT_EQ(validate(mqtt(), body).size(), 1u);
  EXPECT_TRUE(validate(mqtt(), body, "WMW").empty());
  EXPECT_TRUE(validate(http(), {}, "COMMONSENSE").empty());
  Settings settings(http().schema_for("COMMONSENSE"), {});
  EXPECT_EQ(settings.text("destinationURL"), "https://cs-vm2m.net/com/http?idName=DevEUI_uplink+DevEUI");
  EXPECT_EQ(Settings(mqtt().schema_for("WMW"), {}).integer("actionTimeout"), 60000);
  EXPECT_EQ(Settings(mqtt().schema_for("OTHER"), {}).integer("actionTimeout"), 1000);
}

TEST(Validate, UnknownKeysAreNoFault) {
  auto body = parse(R"({"destinationURL":"https://x","destinationUrl":"y","strictmode":true,"foo":1})");
  EXPECT_TRUE(validate(http(), body).empty());
  auto unknown = unknown_keys(http(), body);
  ASSERT_EQ(unknown.size(), 3u);
  EXPECT_EQ(unknown[0], std::make_pair(std::string("destinationUrl"), std::string("destinationURL")));
  EXPECT_EQ(unknown[1].second, "strictMode");
  EXPECT_EQ(unknown[2].second, "");
}

TEST(Validate, HttpUrlsAndHeaders) {
  auto check = [](const std::string& url) {
    object body;
    body["destinationURL"] = url;
    return validate(http(), body).empty();
  };
  EXPECT_TRUE(check("HTTP://x/y?z"));
  EXPECT_TRUE(check("https://{CustomerData.host}/x"));
  EXPECT_FALSE(check("x/y"));
  EXPECT_FALSE(check("ftp://x"));
  EXPECT_FALSE(check("https:///x"));
  auto faults =
      validate(http(), parse(R"({"destinationURL":"https://x","headers":{"a b":"c","X-Bad":"{","X-Number":1}})"));
  EXPECT_EQ(faults.size(), 3u) << faults_text(faults);
}

TEST(Validate, PemPairs) {
  auto check = [](const std::string& protocol, const std::string& certificate, const std::string& key) {
    object body;
    body["hostName"] = "h";
    body["protocol"] = protocol;
    body["uplinkTopicPattern"] = "u";
    if (!certificate.empty()) body["certificate"] = certificate;
    if (!key.empty()) body["privateKey"] = key;
    return faults_text(validate(mqtt(), body));
  };
  auto certificate = read("tests/data/tls/client.crt"), key = read("tests/data/tls/client.key");
  auto other = read("tests/data/tls/server.key");
  ASSERT_FALSE(certificate.empty());
  auto flat = [](std::string text, const std::string& separator) {
    std::string out;
    for (char c : text) {
      if (c == '\n') {
        out += separator;
      } else {
        out += c;
      }
    }
    return out;
  };
  EXPECT_EQ(check("SSL", certificate, key), "");
  EXPECT_EQ(check("SSL", flat(certificate, ""), flat(key, "\\n")), "");
  EXPECT_EQ(check("WSS", flat(certificate, "\\n"), flat(key, "")), "");
  EXPECT_THAT(check("SSL", certificate, other), HasSubstr("does not belong"));
  EXPECT_THAT(check("SSL", certificate, ""), HasSubstr("/configuration/privateKey: is missing"));
  EXPECT_THAT(check("SSL", "", key), HasSubstr("/configuration/certificate: is missing"));
  EXPECT_THAT(check("TCP", certificate, key), HasSubstr("TCP"));
  EXPECT_THAT(check("SSL", "hello", key), HasSubstr("not PEM"));
  EXPECT_THAT(check("SSL", key, certificate), HasSubstr("where a certificate is expected"));
  EXPECT_EQ(check("SSL", "-----BEGIN CERTIFICATE-----...-----END CERTIFICATE-----",
                  "-----BEGIN RSA PRIVATE KEY-----...-----END RSA PRIVATE KEY-----"),
            "");
  EXPECT_EQ(check("SSL", "--BEGIN CERTIFICATE--...--END CERTIFICATE--",
                  "--BEGIN RSA PRIVATE KEY--...--END RSA PRIVATE KEY--"),
            "");
}

TEST(Secrets, AreMaskedSplitAndJoined) {
  auto body = parse(R"({"destinationURL":"https://u:pw@x/y?apikey=k1&a=b&accessToken=t2#f","downlinkAsKey":"abc",
      "headers":{"Authorization":"Bearer x","X-Thing":"{DevEUI}","webhookSigningKey":"s","x/api-key~":"q","Empty-Token":""},
      "proxy":{"hostname":"p","username":"u","password":"pp"},"password":null,"privateKey":""})");
  auto shown = mask(http(), body);
  EXPECT_EQ(
      json::write(shown),
      R"({"destinationURL":"https://u:*****@x/y?apikey=*****&a=b&accessToken=*****#f","downlinkAsKey":"*****",)"
      R"("headers":{"Authorization":"*****","X-Thing":"{DevEUI}","webhookSigningKey":"*****","x/api-key~":"*****","Empty-Token":""},)"
      R"("proxy":{"hostname":"p","username":"u","password":"*****"},"password":null,"privateKey":""})");
  auto [open, secrets] = split_secrets(http(), body);
  EXPECT_EQ(open, shown);
  EXPECT_EQ(secrets.at("/proxy/password"), "pp");
  EXPECT_EQ(secrets.at("/headers/x~1api-key~0"), "q");
  EXPECT_EQ(secrets.size(), 6u);
  EXPECT_EQ(join_secrets(open, secrets), body);
  EXPECT_EQ(mask(mqtt(), parse(R"({"trustedCaCertficate":"ca","certificate":"c","username":"u","password":"p"})")),
            parse(R"({"trustedCaCertficate":"ca","certificate":"*****","username":"u","password":"*****"})"));
}

TEST(Secrets, MaskedOnesKeepTheirStoredValue) {
  auto stored = parse(
      R"({"destinationURL":"https://x/y?apikey=k1","headers":{"Authorization":"Bearer x"},"downlinkAsKey":"abc"})");
  auto updated =
      parse(R"({"destinationURL":"https://z/y?b=c&apikey=*****","headers":{"authorization":"*****","X-Token":"new"},
      "downlinkAsKey":"*****","description":"*****"})");
  EXPECT_EQ(faults_text(keep_masked(http(), updated, stored)), "");
  EXPECT_EQ(
      updated,
      parse(R"({"destinationURL":"https://z/y?b=c&apikey=k1","headers":{"authorization":"Bearer x","X-Token":"new"},
      "downlinkAsKey":"abc","description":"*****"})"));
  auto fresh = parse(
      R"({"destinationURL":"https://z/y?apikey=*****","headers":{"Cookie":"*****"},"proxy":{"password":"*****"}})");
  auto faults = keep_masked(http(), fresh, {});
  ASSERT_EQ(faults.size(), 3u);
  EXPECT_EQ(faults[0].path, "/configuration/destinationURL");
  EXPECT_EQ(faults[1].path, "/configuration/headers/Cookie");
  EXPECT_EQ(faults[2].path, "/configuration/proxy/password");
}

TEST(Secrets, ShownDefaults) {
  auto described =
      describe("x",
               R"({"id":"a-b","producerId":"a","moduleId":"b","version":"1","description":"d","configurationId":"c",
      "properties":{"protocol":{"type":"string","title":"t","description":"d","x-default":"SSL","x-default-shown":true}}})",
               "{}", "", nullptr);
  ASSERT_TRUE(described);
  object configuration;
  show_defaults(*described, configuration);
  EXPECT_EQ(configuration, parse(R"({"protocol":"SSL"})"));
  configuration["protocol"] = "TCP";
  show_defaults(*described, configuration);
  EXPECT_EQ(configuration.at("protocol"), "TCP");
}

TEST(Settings, ReadThroughTheSchema) {
  Settings settings(mqtt().schema, parse(R"({"qos":"0","downlinkPort":5,"username":null,"messageRetain":true})"));
  EXPECT_EQ(settings.integer("qos"), 0);
  EXPECT_EQ(settings.text("downlinkPort"), "5");
  EXPECT_EQ(settings.text("username"), "");
  EXPECT_FALSE(settings.has("username"));
  EXPECT_TRUE(settings.flag("messageRetain"));
  EXPECT_TRUE(settings.flag("downlinkEnabled"));
  EXPECT_EQ(settings.integer("connectionTimeout"), 5000);
  EXPECT_DEATH(static_cast<void>(settings.text("noSuchProperty")), "ensure failed");
}

}  // namespace
}  // namespace sluice::connector
