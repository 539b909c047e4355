// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "api/auth.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "binder/binders.h"
#include "binder/downlink_sender.h"
#include "connection/manager.h"
#include "connector/registry.h"
#include "driver/catalogue.h"
#include "driver/engine.h"
#include "driver/journal.h"
#include "flow/downlinks.h"
#include "flow/router.h"
#include "message/trail_book.h"
#include "queue/queue.h"
#include "store/events.h"
#include "store/store.h"

namespace sluice::api {

// What the resources work on. All outlive the server. What leads to a large part of the engine is a function, so that
// the resources are tested without it; make_context() joins them to the real parts.
struct Context {
  store::Store& store;
  store::Events& events;
  Clock& clock;
  Metrics& metrics;
  const connector::Registry& registry;
  connection::Manager& connections;
  queue::Log& log;

  // The tunnel. Called on the I/O threads: fast, never blocking.
  std::function<std::shared_ptr<const binder::thingpark::Settings>(std::string_view id)> find_binder;
  std::function<std::variant<message::Message, binder::thingpark::Refusal>(
      const binder::thingpark::Settings&, const binder::thingpark::Request&, UnixMillis now)>
      accept;

  // Called after a change in the store. An error is told to the client as 503: the change is stored, but not in force.
  std::function<Result<void>()> reload_binders, reload_flows, reload_drivers;

  // Drivers.
  std::function<driver::DriverCodePtr(const std::string& account, const std::string& id)> find_driver;
  std::function<driver::DriverCodePtr(const std::string& account, const std::optional<message::ModuleRef>& application,
                                      const std::optional<message::ModuleRef>& model)>
      choose_driver;
  // Drivers known without their code: driver::Catalogue's is_without_code and choose_without_code.
  std::function<bool(const std::string& account, const std::string& id)> is_without_code;
  std::function<std::string(const std::string& account, const std::optional<message::ModuleRef>& application,
                            const std::optional<message::ModuleRef>& model)>
      choose_without_code;
  std::function<Result<driver::Engine::Inspection>(driver::Engine::Inspected what)> inspect_driver;
  std::function<void(std::vector<driver::Job>)> run_drivers;
  driver::Journal& journal;
  driver::Limits driver_limits;  // the engine's own: the most that a driver can be given
  // As flow::Router::last_uplinks.
  std::function<std::vector<flow::Router::StoredUplink>(const std::string& account, const std::string& driver_id,
                                                        std::size_t last)>
      last_uplinks;

  // Downlinks: as flow::Downlinks::handle.
  std::function<void(flow::DownlinkSource, std::string body, std::function<void(flow::DownlinkResult)>)>
      handle_downlink;

  // The way of messages, past and live, and the log and lists for what it no longer has; null where a test needs none.
  message::TrailBook* trail = nullptr;
  queue::Queue* queue = nullptr;
  // Why a device's messages match or do not match each flow of the account. As flow::Router::explain.
  std::function<Result<boost::json::array>(const std::string& account, const std::string& dev_eui)> explain = {};

  std::string public_url;       // "http://127.0.0.1:8080": uplinkUrl and downlinkUrl start with it
  std::function<bool()> ready;  // /readyz
  std::string data_directory;
  AuthSettings auth = {};
  // How long a connection's debug mode lasts (spec api.md 5.1).
  std::chrono::milliseconds debug_limit = std::chrono::hours(48);
  std::vector<std::string> cors_origins = {};  // "https://console.example.com"; none: no cross-origin calls

  // Those on their way to a network server: as binder::DownlinkSender::queued and purge.
  std::function<binder::QueuedDownlinkPage(const std::string& connection_id, std::size_t offset, std::size_t limit)>
      queued_downlinks = {};
  std::function<std::size_t(const std::string& connection_id)> purge_downlinks = {};
  std::size_t downlinks_per_second = 20;  // requests to one downlink URL; 0: no limit
};

// The real parts, as `app` has them.
struct Parts {
  store::Store& store;
  store::Events& events;
  Clock& clock;
  Metrics& metrics;
  const connector::Registry& registry;
  connection::Manager& connections;
  driver::Catalogue& catalogue;
  driver::Engine& engine;
  driver::Journal& journal;
  const driver::EngineOptions& engine_options;
  binder::Binders& binders;
  queue::Log& log;
  flow::Router& router;
  flow::Downlinks& downlinks;
  std::string public_url;
  std::function<bool()> ready;
  std::string data_directory;
  AuthSettings auth = {};
  message::TrailBook* trail = nullptr;
  queue::Queue* queue = nullptr;
  std::chrono::milliseconds debug_limit = std::chrono::hours(48);
};
Context make_context(const Parts& parts);

// The HTTP server: the tunnel of the binders on the I/O threads, the REST resources on a small pool of worker threads
// (they block on the store). Bodies over 5 MiB: 413 (the tunnel: 1 MiB, downlinks 64 KiB). Idle connections end after
// 60 s. The io_context may be run by several threads.
class Server {
 public:
  Server(boost::asio::io_context& io, Context context);
  ~Server();  // stops at once; nothing of it is called afterwards
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  // Listens on "host:port". Errors: bad_config, naming the address and the reason.
  Result<void> start(const std::string& listen);
  // The port bound, for listen addresses with port 0.
  [[nodiscard]] unsigned short port() const;
  // Takes no new connections, ends those that are idle, waits up to `limit` for requests under way. Never from a thread
  // that runs the io_context.
  void stop(std::chrono::milliseconds limit);

  struct Impl;

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace sluice::api
