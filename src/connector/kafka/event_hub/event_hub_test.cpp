// SPDX-License-Identifier: Apache-2.0
#include <boost/asio/ip/tcp.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "connector/registry.h"
#include "connector/testing/fake_host.h"

namespace sluice::connector {
namespace {

using testing::FakeHost;
using ::testing::HasSubstr;
using ::testing::Not;

std::unique_ptr<Connector> make_connector(FakeHost& host, boost::json::object more = {}) {
  static const Registry registry;
  const auto* descriptor = registry.find("actility-azure-event-hub");
  boost::json::object configuration{{"hostName", "demo-ns.servicebus.windows.net:9093"},
                                    {"sharedAccessKeyName", "flow"},
                                    {"sharedAccessKey", "czNjcjN0"},
                                    {"uplinkTopicPattern", "lora_up"}};
  for (const auto& [name, value] : more)
    configuration[name] = value;
  return descriptor->make(Settings(descriptor->schema, configuration), host);
}

TEST(EventHub, WhereItConnectsTo) {
  FakeHost host;
  auto peer = make_connector(host)->peer();
  ASSERT_TRUE(peer);
  EXPECT_EQ(peer->host, "demo-ns.servicebus.windows.net");
  EXPECT_EQ(peer->port, 9093);
  EXPECT_TRUE(peer->tls);
  EXPECT_EQ(make_connector(host, {{"hostName", "ns.servicebus.windows.net"}})->peer()->port, 9093);
}

TEST(EventHub, UnitsAreTheRate) {
  FakeHost host;
  EXPECT_EQ(make_connector(host)->usual_rate(), 0u);
  EXPECT_EQ(make_connector(host, {{"eventHubUnits", 2}})->usual_rate(), 2000u);
  EXPECT_EQ(make_connector(host, {{"eventHubUnits", 40}})->usual_rate(), 40000u);
}

TEST(EventHub, AWholeConnectionStringIsNoKey) {
  FakeHost host;
  auto connector = make_connector(host, {{"sharedAccessKey", "Endpoint=sb://x/;SharedAccessKey=czNjcjN0"}});
  auto opened = host.run(connector->open());
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind, ErrorKind::bad_config);
  EXPECT_THAT(opened.error().text, HasSubstr("without the rest"));
  EXPECT_THAT(opened.error().text, Not(HasSubstr("czNjcjN0")));
  host.run(connector->close());
}

TEST(EventHub, NobodyThere) {
  FakeHost host;
  boost::asio::ip::tcp::acceptor acceptor(host.io, {boost::asio::ip::make_address("127.0.0.1"), 0});
  auto server = "127.0.0.1:" + std::to_string(acceptor.local_endpoint().port());
  acceptor.close();
  auto connector = make_connector(host, {{"hostName", server}});
  auto opened = host.run(connector->open());
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind, ErrorKind::not_connected);
  EXPECT_THAT(opened.error().text, HasSubstr(server));
  EXPECT_THAT(opened.error().text, HasSubstr("servicebus.windows.net:9093"));
  EXPECT_THAT(opened.error().text, Not(HasSubstr("czNjcjN0")));
  host.run(connector->close());
}

}  // namespace
}  // namespace sluice::connector
