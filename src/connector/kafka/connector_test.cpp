// SPDX-License-Identifier: Apache-2.0
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>
// After the other.
#include <librdkafka/rdkafka_mock.h>
#include <mutex>
#include <thread>

#include "base/json.h"
#include "connector/conformance.h"
#include "connector/kafka/client.h"
#include "connector/kafka/group.h"
#include "connector/kafka/verdict.h"
#include "connector/registry.h"

namespace sluice::connector::kafka {
namespace {

using conformance::PeerBehaviour;
using ::testing::AnyOf;
using testing::FakeHost;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::parse;
using testing::uplink;
using testing::Verdicts;

namespace asio = boost::asio;

constexpr int kProduce = 0, kSaslHandshake = 17, kApiVersions = 18, kInitProducerId = 22, kSaslAuthenticate = 36;

// librdkafka's own cluster within the process: no SASL, no TLS.
class Cluster {
 public:
  explicit Cluster(const std::vector<const char*>& topics = {"up"}) {
    std::array<char, 512> text{};
    auto* conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, [](const rd_kafka_t*, int, const char*, const char*) {});
    owner_ = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text.data(), text.size());
    cluster_ = rd_kafka_mock_cluster_new(owner_, 1);
    for (const char* topic : topics)
      rd_kafka_mock_topic_create(cluster_, topic, topic == std::string_view("order") ? 1 : 4, 1);
    rd_kafka_mock_topic_set_error(cluster_, "gone", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    rd_kafka_mock_topic_set_error(cluster_, "secret", RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
  }
  // Takes a second.
  ~Cluster() {
    in_background([owner = owner_, cluster = cluster_] {
      rd_kafka_mock_cluster_destroy(cluster);
      rd_kafka_destroy(owner);
    });
  }
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  [[nodiscard]] std::string servers() const { return rd_kafka_mock_cluster_bootstraps(cluster_); }
  void fail(int request, std::vector<rd_kafka_resp_err_t> errors) {
    rd_kafka_mock_push_request_errors_array(cluster_, static_cast<std::int16_t>(request), errors.size(), errors.data());
  }
  void delay(int request, std::size_t times, int ms) {
    for (std::size_t i = 0; i < times; ++i) {
      rd_kafka_mock_broker_push_request_error_rtts(cluster_, 1, static_cast<std::int16_t>(request), 1,
                                                   RD_KAFKA_RESP_ERR_NO_ERROR, ms);
    }
  }
  void set_up(bool up) {
    if (up) {
      rd_kafka_mock_broker_set_up(cluster_, 1);
    } else {
      rd_kafka_mock_broker_set_down(cluster_, 1);
    }
  }

 private:
  rd_kafka_t* owner_;
  rd_kafka_mock_cluster_t* cluster_;
};

// Its calls take up to a second each: tests that leave it as it was share one.
std::shared_ptr<Cluster> shared_cluster() {
  static auto one = std::make_shared<Cluster>(std::vector<const char*>{"up", "keys", "down", "up-A", "up-B", "order"});
  return one;
}

// A broker that speaks as far as SASL and refuses there. One client at a time, on a thread of its own.
class Refuser {
 public:
  Refuser() : acceptor_(io_, {asio::ip::make_address("127.0.0.1"), 0}), port_(acceptor_.local_endpoint().port()) {
    thread_ = std::thread([this] { run(); });
  }
  ~Refuser() {
    stop_ = true;
    // Wakes a thread that waits for a client.
    asio::io_context io;
    asio::ip::tcp::socket knock(io);
    boost::system::error_code ignored;
    knock.connect({asio::ip::make_address("127.0.0.1"), port_}, ignored);
    thread_.join();
  }
  Refuser(const Refuser&) = delete;
  Refuser& operator=(const Refuser&) = delete;
  [[nodiscard]] std::string servers() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  static std::string number(std::uint64_t value, int bytes) {
    std::string out;
    for (int i = bytes - 1; i >= 0; --i)
      out += static_cast<char>(value >> (8 * i) & 0xff);
    return out;
  }

  void run() {
    while (!stop_) {
      boost::system::error_code ec;
      asio::ip::tcp::socket socket(io_);
      acceptor_.accept(socket, ec);
      while (!ec && !stop_)
        answer(socket, ec);
    }
  }

  static void answer(asio::ip::tcp::socket& socket, boost::system::error_code& ec) {
    std::array<unsigned char, 4> head{};
    asio::read(socket, asio::buffer(head), ec);
    if (ec) return;
    std::string request((head[0] << 24 | head[1] << 16 | head[2] << 8 | head[3]) & 0xffff, '\0');
    asio::read(socket, asio::buffer(request), ec);
    if (ec || request.size() < 8) return;
    int key = static_cast<unsigned char>(request[1]), version = static_cast<unsigned char>(request[3]);
    std::string body;
    if (key == kApiVersions) {
      const std::array<std::array<int, 2>, 3> known{{{kSaslHandshake, 1}, {kApiVersions, 0}, {kSaslAuthenticate, 0}}};
      body = number(version == 0 ? 0 : 35, 2) + number(known.size(), 4);
      for (const auto& [api, highest] : known)
        body +=
            number(static_cast<std::uint64_t>(api), 2) + number(0, 2) + number(static_cast<std::uint64_t>(highest), 2);
    } else if (key == kSaslHandshake) {
      body = number(0, 2) + number(1, 4) + number(5, 2) + "PLAIN";
    } else {
      std::string text = "Authentication failed: Invalid username or password";
      body = number(58, 2) + number(text.size(), 2) + text + number(0, 4);
    }
    std::string out = number(4 + body.size(), 4) + request.substr(4, 4) + body;
    asio::write(socket, asio::buffer(out), ec);
  }

  asio::io_context io_;
  asio::ip::tcp::acceptor acceptor_;
  std::uint16_t port_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

std::unique_ptr<Connector> make_connector(FakeHost& host, const std::string& servers, boost::json::object more = {}) {
  static const Registry registry;
  const auto* descriptor = registry.find("actility-kafka-iot");
  boost::json::object configuration{{"bootstrapServers", servers}, {"producerClientId", "p"}, {"consumerClientId", "c"},
                                    {"consumerGroupId", "g"},      {"uplinkTopic", "up"},     {"concurrency", 1},
                                    {"connectionTimeout", 3000},   {"actionTimeout", 2000}};
  for (const auto& [name, value] : more)
    configuration[name] = value;
  return descriptor->make(Settings(descriptor->schema, configuration), host);
}

// What another program finds in a topic, from its beginning.
struct Found {
  std::string key, value;
  std::int32_t partition;
};
std::vector<Found> read_topic(const Cluster& cluster, const char* topic, std::size_t count, int partitions = 4) {
  std::array<char, 512> text{};
  auto* conf = rd_kafka_conf_new();
  rd_kafka_conf_set_log_cb(conf, [](const rd_kafka_t*, int, const char*, const char*) {});
  rd_kafka_conf_set(conf, "bootstrap.servers", cluster.servers().c_str(), text.data(), text.size());
  rd_kafka_conf_set(conf, "group.id", "reader", text.data(), text.size());
  auto* reader = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text.data(), text.size());
  rd_kafka_poll_set_consumer(reader);
  auto* all = rd_kafka_topic_partition_list_new(partitions);
  for (int i = 0; i < partitions; ++i)
    rd_kafka_topic_partition_list_add(all, topic, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
  rd_kafka_assign(reader, all);
  rd_kafka_topic_partition_list_destroy(all);
  std::vector<Found> out;
  auto until = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (out.size() < count && std::chrono::steady_clock::now() < until) {
    auto* message = rd_kafka_consumer_poll(reader, 100);
    if (!message) continue;
    if (!message->err) {
      out.push_back({std::string(static_cast<char*>(message->key), message->key_len),
                     std::string(static_cast<char*>(message->payload), message->len), message->partition});
    }
    rd_kafka_message_destroy(message);
  }
  rd_kafka_destroy(reader);
  return out;
}

void write_topic(const Cluster& cluster, const char* topic,
                 const std::vector<std::pair<std::string, std::string>>& all) {
  std::array<char, 512> text{};
  auto* conf = rd_kafka_conf_new();
  rd_kafka_conf_set_log_cb(conf, [](const rd_kafka_t*, int, const char*, const char*) {});
  rd_kafka_conf_set(conf, "bootstrap.servers", cluster.servers().c_str(), text.data(), text.size());
  auto* writer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text.data(), text.size());
  auto* to = rd_kafka_topic_new(writer, topic, nullptr);
  for (const auto& [key, value] : all) {
    rd_kafka_produce(to, 0, RD_KAFKA_MSG_F_COPY, const_cast<char*>(value.data()), value.size(),
                     key.empty() ? nullptr : key.data(), key.size(), nullptr);
  }
  rd_kafka_flush(writer, 5000);
  rd_kafka_topic_destroy(to);
  rd_kafka_destroy(writer);
}

TEST(Kafka, Conforms) {
  conformance::Subject subject;
  subject.start = [](FakeHost& host, PeerBehaviour behaviour) -> conformance::Subject::Pair {
    boost::json::object login{{"securityProtocol", "SASL_PLAINTEXT"}, {"username", "flow"}, {"password", "s3cr3t"}};
    if (behaviour == PeerBehaviour::refuses_login) {
      auto peer = std::make_shared<Refuser>();
      return {peer, make_connector(host, peer->servers(), login)};
    }
    if (behaviour == PeerBehaviour::absent) {
      asio::ip::tcp::acceptor acceptor(host.io, {asio::ip::make_address("127.0.0.1"), 0});
      auto port = acceptor.local_endpoint().port();
      acceptor.close();
      return {nullptr, make_connector(host, "127.0.0.1:" + std::to_string(port), login)};
    }
    if (behaviour == PeerBehaviour::good) return {nullptr, make_connector(host, shared_cluster()->servers())};
    auto peer = std::make_shared<Cluster>();
    if (behaviour == PeerBehaviour::drops)
      peer->fail(kProduce, std::vector<rd_kafka_resp_err_t>(1000, RD_KAFKA_RESP_ERR__TRANSPORT));
    if (behaviour == PeerBehaviour::silent) peer->delay(kProduce, 1000, 60000);
    return {peer, make_connector(host, peer->servers(), {{"actionTimeout", 1000}})};
  };
  conformance::run_all(subject);
}

TEST(Kafka, SendsTheBodyUnderTheDevicesKey) {
  auto& cluster = *shared_cluster();
  FakeHost host;
  Verdicts verdicts;
  auto connector = make_connector(host, cluster.servers(), {{"uplinkTopic", "keys"}});
  ASSERT_TRUE(host.run(connector->open()));
  for (const char* device : {"20635F0108000496", "20635F0108000497", "20635F0108000496"})
    connector->send(verdicts.delivery(uplink(device), std::string("{\"of\":\"") + device + "\"}"));
  ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == 3; }));
  for (const auto& kind : verdicts.kinds)
    EXPECT_FALSE(kind);
  auto found = read_topic(cluster, "keys", 3);
  ASSERT_EQ(found.size(), 3u);
  std::map<std::string, std::int32_t> partition;
  for (const auto& one : found) {
    EXPECT_EQ(one.value, "{\"of\":\"" + one.key + "\"}");
    EXPECT_EQ(partition.emplace(one.key, one.partition).first->second, one.partition);
  }
  EXPECT_EQ(partition.size(), 2u);
  host.run(connector->close());
}

TEST(Kafka, ManyInFlightComeInOrder) {
  auto& cluster = *shared_cluster();
  FakeHost host;
  Verdicts verdicts;
  auto connector = make_connector(host, cluster.servers(), {{"uplinkTopic", "order"}});
  ASSERT_TRUE(host.run(connector->open()));
  constexpr std::size_t kCount = 3000;
  for (std::size_t i = 0; i < kCount; ++i)
    connector->send(verdicts.delivery(uplink(), std::to_string(i)));
  ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == kCount; }));
  auto found = read_topic(cluster, "order", kCount, 1);
  ASSERT_EQ(found.size(), kCount);
  for (std::size_t i = 0; i < kCount; ++i)
    ASSERT_EQ(found[i].value, std::to_string(i));
  host.run(connector->close());
}

TEST(Kafka, MissingTopicIsTheConfigurationsFault) {
  auto& cluster = *shared_cluster();
  FakeHost host;
  auto connector = make_connector(host, cluster.servers(), {{"uplinkTopic", "gone"}});
  auto opened = host.run(connector->open());
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind, ErrorKind::bad_config);
  EXPECT_THAT(opened.error().text, HasSubstr("uplinkTopic 'gone'"));
  EXPECT_THAT(opened.error().text, HasSubstr("make the topic"));
  host.run(connector->close());
}

TEST(Kafka, RightsToATopicAreTold) {
  auto& cluster = *shared_cluster();
  FakeHost host;
  auto connector = make_connector(host, cluster.servers(), {{"uplinkTopic", "secret"}});
  auto opened = host.run(connector->open());
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind, ErrorKind::bad_config);
  EXPECT_THAT(opened.error().text, HasSubstr("Write and Describe"));
  host.run(connector->close());
}

// What a broker answers to a message, and what becomes of that message. Errors that librdkafka tries again by itself
// come as no answer in time.
TEST(Kafka, RefusalsOfMessages) {
  struct Row {
    rd_kafka_resp_err_t code;
    std::optional<ErrorKind> kind;
  };
  for (const auto& row : {Row{RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, ErrorKind::permanent},
                          Row{RD_KAFKA_RESP_ERR_INVALID_RECORD, ErrorKind::permanent},
                          Row{RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, ErrorKind::bad_config},
                          Row{RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, std::nullopt},
                          Row{RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, std::nullopt}}) {
    auto& cluster = *shared_cluster();
    FakeHost host;
    Verdicts verdicts;
    auto connector = make_connector(host, cluster.servers());
    ASSERT_TRUE(host.run(connector->open()));
    cluster.fail(kProduce, {row.code});
    connector->send(verdicts.delivery());
    ASSERT_TRUE(host.wait([&] { return !verdicts.kinds.empty(); }));
    EXPECT_EQ(verdicts.kinds[0], row.kind) << rd_kafka_err2name(row.code) << " " << verdicts.texts[0];
    host.run(connector->close());
  }
}

TEST(Kafka, OneTooLargeOfABatchDoesNotTakeTheOthersAlong) {
  auto& cluster = *shared_cluster();
  FakeHost host;
  Verdicts verdicts;
  auto connector = make_connector(host, cluster.servers(), {{"uplinkTopic", "order"}});
  ASSERT_TRUE(host.run(connector->open()));
  EXPECT_EQ(connector->max_in_flight(), 10000u);
  cluster.fail(kProduce, {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE});
  for (int i = 0; i < 3; ++i)
    connector->send(verdicts.delivery());
  ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == 3; }));
  for (const auto& kind : verdicts.kinds)
    EXPECT_EQ(kind, ErrorKind::transient);
  // Sent one by one, it shows which it was.
  EXPECT_EQ(connector->max_in_flight(), 1u);
  cluster.fail(kProduce, {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE});
  connector->send(verdicts.delivery());
  ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == 4; }));
  EXPECT_EQ(verdicts.kinds[3], ErrorKind::permanent);
  EXPECT_EQ(connector->max_in_flight(), 10000u);
  host.run(connector->close());
}

TEST(Kafka, NoAnswerInTime) {
  Cluster cluster;
  FakeHost host;
  Verdicts verdicts;
  auto connector = make_connector(host, cluster.servers(), {{"actionTimeout", 1000}});
  ASSERT_TRUE(host.run(connector->open()));
  cluster.delay(kProduce, 1000, 60000);
  connector->send(verdicts.delivery());
  ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == 1; }));
  EXPECT_EQ(verdicts.kinds[0], ErrorKind::not_connected);
  EXPECT_THAT(verdicts.texts[0], HasSubstr("no acknowledgement within 1000 ms"));
  host.run(connector->close());
}

TEST(Kafka, LostWhenAllBrokersStayAway) {
  Cluster cluster;
  FakeHost host;
  auto connector = make_connector(host, cluster.servers(), {{"connectionTimeout", 500}});
  ASSERT_TRUE(host.run(connector->open()));
  cluster.set_up(false);
  ASSERT_TRUE(host.wait([&] { return !host.losses.empty(); }));
  EXPECT_EQ(host.losses.size(), 1u);
  EXPECT_EQ(host.losses[0].kind, ErrorKind::not_connected);
  EXPECT_THAT(host.losses[0].text, HasSubstr(cluster.servers()));
  host.run(connector->close());
}

TEST(Kafka, AMomentWithoutBrokersIsNoLoss) {
  Cluster cluster;
  FakeHost host;
  Verdicts verdicts;
  auto connector = make_connector(host, cluster.servers(), {{"actionTimeout", 10000}});
  ASSERT_TRUE(host.run(connector->open()));
  cluster.set_up(false);
  connector->send(verdicts.delivery());
  host.io.run_for(std::chrono::milliseconds(300));
  cluster.set_up(true);
  ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == 1; }));
  EXPECT_FALSE(verdicts.kinds[0]) << verdicts.texts[0];
  EXPECT_TRUE(host.losses.empty());
  host.run(connector->close());
}

TEST(Kafka, WithoutTheRightToBeIdempotent) {
  Cluster cluster;
  cluster.fail(kInitProducerId, std::vector<rd_kafka_resp_err_t>(20, RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED));
  FakeHost host;
  Verdicts verdicts;
  auto connector = make_connector(host, cluster.servers());
  auto opened = host.run(connector->open());
  std::string told;
  if (opened) {
    connector->send(verdicts.delivery());
    ASSERT_TRUE(host.wait([&] { return !host.losses.empty(); }));
    EXPECT_EQ(host.losses[0].kind, ErrorKind::bad_config);
    told = host.losses[0].text;
  } else {
    EXPECT_EQ(opened.error().kind, ErrorKind::bad_config);
    told = opened.error().text;
  }
  EXPECT_THAT(told, HasSubstr("IdempotentWrite"));
  host.run(connector->close());
}

TEST(Kafka, OpeningIsGivenUp) {
  // Takes connections and never says a word.
  FakeHost host;
  asio::ip::tcp::acceptor acceptor(host.io, {asio::ip::make_address("127.0.0.1"), 0});
  auto connector = make_connector(host, "127.0.0.1:" + std::to_string(acceptor.local_endpoint().port()));
  std::optional<Result<void>> opened;
  asio::co_spawn(host.io, connector->open(), [&](std::exception_ptr, Result<void> result) { opened = result; });
  host.io.run_for(std::chrono::milliseconds(50));
  host.run(connector->close());
  ASSERT_TRUE(host.wait([&] { return opened.has_value(); }));
  EXPECT_EQ(opened->error().kind, ErrorKind::cancelled);
}

TEST(Kafka, SilentPeerIsNotConnectedInTime) {
  FakeHost host;
  asio::ip::tcp::acceptor acceptor(host.io, {asio::ip::make_address("127.0.0.1"), 0});
  auto connector = make_connector(host, "127.0.0.1:" + std::to_string(acceptor.local_endpoint().port()),
                                  {{"connectionTimeout", 500}});
  auto opened = host.run(connector->open());
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind, ErrorKind::not_connected);
  host.run(connector->close());
}

TEST(Kafka, CommandsComeAndAreCommittedWhenAcknowledged) {
  auto& cluster = *shared_cluster();
  {
    FakeHost host;
    auto connector = make_connector(host, cluster.servers(), {{"downlinkTopic", "down"}});
    ASSERT_TRUE(host.run(connector->open()));
    EXPECT_TRUE(host.notices.empty());
    // The group's beginning is fixed at opening: nothing is lost though its members may not have joined yet.
    write_topic(cluster, "down", {{"20635f0108000496", "one"}, {"", "two"}, {"other", "three"}});
    ASSERT_TRUE(host.wait([&] { return host.commands.size() == 3; }) ||
                host.wait([&] { return host.commands.size() == 3; }));
    EXPECT_EQ(host.commands[0].body, "one");
    EXPECT_EQ(host.commands[0].dev_eui, "20635F0108000496");
    EXPECT_EQ(host.commands[1].body, "two");
    EXPECT_EQ(host.commands[1].dev_eui, "");
    EXPECT_EQ(host.commands[2].dev_eui, "");
    // The third, acknowledged before the second, is not committed: the second would be missed after a crash.
    host.commands[2].acknowledge();
    host.commands[0].acknowledge();
    host.io.poll();
    host.run(connector->close());
  }
  FakeHost host;
  auto connector = make_connector(host, cluster.servers(), {{"downlinkTopic", "down"}});
  ASSERT_TRUE(host.run(connector->open()));
  ASSERT_TRUE(host.wait([&] { return host.commands.size() >= 2; }) ||
              host.wait([&] { return host.commands.size() >= 2; }));
  EXPECT_EQ(host.commands[0].body, "two");
  EXPECT_EQ(host.commands[1].body, "three");
  host.run(connector->close());
}

TEST(Kafka, MissingTopicOfCommandsIsANotice) {
  auto& cluster = *shared_cluster();
  FakeHost host;
  Verdicts verdicts;
  auto connector = make_connector(host, cluster.servers(), {{"downlinkTopic", "gone"}});
  ASSERT_TRUE(host.run(connector->open()));
  ASSERT_EQ(host.notices.size(), 1u);
  EXPECT_THAT(host.notices[0].text, HasSubstr("downlinkTopic 'gone'"));
  connector->send(verdicts.delivery());
  ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == 1; }));
  EXPECT_FALSE(verdicts.kinds[0]);
  host.io.run_for(std::chrono::milliseconds(500));
  EXPECT_EQ(host.notices.size(), 1u);
  EXPECT_TRUE(host.losses.empty());
  host.run(connector->close());
}

TEST(Kafka, NoCommandsWhereTheyAreSwitchedOff) {
  auto& cluster = *shared_cluster();
  FakeHost host;
  auto connector = make_connector(host, cluster.servers(), {{"downlinkTopic", "gone"}, {"downlinkEnabled", false}});
  ASSERT_TRUE(host.run(connector->open()));
  EXPECT_TRUE(host.notices.empty());
  host.run(connector->close());
}

TEST(Kafka, SettingsThatContradictEachOtherAreTold) {
  struct Row {
    boost::json::object settings;
    std::string text;
  };
  for (const auto& row :
       {Row{{{"username", "u"}}, "choose SASL_SSL"},
        Row{{{"securityProtocol", "SASL_PLAINTEXT"}, {"username", "u"}}, "needs username and password"},
        Row{{{"securityProtocol", "SSL"}, {"certificate", "x"}}, "belong together"},
        Row{{{"certificate", "x"}, {"privateKey", "x"}}, "choose SSL or SASL_SSL"},
        Row{{{"bootstrapServers", "k1:9092,http://k2"}}, "without a scheme"}}) {
    FakeHost host;
    auto connector = make_connector(host, "127.0.0.1:1", row.settings);
    auto opened = host.run(connector->open());
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().kind, ErrorKind::bad_config);
    EXPECT_THAT(opened.error().text, HasSubstr(row.text));
    host.run(connector->close());
  }
}

TEST(Kafka, WhereItConnectsTo) {
  FakeHost host;
  auto one = make_connector(host, "k1.example.org")->peer();
  ASSERT_TRUE(one);
  EXPECT_EQ(one->host, "k1.example.org");
  EXPECT_EQ(one->port, 9092);
  EXPECT_FALSE(one->tls);
}

// Brands: topics by pattern.
TEST(Kafka, TopicsByPattern) {
  auto& cluster = *shared_cluster();
  FakeHost host;
  Verdicts verdicts;
  Configuration configuration;
  configuration.servers = cluster.servers();
  configuration.security = {{"security.protocol", "PLAINTEXT"}};
  configuration.producer_id = "p";
  configuration.uplink_topic = *message::Pattern::parse("{CustomerData.name}");
  configuration.action_timeout = std::chrono::milliseconds(1000);
  auto connector = make_client(configuration, host);
  ASSERT_TRUE(host.run(connector->open()));
  auto of = [&](const std::string& name) {
    auto message = message::parse_report(
        R"({"DevEUI_uplink":{"DevEUI":"20635F0108000496","FPort":1,"payload_hex":"00","CustomerData":{"name":")" +
        name + R"("}}})");
    return verdicts.delivery(std::make_shared<const message::Message>(std::move(*message)));
  };
  connector->send(of("up-A"));
  connector->send(of("up-B"));
  ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == 2; }));
  EXPECT_FALSE(verdicts.kinds[0]);
  EXPECT_FALSE(verdicts.kinds[1]);
  EXPECT_EQ(read_topic(cluster, "up-A", 1).size(), 1u);
  EXPECT_EQ(read_topic(cluster, "up-B", 1).size(), 1u);
  // A topic that is missing is that message's fault, and a name that no topic can have, too.
  connector->send(of("gone"));
  connector->send(of(std::string(300, 'x')));
  connector->send(verdicts.delivery());
  ASSERT_TRUE(host.wait([&] { return verdicts.kinds.size() == 5; }));
  for (std::size_t i = 2; i < 5; ++i)
    EXPECT_EQ(verdicts.kinds[i], ErrorKind::permanent) << verdicts.texts[i];
  host.run(connector->close());
}

TEST(KafkaVerdict, WhatErrorsOfTheConnectionMean) {
  auto told = [](rd_kafka_resp_err_t code, const std::string& text, const std::string& certificate = "") {
    return fault_of(code, text, certificate);
  };
  auto fault =
      told(RD_KAFKA_RESP_ERR__TRANSPORT,
           "k1:9092/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT)");
  EXPECT_EQ(fault.kind, ErrorKind::not_connected);
  EXPECT_EQ(fault.text, "k1:9092/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused");
  EXPECT_EQ(told(RD_KAFKA_RESP_ERR__RESOLVE, "k1: Failed to resolve").kind, ErrorKind::not_connected);
  fault = told(RD_KAFKA_RESP_ERR__SSL, "SSL handshake failed: certificate verify failed",
               "the broker's certificate has expired");
  EXPECT_EQ(fault.kind, ErrorKind::bad_config);
  EXPECT_EQ(fault.text, "TLS handshake: the broker's certificate has expired");
  EXPECT_EQ(
      told(RD_KAFKA_RESP_ERR__SSL, "SSL handshake failed: error:0A00010B:SSL routines::wrong version number").kind,
      ErrorKind::not_connected);
  EXPECT_EQ(
      told(RD_KAFKA_RESP_ERR__SSL, "SSL handshake failed: error:0A000412:SSL routines::sslv3 alert bad certificate")
          .kind,
      ErrorKind::bad_config);
  EXPECT_EQ(told(RD_KAFKA_RESP_ERR__TRANSPORT, "tlsv13 alert certificate required: SSL alert number 116").kind,
            ErrorKind::bad_config);
  fault = told(RD_KAFKA_RESP_ERR__AUTHENTICATION,
               "SASL authentication error: Authentication failed (after 4ms in state AUTH_REQ)");
  EXPECT_EQ(fault.kind, ErrorKind::bad_config);
  EXPECT_THAT(fault.text, HasSubstr("check user name and password"));
}

TEST(KafkaVerdict, WhatIsNotKnownIsTriedAgain) {
  EXPECT_EQ(kind_of(static_cast<rd_kafka_resp_err_t>(999)), ErrorKind::transient);
  EXPECT_EQ(kind_of(RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND), ErrorKind::transient);
  EXPECT_EQ(kind_of(RD_KAFKA_RESP_ERR_THROTTLING_QUOTA_EXCEEDED), ErrorKind::transient);
  EXPECT_EQ(kind_of(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART), ErrorKind::bad_config);
  EXPECT_EQ(kind_of(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE), ErrorKind::permanent);
  EXPECT_EQ(kind_of(RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID), ErrorKind::not_connected);
}

}  // namespace
}  // namespace sluice::connector::kafka
