// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/http_client.h"
#include "connection/manager.h"
#include "connection/pump.h"
#include "connection/strategy.h"
#include "connector/registry.h"
#include "message/downlink.h"

namespace sluice::connection {

// A command that came over a connection's transport, on its way to the network server.
struct Command {
  std::string account, connection_id;
  message::DownlinkDefaults defaults;
  std::string body;
  bool keep = true;           // configuration.queueDownlinks
  bool check_device = false;  // configuration.checkDevice
};
// Joined to the downlink's way by `app`, which counts and reports what becomes of it. `taken` is called once, from any
// thread: it is safe on the disk, settled, or no command at all; the peer may forget it.
using HandleCommand = std::function<void(Command command, std::function<void()> taken)>;

// Stored messages as today's flows route them to that connection of the account: those that they do not are left out.
// `decode` false: only tells which. In order. Blocks until drivers have answered. Joined to the router by `app`.
using RouteAgain = std::function<std::vector<queue::Again>(const std::string& account, std::uint64_t connection,
                                                           std::vector<message::MessagePtr> messages, bool decode)>;

// What all connections share.
struct Shared {
  boost::asio::any_io_executor executor;  // of the I/O threads
  boost::asio::thread_pool& disk;
  queue::Queue& queue;
  store::Events& events;
  Clock& clock;
  Metrics& metrics;
  connector::Registry& registry;
  HttpClient& http;
  HandleCommand handle_command;
  std::string public_url;
  message::Trail& trail = message::no_trail();
  RouteAgain route_again = {};
};

// One configured connection: its state machine, its connector and its pump.
//
//                       create, start, restart, retry
//   DEACTIVATED <---- CLOSED -------------------> OPENING ---> AUTHENTICATING ---> OPENED
//      ^ active=false   ^                            |               |                |  lost, stop,
//      |                |                            v               v                v  restart
//      |                |                       UNREACHABLE  AUTHENTICATION_FAILED  CLOSING
//      +----------------+----------------------------+---------------+----------------+
//
// run() walks it in one coroutine; each arrow is one set_state(). What another thread may read is in `status_` under
// its mutex; all else is touched on the strand alone.
class Connection final : public connector::Host, public std::enable_shared_from_this<Connection> {
 public:
  Connection(Shared& shared, const store::Connection& stored);
  // Starts the coroutine, after `delay` (many connections do not open at once).
  void start(std::chrono::milliseconds delay);
  // A changed configuration: restarts when the part that opening reads has changed, else applies from the next message
  // on.
  void apply(const store::Connection& stored);
  void restart();
  // Closes for good; `done` is called when nothing of it runs any more.
  void shut_down(std::function<void()> done);

  [[nodiscard]] Status status() const;
  [[nodiscard]] Pump& pump() { return *pump_; }
  [[nodiscard]] const std::string& account() const { return account_; }

  // connector::Host
  boost::asio::any_io_executor executor() override { return strand_; }
  Clock& clock() override { return shared_.clock; }
  HttpClient& http() override { return shared_.http; }
  std::string connection_id() override { return id_; }
  void authenticating() override;
  void lost(Error error) override;
  void received(connector::Received command) override;

 private:
  template <class T>
  using awaitable = boost::asio::awaitable<T>;
  awaitable<void> run();
  // One opening, delivering and closing; the error that ended it, or nothing when it was ended by a wish of ours.
  awaitable<std::optional<Error>> live();
  awaitable<Result<void>> open(connector::Connector& connector);
  awaitable<void> close(connector::Connector& connector);
  awaitable<void> deliver_until_ended(connector::Connector& connector);
  // Waits for `wait` (nothing: without end) or until something changed.
  awaitable<void> sleep(std::optional<std::chrono::milliseconds> wait);
  void read(const store::Connection& stored);
  void wake();
  // Has a connector that is opening give up.
  void end_opening();
  void set_state(State state);
  void set_reason(std::string code, std::string text, std::optional<UnixMillis> next_retry);
  void event(const char* level, const char* code, const std::string& message, boost::json::object data = {});

  Shared& shared_;
  const std::string id_, account_;
  boost::asio::strand<boost::asio::any_io_executor> strand_;
  std::shared_ptr<Pump> pump_;

  // The configuration in force.
  std::string name_, connector_id_, brand_;
  boost::json::object configuration_;  // secrets included
  message::DownlinkDefaults downlink_defaults_;
  bool active_ = false;

  ReconnectSchedule schedule_;
  boost::asio::steady_timer wake_timer_;
  bool changed_ = false;  // restart, stop or a new configuration: end what runs and look again
  bool shutting_down_ = false;
  bool opening_ = false;
  enum class EarlyClose : std::uint8_t { none, running, done };
  EarlyClose early_close_ = EarlyClose::none;  // a close that ends open(): the connector must outlive it
  std::optional<Error> lost_;
  connector::Connector* connector_ = nullptr;
  std::chrono::steady_clock::time_point opened_at_;
  std::function<void()> shut_down_done_;

  mutable std::mutex status_mutex_;
  Status status_;
  std::shared_ptr<Metrics::Value> opened_gauge_, openings_total_;
};

}  // namespace sluice::connection
