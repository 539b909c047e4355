// SPDX-License-Identifier: Apache-2.0
#include <boost/asio/steady_timer.hpp>
#include <boost/json/serialize.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "connector/amqp/client.h"
#include "connector/amqp/testing/fake_amqp_broker.h"
#include "connector/conformance.h"
#include "connector/registry.h"

namespace sluice::connector::amqp {
namespace {

using boost::asio::awaitable;
using testing::FakeHost;
using ::testing::HasSubstr;
using testing::parse;
using testing::uplink;
using testing::Verdicts;
using Session = FakeBroker::Session;

const Descriptor& descriptor() {
  static const Registry registry;
  return *registry.find("actility-amqp-0.9.1-iot");
}

std::shared_ptr<FakeBroker> broker(FakeHost& host, FakeBroker::Script script) {
  return FakeBroker::start(std::make_shared<FakeBroker>(host.io, std::move(script)));
}

boost::json::object configuration(std::uint16_t port, std::string_view more = "{}") {
  auto out = parse(
      R"({"protocol":"TCP","uplinkTopicPattern":"up.{DevEUI}","username":"u","password":"s3cr3t","exchangeName":"x"})");
  out["hostName"] = "127.0.0.1:" + std::to_string(port);
  for (const auto& [key, content] : parse(more))
    out[key] = content;
  return out;
}

std::unique_ptr<Connector> connector_to(Host& host, boost::json::object configuration) {
  EXPECT_TRUE(validate(descriptor(), configuration).empty());
  return descriptor().make(Settings(descriptor().schema, std::move(configuration)), host);
}

message::MessagePtr numbered(std::uint64_t seq, const std::string& dev_eui = "20635F0108000496") {
  auto message = std::make_shared<message::Message>(*uplink(dev_eui));
  message->seq = seq;
  return message;
}

// Takes every client, confirms everything.
awaitable<void> good_broker(Session& session) {
  co_await session.start();
  for (;;) {
    auto message = co_await session.next_publish();
    co_await session.ack(message.tag);
  }
}

awaitable<void> behave(conformance::PeerBehaviour behaviour, Session& session) {
  using conformance::PeerBehaviour;
  if (behaviour == PeerBehaviour::good) {
    co_await good_broker(session);
    co_return;
  }
  co_await session.start();
  if (behaviour == PeerBehaviour::refuses_login) {
    co_await session.next();
    co_await session.close_connection(403, "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN.");
    co_await session.linger();
  }
  co_await session.next_publish();
  if (behaviour == PeerBehaviour::drops) co_return;
  for (;;)
    co_await session.next_publish();
}

TEST(AmqpConnector, Conforms) {
  conformance::Subject subject;
  subject.start = [](FakeHost& host, conformance::PeerBehaviour behaviour) {
    auto peer = broker(host, [behaviour](Session& session) { return behave(behaviour, session); });
    auto port = peer->port();
    if (behaviour == conformance::PeerBehaviour::absent) peer->stop();
    return conformance::Subject::Pair{peer, connector_to(host, configuration(port))};
  };
  conformance::run_all(subject);
}

TEST(AmqpConnector, SaysWhoItIsAndPublishesToTheDevicesKey) {
  FakeHost host;
  host.server_settings["profile"] = "plant";
  Verdicts verdicts;
  std::vector<FakeBroker::Published> seen;
  std::vector<FakeBroker::Received> asked;
  auto peer = broker(host, [&](Session& session) -> awaitable<void> {
    co_await session.start();
    for (;;) {
      seen.push_back(co_await session.next_publish());
      asked = session.seen;
      co_await session.ack(seen.back().tag);
    }
  });
  auto connector = connector_to(host, configuration(peer->port(), R"({"uplinkTopicPattern":"{profile}.up.{DevEUI}"})"));
  ASSERT_TRUE(host.run(connector->open()));
  EXPECT_EQ(host.authenticated, 1);
  connector->send(verdicts.delivery(numbered(41), "one"));
  connector->send(verdicts.delivery(numbered(42, "20635F0108000497"), "two"));
  ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == 2; }));
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0].exchange, "x");
  EXPECT_EQ(seen[0].routing_key, "plant.up.20635F0108000496");
  EXPECT_EQ(seen[0].body, "one");
  EXPECT_EQ(seen[0].message_id, "41");
  EXPECT_FALSE(seen[0].mandatory);
  EXPECT_EQ(seen[1].routing_key, "plant.up.20635F0108000497");
  ASSERT_GE(asked.size(), 3u);
  EXPECT_THAT(asked[0].arguments, HasSubstr("plant/ConnectionId.7"));
  EXPECT_THAT(asked[0].arguments, HasSubstr(std::string("PLAIN") + std::string("\0\0\0\x9\0u\0s3cr3t", 13)));
  EXPECT_EQ(asked[1].arguments, std::string("\x07\xff\0\x02\0\0\0\x3c", 8));  // 2047, 131072, 60
  host.run(connector->close());
}

TEST(AmqpConnector, AMultipleAckConfirmsAllUpToIt) {
  FakeHost host;
  Verdicts verdicts;
  auto peer = broker(host, [](Session& session) -> awaitable<void> {
    co_await session.start();
    for (int i = 0; i < 5; ++i)
      co_await session.next_publish();
    co_await session.ack(2);         // out of turn
    co_await session.ack(77, true);  // never sent: not believed
    co_await session.ack(3, true);
    co_await session.ack(4, false, MethodId::basic_nack);
    co_await session.linger();
  });
  auto connector = connector_to(host, configuration(peer->port()));
  ASSERT_TRUE(host.run(connector->open()));
  for (std::uint64_t i = 1; i <= 5; ++i)
    connector->send(verdicts.delivery(numbered(i)));
  ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == 4; }));
  EXPECT_FALSE(verdicts.kinds[0]);
  EXPECT_FALSE(verdicts.kinds[1]);
  EXPECT_FALSE(verdicts.kinds[2]);
  EXPECT_EQ(verdicts.kinds[3], ErrorKind::transient);
  EXPECT_THAT(verdicts.texts[3], HasSubstr("nack"));
  host.run(connector->close());
  ASSERT_EQ(verdicts.kinds.size(), 5u);
  EXPECT_EQ(verdicts.kinds[4], ErrorKind::cancelled);
}

TEST(AmqpConnector, MessagesOfOneTurnGoOutTogether) {
  FakeHost host;
  Verdicts verdicts;
  int reads = 0;
  auto peer = broker(host, [&](Session& session) -> awaitable<void> {
    co_await session.start();
    co_await session.next_publish();
    auto before = session.reads;
    for (int i = 1; i < 100; ++i)
      co_await session.next_publish();
    reads = session.reads - before;
    co_await session.ack(100, true);
    co_await session.linger();
  });
  auto connector = connector_to(host, configuration(peer->port()));
  ASSERT_TRUE(host.run(connector->open()));
  for (std::uint64_t i = 1; i <= 100; ++i)
    connector->send(verdicts.delivery(numbered(i), "short"));
  ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == 100; }));
  EXPECT_LT(reads, 10);  // of 4 KiB
  host.run(connector->close());
}

TEST(AmqpConnector, AReturnedMessageReachedNoQueue) {
  FakeHost host;
  Verdicts verdicts;
  bool mandatory = false;
  auto script = [&](Session& session) -> awaitable<void> {
    co_await session.start();
    auto first = co_await session.next_publish();
    auto second = co_await session.next_publish();
    mandatory = first.mandatory;
    std::string out;
    FrameWriter(out, MethodId::basic_return, 1)
        .u16(312)
        .short_text("NO_ROUTE")
        .short_text("x")
        .short_text(second.routing_key)
        .end();
    FrameWriter(out, FrameType::header, 1).u16(60).u16(0).u64(3).u16(1 << 7).short_text(second.message_id).end();
    FrameWriter(out, FrameType::body, 1).raw("two").end();
    co_await session.send(out);
    co_await session.ack(2, true);
    co_await session.linger();
  };
  for (auto [pattern, kind] : {std::pair{"up.{DevEUI}", ErrorKind::permanent}, {"up.all", ErrorKind::bad_config}}) {
    auto peer = broker(host, script);
    boost::json::object more{{"mandatory", true}, {"uplinkTopicPattern", pattern}};
    auto connector = connector_to(host, configuration(peer->port(), boost::json::serialize(more)));
    ASSERT_TRUE(host.run(connector->open()));
    verdicts = {};
    connector->send(verdicts.delivery(numbered(1), "one"));
    connector->send(verdicts.delivery(numbered(2), "two"));
    ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == 2; }));
    EXPECT_TRUE(mandatory);
    EXPECT_FALSE(verdicts.kinds[0]);
    EXPECT_EQ(verdicts.kinds[1], kind);
    EXPECT_THAT(verdicts.texts[1], HasSubstr("312 NO_ROUTE"));
    host.run(connector->close());
  }
}

TEST(AmqpConnector, MissingExchangeAndQueueAreMade) {
  FakeHost host;
  std::vector<FakeBroker::Received> asked;
  auto peer = broker(host, [&](Session& session) -> awaitable<void> {
    session.exchange_there = session.queue_there = false;
    co_await session.start();
    try {
      co_await session.serve();
    } catch (const std::exception&) {
      asked = session.seen;
    }
  });
  auto connector = connector_to(host, configuration(peer->port(), R"({"downlinkTopicPattern":"down.{DevEUI}.x"})"));
  ASSERT_TRUE(host.run(connector->open()));
  host.run(connector->close());
  ASSERT_TRUE(host.wait([&] { return !asked.empty(); }));
  std::vector<std::string> declared, bound;
  for (const auto& method : asked) {
    if (method.method == MethodId::exchange_declare || method.method == MethodId::queue_declare)
      declared.push_back(method.arguments.substr(2));
    if (method.method == MethodId::queue_bind) bound.push_back(method.arguments.substr(2));
  }
  std::string none(4, '\0');
  EXPECT_EQ(declared, (std::vector<std::string>{"\1x\5topic\3" + none, "\1x\5topic\2" + none,
                                                std::string("\20sluice.default.7\3") + none,
                                                std::string("\20sluice.default.7\2") + none}));
  EXPECT_EQ(bound, (std::vector<std::string>{std::string("\20sluice.default.7\1x\10down.*.x") + '\0' + none}));
}

TEST(AmqpConnector, WhatIsRefusedAtOpeningIsTold) {
  struct Case {
    std::uint16_t code;
    const char* text;
    ErrorKind kind;
  };
  for (const auto& [code, text, kind] :
       {Case{403, "ACCESS_REFUSED - Login was refused", ErrorKind::bad_config},
        {530, "NOT_ALLOWED - vhost nowhere not found", ErrorKind::bad_config},
        {530, "NOT_ALLOWED - connection limit (2) is reached", ErrorKind::not_connected},
        {320, "CONNECTION_FORCED - broker shuts down", ErrorKind::not_connected},
        {541, "INTERNAL_ERROR", ErrorKind::not_connected}}) {
    FakeHost host;
    auto peer = broker(host, [code = code, text = text](Session& session) -> awaitable<void> {
      co_await session.start();
      co_await session.next();
      co_await session.close_connection(code, text);
      co_await session.linger();
    });
    auto connector = connector_to(host, configuration(peer->port()));
    auto opened = host.run(connector->open());
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().kind, kind) << text;
    EXPECT_THAT(opened.error().text, HasSubstr(text));
    host.run(connector->close());
    EXPECT_TRUE(host.losses.empty());
  }
}

TEST(AmqpConnector, ADeniedExchangeIsForAPerson) {
  FakeHost host;
  auto peer = broker(host, [](Session& session) -> awaitable<void> {
    session.instead = [](const FakeBroker::Received& got, std::string& out) {
      if (got.method != MethodId::exchange_declare) return false;
      FakeBroker::append_channel_close(out, 403, "ACCESS_REFUSED - access to exchange 'x' refused", got.method);
      return true;
    };
    co_await session.start();
    co_await session.serve();
  });
  auto connector = connector_to(host, configuration(peer->port()));
  auto opened = host.run(connector->open());
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind, ErrorKind::bad_config);
  EXPECT_THAT(opened.error().text, HasSubstr("exchange 'x'"));
  EXPECT_THAT(opened.error().text, HasSubstr("403 ACCESS_REFUSED"));
  host.run(connector->close());
}

TEST(AmqpConnector, AClosedChannelIsOpenedAnew) {
  FakeHost host;
  Verdicts verdicts;
  std::vector<std::string> seen;
  auto peer = broker(host, [&](Session& session) -> awaitable<void> {
    co_await session.start();
    co_await session.next_publish();
    co_await session.next_publish();
    co_await session.close_channel(404, "NOT_FOUND - no exchange 'x'");
    for (;;) {
      auto message = co_await session.next_publish();
      seen.push_back(message.body + " " + std::to_string(message.tag));
      co_await session.ack(message.tag);
    }
  });
  auto connector = connector_to(host, configuration(peer->port()));
  ASSERT_TRUE(host.run(connector->open()));
  connector->send(verdicts.delivery(numbered(1), "one"));
  connector->send(verdicts.delivery(numbered(2), "two"));
  ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == 2; }));
  EXPECT_EQ(verdicts.kinds[0], ErrorKind::transient);
  EXPECT_EQ(verdicts.kinds[1], ErrorKind::transient);
  EXPECT_THAT(verdicts.texts[0], HasSubstr("404 NOT_FOUND"));
  connector->send(verdicts.delivery(numbered(1), "one"));
  connector->send(verdicts.delivery(numbered(2), "two"));
  ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == 4; }));
  EXPECT_FALSE(verdicts.kinds[2]);
  EXPECT_EQ(seen, (std::vector<std::string>{"one 1", "two 2"}));
  EXPECT_TRUE(host.losses.empty());
  host.run(connector->close());
}

TEST(AmqpConnector, RightsTakenAwayHoldAll) {
  FakeHost host;
  Verdicts verdicts;
  auto peer = broker(host, [&](Session& session) -> awaitable<void> {
    co_await session.start();
    co_await session.next_publish();
    co_await session.close_channel(403, "ACCESS_REFUSED - access to exchange 'x' in vhost '/' refused for user 'u'");
    co_await session.serve();
  });
  auto connector = connector_to(host, configuration(peer->port()));
  ASSERT_TRUE(host.run(connector->open()));
  connector->send(verdicts.delivery());
  ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == 1; }));
  EXPECT_EQ(verdicts.kinds[0], ErrorKind::bad_config);
  host.run(connector->close());
}

// Which message made the broker close the channel is not said: by the limit that the text names, or one by one.
TEST(AmqpConnector, TheMessageThatClosesTheChannelIsFound) {
  for (bool names_limit : {true, false}) {
    FakeHost host;
    Verdicts verdicts;
    auto peer = broker(host, [&](Session& session) -> awaitable<void> {
      co_await session.start();
      std::uint64_t unconfirmed = 0;
      for (;;) {
        auto message = co_await session.next_publish();
        if (message.body == "bad message") {
          co_await session.close_channel(406, names_limit
                                                  ? "PRECONDITION_FAILED - message size 11 is larger than max size 10"
                                                  : "PRECONDITION_FAILED - not this one");
          unconfirmed = 0;
        } else if (message.tag == 1 && ++unconfirmed == 1 && message.body == "first") {
          // Held back, so that it is on the way when the bad one comes.
        } else {
          co_await session.ack(message.tag, true);
        }
      }
    });
    auto connector = connector_to(host, configuration(peer->port()));
    ASSERT_TRUE(host.run(connector->open()));
    connector->send(verdicts.delivery(numbered(1), "first"));
    connector->send(verdicts.delivery(numbered(2), "bad message"));
    ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == 2; }));
    EXPECT_EQ(verdicts.kinds[0], ErrorKind::transient);
    EXPECT_EQ(verdicts.kinds[1], names_limit ? ErrorKind::permanent : ErrorKind::transient);
    if (names_limit) {
      host.run(connector->close());
      continue;
    }
    connector->send(verdicts.delivery(numbered(3), "other"));
    connector->send(verdicts.delivery(numbered(2), "bad message"));
    connector->send(verdicts.delivery(numbered(1), "second try"));
    ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == 5; }));
    EXPECT_FALSE(verdicts.kinds[2]);
    EXPECT_EQ(verdicts.kinds[3], ErrorKind::permanent);
    EXPECT_FALSE(verdicts.kinds[4]);
    host.run(connector->close());
  }
}

TEST(AmqpConnector, WhileTheBrokerBlocksNothingIsSentNorSettled) {
  FakeHost host;
  Verdicts verdicts;
  bool blocked = false, more = false;
  auto peer = broker(host, [&](Session& session) -> awaitable<void> {
    co_await session.start();
    co_await session.next_publish();
    std::string out;
    FrameWriter(out, MethodId::connection_blocked, 0).short_text("low on memory").end();
    co_await session.send(out);
    blocked = true;
    boost::asio::steady_timer timer(host.io, std::chrono::milliseconds(100));
    co_await timer.async_wait(boost::asio::use_awaitable);
    more = true;
    out.clear();
    FrameWriter(out, MethodId::connection_unblocked, 0).end();
    co_await session.send(out);
    co_await session.ack(1);
    auto message = co_await session.next_publish();
    co_await session.ack(message.tag);
    co_await session.linger();
  });
  // The time for a confirm is shorter than the block.
  auto connector = connector_to(host, configuration(peer->port(), R"({"actionTimeout":40})"));
  ASSERT_TRUE(host.run(connector->open()));
  connector->send(verdicts.delivery(numbered(1), "one"));
  ASSERT_TRUE(host.wait([&] { return !host.notices.empty(); }));
  EXPECT_THAT(host.notices[0].text, HasSubstr("low on memory"));
  connector->send(verdicts.delivery(numbered(2), "two"));
  ASSERT_TRUE(host.wait([&] { return more; }));
  EXPECT_TRUE(blocked);
  EXPECT_TRUE(verdicts.kinds.empty());
  ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == 2; }));
  EXPECT_FALSE(verdicts.kinds[0]);
  EXPECT_FALSE(verdicts.kinds[1]);
  EXPECT_TRUE(host.losses.empty());
  EXPECT_EQ(host.notices.size(), 2u);
  host.run(connector->close());
}

TEST(AmqpConnector, NoConfirmBreaksTheConnection) {
  FakeHost host;
  Verdicts verdicts;
  auto peer = broker(host, [](Session& session) { return behave(conformance::PeerBehaviour::silent, session); });
  auto connector = connector_to(host, configuration(peer->port(), R"({"actionTimeout":20})"));
  ASSERT_TRUE(host.run(connector->open()));
  connector->send(verdicts.delivery(numbered(1)));
  connector->send(verdicts.delivery(numbered(2)));
  ASSERT_TRUE(host.wait([&] { return !host.losses.empty(); }));
  EXPECT_EQ(host.losses[0].kind, ErrorKind::not_connected);
  EXPECT_THAT(host.losses[0].text, HasSubstr("no confirm within 20 ms"));
  ASSERT_EQ(verdicts.kinds.size(), 2u);
  EXPECT_EQ(verdicts.kinds[1], ErrorKind::not_connected);
  host.run(connector->close());
  EXPECT_EQ(host.losses.size(), 1u);
}

// The shortest heartbeat there is: the broker's second.
TEST(AmqpConnector, BeatsAndExpectsBeats) {
  FakeHost host;
  int beats = 0;
  auto peer = broker(host, [&](Session& session) -> awaitable<void> {
    session.heartbeat = 1;
    co_await session.start();
    try {
      co_await session.serve();
    } catch (const std::exception&) {
      for (const auto& frame : session.seen)
        beats += frame.type == FrameType::heartbeat;
    }
  });
  auto connector = connector_to(host, configuration(peer->port()));
  ASSERT_TRUE(host.run(connector->open()));
  ASSERT_TRUE(host.wait([&] { return !host.losses.empty(); }));
  EXPECT_EQ(host.losses[0].text, "the broker has sent no heartbeat for 2 s");
  ASSERT_TRUE(host.wait([&] { return beats > 0; }));
  EXPECT_GE(beats, 2);
  host.run(connector->close());
}

std::string deliver(std::uint64_t tag, const std::string& key, const std::string& body) {
  std::string out;
  FrameWriter(out, MethodId::basic_deliver, 2)
      .short_text("sluice")
      .u64(tag)
      .u8(0)
      .short_text("x")
      .short_text(key)
      .end();
  FrameWriter(out, FrameType::header, 2).u16(60).u16(0).u64(body.size()).u16(0).end();
  for (std::size_t at = 0; at < body.size(); at += 100000)
    FrameWriter(out, FrameType::body, 2).raw(std::string_view(body).substr(at, 100000)).end();
  return out;
}

TEST(AmqpConnector, ACommandIsAcknowledgedOnlyWhenTaken) {
  FakeHost host;
  std::vector<std::string> answers;
  auto peer = broker(host, [&](Session& session) -> awaitable<void> {
    session.instead = [&](const FakeBroker::Received& got, std::string& out) {
      if (got.method == MethodId::basic_ack || got.method == MethodId::basic_reject) {
        Reader reader(got.arguments);
        answers.push_back((got.method == MethodId::basic_ack ? "ack " : "reject ") + std::to_string(reader.u64()));
        return true;
      }
      if (got.method != MethodId::basic_consume) return false;
      FrameWriter(out, MethodId::basic_consume_ok, 2).short_text("sluice").end();
      out += deliver(9, "down.20635F0108000496", "{}") + deliver(10, "other", std::string(2 << 20, 'x'));
      return true;
    };
    co_await session.start();
    co_await session.serve();
  });
  auto connector = connector_to(host, configuration(peer->port(), R"({"downlinkTopicPattern":"down.{DevEUI}"})"));
  ASSERT_TRUE(host.run(connector->open()));
  ASSERT_TRUE(host.wait([&] { return host.commands.size() == 1 && answers.size() == 1; }));
  EXPECT_EQ(host.commands[0].body, "{}");
  EXPECT_EQ(host.commands[0].dev_eui, "20635F0108000496");
  EXPECT_EQ(answers[0], "reject 10");  // over the maximum
  host.commands[0].acknowledge();
  ASSERT_TRUE(host.wait([&] { return answers.size() == 2; }));
  EXPECT_EQ(answers[1], "ack 9");
  host.run(connector->close());
  host.commands[0].acknowledge();  // late: harmless
}

TEST(AmqpConnector, ACancelledConsumerConsumesAnew) {
  FakeHost host;
  Verdicts verdicts;
  int consumers = 0;
  auto peer = broker(host, [&](Session& session) -> awaitable<void> {
    session.instead = [&](const FakeBroker::Received& got, std::string&) {
      consumers += got.method == MethodId::basic_consume;
      return false;
    };
    co_await session.start();
    auto message = co_await session.next_publish();
    std::string out;
    FrameWriter(out, MethodId::basic_cancel, 2).short_text("sluice").u8(1).end();
    co_await session.send(out);
    co_await session.ack(message.tag);
    co_await session.serve();
  });
  auto connector = connector_to(host, configuration(peer->port(), R"({"downlinkTopicPattern":"down.{DevEUI}"})"));
  ASSERT_TRUE(host.run(connector->open()));
  EXPECT_EQ(consumers, 1);
  connector->send(verdicts.delivery());
  ASSERT_TRUE(host.wait([&] { return consumers == 2; }));
  ASSERT_EQ(host.notices.size(), 1u);
  EXPECT_THAT(host.notices[0].text, HasSubstr("sluice.default.7"));
  EXPECT_EQ(verdicts.kinds.size(), 1u);
  EXPECT_TRUE(host.losses.empty());
  host.run(connector->close());
}

TEST(AmqpConnector, ALostConnectionIsToldOnce) {
  FakeHost host;
  Verdicts verdicts;
  bool said_close_ok = false;
  auto peer = broker(host, [&](Session& session) -> awaitable<void> {
    co_await session.start();
    co_await session.next_publish();
    co_await session.close_connection(320, "CONNECTION_FORCED - Node was put into maintenance mode");
    auto answer = co_await session.next();
    said_close_ok = answer.method == MethodId::connection_close_ok;
  });
  auto connector = connector_to(host, configuration(peer->port()));
  ASSERT_TRUE(host.run(connector->open()));
  connector->send(verdicts.delivery());
  ASSERT_TRUE(host.wait([&] { return !host.losses.empty() && said_close_ok; }));
  EXPECT_EQ(host.losses[0].kind, ErrorKind::not_connected);
  EXPECT_THAT(host.losses[0].text, HasSubstr("320 CONNECTION_FORCED"));
  ASSERT_EQ(verdicts.kinds.size(), 1u);
  EXPECT_EQ(verdicts.kinds[0], ErrorKind::not_connected);
  host.run(connector->close());
  EXPECT_EQ(host.losses.size(), 1u);
}

TEST(AmqpConnector, ClosingEndsOpening) {
  FakeHost host;
  bool greeted = false;
  auto peer = broker(host, [&](Session& session) -> awaitable<void> {
    co_await session.start();
    co_await session.next();
    greeted = true;  // and nothing more
    co_await session.linger();
  });
  auto connector = connector_to(host, configuration(peer->port()));
  std::optional<Result<void>> opened;
  auto opening = connector->open();
  boost::asio::co_spawn(host.io, std::move(opening), [&](std::exception_ptr, Result<void> result) { opened = result; });
  ASSERT_TRUE(host.wait([&] { return greeted; }));
  host.run(connector->close());
  ASSERT_TRUE(host.wait([&] { return opened.has_value(); }));
  ASSERT_FALSE(*opened);
  EXPECT_EQ(opened->error().kind, ErrorKind::cancelled);
}

TEST(AmqpConnector, OpeningEndsInTime) {
  FakeHost host;
  auto peer = broker(host, [&](Session& session) -> awaitable<void> { co_await session.linger(); });
  auto connector = connector_to(host, configuration(peer->port(), R"({"connectionTimeout":50})"));
  auto opened = host.run(connector->open());
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind, ErrorKind::not_connected);
  EXPECT_EQ(opened.error().text, "greeting the broker: no success within 50 ms");
  host.run(connector->close());
}

TEST(AmqpConnector, WithoutAUserNameTheCertificateLogsIn) {
  FakeHost host;
  std::string mechanism;
  auto peer = broker(host, [&](Session& session) -> awaitable<void> {
    co_await session.start("PLAIN AMQPLAIN");
    co_await session.linger();
  });
  ClientOptions options;
  options.transport.host = "127.0.0.1";
  options.transport.port = peer->port();
  options.by_certificate = true;
  auto client = Client::make(host.io.get_executor(), options);
  auto connected = host.run(client->connect());
  ASSERT_FALSE(connected);
  EXPECT_EQ(connected.error().kind, ErrorKind::bad_config);
  EXPECT_THAT(connected.error().text, HasSubstr("EXTERNAL, only PLAIN AMQPLAIN"));
  host.run(client->close());
}

TEST(AmqpConnector, KeysOver255BytesAreTheMessagesFault) {
  FakeHost host;
  Verdicts verdicts;
  auto peer = broker(host, good_broker);
  boost::json::object more{{"uplinkTopicPattern", std::string(240, 'k') + ".{DevEUI}"}};
  auto connector = connector_to(host, configuration(peer->port(), boost::json::serialize(more)));
  ASSERT_TRUE(host.run(connector->open()));
  connector->send(verdicts.delivery());
  ASSERT_EQ(verdicts.kinds.size(), 1u);
  EXPECT_EQ(verdicts.kinds[0], ErrorKind::permanent);
  EXPECT_THAT(verdicts.texts[0], HasSubstr("255"));
  host.run(connector->close());
}

class TrialHost : public FakeHost {
 public:
  [[nodiscard]] bool trial() const override { return true; }
};

TEST(AmqpConnector, ATrialMakesOnlyWhatGoesByItself) {
  TrialHost host;
  std::vector<FakeBroker::Received> asked;
  auto peer = broker(host, [&](Session& session) -> awaitable<void> {
    session.exchange_there = session.queue_there = false;
    co_await session.start();
    try {
      co_await session.serve();
    } catch (const std::exception&) {
      asked = session.seen;
    }
  });
  auto connector = connector_to(host, configuration(peer->port(), R"({"downlinkTopicPattern":"down.{DevEUI}"})"));
  ASSERT_TRUE(host.run(connector->open()));
  host.run(connector->close());
  ASSERT_TRUE(host.wait([&] { return !asked.empty(); }));
  std::vector<std::string> declared;
  for (const auto& method : asked) {
    if (method.method == MethodId::exchange_declare || method.method == MethodId::queue_declare)
      declared.push_back(method.arguments.substr(2));
  }
  std::string none(4, '\0');
  // Auto-delete, and exclusive with it.
  ASSERT_EQ(declared.size(), 4u);
  EXPECT_EQ(declared[1], "\1x\5topic\4" + none);
  EXPECT_EQ(declared[3], "\30sluice.default.7.trial.7\14" + none);
}

}  // namespace
}  // namespace sluice::connector::amqp
