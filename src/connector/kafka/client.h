// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "connector/connector.h"
#include "connector/kafka/handle.h"

namespace sluice::connector::kafka {

// How to reach a cluster and what for: what the settings of Kafka and of its brands come down to.
struct Configuration {
  std::string servers;  // "host:port,host:port"
  Options security;     // protocol, SASL, certificates
  Options more;         // of a brand
  std::string producer_id, consumer_id, group;
  message::Pattern uplink_topic;
  std::string downlink_topic;   // empty: no commands
  std::size_t concurrency = 1;  // members of the group
  std::chrono::milliseconds connect_timeout{10000}, action_timeout{10000};
  std::uint64_t usual_rate = 0;  // messages a second, 0: no limit
  std::optional<Peer> peer;
  std::string uplink_property = "uplinkTopic", downlink_property = "downlinkTopic";  // as errors name them
  std::string hint;  // what to look at when no broker is reached; may be empty
};

// A connector made of that, or, where the settings can't be used, one whose opening gives the error.
std::unique_ptr<Connector> make_client(Result<Configuration> configuration, Host& host);

}  // namespace sluice::connector::kafka
