// SPDX-License-Identifier: Apache-2.0
#include <boost/asio/steady_timer.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "connector/conformance.h"
#include "connector/registry.h"
#include "net/mqtt_client.h"
#include "net/testing/fake_mqtt_broker.h"

namespace sluice::connector::mqtt {
namespace {

using namespace net::mqtt;  // NOLINT: the fake broker speaks all of it

using testing::FakeHost;
using ::testing::HasSubstr;
using testing::parse;
using testing::read_data;
using testing::uplink;
using testing::Verdicts;
using Session = FakeBroker::Session;
using boost::asio::awaitable;

const Descriptor& descriptor() {
  static const Registry registry;
  return *registry.find("actility-mqtt-iot");
}

// Takes every client, acknowledges everything.
awaitable<void> good_broker(Session& session) {
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
        if (packet.qos == 1) co_await session.puback(packet.id);
        break;
      case PacketType::pingreq:
        co_await session.send(bytes(0xd0, 0));
        break;
      default:
        co_return;
    }
  }
}

std::shared_ptr<FakeBroker> broker(FakeHost& host, FakeBroker::Script script, int version = kVersion311,
                                   const std::string& certificate = "", const std::string& key = "") {
  return FakeBroker::start(std::make_shared<FakeBroker>(host.io, std::move(script), version, certificate, key));
}

boost::json::object configuration(std::uint16_t port, std::string_view more = "{}") {
  auto out = parse(R"({"protocol":"TCP","uplinkTopicPattern":"up/{DevEUI}","username":"u","password":"s3cr3t"})");
  out["hostName"] = "127.0.0.1:" + std::to_string(port);
  for (const auto& [key, content] : parse(more))
    out[key] = content;
  return out;
}

std::unique_ptr<Connector> connector_to(FakeHost& host, boost::json::object configuration) {
  EXPECT_TRUE(validate(descriptor(), configuration).empty());
  return descriptor().make(Settings(descriptor().schema, std::move(configuration)), host);
}

awaitable<void> behave(conformance::PeerBehaviour behaviour, Session& session) {
  using conformance::PeerBehaviour;
  if (behaviour == PeerBehaviour::good) {
    co_await good_broker(session);
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
}

TEST(MqttConnector, Conforms) {
  conformance::Subject subject;
  subject.start = [](FakeHost& host, conformance::PeerBehaviour behaviour) {
    auto peer = broker(host, [behaviour](Session& session) { return behave(behaviour, session); });
    auto port = peer->port();
    if (behaviour == conformance::PeerBehaviour::absent) peer->stop();
    return conformance::Subject::Pair{peer, connector_to(host, configuration(port))};
  };
  conformance::run_all(subject);
}

TEST(MqttConnector, PublishesToTheDevicesTopic) {
  FakeHost host;
  Verdicts verdicts;
  std::vector<FakeBroker::Received> seen;
  auto peer = broker(host, [&](Session& session) -> awaitable<void> {
    co_await session.next();
    co_await session.send(kConnack);
    for (;;) {
      seen.push_back(co_await session.next());
      co_await session.puback(seen.back().id);
    }
  });
  auto connector = connector_to(host, configuration(peer->port(), R"({"messageRetain":true})"));
  ASSERT_TRUE(host.run(connector->open()));
  EXPECT_EQ(host.authenticated, 1);
  connector->send(verdicts.delivery(uplink("20635F0108000496"), "one"));
  connector->send(verdicts.delivery(uplink("20635F0108000497"), "two"));
  ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == 2; }));
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0].topic, "up/20635F0108000496");
  EXPECT_EQ(seen[0].payload, "one");
  EXPECT_EQ(seen[0].qos, 1);
  EXPECT_TRUE(seen[0].retain);
  EXPECT_EQ(seen[1].topic, "up/20635F0108000497");
  host.run(connector->close());
}

TEST(MqttConnector, UnsolvableTopicIsTheMessagesFault) {
  FakeHost host;
  Verdicts verdicts;
  auto peer = broker(host, good_broker);
  auto connector = connector_to(host, configuration(peer->port(), R"({"uplinkTopicPattern":"up/{Nothing}"})"));
  ASSERT_TRUE(host.run(connector->open()));
  connector->send(verdicts.delivery());
  ASSERT_EQ(verdicts.kinds.size(), 1u);
  EXPECT_EQ(verdicts.kinds[0], ErrorKind::permanent);
  host.run(connector->close());
}

TEST(MqttConnector, NoAcknowledgementBreaksTheConnection) {
  FakeHost host;
  Verdicts verdicts;
  auto peer = broker(host, [](Session& session) { return behave(conformance::PeerBehaviour::silent, session); });
  auto connector = connector_to(host, configuration(peer->port(), R"({"actionTimeout":20})"));
  ASSERT_TRUE(host.run(connector->open()));
  connector->send(verdicts.delivery());
  connector->send(verdicts.delivery());
  ASSERT_TRUE(host.wait([&] { return !host.losses.empty(); }));
  EXPECT_EQ(host.losses[0].kind, ErrorKind::not_connected);
  EXPECT_THAT(host.losses[0].text, HasSubstr("no acknowledgement within 20 ms"));
  ASSERT_EQ(verdicts.kinds.size(), 2u);
  EXPECT_EQ(verdicts.kinds[1], ErrorKind::not_connected);
  host.run(connector->close());
  EXPECT_EQ(host.losses.size(), 1u);
}

TEST(MqttConnector, SubscribesAndAcknowledgesOnlyWhenTaken) {
  FakeHost host;
  std::string filter;
  bool acknowledged = false;
  auto peer = broker(host, [&](Session& session) -> awaitable<void> {
    co_await session.next();
    co_await session.send(kConnack);
    auto subscribe = co_await session.next();
    filter = subscribe.payload;
    std::string out = bytes(0x90, 3, subscribe.id >> 8, subscribe.id & 255, 1);
    append_publish(out, kVersion311, 77, "down/20635F0108000496/x", "{}", 1, false);
    co_await session.send(out);
    auto puback = co_await session.next();
    acknowledged = puback.type == PacketType::puback && puback.id == 77;
    co_await session.linger();
  });
  auto connector = connector_to(host, configuration(peer->port(), R"({"downlinkTopicPattern":"down/{DevEUI}/x"})"));
  ASSERT_TRUE(host.run(connector->open()));
  ASSERT_TRUE(host.wait([&] { return host.commands.size() == 1; }));
  EXPECT_EQ(filter, bytes(0, 8) + "down/+/x" + bytes(1));
  EXPECT_EQ(host.commands[0].body, "{}");
  EXPECT_EQ(host.commands[0].dev_eui, "20635F0108000496");
  EXPECT_FALSE(acknowledged);
  host.commands[0].acknowledge();
  EXPECT_TRUE(host.wait([&] { return acknowledged; }));
  host.run(connector->close());
  host.commands[0].acknowledge();  // late: harmless
}

TEST(MqttConnector, NoSubscriptionWhereSwitchedOff) {
  FakeHost host;
  std::vector<PacketType> seen;
  auto peer = broker(host, [&](Session& session) -> awaitable<void> {
    co_await session.next();
    co_await session.send(kConnack);
    for (;;)
      seen.push_back((co_await session.next()).type);
  });
  auto connector = connector_to(
      host, configuration(peer->port(), R"({"downlinkTopicPattern":"down/{DevEUI}","downlinkEnabled":false})"));
  ASSERT_TRUE(host.run(connector->open()));
  host.run(connector->close());
  ASSERT_TRUE(host.wait([&] { return !seen.empty(); }));
  EXPECT_EQ(seen, std::vector<PacketType>{PacketType::disconnect});
}

TEST(MqttConnector, RefusedSubscriptionIsAMatterOfRights) {
  FakeHost host;
  auto peer = broker(host, [&](Session& session) -> awaitable<void> {
    co_await session.next();
    co_await session.send(kConnack);
    auto subscribe = co_await session.next();
    co_await session.send(bytes(0x90, 3, subscribe.id >> 8, subscribe.id & 255, 0x80));
    co_await session.linger();
  });
  auto connector = connector_to(host, configuration(peer->port(), R"({"downlinkTopicPattern":"down"})"));
  auto opened = host.run(connector->open());
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind, ErrorKind::bad_config);
  EXPECT_THAT(opened.error().text, HasSubstr("down"));
  host.run(connector->close());
  EXPECT_TRUE(host.losses.empty());
}

TEST(MqttConnector, ReasonsOfVersion5AreVerdicts) {
  FakeHost host;
  Verdicts verdicts;
  auto peer = broker(
      host,
      [&](Session& session) -> awaitable<void> {
        co_await session.next();
        // Receive maximum 2, maximum packet size 100.
        co_await session.send(bytes(0x20, 11, 0, 0, 8, 0x21, 0, 2, 0x27, 0, 0, 0, 100));
        for (int reason : {0x10, 0x87, 0x97, 0x90}) {
          auto packet = co_await session.next();
          co_await session.send(bytes(0x40, 3, packet.id >> 8, packet.id & 255, reason));
        }
        co_await session.send(bytes(0xe0, 2, 0x8e, 0));
        co_await session.linger();
      },
      kVersion5);
  auto connector = connector_to(host, configuration(peer->port(), R"({"mqttVersion":"5","clientId":"me"})"));
  ASSERT_TRUE(host.run(connector->open()));
  EXPECT_EQ(connector->max_in_flight(), 2u);
  connector->send(verdicts.delivery(uplink(), std::string(100, 'x')));
  ASSERT_EQ(verdicts.kinds.size(), 1u);
  EXPECT_EQ(verdicts.kinds[0], ErrorKind::permanent);
  EXPECT_THAT(verdicts.texts[0], HasSubstr("maximum of 100"));
  for (int i = 0; i < 4; ++i)
    connector->send(verdicts.delivery(uplink(), "x"));
  ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == 5; }));
  EXPECT_EQ(verdicts.kinds[1], std::nullopt);
  EXPECT_EQ(verdicts.kinds[2], ErrorKind::bad_config);
  EXPECT_EQ(verdicts.kinds[3], ErrorKind::transient);
  EXPECT_EQ(verdicts.kinds[4], ErrorKind::permanent);
  ASSERT_TRUE(host.wait([&] { return !host.losses.empty(); }));
  EXPECT_THAT(host.losses[0].text, HasSubstr("another client took over the client id 'me'"));
  host.run(connector->close());
}

TEST(MqttConnector, AnEndWithoutAReasonNamesTheClientId) {
  FakeHost host;
  auto peer = broker(host, [&](Session& session) -> awaitable<void> {
    co_await session.next();
    co_await session.send(kConnack);
    co_await session.next();  // a message
  });
  Verdicts verdicts;
  auto connector = connector_to(host, configuration(peer->port(), R"({"clientId":"me"})"));
  ASSERT_TRUE(host.run(connector->open()));
  connector->send(verdicts.delivery());
  ASSERT_TRUE(host.wait([&] { return !host.losses.empty(); }));
  EXPECT_EQ(host.losses[0].kind, ErrorKind::not_connected);
  EXPECT_THAT(host.losses[0].text, HasSubstr("gave no reason"));
  EXPECT_THAT(host.losses[0].text, HasSubstr("'me'"));
  host.run(connector->close());
}

TEST(MqttConnector, FieldAsTopicSettlesWithTheLastPart) {
  FakeHost host;
  Verdicts verdicts;
  std::vector<FakeBroker::Received> seen;
  auto peer = broker(host, [&](Session& session) -> awaitable<void> {
    co_await session.next();
    co_await session.send(kConnack);
    for (int i = 0; i < 3; ++i)
      seen.push_back(co_await session.next());
    EXPECT_TRUE(verdicts.kinds.empty());
    co_await session.puback(seen[2].id);
    co_await session.puback(seen[0].id);
    co_await session.puback(seen[1].id);
    co_await session.linger();
  });
  auto connector = connector_to(host, configuration(peer->port(), R"({"fieldAsTopic":true})"));
  ASSERT_TRUE(host.run(connector->open()));
  connector->send(verdicts.delivery(uplink(), R"({"a":1.50,"b":{"c":"x"},"d":[true]})"));
  ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == 1; }));
  EXPECT_FALSE(verdicts.kinds[0]);
  EXPECT_EQ(seen[0].topic, "up/20635F0108000496/a");
  EXPECT_EQ(seen[0].payload, "1.50");
  EXPECT_EQ(seen[1].topic, "up/20635F0108000496/b/c");
  EXPECT_EQ(seen[2].topic, "up/20635F0108000496/d/0");
  connector->send(verdicts.delivery(uplink(), "no json"));
  EXPECT_EQ(verdicts.kinds.back(), ErrorKind::permanent);
  host.run(connector->close());
}

TEST(MqttConnector, TimeOutsNameThePhase) {
  FakeHost host;
  auto peer = broker(host, [](Session& session) { return session.linger(); });
  struct Case {
    const char *more, *phase;
  };
  for (const Case& c :
       {Case{R"({"connectionTimeout":30})", "authenticating"},
        Case{R"({"connectionTimeout":30,"protocol":"SSL"})", "TLS handshake"},
        Case{R"({"connectionTimeout":30,"protocol":"WSS"})", "TLS handshake"},
        Case{R"({"connectionTimeout":30,"hostName":"nobody.invalid:1"})", "resolving nobody.invalid"}}) {
    auto connector = connector_to(host, configuration(peer->port(), c.more));
    auto opened = host.run(connector->open());
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().kind, ErrorKind::not_connected) << opened.error().text;
    EXPECT_THAT(opened.error().text, HasSubstr(c.phase));
    host.run(connector->close());
  }
}

TEST(MqttConnector, CloseEndsOpening) {
  FakeHost host;
  auto peer = broker(host, [](Session& session) { return session.linger(); });
  auto connector = connector_to(host, configuration(peer->port()));
  std::optional<Result<void>> opened;
  boost::asio::co_spawn(host.io, connector->open(),
                        [&](std::exception_ptr, Result<void> result) { opened = std::move(result); });
  ASSERT_TRUE(host.wait([&] { return host.authenticated == 1; }));
  host.run(connector->close());
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->error().kind, ErrorKind::cancelled);
}

TEST(MqttTls, CertificatesAreChecked) {
  struct Case {
    const char *certificate, *more, *text;
  };
  for (const Case& c : {Case{"server", "", ""}, Case{"expired", "", "has expired"},
                        Case{"elsewhere", "", "for another host"}, Case{"server", "no ca", "unknown CA"}}) {
    FakeHost host;
    std::string name = c.certificate;
    auto peer =
        broker(host, good_broker, kVersion311, read_data("tls/" + name + ".crt"), read_data("tls/" + name + ".key"));
    auto settings = configuration(peer->port(), R"({"protocol":"SSL"})");
    // All in one line, as the documented way to flatten a certificate leaves it.
    auto ca = read_data("tls/ca.crt");
    std::erase(ca, '\n');
    if (*c.more == '\0') settings["trustedCaCertificate"] = ca;
    auto connector = connector_to(host, settings);
    auto opened = host.run(connector->open());
    EXPECT_EQ(opened.has_value(), *c.text == '\0') << name;
    if (!opened) {
      EXPECT_EQ(opened.error().kind, ErrorKind::bad_config) << opened.error().text;
      EXPECT_THAT(opened.error().text, HasSubstr(c.text));
    }
    host.run(connector->close());
  }
}

TEST(MqttTls, PlaceholdersFailAtOpening) {
  FakeHost host;
  auto body = parse(read_data("connections/mqtt.json"));
  auto connector = connector_to(host, body.at("configuration").get_object());
  auto opened = host.run(connector->open());
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind, ErrorKind::bad_config);
  EXPECT_THAT(opened.error().text, HasSubstr("certificate"));
}

TEST(MqttClient, BatchesWhatIsPublishedInOneTurn) {
  FakeHost host;
  int reads = 0, publishes = 0;
  auto peer = broker(host, [&](Session& session) -> awaitable<void> {
    co_await session.next();
    co_await session.send(kConnack);
    session.reads = 0;
    while (publishes < 50) {
      auto packet = co_await session.next();
      ++publishes;
      if (packet.qos == 1) co_await session.puback(packet.id);
    }
    reads = session.reads;
    co_await session.linger();
  });
  ClientOptions options;
  options.transport.host = "127.0.0.1";
  options.transport.port = peer->port();
  options.max_in_flight = 20;
  auto client = Client::make(host.executor(), options);
  ASSERT_TRUE(host.run(client->connect()));
  int done = 0;
  // Beyond the window they wait their turn.
  for (int i = 0; i < 50; ++i) {
    client->publish("t", "x", i == 0 ? 0 : 1, false, [&](Result<void> result) { done += result.has_value(); });
  }
  ASSERT_TRUE(host.wait([&] { return done == 50; }));
  EXPECT_LE(reads, 40);
  std::optional<ErrorKind> kind;
  client->publish("a/#", "x", 1, false, [&](Result<void> result) { kind = result.error().kind; });
  EXPECT_EQ(kind, ErrorKind::permanent);
  host.run(client->close());
  client->publish("a", "x", 1, false, [&](Result<void> result) { kind = result.error().kind; });
  EXPECT_EQ(kind, ErrorKind::not_connected);
}

TEST(MqttClient, PingsAndNoticesADeadBroker) {
  FakeHost host;
  int pings = 0;
  auto peer = broker(host, [&](Session& session) -> awaitable<void> {
    co_await session.next();
    co_await session.send(kConnack);
    for (;;) {
      auto packet = co_await session.next();
      if (packet.type == PacketType::pingreq && ++pings < 3) co_await session.send(bytes(0xd0, 0));
    }
  });
  ClientOptions options;
  options.transport.host = "127.0.0.1";
  options.transport.port = peer->port();
  options.keep_alive = std::chrono::milliseconds(10);
  options.ping_timeout = std::chrono::milliseconds(50);
  auto client = Client::make(host.executor(), options);
  std::optional<Error> lost;
  client->on_lost = [&](Error error) { lost = std::move(error); };
  ASSERT_TRUE(host.run(client->connect()));
  ASSERT_TRUE(host.wait([&] { return lost.has_value(); }));
  EXPECT_GE(pings, 1);
  EXPECT_THAT(lost->text, HasSubstr("ping"));
}

}  // namespace
}  // namespace sluice::connector::mqtt
