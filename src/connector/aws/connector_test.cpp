// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mutex>
#include <set>

#include "base/testing/http_peer.h"
#include "connector/aws/cloud.h"
#include "connector/aws/configuration.h"
#include "connector/conformance.h"
#include "connector/registry.h"
#include "net/testing/fake_mqtt_broker.h"

namespace sluice::connector::aws {
namespace {

using namespace net::mqtt;  // NOLINT: the fake broker speaks all of it

using boost::asio::awaitable;
using sluice::testing::HttpPeer;
using ::testing::ElementsAre;
using testing::FakeHost;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::parse;
using testing::read_data;
using testing::uplink;
using testing::Verdicts;
using Session = FakeBroker::Session;

const Descriptor& descriptor() {
  static const connector::Registry registry;
  return *registry.find("actility-aws-iot");
}

// Both services at once. Things exist; messages are taken.
class Cloud {
 public:
  using Script = std::function<HttpPeer::Reply(const HttpPeer::Request&)>;
  explicit Cloud(Script script = {})
      : script_(std::move(script)),
        peer_([this](const HttpPeer::Request& request) { return answer(request); }, read_data("tls/server.crt"),
              read_data("tls/server.key")) {}

  [[nodiscard]] unsigned short port() const { return peer_.port(); }
  [[nodiscard]] int connections() const { return peer_.connections(); }
  std::vector<HttpPeer::Request> requests(std::string_view prefix) {
    std::lock_guard lock(mutex_);
    std::vector<HttpPeer::Request> out;
    for (const auto& request : requests_) {
      if (request.target().starts_with(boost::string_view(prefix.data(), prefix.size()))) out.push_back(request);
    }
    return out;
  }

 private:
  HttpPeer::Reply answer(const HttpPeer::Request& request) {
    {
      std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    if (script_ && request.target().starts_with("/topics/")) return script_(request);
    return HttpPeer::answer(200, R"({"message":"OK"})");
  }

  Script script_;
  std::mutex mutex_;
  std::vector<HttpPeer::Request> requests_;
  HttpPeer peer_;
};

boost::json::object configuration(std::uint16_t port, std::string_view more = "{}") {
  auto out = parse(R"({"region":"eu-central-1","accountPrefix":"a1b2-ats","accessKeyId":"AKIDEXAMPLE",
    "secretAccessKey":"s3cr3t","certificateId":"arn:aws:iot:eu-central-1:1:cert/0a","deviceType":"sensor",
    "uplinkTopicPattern":"tpx/things/{DevEUI}/uplink"})");
  out["trustedCaCertificate"] = read_data("tls/ca.crt");
  out["certificate"] = read_data("tls/client.crt");
  out["privateKey"] = read_data("tls/client.key");
  out["endpoint"] = out["registryEndpoint"] = "localhost:" + std::to_string(port);
  for (const auto& [key, content] : parse(more))
    out[key] = content;
  return out;
}

std::unique_ptr<Connector> connector_to(Host& host, boost::json::object configuration) {
  EXPECT_TRUE(validate(descriptor(), configuration).empty());
  return descriptor().make(Settings(descriptor().schema, std::move(configuration)), host);
}

HttpPeer::Reply behave(conformance::PeerBehaviour behaviour) {
  switch (behaviour) {
    case conformance::PeerBehaviour::drops:
      return {"HTTP/1.1 2", true, false};
    case conformance::PeerBehaviour::silent:
      return {"", false, true};
    case conformance::PeerBehaviour::refuses_login:
      return HttpPeer::answer(403, R"({"message":"Forbidden"})", "x-amzn-ErrorType: ForbiddenException\r\n");
    default:
      return HttpPeer::answer(200, R"({"message":"OK"})");
  }
}

void conforms(const std::string& more) {
  conformance::Subject subject;
  subject.logs_in_at_opening = false;
  subject.start = [more](FakeHost& host, conformance::PeerBehaviour behaviour) {
    auto peer = std::make_shared<Cloud>([behaviour](const HttpPeer::Request&) { return behave(behaviour); });
    auto settings = configuration(peer->port(), more);
    if (behaviour == conformance::PeerBehaviour::absent) peer.reset();
    return conformance::Subject::Pair{peer, connector_to(host, settings)};
  };
  conformance::run_all(subject);
}

TEST(AwsConnector, ConformsWithACertificate) {
  conforms("{}");
}

TEST(AwsConnector, ConformsWithAnAccessKey) {
  conforms(R"({"protocol":"WSS"})");
}

TEST(AwsConnector, PostsToTheDevicesTopic) {
  Cloud cloud;
  FakeHost host;
  Verdicts verdicts;
  auto connector = connector_to(host, configuration(cloud.port()));
  ASSERT_TRUE(host.run(connector->open()));
  EXPECT_EQ(host.authenticated, 1);
  EXPECT_EQ(connector->usual_rate(), 1000u);
  for (std::size_t sent = 1; sent <= 3; ++sent) {
    connector->send(verdicts.delivery(uplink(), R"({"a":1.50})"));
    ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == sent; }));
    EXPECT_FALSE(verdicts.kinds.back()) << verdicts.texts.back();
  }
  auto posted = cloud.requests("/topics/");
  ASSERT_EQ(posted.size(), 3u);
  EXPECT_EQ(posted[0].method_string(), "POST");
  EXPECT_EQ(posted[0].target(), "/topics/tpx%2Fthings%2F20635F0108000496%2Fuplink?qos=1");
  EXPECT_EQ(posted[0].body(), R"({"a":1.50})");
  EXPECT_EQ(posted[0]["content-type"], "application/json");
  EXPECT_EQ(posted[0]["authorization"], "");
  // The thing was looked for before the first of them, and for that one only.
  EXPECT_EQ(cloud.requests("/things/20635F0108000496").size(), 2u);
  // One of the endpoint (looked at and posted to, kept alive), one of the registry, where the same host is both:
  // shared.
  EXPECT_LE(cloud.connections(), 2);
  host.run(connector->close());
}

TEST(AwsConnector, SignsWhereThereIsNoCertificate) {
  Cloud cloud;
  FakeHost host;
  Verdicts verdicts;
  auto connector = connector_to(
      host, configuration(cloud.port(), R"({"protocol":"WSS","sessionToken":"t0ken","qos":0,"certificateId":null})"));
  ASSERT_TRUE(host.run(connector->open()));
  connector->send(verdicts.delivery(uplink(), "{}"));
  ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == 1; }));
  EXPECT_FALSE(verdicts.kinds[0]) << verdicts.texts[0];
  auto posted = cloud.requests("/topics/");
  ASSERT_EQ(posted.size(), 1u);
  EXPECT_EQ(posted[0].target(), "/topics/tpx%2Fthings%2F20635F0108000496%2Fuplink?qos=0");
  EXPECT_EQ(posted[0]["x-amz-security-token"], "t0ken");
  auto authorization = std::string(posted[0]["authorization"]);
  EXPECT_THAT(authorization, HasSubstr("/eu-central-1/iotdata/aws4_request, "
                                       "SignedHeaders=host;x-amz-date;x-amz-security-token, Signature="));
  EXPECT_THAT(authorization, HasSubstr("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"));
  EXPECT_EQ(cloud.requests("/things/20635F0108000496/principals").size(), 0u);
  host.run(connector->close());
}

TEST(AwsConnector, AnswersAndTheirVerdicts) {
  struct Case {
    int status;
    const char* type;
    std::optional<ErrorKind> kind;
  };
  for (const auto& [status, type, kind] :
       {Case{200, "", std::nullopt}, Case{400, "InvalidRequestException", ErrorKind::permanent},
        Case{400, "ThrottlingException", ErrorKind::transient},
        Case{400, "IncompleteSignatureException", ErrorKind::bad_config}, Case{401, "", ErrorKind::bad_config},
        Case{403, "ForbiddenException", ErrorKind::bad_config}, Case{404, "", ErrorKind::bad_config},
        Case{407, "", ErrorKind::bad_config}, Case{408, "", ErrorKind::transient}, Case{409, "", ErrorKind::permanent},
        Case{413, "", ErrorKind::permanent}, Case{415, "", ErrorKind::permanent},
        Case{429, "ThrottlingException", ErrorKind::transient}, Case{500, "", ErrorKind::transient},
        Case{503, "", ErrorKind::transient}, Case{301, "", ErrorKind::transient}}) {
    HttpResponse response;
    response.status = status;
    if (*type) response.headers.emplace_back("x-amzn-errortype", std::string(type) + ":http://internal.amazon.com/");
    response.headers.emplace_back("retry-after", "9");
    auto verdict = verdict_of(response);
    EXPECT_EQ(verdict ? std::nullopt : std::optional(verdict.error().kind), kind) << status << " " << type;
    if (verdict) continue;
    EXPECT_THAT(verdict.error().text, HasSubstr("AWS answered " + std::to_string(status)));
    EXPECT_EQ(verdict.error().wait, std::chrono::seconds(9));
  }
  HttpResponse response;
  response.status = 400;
  response.body = R"({"__type":"com.amazonaws.iot#ThrottlingException","message":"Rate exceeded"})";
  EXPECT_EQ(verdict_of(response).error().text, "AWS answered 400 (ThrottlingException)");
  EXPECT_EQ(verdict_of(response).error().kind, ErrorKind::transient);
}

TEST(AwsConnector, LimitsOfAws) {
  Cloud cloud;
  FakeHost host;
  Verdicts verdicts;
  auto connector = connector_to(host, configuration(cloud.port(), R"({"createDevices":false})"));
  ASSERT_TRUE(host.run(connector->open()));
  connector->send(verdicts.delivery(uplink(), std::string(128 * 1024, 'x')));
  ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == 1; }));
  EXPECT_FALSE(verdicts.kinds[0]) << verdicts.texts[0];
  connector->send(verdicts.delivery(uplink(), std::string(128 * 1024 + 1, 'x')));
  ASSERT_EQ(verdicts.kinds.size(), 2u);
  EXPECT_EQ(verdicts.kinds[1], ErrorKind::permanent);
  EXPECT_THAT(verdicts.texts[1], HasSubstr("131073 bytes"));
  host.run(connector->close());

  EXPECT_TRUE(check_topic(std::string(256, 'a')));
  EXPECT_EQ(check_topic(std::string(257, 'a')).error().kind, ErrorKind::permanent);
  EXPECT_TRUE(check_topic("1/2/3/4/5/6/7/8"));
  EXPECT_FALSE(check_topic("1/2/3/4/5/6/7/8/9"));
  EXPECT_TRUE(check_topic("$aws/rules/mine/1/2/3/4/5/6/7/8"));
  EXPECT_FALSE(check_topic("$aws/rules/mine/1/2/3/4/5/6/7/8/9"));
  EXPECT_FALSE(check_topic(""));
}

TEST(AwsConnector, ValuesDoNotLeaveTheirLevelOfTheTopic) {
  Cloud cloud;
  FakeHost host;
  Verdicts verdicts;
  auto connector =
      connector_to(host, configuration(cloud.port(), R"({"uplinkTopicPattern":"x/{CustomerData.name}/up"})"));
  ASSERT_TRUE(host.run(connector->open()));
  auto message = message::parse_report(
      R"({"DevEUI_uplink":{"DevEUI":"20635F0108000496","CustomerData":{"name":"a/../#+?b&c"},"payload_hex":""}})");
  connector->send(verdicts.delivery(std::make_shared<const message::Message>(std::move(*message))));
  ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == 1; }));
  auto posted = cloud.requests("/topics/");
  ASSERT_EQ(posted.size(), 1u);
  EXPECT_EQ(posted[0].target(), "/topics/x%2Fa_..___%3Fb%26c%2Fup?qos=1");
  host.run(connector->close());
}

TEST(AwsConnector, AThingThatMayNotBeMadeSkipsItsMessage) {
  FakeHost host;
  Verdicts verdicts;
  HttpPeer peer(
      [](const HttpPeer::Request& request) {
        return HttpPeer::answer(request.target().starts_with("/things/") ? 404 : 200, "{}");
      },
      read_data("tls/server.crt"), read_data("tls/server.key"));
  auto connector = connector_to(host, configuration(peer.port(), R"({"createDevices":false})"));
  ASSERT_TRUE(host.run(connector->open()));
  connector->send(verdicts.delivery());
  ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == 1; }));
  EXPECT_EQ(verdicts.kinds[0], ErrorKind::permanent);
  ASSERT_EQ(host.notices.size(), 1u);
  EXPECT_EQ(host.notices[0].kind, Notice::Kind::device_unknown);
  host.run(connector->close());
}

// ---------------------------------------------------------------- commands

// What the brokers' clients did.
struct Seen {
  std::set<std::string> clients;  // of CONNECT, as far as it can be read: the payload
  std::vector<std::string> filters;
  int sessions = 0;
};

FakeBroker::Script taking(Seen& seen, std::string command = "") {
  return [&seen, command](Session& session) -> awaitable<void> {
    auto connect = co_await session.next();
    seen.clients.insert(connect.payload);
    ++seen.sessions;
    co_await session.send(bytes(0x20, 3, 0, 0, 0));
    auto subscribe = co_await session.next();
    seen.filters.push_back(subscribe.payload);
    std::string out = bytes(0x90, 4, subscribe.id >> 8, subscribe.id & 255, 0, 1);
    if (!command.empty()) append_publish(out, kVersion5, 77, "tpx/things/20635F0108000496/down", command, 1, false);
    co_await session.send(out);
    co_await session.linger();
  };
}

std::shared_ptr<FakeBroker> broker(FakeHost& host, FakeBroker::Script script) {
  return FakeBroker::start(std::make_shared<FakeBroker>(host.io, std::move(script), kVersion5,
                                                        read_data("tls/server.crt"), read_data("tls/server.key")));
}

boost::json::object with_commands(const Cloud& cloud, const FakeBroker& mqtt, std::string_view more = "{}") {
  auto out = configuration(cloud.port(), R"({"downlinkTopicPattern":"tpx/things/{DevEUI}/down"})");
  out["mqttPort"] = static_cast<std::int64_t>(mqtt.port());
  for (const auto& [key, content] : parse(more))
    out[key] = content;
  return out;
}

TEST(AwsConnector, TakesCommands) {
  FakeHost host;
  Cloud cloud;
  Seen seen;
  auto mqtt = broker(host, taking(seen, R"({"DevEUI_downlink":{}})"));
  auto connector = connector_to(host, with_commands(cloud, *mqtt));
  auto opened = host.run(connector->open());
  ASSERT_TRUE(opened) << opened.error().text;
  ASSERT_TRUE(host.wait([&] { return host.commands.size() == 1; }));
  EXPECT_EQ(host.commands[0].body, R"({"DevEUI_downlink":{}})");
  EXPECT_EQ(host.commands[0].dev_eui, "20635F0108000496");
  EXPECT_TRUE(host.commands[0].acknowledge);
  ASSERT_EQ(seen.filters.size(), 1u);
  EXPECT_THAT(seen.filters[0], HasSubstr("tpx/things/+/down"));
  EXPECT_THAT(seen.filters[0], Not(HasSubstr("$share")));
  host.run(connector->close());
  EXPECT_TRUE(host.losses.empty());
}

TEST(AwsConnector, SessionsShareTheCommands) {
  FakeHost host;
  Cloud cloud;
  Seen seen;
  auto mqtt = broker(host, taking(seen));
  auto connector = connector_to(host, with_commands(cloud, *mqtt, R"({"mqttConnections":10,"clientId":"a/b"})"));
  auto opened = host.run(connector->open());
  ASSERT_TRUE(opened) << opened.error().text;
  EXPECT_EQ(seen.sessions, 10);
  ASSERT_EQ(seen.filters.size(), 10u);
  for (const auto& filter : seen.filters)
    EXPECT_THAT(filter, HasSubstr("$share/a_b/tpx/things/+/down"));
  host.run(connector->close());
}

TEST(AwsConnector, ALostSessionLosesTheConnectionOnce) {
  FakeHost host;
  Cloud cloud;
  std::vector<Session*> sessions;
  auto mqtt = broker(host, [&](Session& session) -> awaitable<void> {
    co_await session.next();
    co_await session.send(bytes(0x20, 3, 0, 0, 0));
    auto subscribe = co_await session.next();
    std::string out = bytes(0x90, 4, subscribe.id >> 8, subscribe.id & 255, 0, 1);
    co_await session.send(out);
    sessions.push_back(&session);
    co_await session.linger();
  });
  auto connector = connector_to(host, with_commands(cloud, *mqtt, R"({"mqttConnections":3})"));
  ASSERT_TRUE(host.run(connector->open()));
  ASSERT_EQ(sessions.size(), 3u);
  for (auto* session : sessions)
    session->close();
  ASSERT_TRUE(host.wait([&] { return !host.losses.empty(); }));
  EXPECT_EQ(host.losses[0].kind, ErrorKind::not_connected);
  EXPECT_THAT(host.losses[0].text, HasSubstr("the session for commands: "));
  host.run(connector->close());
  EXPECT_EQ(host.losses.size(), 1u);
}

TEST(AwsConnector, ARefusedSubscriptionIsTold) {
  FakeHost host;
  Cloud cloud;
  auto mqtt = broker(host, [](Session& session) -> awaitable<void> {
    co_await session.next();
    co_await session.send(bytes(0x20, 3, 0, 0, 0));
    auto subscribe = co_await session.next();
    std::string out = bytes(0x90, 4, subscribe.id >> 8, subscribe.id & 255, 0, 0x87);
    co_await session.send(out);
    co_await session.linger();
  });
  auto connector = connector_to(host, with_commands(cloud, *mqtt));
  auto opened = host.run(connector->open());
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind, ErrorKind::bad_config);
  EXPECT_THAT(opened.error().text, HasSubstr("refuses the subscription"));
  host.run(connector->close());
}

// ---------------------------------------------------------------- opening

struct TrialHost : FakeHost {
  [[nodiscard]] bool trial() const override { return true; }
  std::string connection_id() override { return "test-1234"; }
};

TEST(AwsConnector, ATrialLeavesNothingBehind) {
  TrialHost host;
  Cloud cloud;
  Seen seen;
  Verdicts verdicts;
  auto mqtt = broker(host, taking(seen));
  auto connector = connector_to(host, with_commands(cloud, *mqtt, R"({"clientId":"mine"})"));
  auto opened = host.run(connector->open());
  ASSERT_TRUE(opened) << opened.error().text;
  connector->try_out(verdicts.delivery());
  ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == 1; }));
  EXPECT_FALSE(verdicts.kinds[0]) << verdicts.texts[0];
  EXPECT_TRUE(cloud.requests("/things/").empty());
  EXPECT_EQ(cloud.requests("/things?").size(), 1u);
  host.run(connector->close());
}

TEST(AwsConnector, WrongKeysShowAtOpening) {
  FakeHost host;
  HttpPeer peer(
      [](const HttpPeer::Request& request) {
        bool is_signed = !request["authorization"].empty();
        return is_signed ? HttpPeer::answer(403, "{}", "x-amzn-ErrorType: InvalidSignatureException\r\n")
                         : HttpPeer::answer(200, "{}");
      },
      read_data("tls/server.crt"), read_data("tls/server.key"));
  for (const char* more : {"{}", R"({"protocol":"WSS"})"}) {
    auto connector = connector_to(host, configuration(peer.port(), more));
    auto opened = host.run(connector->open());
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().kind, ErrorKind::bad_config);
    EXPECT_THAT(opened.error().text, HasSubstr("InvalidSignatureException"));
    EXPECT_THAT(opened.error().text, Not(HasSubstr("s3cr3t")));
    host.run(connector->close());
  }
}

TEST(AwsConnector, WhatCannotWorkIsToldByItsProperty) {
  FakeHost host;
  struct Case {
    const char *more, *text;
  };
  for (const auto& [more, text] : {Case{R"({"certificate":"","privateKey":""})", "certificate is missing"},
                                   Case{R"({"certificateId":""})", "certificateId is missing"},
                                   Case{R"({"downlinkTopicPattern":"1/2/3/4/5/6/7/8/9"})", "at most 7 slashes"},
                                   Case{R"({"certificate":"-----BEGIN CERTIFICATE-----xxx-----END CERTIFICATE-----",
                 "privateKey":"-----BEGIN RSA PRIVATE KEY-----xxx-----END RSA PRIVATE KEY-----"})",
                                        "certificate is a placeholder"},
                                   Case{R"({"proxy":{"hostname":"https://proxy.example.org"}})", "http://"}}) {
    auto connector = connector_to(host, configuration(1, more));
    auto opened = host.run(connector->open());
    ASSERT_FALSE(opened) << more;
    EXPECT_EQ(opened.error().kind, ErrorKind::bad_config);
    EXPECT_THAT(opened.error().text, HasSubstr(text));
    EXPECT_FALSE(connector->peer());
    host.run(connector->close());
  }
}

TEST(AwsConnector, WhereItConnectsTo) {
  FakeHost host;
  struct Case {
    const char *more, *host;
    std::uint16_t https, mqtt;
    const char* alpn;
    const char* registry;
  };
  for (const auto& one :
       {Case{R"({})", "a1-ats.iot.eu-central-1.amazonaws.com", 8443, 8883, "", "iot.eu-central-1.amazonaws.com"},
        Case{R"({"mqttPort":443})", "a1-ats.iot.eu-central-1.amazonaws.com", 8443, 443, "x-amzn-mqtt-ca",
             "iot.eu-central-1.amazonaws.com"},
        Case{R"({"mqttPort":443,"mqttAlpn":false})", "a1-ats.iot.eu-central-1.amazonaws.com", 8443, 443, "",
             "iot.eu-central-1.amazonaws.com"},
        Case{R"({"mqttPort":9443,"mqttAlpn":true,"httpsPort":9444})", "a1-ats.iot.eu-central-1.amazonaws.com", 9444,
             9443, "x-amzn-mqtt-ca", "iot.eu-central-1.amazonaws.com"},
        Case{R"({"protocol":"WSS"})", "a1-ats.iot.eu-central-1.amazonaws.com", 443, 443, "",
             "iot.eu-central-1.amazonaws.com"},
        Case{R"({"region":"cn-north-1"})", "a1-ats.iot.cn-north-1.amazonaws.com.cn", 8443, 8883, "",
             "iot.cn-north-1.amazonaws.com.cn"},
        Case{R"({"region":"us-gov-west-1"})", "a1-ats.iot.us-gov-west-1.amazonaws.com", 8443, 8883, "",
             "iot.us-gov-west-1.amazonaws.com"},
        Case{R"({"endpoint":"vpce.example.org","registryEndpoint":"10.0.0.1:99"})", "vpce.example.org", 8443, 8883, "",
             "10.0.0.1"},
        Case{R"({"endpoint":"[::1]:77"})", "::1", 77, 8883, "", "iot.eu-central-1.amazonaws.com"}}) {
    SCOPED_TRACE(one.more);
    auto given = configuration(1, R"({"accountPrefix":"a1-ats"})");
    given.erase("endpoint");
    given.erase("registryEndpoint");
    for (const auto& [key, content] : parse(one.more))
      given[key] = content;
    EXPECT_TRUE(validate(descriptor(), given).empty());
    auto read = Configuration::read(Settings(descriptor().schema, given), host);
    ASSERT_TRUE(read) << read.error().text;
    EXPECT_EQ(read->data.host, one.host);
    EXPECT_EQ(read->data.port, one.https);
    EXPECT_EQ(read->client.transport.host, one.host);
    EXPECT_EQ(read->client.transport.port, one.mqtt);
    EXPECT_EQ(read->client.transport.alpn, one.alpn);
    EXPECT_EQ(read->things.registry.host, one.registry);
    EXPECT_EQ(read->client.client_id, "sluice-7");
  }
  EXPECT_EQ(discovery_host("eu-central-1"), "greengrass-ats.iot.eu-central-1.amazonaws.com");
  EXPECT_EQ(discovery_host("cn-north-1"), "greengrass.ats.iot.cn-north-1.amazonaws.com.cn");
  EXPECT_EQ((Endpoint{"::1", 8443}.authority()), "[::1]:8443");
  EXPECT_EQ((Endpoint{"a", 443}.authority()), "a");
}

TEST(AwsConnector, BodiesAsTheReferenceHasThem) {
  auto faults =
      validate(descriptor(), parse(R"({"region":"eu-central-1","accountPrefix":"a1.iot.eu-central-1.amazonaws.com",
    "accessKeyId":"a","secretAccessKey":"b","uplinkTopicPattern":"x","endpoint":"https://x"})"));
  std::string text;
  for (const auto& fault : faults)
    text += fault.path + ": " + fault.message + "\n";
  EXPECT_EQ(faults.size(), 3u) << text;
  EXPECT_THAT(text, HasSubstr("/configuration/accountPrefix: must be what stands before .iot."));
  EXPECT_THAT(text, HasSubstr("/configuration/deviceType: is required"));
  EXPECT_THAT(text, HasSubstr("/configuration/endpoint: must be host or host:port"));
}

}  // namespace
}  // namespace sluice::connector::aws
