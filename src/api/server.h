// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>

#include "base/clock.h"
#include "base/metrics.h"
#include "binder/binders.h"
#include "connection/manager.h"
#include "connector/registry.h"
#include "driver/catalogue.h"
#include "driver/engine.h"
#include "flow/downlinks.h"
#include "flow/router.h"
#include "queue/queue.h"
#include "store/events.h"
#include "store/store.h"

namespace sluice::api {

// What the resources work on. All outlive the server.
struct Context {
  store::Store& store;
  store::Events& events;
  Clock& clock;
  Metrics& metrics;
  connector::Registry& registry;
  connection::Manager& connections;
  driver::Catalogue& catalogue;
  driver::Engine& engine;
  binder::Binders& binders;
  queue::Log& log;
  flow::Router& router;
  flow::Downlinks& downlinks;
  std::string public_url;                 // "http://127.0.0.1:8080": uplinkUrl and downlinkUrl start with it
  std::function<bool()> ready;            // /readyz
  std::string data_directory;
};

// The HTTP server: the tunnel of the binders on the I/O threads, the REST resources on a small pool of worker threads (they
// block on the store). Bodies over 5 MiB: 413 (the tunnel: 1 MiB). Idle connections end after 60 s.
class Server {
 public:
  Server(boost::asio::io_context& io, Context context);
  ~Server();
  // Listens on "host:port". Errors: bad_config, naming the address and the reason.
  Result<void> start(const std::string& listen);
  // The port bound, for listen addresses with port 0.
  [[nodiscard]] unsigned short port() const;
  // Takes no new connections, ends those that are idle, waits up to `limit` for requests under way.
  void stop(std::chrono::milliseconds limit);

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::api
