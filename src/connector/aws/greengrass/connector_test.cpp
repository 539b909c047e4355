// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mutex>

#include "base/testing/http_peer.h"
#include "connector/aws/greengrass/discovery.h"
#include "connector/conformance.h"
#include "connector/registry.h"
#include "net/testing/fake_mqtt_broker.h"

namespace sluice::connector::greengrass {
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
  static const Registry registry;
  return *registry.find("actility-aws-iot-greengrass");
}

std::string discovery_answer(const std::string& authority) {
  json::object core{{"thingArn", "arn:x"}};
  json::object group{{"GGGroupId", "g"}, {"Cores", json::array{core}}, {"CAs", json::array{authority}}};
  return json::write(json::object{{"GGGroups", json::array{group}}});
}

// The discovery service and the registry.
class Cloud {
 public:
  using Script = std::function<HttpPeer::Reply(const std::string& target)>;
  explicit Cloud(Script script = {})
      : script_(std::move(script)),
        peer_([this](const HttpPeer::Request& request) { return answer(request); }, read_data("tls/server.crt"),
              read_data("tls/server.key")) {}
  [[nodiscard]] unsigned short port() const { return peer_.port(); }
  std::vector<std::string> calls() {
    std::lock_guard lock(mutex_);
    return calls_;
  }
  [[nodiscard]] int discoveries() {
    int count = 0;
    for (const auto& call : calls())
      count += call.find("/greengrass/") != std::string::npos ? 1 : 0;
    return count;
  }

 private:
  HttpPeer::Reply answer(const HttpPeer::Request& request) {
    auto target = std::string(request.target());
    {
      std::lock_guard lock(mutex_);
      calls_.push_back(std::string(request.method_string()) + " " + target);
    }
    if (script_) {
      auto reply = script_(target);
      if (!reply.bytes.empty() || reply.silent) return reply;
    }
    if (target.starts_with("/greengrass/discover/thing/"))
      return HttpPeer::answer(200, discovery_answer(read_data("tls/ca.crt")));
    return HttpPeer::answer(200, "{}");
  }
  Script script_;
  std::mutex mutex_;
  std::vector<std::string> calls_;
  HttpPeer peer_;
};

awaitable<void> good_core(Session& session) {
  for (;;) {
    auto packet = co_await session.next();
    switch (packet.type) {
      case PacketType::connect:
        co_await session.send(kConnack);
        break;
      case PacketType::subscribe:
        co_await session.send(bytes(0x90, 3, packet.id >> 8, packet.id & 255, 1));
        break;
      case PacketType::publish:
        co_await session.puback(packet.id);
        break;
      default:
        co_return;
    }
  }
}

std::shared_ptr<FakeBroker> core(FakeHost& host, FakeBroker::Script script = good_core) {
  return FakeBroker::start(std::make_shared<FakeBroker>(host.io, std::move(script), kVersion311,
                                                        read_data("tls/server.crt"), read_data("tls/server.key")));
}

boost::json::object configuration(std::uint16_t core_port, std::uint16_t cloud_port, std::string_view more = "{}") {
  auto out = parse(R"({"region":"eu-central-1","accessKeyId":"AKIDEXAMPLE","secretAccessKey":"s3cr3t",
    "ggadThingName":"FlowBridge","ggadCertificateId":"arn:aws:iot:eu-central-1:1:cert/0a","deviceType":"sensor",
    "uplinkTopicPattern":"tpx/things/{DevEUI}/uplink"})");
  out["ggadCertificate"] = read_data("tls/client.crt");
  out["ggadPrivateKey"] = read_data("tls/client.key");
  out["awsRootCa"] = out["trustedCaCertificate"] = read_data("tls/ca.crt");
  out["ggHostName"] = "localhost:" + std::to_string(core_port);
  out["discoveryEndpoint"] = out["registryEndpoint"] = "localhost:" + std::to_string(cloud_port);
  for (const auto& [key, content] : parse(more))
    out[key] = content;
  return out;
}

std::unique_ptr<Connector> connector_to(Host& host, boost::json::object configuration) {
  EXPECT_TRUE(validate(descriptor(), configuration).empty());
  return descriptor().make(Settings(descriptor().schema, std::move(configuration)), host);
}

TEST(GreengrassConnector, Conforms) {
  using conformance::PeerBehaviour;
  conformance::Subject subject;
  auto cloud = std::make_shared<Cloud>();
  subject.start = [cloud](FakeHost& host, PeerBehaviour behaviour) {
    auto script = [behaviour](Session& session) -> awaitable<void> {
      if (behaviour == PeerBehaviour::good) {
        co_await good_core(session);
        co_return;
      }
      co_await session.next();
      std::string answer = kConnack;
      if (behaviour == PeerBehaviour::refuses_login) answer = bytes(0x20, 2, 0, 5);
      co_await session.send(answer);
      if (behaviour == PeerBehaviour::drops) {
        co_await session.next();
        co_return;
      }
      co_await session.linger();
    };
    auto peer = core(host, script);
    auto port = peer->port();
    if (behaviour == PeerBehaviour::absent) peer->stop();
    return conformance::Subject::Pair{peer, connector_to(host, configuration(port, cloud->port()))};
  };
  conformance::run_all(subject);
}

TEST(GreengrassConnector, FindsTheCoresAuthorityOnce) {
  FakeHost host;
  Cloud cloud;
  auto peer = core(host);
  // Amazon's root is another one than the core's: only the discovery makes the core known.
  for (int opening = 0; opening < 2; ++opening) {
    auto connector = connector_to(host, configuration(peer->port(), cloud.port()));
    EXPECT_EQ(connector->peer().has_value(), opening > 0);
    auto opened = host.run(connector->open());
    ASSERT_TRUE(opened) << opened.error().text;
    EXPECT_THAT(connector->peer()->ca_pem, HasSubstr("BEGIN CERTIFICATE"));
    host.run(connector->close());
  }
  EXPECT_EQ(cloud.discoveries(), 1);
  EXPECT_EQ(cloud.calls()[0], "GET /greengrass/discover/thing/FlowBridge");
  EXPECT_TRUE(host.notices.empty());
}

TEST(GreengrassConnector, WithoutDiscoveryTheRootHasToDo) {
  FakeHost host;
  Verdicts verdicts;
  Cloud cloud([](const std::string&) { return HttpPeer::answer(403, "{}"); });
  auto peer = core(host);
  auto connector = connector_to(host, configuration(peer->port(), cloud.port()));
  auto opened = host.run(connector->open());
  ASSERT_TRUE(opened) << opened.error().text;
  ASSERT_FALSE(host.notices.empty());
  EXPECT_THAT(host.notices[0].text, HasSubstr("could not be discovered"));
  EXPECT_THAT(host.notices[0].text, HasSubstr("greengrass:Discover"));
  EXPECT_THAT(host.notices[0].text, HasSubstr("awsRootCa"));
  // Nor does the registry hold anything up.
  connector->send(verdicts.delivery());
  ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == 1; }));
  EXPECT_FALSE(verdicts.kinds[0]) << verdicts.texts[0];
  host.run(connector->close());
}

TEST(GreengrassConnector, AnUnknownCoreSaysWhyItsAuthorityIsUnknown) {
  FakeHost host;
  // An authority that did not sign the core's certificate.
  Cloud cloud([](const std::string& target) {
    return target.starts_with("/greengrass") ? HttpPeer::answer(200, discovery_answer(read_data("tls/expired.crt")))
                                             : HttpPeer::Reply{};
  });
  auto peer = core(host);
  auto connector = connector_to(host, configuration(peer->port(), cloud.port()));
  auto opened = host.run(connector->open());
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind, ErrorKind::bad_config);
  EXPECT_THAT(opened.error().text, HasSubstr("unknown CA"));
  host.run(connector->close());
}

TEST(GreengrassConnector, ACoreWithANewAuthorityIsFoundAgain) {
  FakeHost host;
  std::atomic<bool> renewed{false};
  Cloud cloud([&](const std::string& target) {
    if (!target.starts_with("/greengrass") || renewed) return HttpPeer::Reply{};
    return HttpPeer::answer(200, discovery_answer(read_data("tls/expired.crt")));
  });
  auto peer = core(host);
  auto before = connector_to(host, configuration(peer->port(), cloud.port()));
  ASSERT_FALSE(host.run(before->open()));
  host.run(before->close());
  renewed = true;
  auto connector = connector_to(host, configuration(peer->port(), cloud.port()));
  auto opened = host.run(connector->open());
  EXPECT_TRUE(opened) << opened.error().text;
  EXPECT_EQ(cloud.discoveries(), 2);
  host.run(connector->close());
}

TEST(GreengrassConnector, PublishesWithoutWaitingForTheRegistry) {
  FakeHost host;
  Verdicts verdicts;
  Cloud cloud([](const std::string& target) {
    if (target.starts_with("/greengrass")) return HttpPeer::Reply{};
    if (target.starts_with("/things?")) return HttpPeer::answer(403, "{}");
    return HttpPeer::Reply{"", false, true};
  });
  std::vector<FakeBroker::Received> published;
  auto peer = core(host, [&](Session& session) -> awaitable<void> {
    co_await session.next();
    co_await session.send(kConnack);
    for (;;) {
      auto packet = co_await session.next();
      if (packet.type != PacketType::publish) continue;
      published.push_back(packet);
      co_await session.puback(packet.id);
    }
  });
  auto connector = connector_to(host, configuration(peer->port(), cloud.port()));
  ASSERT_TRUE(host.run(connector->open()));
  connector->send(verdicts.delivery(uplink(), "one"));
  ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == 1; }));
  EXPECT_FALSE(verdicts.kinds[0]) << verdicts.texts[0];
  ASSERT_EQ(published.size(), 1u);
  EXPECT_EQ(published[0].topic, "tpx/things/20635F0108000496/uplink");
  EXPECT_EQ(published[0].payload, "one");
  EXPECT_EQ(published[0].qos, 1);
  connector->send(verdicts.delivery(uplink(), std::string(128 * 1024 + 1, 'x')));
  ASSERT_EQ(verdicts.kinds.size(), 2u);
  EXPECT_EQ(verdicts.kinds[1], ErrorKind::permanent);
  host.run(connector->close());
}

TEST(GreengrassConnector, MakesThings) {
  FakeHost host;
  Verdicts verdicts;
  Cloud cloud([](const std::string& target) {
    return target == "/things/20635F0108000496" ? HttpPeer::answer(404, "{}") : HttpPeer::Reply{};
  });
  auto peer = core(host);
  // Created or not: the answer to both is 404 here, which ends as "could not be made".
  auto connector = connector_to(host, configuration(peer->port(), cloud.port()));
  ASSERT_TRUE(host.run(connector->open()));
  connector->send(verdicts.delivery());
  ASSERT_TRUE(host.wait([&] { return !host.notices.empty(); }));
  EXPECT_EQ(host.notices[0].kind, Notice::Kind::device_failed);
  EXPECT_FALSE(verdicts.kinds.at(0));
  host.run(connector->close());

  host.notices.clear();
  host.kept().reset();
  auto looking = connector_to(host, configuration(peer->port(), cloud.port(), R"({"createDevices":false})"));
  ASSERT_TRUE(host.run(looking->open()));
  looking->send(verdicts.delivery());
  ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == 2; }));
  EXPECT_EQ(verdicts.kinds[1], ErrorKind::permanent);
  ASSERT_EQ(host.notices.size(), 1u);
  EXPECT_EQ(host.notices[0].kind, Notice::Kind::device_unknown);
  host.run(looking->close());
}

TEST(GreengrassConnector, TakesCommands) {
  FakeHost host;
  Cloud cloud;
  auto peer = core(host, [&](Session& session) -> awaitable<void> {
    co_await session.next();
    co_await session.send(kConnack);
    auto subscribe = co_await session.next();
    std::string out = bytes(0x90, 3, subscribe.id >> 8, subscribe.id & 255, 1);
    append_publish(out, kVersion311, 77, "tpx/things/20635F0108000496/down", "{}", 1, false);
    co_await session.send(out);
    co_await session.linger();
  });
  auto connector = connector_to(
      host, configuration(peer->port(), cloud.port(), R"({"downlinkTopicPattern":"tpx/things/{DevEUI}/down"})"));
  ASSERT_TRUE(host.run(connector->open()));
  ASSERT_TRUE(host.wait([&] { return host.commands.size() == 1; }));
  EXPECT_EQ(host.commands[0].dev_eui, "20635F0108000496");
  host.run(connector->close());
}

struct TrialHost : FakeHost {
  [[nodiscard]] bool trial() const override { return true; }
  std::string connection_id() override { return "test-1234"; }
};

TEST(GreengrassConnector, ATrialExpelsNobody) {
  TrialHost host;
  Cloud cloud;
  Verdicts verdicts;
  std::vector<std::string> connects;
  auto peer = core(host, [&](Session& session) -> awaitable<void> {
    connects.emplace_back((co_await session.next()).payload);
    co_await session.send(kConnack);
    auto packet = co_await session.next();
    co_await session.puback(packet.id);
    co_await session.linger();
  });
  auto connector = connector_to(host, configuration(peer->port(), cloud.port()));
  auto opened = host.run(connector->open());
  ASSERT_TRUE(opened) << opened.error().text;
  EXPECT_TRUE(connects.empty());
  connector->try_out(verdicts.delivery());
  ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == 1; }));
  EXPECT_FALSE(verdicts.kinds[0]) << verdicts.texts[0];
  EXPECT_EQ(connects.size(), 1u);
  EXPECT_THAT(cloud.calls(), ElementsAre("GET /greengrass/discover/thing/FlowBridge"));
  host.run(connector->close());
}

TEST(GreengrassConnector, ThePlaceholderOfTheReferenceIsSavedAndFailsAtOpening) {
  FakeHost host;
  auto given = configuration(1, 1, R"({"ggHostName":"<ip detected>:8883"})");
  EXPECT_TRUE(validate(descriptor(), given).empty());
  auto opened = host.run(connector_to(host, given)->open());
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind, ErrorKind::bad_config);
  EXPECT_THAT(opened.error().text, HasSubstr("ggHostName"));
  given["ggHostName"] = "https://core";
  EXPECT_EQ(validate(descriptor(), given).size(), 1u);
}

TEST(Discovery, TakesWhatCanBeUsed) {
  auto ca = read_data("tls/ca.crt");
  auto found = authorities_of(discovery_answer(ca));
  ASSERT_TRUE(found);
  EXPECT_THAT(*found, HasSubstr("-----BEGIN CERTIFICATE-----\n"));
  // Repeats once, rubbish not at all.
  json::object group{{"CAs", json::array{ca, "rubbish", 5, ca, read_data("tls/expired.crt")}}};
  auto two = authorities_of(json::write(json::object{{"GGGroups", json::array{group, group, 7}}}));
  ASSERT_TRUE(two);
  EXPECT_GT(two->size(), found->size());
  EXPECT_LT(two->size(), 2 * found->size());
  for (const char* text :
       {"", "[]", "{}", R"({"GGGroups":[]})", R"({"GGGroups":[{"CAs":["x"]}]})", R"({"GGGroups":{}})"})
    EXPECT_FALSE(authorities_of(text)) << text;
}

}  // namespace
}  // namespace sluice::connector::greengrass
