// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mutex>

#include "base/codec.h"
#include "base/testing/http_peer.h"
#include "connector/conformance.h"
#include "connector/http/request.h"
#include "connector/registry.h"

namespace sluice::connector::http {
namespace {

using sluice::testing::HttpPeer;
using testing::FakeHost;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::parse;
using testing::uplink;
using testing::Verdicts;

const Descriptor& descriptor() {
  static const Registry registry;
  return *registry.find("actility-http-iot");
}

std::unique_ptr<Connector> connector_to(FakeHost& host, boost::json::object configuration,
                                        std::string_view brand = "") {
  return descriptor().make(Settings(descriptor().schema_for(brand), std::move(configuration)), host);
}

// Remembers the requests; one thread writes, the test reads under the lock.
struct Recorder {
  std::mutex mutex;
  std::vector<HttpPeer::Request> requests;
  void add(const HttpPeer::Request& request) {
    std::lock_guard lock(mutex);
    requests.push_back(request);
  }
  HttpPeer::Request last() {
    std::lock_guard lock(mutex);
    return requests.back();
  }
};

HttpPeer::Reply behave(conformance::PeerBehaviour behaviour) {
  switch (behaviour) {
    case conformance::PeerBehaviour::drops:
      return {"HTTP/1.1 2", true, false};
    case conformance::PeerBehaviour::silent:
      return {"", false, true};
    case conformance::PeerBehaviour::refuses_login:
      return HttpPeer::answer(401);
    default:
      return HttpPeer::answer(204);
  }
}

TEST(HttpConnector, Conforms) {
  conformance::Subject subject;
  subject.logs_in_at_opening = false;
  subject.start = [](FakeHost& host, conformance::PeerBehaviour behaviour) {
    auto peer = std::make_shared<HttpPeer>([behaviour](const HttpPeer::Request&) { return behave(behaviour); });
    boost::json::object configuration;
    configuration["destinationURL"] = peer->url("/?apikey=s3cr3t");
    configuration["strictMode"] = true;
    configuration["headers"] = parse(R"({"Authorization":"Bearer s3cr3t"})");
    if (behaviour == conformance::PeerBehaviour::absent) peer.reset();
    return conformance::Subject::Pair{peer, connector_to(host, configuration)};
  };
  conformance::run_all(subject);
}

TEST(HttpConnector, PostsTheMessageWithItsHeaders) {
  Recorder recorder;
  HttpPeer peer([&](const HttpPeer::Request& request) {
    recorder.add(request);
    return HttpPeer::answer(200);
  });
  FakeHost host;
  Verdicts verdicts;
  auto configuration =
      parse(R"({"headers":{"X-Thing":"{DevEUI}","X-Site":"A","Content-Length":"1","X-None":"{Nothing}"}})");
  configuration["destinationURL"] = peer.url("/in?idName=DevEUI_uplink+DevEUI&d={DevEUI}");
  auto connector = connector_to(host, configuration);
  ASSERT_TRUE(host.run(connector->open()));
  for (std::size_t sent = 1; sent <= 3; ++sent) {
    connector->send(verdicts.delivery(uplink(), R"({"a":1.50})"));
    ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == sent; }));
    EXPECT_FALSE(verdicts.kinds.back()) << verdicts.texts.back();
  }
  auto request = recorder.last();
  EXPECT_EQ(request.method_string(), "POST");
  EXPECT_EQ(request.target(), "/in?idName=DevEUI_uplink+DevEUI&d=20635F0108000496");
  EXPECT_EQ(request["x-thing"], "20635F0108000496");
  EXPECT_EQ(request["x-site"], "A");
  EXPECT_EQ(request["x-none"], "");
  EXPECT_EQ(request["content-type"], "application/json");
  EXPECT_EQ(request["accept"], "application/json, application/cbor, application/*+json");
  EXPECT_EQ(request["content-length"], "10");
  EXPECT_EQ(request.body(), R"({"a":1.50})");
  EXPECT_LE(peer.connections(), 2);  // the one of opening, and one that is kept alive
  host.run(connector->close());
}

TEST(HttpConnector, ValuesDoNotBreakOutOfHeaderOrUrl) {
  Recorder recorder;
  HttpPeer peer([&](const HttpPeer::Request& request) {
    recorder.add(request);
    return HttpPeer::answer(200);
  });
  FakeHost host;
  Verdicts verdicts;
  auto configuration = parse(R"({"headers":{"X-Name":"{CustomerData.name}"}})");
  configuration["destinationURL"] = peer.url("/in/{CustomerData.name}");
  auto connector = connector_to(host, configuration);
  ASSERT_TRUE(host.run(connector->open()));
  auto message = message::parse_report(
      R"({"DevEUI_uplink":{"DevEUI":"20635F0108000496","CustomerData":{"name":"a\r\nX-Evil: 1/../?b#c"},"payload_hex":""}})");
  ASSERT_TRUE(message);
  connector->send(verdicts.delivery(std::make_shared<const message::Message>(std::move(*message))));
  ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == 1; }));
  EXPECT_FALSE(verdicts.kinds[0]) << verdicts.texts[0];
  auto request = recorder.last();
  EXPECT_TRUE(request.find("x-evil") == request.end());
  EXPECT_EQ(request.target().find("/in/a"), 0u);
  EXPECT_EQ(std::string(request.target()).find('/', 4), std::string::npos) << request.target();
  EXPECT_EQ(std::string(request.target()).find('?'), std::string::npos);
}

TEST(HttpConnector, UnsolvableUrlIsTheMessagesFault) {
  FakeHost host;
  Verdicts verdicts;
  auto connector = connector_to(host, parse(R"({"destinationURL":"https://{YOUR-INSTANCE-HOSTNAME}/x"})"));
  ASSERT_TRUE(host.run(connector->open()));  // nothing fixed to knock at
  connector->send(verdicts.delivery());
  ASSERT_EQ(verdicts.kinds.size(), 1u);
  EXPECT_EQ(verdicts.kinds[0], ErrorKind::permanent);
}

TEST(HttpConnector, TimeOutIsUnreachable) {
  HttpPeer peer([](const HttpPeer::Request&) -> HttpPeer::Reply { return {"", false, true}; });
  FakeHost host;
  Verdicts verdicts;
  boost::json::object configuration;
  configuration["destinationURL"] = peer.url("/");
  configuration["timeout"] = 150;
  auto connector = connector_to(host, configuration);
  ASSERT_TRUE(host.run(connector->open()));
  connector->send(verdicts.delivery());
  ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == 1; }));
  EXPECT_EQ(verdicts.kinds[0], ErrorKind::not_connected);
}

TEST(HttpConnector, EachStatusHasItsVerdict) {
  struct Row {
    int status;
    std::optional<ErrorKind> relaxed, strict;
  };
  constexpr auto kTransient = ErrorKind::transient, kPermanent = ErrorKind::permanent,
                 kNotConnected = ErrorKind::not_connected, kBadConfig = ErrorKind::bad_config;
  for (const Row& row : std::vector<Row>{{200, {}, {}},
                                         {204, {}, {}},
                                         {302, kPermanent, kNotConnected},
                                         {400, kPermanent, kNotConnected},
                                         {401, kBadConfig, kBadConfig},
                                         {403, kBadConfig, kBadConfig},
                                         {404, kPermanent, kBadConfig},
                                         {407, kBadConfig, kBadConfig},
                                         {408, kTransient, kNotConnected},
                                         {413, kPermanent, kNotConnected},
                                         {422, kPermanent, kNotConnected},
                                         {429, kTransient, kNotConnected},
                                         {500, kTransient, kNotConnected},
                                         {503, kTransient, kNotConnected}}) {
    HttpResponse response;
    response.status = row.status;
    for (bool strict : {false, true}) {
      auto verdict = verdict_of(response, strict);
      const auto& expected = strict ? row.strict : row.relaxed;
      EXPECT_EQ(verdict.has_value(), !expected) << row.status;
      if (!verdict && expected) {
        EXPECT_EQ(verdict.error().kind, *expected) << row.status;
      }
    }
  }
  HttpResponse busy;
  busy.status = 429;
  busy.headers = {{"retry-after", "7"}};
  EXPECT_EQ(verdict_of(busy, false).error().wait, std::chrono::seconds(7));
  busy.headers = {{"retry-after", "Wed, 21 Oct 2026 07:28:00 GMT"}};
  EXPECT_EQ(verdict_of(busy, false).error().wait, std::nullopt);
}

TEST(HttpTunnel, TokenFitsThePublishedVectors) {
  EXPECT_EQ(tunnel_token("1000005070018B20000000B20270110027bd00",
                         "LrnDevEui=0018B20000000B20&LrnFPort=2&LrnInfos=OPEN-FLOW-1&AS_ID=OPEN-FLOW&Time=2024-02-"
                         "01T10:11:12.333+00:00",
                         "00112233445566778899AABBCCDDEEFF"),
            "70c45bce44eb1977099985dea0f321192dfff92dfb5852c5ef8739e754a3be67");
  auto message = message::parse_report(
      R"({"DevEUI_uplink":{"DevEUI":"20635F0108000496","FPort":17,"FCntUp":18,"CustomerID":"100002167",)"
      R"("payload_hex":"032ce4850919d85d4c9f793ad148d24f32f3c6b5488f5a087cbeb1488f5a998c83ab"}})");
  ASSERT_TRUE(message);
  auto query = tunnel_query(*message, "TWA_100002167.1111.AS-1-111974", "TWA_100002167.1111.AS",
                            "f3203a20a2e8dfaf6686b621f56d05e3", *parse_time("2021-04-07T08:49:51.551+00:00"));
  ASSERT_TRUE(query);
  EXPECT_EQ(
      *query,
      "LrnDevEui=20635F0108000496&LrnFPort=17&LrnInfos=TWA_100002167.1111.AS-1-111974&AS_ID=TWA_100002167.1111.AS&"
      "Time=2021-04-07T08%3A49%3A51.551%2B00%3A00&Token="
      "196c22898bf95fcf48b72be198c89256410660b9b514539651344baa594ad74f");
}

TEST(HttpTunnel, RequestsLookLikeTheNetworkServers) {
  FakeHost host;
  Verdicts verdicts;
  auto configuration = parse(R"({"destinationURL":"http://x/y?a=b#frag","lrcCompliance":true,"downlinkAsId":"AS",
      "headers":{"Accept":"text/plain","User-Agent":"me","X-Other":"o"}})");
  auto plan = Plan::read(Settings(descriptor().schema, configuration), "7");
  ASSERT_TRUE(plan);
  auto request = make_request(*plan, verdicts.delivery(), 0);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->url, "http://x/y?a=b&LrnDevEui=20635F0108000496&LrnFPort=17&LrnInfos=IOTFLOW_7");
  for (const auto& [name, content] : request->headers) {
    EXPECT_NE(content, "text/plain");
    EXPECT_NE(name, "User-Agent");
  }
  configuration["tunnelInterfaceAuthenticationKey"] = "00112233445566778899aabbccddeeff";
  plan = Plan::read(Settings(descriptor().schema, configuration), "7");
  request = make_request(*plan, verdicts.delivery(), 0);
  EXPECT_THAT(request->url,
              HasSubstr("&LrnInfos=IOTFLOW_7&AS_ID=AS&Time=1970-01-01T00%3A00%3A00.000%2B00%3A00&Token="));

  message::Message position;
  position.type = message::MessageType::resolved_position;
  EXPECT_EQ(tunnel_query(position, "i", "a", "", 0).error().kind, ErrorKind::permanent);
}

TEST(HttpBrands, FillInWhatTheyKnow) {
  Verdicts verdicts;
  auto request = [&](std::string_view brand, std::string_view configuration) {
    auto plan = Plan::read(Settings(descriptor().schema_for(brand), parse(configuration)), "7");
    if (!plan) return HttpRequest{.url = plan.error().text};
    return *make_request(*plan, verdicts.delivery(), 0);
  };
  auto header = [](const HttpRequest& request, std::string_view name) {
    for (const auto& [key, content] : request.headers) {
      if (equals_ignoring_case(key, name)) return content;
    }
    return std::string();
  };
  EXPECT_EQ(request("COMMONSENSE", "{}").url, "https://cs-vm2m.net/com/http?idName=DevEUI_uplink+DevEUI");
  EXPECT_EQ(request("GEAR_STUDIO", R"({"instanceHostname":"https://gear.example.org/","accessToken":"at 1"})").url,
            "https://gear.example.org/services/thingpark?accessToken=at%201");
  for (const char* typed : {"abc", "Bearer abc", "bearer  Bearer abc"}) {
    boost::json::object configuration;
    configuration["headers"] = boost::json::object{{"authorization", typed}};
    EXPECT_EQ(header(request("UNABIZ", json::write(configuration)), "Authorization"), "Bearer abc");
  }
  EXPECT_THAT(request("OPINUM", R"({"username":"u","password":"p"})").url, HasSubstr("destinationURL is not set"));
}

}  // namespace
}  // namespace sluice::connector::http
