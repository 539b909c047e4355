// SPDX-License-Identifier: Apache-2.0
// librdkafka's mock cluster as a process of its own, a peer of bench/connector_bench.py.
//
//   kafka_mock TOPIC PARTITIONS
//
// Prints the bootstrap servers in one line. For each line of its standard input it prints how many messages the topic
// has taken; ends with the input.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <memory>
#include <string>

namespace {

using Kafka = std::unique_ptr<rd_kafka_t, decltype(&rd_kafka_destroy)>;

[[noreturn]] void refuse(const std::string& why) {
  std::fprintf(stderr, "kafka_mock: %s\n", why.c_str());
  std::exit(2);
}

Kafka make_client(const std::string& servers) {
  rd_kafka_conf_t* settings = rd_kafka_conf_new();
  char text[512] = {};
  if (!servers.empty() &&
      rd_kafka_conf_set(settings, "bootstrap.servers", servers.c_str(), text, sizeof text) != RD_KAFKA_CONF_OK)
    refuse(text);
  rd_kafka_t* client = rd_kafka_new(RD_KAFKA_PRODUCER, settings, text, sizeof text);
  if (!client) refuse(text);
  return {client, &rd_kafka_destroy};
}

// The offset behind the last message of each partition, added up: also where the mock has thrown old ones away.
std::int64_t taken(rd_kafka_t* client, const std::string& topic, int partitions) {
  std::int64_t sum = 0;
  for (int i = 0; i < partitions; ++i) {
    std::int64_t low = 0, high = 0;
    if (auto failed = rd_kafka_query_watermark_offsets(client, topic.c_str(), i, &low, &high, 5000);
        failed != RD_KAFKA_RESP_ERR_NO_ERROR)
      refuse(rd_kafka_err2str(failed));
    sum += high;
  }
  return sum;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) refuse("takes a topic and its number of partitions");
  const std::string topic = argv[1];
  const int partitions = std::atoi(argv[2]);
  auto host = make_client("");
  std::unique_ptr<rd_kafka_mock_cluster_t, decltype(&rd_kafka_mock_cluster_destroy)> cluster(
      rd_kafka_mock_cluster_new(host.get(), 1), &rd_kafka_mock_cluster_destroy);
  if (!cluster) refuse("the mock cluster cannot be made");
  if (rd_kafka_mock_topic_create(cluster.get(), topic.c_str(), partitions, 1) != RD_KAFKA_RESP_ERR_NO_ERROR)
    refuse("the topic cannot be made");
  const std::string servers = rd_kafka_mock_cluster_bootstraps(cluster.get());
  std::cout << servers << std::endl;
  auto client = make_client(servers);
  for (std::string line; std::getline(std::cin, line);)
    std::cout << taken(client.get(), topic, partitions) << std::endl;
}
