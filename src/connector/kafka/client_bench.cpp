// SPDX-License-Identifier: Apache-2.0
#include <benchmark/benchmark.h>
#include <librdkafka/rdkafka.h>

#include "connector/kafka/client.h"
// After the other.
#include <librdkafka/rdkafka_mock.h>

#include "connector/testing/fake_host.h"

namespace sluice::connector::kafka {
namespace {

// Messages of 1 KiB through the client to librdkafka's own cluster in the same process, whose thread is paid here, too;
// as many in flight as asked for.
void send_and_acknowledge(benchmark::State& state) {
  std::array<char, 512> text{};
  auto* conf = rd_kafka_conf_new();
  rd_kafka_conf_set_log_cb(conf, [](const rd_kafka_t*, int, const char*, const char*) {});
  auto* owner = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text.data(), text.size());
  auto* cluster = rd_kafka_mock_cluster_new(owner, 1);
  rd_kafka_mock_topic_create(cluster, "up", 12, 1);
  {
    testing::FakeHost host;
    Configuration configuration;
    configuration.servers = rd_kafka_mock_cluster_bootstraps(cluster);
    configuration.security = {{"security.protocol", "PLAINTEXT"}};
    configuration.producer_id = "p";
    configuration.uplink_topic = *message::Pattern::parse("up");
    auto connector = make_client(configuration, host);
    if (!host.run(connector->open())) return state.SkipWithError("the cluster is not there");
    std::vector<message::MessagePtr> devices;
    for (int i = 0; i < 5000; ++i) {
      std::array<char, 17> name{};
      std::snprintf(name.data(), name.size(), "%016X", i);
      devices.push_back(testing::uplink(name.data()));
    }
    auto document = std::make_shared<const std::string>("{}");
    const std::string body(1024, 'x');
    auto depth = static_cast<std::size_t>(state.range(0));
    std::size_t sent = 0, settled = 0, failed = 0;
    auto guard = boost::asio::make_work_guard(host.io);
    host.io.restart();
    for (auto _ : state) {
      connector->send(Delivery(devices[sent % devices.size()], document, body, [&](const Result<void>& result) {
        ++settled;
        failed += !result;
      }));
      ++sent;
      while (sent - settled >= depth)
        host.io.run_one();
    }
    while (settled < sent)
      host.io.run_one();
    state.SetItemsProcessed(static_cast<std::int64_t>(sent));
    if (failed > 0) state.SkipWithError("messages were refused");
    host.run(connector->close());
  }
  rd_kafka_mock_cluster_destroy(cluster);
  rd_kafka_destroy(owner);
}
BENCHMARK(send_and_acknowledge)->Arg(1000)->Arg(4000)->Arg(10000)->UseRealTime()->MeasureProcessCPUTime();

}  // namespace
}  // namespace sluice::connector::kafka
