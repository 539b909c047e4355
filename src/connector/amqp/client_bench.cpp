// SPDX-License-Identifier: Apache-2.0
// Confirmed publishes to a broker at 127.0.0.1:5672 (or $SLUICE_BENCH_RABBIT_PORT; user and password guest, or
// $SLUICE_BENCH_RABBIT_USER and _PASSWORD), to the default exchange and a queue of the bench's own, so many on the way.
#include <benchmark/benchmark.h>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdlib>

#include "connector/amqp/client.h"

namespace sluice::connector::amqp {
namespace {

std::string given(const char* name, const char* otherwise) {
  const char* text = std::getenv(name);
  return text ? text : otherwise;
}

void publish_confirmed(benchmark::State& state) {
  boost::asio::io_context io(1);
  ClientOptions options;
  options.transport.host = "127.0.0.1";
  options.transport.port = static_cast<std::uint16_t>(std::stoi(given("SLUICE_BENCH_RABBIT_PORT", "5672")));
  options.username = given("SLUICE_BENCH_RABBIT_USER", "guest");
  options.password = given("SLUICE_BENCH_RABBIT_PASSWORD", "guest");
  options.connection_name = "bench";
  options.action_timeout = std::chrono::seconds(60);
  options.max_in_flight = static_cast<std::size_t>(state.range(1));
  auto client = Client::make(io.get_executor(), options);
  boost::asio::co_spawn(
      io, [&]() -> boost::asio::awaitable<void> { static_cast<void>(co_await client->connect()); },
      boost::asio::detached);
  while (!client->is_open()) {
    if (io.run_one_for(std::chrono::seconds(10)) == 0) return state.SkipWithError("no broker");
  }
  auto key = given("SLUICE_BENCH_RABBIT_QUEUE", "sluice-bench");
  std::string payload(static_cast<std::size_t>(state.range(0)), 'x');
  std::size_t sent = 0, confirmed = 0;
  for (auto _ : state) {
    client->publish(key, payload, std::to_string(sent), false,
                    [&](Result<void> result) { confirmed += result.has_value(); });
    ++sent;
    while (sent - confirmed >= options.max_in_flight && client->is_open())
      io.run_one();
  }
  while (confirmed < sent && client->is_open())
    io.run_one();
  if (confirmed < sent) state.SkipWithError("the connection broke");
  state.SetItemsProcessed(static_cast<std::int64_t>(sent));
}
BENCHMARK(publish_confirmed)->Args({1000, 256})->Args({1000, 1024})->Args({1000, 4096})->UseRealTime();

}  // namespace
}  // namespace sluice::connector::amqp
