// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <string>

#include "connector/testing/fake_host.h"

// What every connector must do, whatever its protocol (spec promises.md 1 and 3). A connector's test gives a scripted
// peer for each behaviour and calls run_all.
namespace sluice::connector::conformance {

enum class PeerBehaviour {
  good,           // takes the connection, acknowledges everything
  drops,          // takes the connection, cuts it at the first message
  silent,         // takes the connection, never answers a message
  refuses_login,  // says that the credentials are wrong
  absent,         // nobody listens
};

struct Subject {
  // Starts a peer of that behaviour (kept alive as long as the result) and gives a connector set up to reach it.
  struct Pair {
    std::shared_ptr<void> peer;
    std::unique_ptr<Connector> connector;
  };
  std::function<Pair(testing::FakeHost& host, PeerBehaviour behaviour)> start;
  // Whether a wrong secret shows at opening; otherwise at the first message.
  bool logs_in_at_opening = true;
};

inline void opens_and_closes(const Subject& subject) {
  testing::FakeHost host;
  auto [peer, connector] = subject.start(host, PeerBehaviour::good);
  auto opened = host.run(connector->open());
  EXPECT_TRUE(opened) << opened.error().text;
  EXPECT_GT(connector->max_in_flight(), 0u);
  host.run(connector->close());
  EXPECT_TRUE(host.losses.empty());
}

inline void acknowledged_means_delivered(const Subject& subject) {
  testing::FakeHost host;
  testing::Verdicts verdicts;
  auto [peer, connector] = subject.start(host, PeerBehaviour::good);
  ASSERT_TRUE(host.run(connector->open()));
  for (std::size_t i = 0; i < 10; ++i)
    connector->send(verdicts.delivery());
  EXPECT_TRUE(host.wait([&] { return verdicts.kinds.size() == 10; }));
  for (const auto& kind : verdicts.kinds)
    EXPECT_FALSE(kind);
  host.run(connector->close());
}

inline void dropped_in_mid_send_is_retried(const Subject& subject) {
  testing::FakeHost host;
  testing::Verdicts verdicts;
  auto [peer, connector] = subject.start(host, PeerBehaviour::drops);
  ASSERT_TRUE(host.run(connector->open()));
  connector->send(verdicts.delivery());
  EXPECT_TRUE(host.wait([&] { return !verdicts.kinds.empty(); }));
  EXPECT_EQ(verdicts.kinds[0], ErrorKind::not_connected);
  host.run(connector->close());
}

inline void wrong_secret_is_told(const Subject& subject) {
  testing::FakeHost host;
  testing::Verdicts verdicts;
  auto [peer, connector] = subject.start(host, PeerBehaviour::refuses_login);
  auto opened = host.run(connector->open());
  if (subject.logs_in_at_opening) {
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().kind, ErrorKind::bad_config);
    EXPECT_EQ(opened.error().text.find("s3cr3t"), std::string::npos);
  } else {
    ASSERT_TRUE(opened);
    connector->send(verdicts.delivery());
    EXPECT_TRUE(host.wait([&] { return !verdicts.kinds.empty(); }));
    EXPECT_EQ(verdicts.kinds[0], ErrorKind::bad_config);
    EXPECT_EQ(verdicts.texts[0].find("s3cr3t"), std::string::npos);
  }
  host.run(connector->close());
}

inline void absent_peer_is_not_connected(const Subject& subject) {
  testing::FakeHost host;
  auto [peer, connector] = subject.start(host, PeerBehaviour::absent);
  auto opened = host.run(connector->open());
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind, ErrorKind::not_connected);
  EXPECT_EQ(opened.error().text.find("s3cr3t"), std::string::npos);
  host.run(connector->close());
  EXPECT_TRUE(host.losses.empty());
}

inline void stop_in_flight_settles_all(const Subject& subject) {
  testing::FakeHost host;
  testing::Verdicts verdicts;
  auto [peer, connector] = subject.start(host, PeerBehaviour::silent);
  ASSERT_TRUE(host.run(connector->open()));
  for (std::size_t i = 0; i < 3; ++i)
    connector->send(verdicts.delivery());
  host.run(connector->close());
  ASSERT_EQ(verdicts.kinds.size(), 3u);
  for (const auto& kind : verdicts.kinds) {
    EXPECT_TRUE(kind == ErrorKind::cancelled || kind == ErrorKind::not_connected);
  }
  EXPECT_TRUE(host.losses.empty());
}

inline void destroyed_without_close_settles_all(const Subject& subject) {
  testing::Verdicts verdicts;
  {
    testing::FakeHost host;
    auto [peer, connector] = subject.start(host, PeerBehaviour::silent);
    ASSERT_TRUE(host.run(connector->open()));
    connector->send(verdicts.delivery());
    connector.reset();
    host.io.poll();
  }
  EXPECT_EQ(verdicts.kinds.size(), 1u);
}

inline void run_all(const Subject& subject) {
  opens_and_closes(subject);
  acknowledged_means_delivered(subject);
  dropped_in_mid_send_is_retried(subject);
  wrong_secret_is_told(subject);
  absent_peer_is_not_connected(subject);
  stop_in_flight_settles_all(subject);
  destroyed_without_close_settles_all(subject);
}

}  // namespace sluice::connector::conformance
