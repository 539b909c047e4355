// SPDX-License-Identifier: Apache-2.0
// QoS 1 publishes to a broker at 127.0.0.1:1883 (or $SLUICE_BENCH_BROKER_PORT), a thousand on the way.
#include <benchmark/benchmark.h>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdlib>

#include "net/mqtt_client.h"

namespace sluice::net::mqtt {
namespace {

void publish_qos1(benchmark::State& state) {
  boost::asio::io_context io(1);
  ClientOptions options;
  options.transport.host = "127.0.0.1";
  const char* port = std::getenv("SLUICE_BENCH_BROKER_PORT");
  options.transport.port = static_cast<std::uint16_t>(port ? std::atoi(port) : 1883);
  options.client_id = "sluice-bench";
  options.action_timeout = std::chrono::seconds(10);
  auto client = Client::make(io.get_executor(), options);
  boost::asio::co_spawn(
      io, [&]() -> boost::asio::awaitable<void> { static_cast<void>(co_await client->connect()); },
      boost::asio::detached);
  while (!client->is_open()) {
    if (io.run_one_for(std::chrono::seconds(5)) == 0) return state.SkipWithError("no broker");
  }
  std::string payload(static_cast<std::size_t>(state.range(0)), 'x');
  std::size_t sent = 0, acknowledged = 0;
  for (auto _ : state) {
    client->publish("bench/20635F0108000496/up", payload, 1, false,
                    [&](Result<void> result) { acknowledged += result.has_value(); });
    ++sent;
    while (sent - acknowledged >= client->window())
      io.run_one();
  }
  while (acknowledged < sent && client->is_open())
    io.run_one();
  if (acknowledged < sent) state.SkipWithError("the connection broke");
  state.SetItemsProcessed(static_cast<std::int64_t>(sent));
}
BENCHMARK(publish_qos1)->Arg(100)->Arg(1000)->UseRealTime();

}  // namespace
}  // namespace sluice::net::mqtt
