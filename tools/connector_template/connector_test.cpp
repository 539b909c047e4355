// SPDX-License-Identifier: Apache-2.0
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "connector/conformance.h"
#include "connector/registry.h"

namespace sluice::connector::template_name {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using asio::ip::tcp;
using conformance::PeerBehaviour;
using testing::FakeHost;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::parse;
using testing::uplink;
using testing::Verdicts;

const Descriptor& descriptor() {
  static const Registry registry;
  return *registry.find("template_producer-template-name");
}

// The other end, on a port the system chooses, played by a script: "expect this line, answer that one". Its thread is
// the host's, so that nothing here needs a lock.
class Peer {
 public:
  struct Session {
    tcp::socket socket;
    std::string input;

    // Throws when the connector has gone, which ends the script.
    awaitable<json::object> next() {
      auto length = co_await asio::async_read_until(socket, asio::dynamic_buffer(input), '\n', asio::use_awaitable);
      auto line = parse(input.substr(0, length - 1));
      input.erase(0, length);
      co_return line;
    }
    awaitable<void> say(std::string line) {
      line += '\n';
      co_await asio::async_write(socket, asio::buffer(line), asio::use_awaitable);
    }
    awaitable<void> let_in() {
      co_await next();
      co_await say(R"({"welcome":true})");
    }
    awaitable<void> linger() {
      for (;;)
        co_await next();
    }
  };
  using Script = std::function<awaitable<void>(Session&)>;

  Peer(FakeHost& host, Script script)
      : script_(std::move(script)), acceptor_(host.io, {asio::ip::make_address("127.0.0.1"), 0}) {}

  static std::shared_ptr<Peer> start(FakeHost& host, Script script) {
    auto peer = std::make_shared<Peer>(host, std::move(script));
    asio::co_spawn(host.io, accept(peer), asio::detached);
    return peer;
  }
  [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
  void stop() { acceptor_.close(); }

 private:
  static awaitable<void> accept(std::shared_ptr<Peer> self) {
    for (;;) {
      auto socket = co_await self->acceptor_.async_accept(asio::use_awaitable);
      asio::co_spawn(self->acceptor_.get_executor(), serve(self, std::move(socket)), asio::detached);
    }
  }
  static awaitable<void> serve(std::shared_ptr<Peer> self, tcp::socket socket) {
    Session session{std::move(socket), {}};
    try {
      co_await self->script_(session);
    } catch (const std::exception&) {
      // The connector has gone, which is how most scripts end.
    }
  }

  Script script_;
  tcp::acceptor acceptor_;
};

boost::json::object configuration(std::uint16_t port, std::string_view more = "{}") {
  auto out = parse(R"({"security":"NONE","token":"s3cr3t"})");
  out["hostName"] = "127.0.0.1:" + std::to_string(port);
  for (const auto& [key, content] : parse(more))
    out[key] = content;
  return out;
}

std::unique_ptr<Connector> connector_to(FakeHost& host, boost::json::object configuration) {
  EXPECT_TRUE(validate(descriptor(), configuration).empty());
  return descriptor().make(Settings(descriptor().schema, std::move(configuration)), host);
}

std::string answer_to(const json::object& message, const std::string& more = "") {
  return R"({"ack":)" + std::to_string(json::int_or(message, "id", 0)) + more + "}";
}

awaitable<void> behave(PeerBehaviour behaviour, Peer::Session& session) {
  if (behaviour == PeerBehaviour::refuses_login) {
    co_await session.next();
    co_await session.say(R"({"refused":true,"token":"s3cr3t"})");
    co_return;
  }
  co_await session.let_in();
  if (behaviour == PeerBehaviour::drops) {
    co_await session.next();
    co_return;
  }
  if (behaviour == PeerBehaviour::silent) co_await session.linger();
  for (;;) {
    auto message = co_await session.next();
    co_await session.say(answer_to(message));
  }
}

TEST(TemplateNameConnector, Conforms) {
  conformance::Subject subject;
  subject.start = [](FakeHost& host, PeerBehaviour behaviour) {
    auto peer = Peer::start(host, [behaviour](Peer::Session& session) { return behave(behaviour, session); });
    auto port = peer->port();
    if (behaviour == PeerBehaviour::absent) peer->stop();
    return conformance::Subject::Pair{peer, connector_to(host, configuration(port))};
  };
  conformance::run_all(subject);
}

TEST(TemplateNameConnector, SendsTheMessageToItsAddress) {
  FakeHost host;
  Verdicts verdicts;
  std::vector<json::object> seen;
  auto peer = Peer::start(host, [&](Peer::Session& session) -> awaitable<void> {
    seen.push_back(co_await session.next());
    co_await session.say(R"({"welcome":true})");
    seen.push_back(co_await session.next());
    co_await session.say(answer_to(seen.back()));
    co_await session.linger();
  });
  auto connector = connector_to(host, configuration(peer->port(), R"({"uplinkAddressPattern":"plant1/{DevEUI}"})"));
  ASSERT_TRUE(host.run(connector->open()));
  connector->send(verdicts.delivery(uplink(), "{\"a\":\n1.5}"));
  ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == 1; }));
  EXPECT_FALSE(verdicts.kinds[0]) << verdicts.texts[0];
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(json::write(seen[0]), R"({"hello":"7","token":"s3cr3t"})");
  EXPECT_EQ(json::write(seen[1]), R"({"id":1,"to":"plant1/20635F0108000496","body":{"a":1.5}})");
  host.run(connector->close());
}

TEST(TemplateNameConnector, EachAnswerHasItsVerdict) {
  struct Row {
    const char* more;
    std::optional<ErrorKind> kind;
  };
  for (const Row& row : std::vector<Row>{{"", {}},
                                         {R"(,"error":"no such field","because":"message")", ErrorKind::permanent},
                                         {R"(,"error":"not yours","because":"rights")", ErrorKind::bad_config},
                                         {R"(,"error":"busy","because":"load")", ErrorKind::transient},
                                         {R"(,"error":"busy")", ErrorKind::transient}}) {
    FakeHost host;
    Verdicts verdicts;
    auto peer = Peer::start(host, [&](Peer::Session& session) -> awaitable<void> {
      co_await session.let_in();
      auto message = co_await session.next();
      co_await session.say(answer_to(message, row.more));
      co_await session.linger();
    });
    auto connector = connector_to(host, configuration(peer->port()));
    ASSERT_TRUE(host.run(connector->open()));
    connector->send(verdicts.delivery());
    ASSERT_TRUE(host.wait([&] { return !verdicts.kinds.empty(); }));
    EXPECT_EQ(verdicts.kinds[0], row.kind) << row.more;
    host.run(connector->close());
  }
}

TEST(TemplateNameConnector, NoAnswerInTimeBreaksTheConnection) {
  FakeHost host;
  Verdicts verdicts;
  auto peer = Peer::start(host, [](Peer::Session& session) { return behave(PeerBehaviour::silent, session); });
  auto connector = connector_to(host, configuration(peer->port(), R"({"answerTimeout":50})"));
  ASSERT_TRUE(host.run(connector->open()));
  connector->send(verdicts.delivery());
  ASSERT_TRUE(host.wait([&] { return !host.losses.empty(); }));
  EXPECT_EQ(host.losses[0].kind, ErrorKind::not_connected);
  ASSERT_EQ(verdicts.kinds.size(), 1u);
  EXPECT_EQ(verdicts.kinds[0], ErrorKind::not_connected);
  host.run(connector->close());
}

TEST(TemplateNameConnector, ACommandIsAnsweredOnceItIsSafe) {
  FakeHost host;
  bool done = false;
  auto peer = Peer::start(host, [&](Peer::Session& session) -> awaitable<void> {
    co_await session.let_in();
    co_await session.say(R"({"command":5,"device":"20635F0108000496","body":{"DevEUI_downlink":{"FPort":1}}})");
    auto answer = co_await session.next();
    done = json::int_or(answer, "done", 0) == 5;
    co_await session.linger();
  });
  auto connector = connector_to(host, configuration(peer->port()));
  ASSERT_TRUE(host.run(connector->open()));
  ASSERT_TRUE(host.wait([&] { return !host.commands.empty(); }));
  EXPECT_EQ(host.commands[0].body, R"({"DevEUI_downlink":{"FPort":1}})");
  EXPECT_EQ(host.commands[0].dev_eui, "20635F0108000496");
  EXPECT_FALSE(done);
  host.commands[0].acknowledge();
  EXPECT_TRUE(host.wait([&] { return done; }));
  host.run(connector->close());
  host.commands[0].acknowledge();  // late, and nobody is there any more
  host.io.poll();
}

TEST(TemplateNameConnector, WhatAPeerOfAnotherKindSaysIsNoWelcome) {
  FakeHost host;
  auto peer = Peer::start(host, [](Peer::Session& session) -> awaitable<void> {
    co_await session.next();
    co_await session.say("220 mail.example.org ESMTP");
    co_await session.linger();
  });
  auto connector = connector_to(host, configuration(peer->port()));
  auto opened = host.run(connector->open());
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind, ErrorKind::not_connected);
  EXPECT_THAT(opened.error().text, HasSubstr("does not speak this protocol"));
  host.run(connector->close());
}

TEST(TemplateNameConnector, FaultsOfTheConfigurationNameTheirProperty) {
  FakeHost host;
  auto half = configuration(1);
  half["certificate"] = testing::read_data("tls/client.crt");
  auto without_port = configuration(1);
  without_port["hostName"] = "localhost";
  for (const auto& [faulty, property] : {std::pair{half, "privateKey"}, std::pair{without_port, "hostName"}}) {
    auto connector = descriptor().make(Settings(descriptor().schema, faulty), host);
    auto opened = host.run(connector->open());
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().kind, ErrorKind::bad_config);
    EXPECT_THAT(opened.error().text, HasSubstr(property));
    EXPECT_THAT(opened.error().text, Not(HasSubstr("s3cr3t")));
  }
}

TEST(TemplateNameConnector, ExamplesAreSound) {
  std::size_t count = 0;
  for (const auto& file :
       std::filesystem::directory_iterator(std::string(SLUICE_SOURCE_DIR) + "/src/connector/template_name/examples")) {
    std::ifstream in(file.path());
    std::stringstream text;
    text << in.rdbuf();
    auto body = parse(text.str());
    EXPECT_EQ(json::text_or(body, "connectorId"), descriptor().id) << file.path();
    for (const auto& fault : validate(descriptor(), body.at("configuration").get_object()))
      ADD_FAILURE() << file.path() << fault.path << ": " << fault.message;
    ++count;
  }
  EXPECT_GT(count, 0u);
}

}  // namespace
}  // namespace sluice::connector::template_name
