// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/http_client.h"
#include "connection/alarm.h"
#include "connection/certificates.h"
#include "connection/manager.h"
#include "connection/pump.h"
#include "connection/strategy.h"
#include "connection/watch.h"
#include "connector/registry.h"
#include "message/downlink.h"
#include "store/counters.h"

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

// Spreads openings in time: each costs a name's resolution and a TLS handshake, and a start of thousands, or the end of
// a broker that all of them use, must not choke itself. Thread-safe.
class Pace {
 public:
  using Time = std::chrono::steady_clock::time_point;
  // The time at which the caller may open; 200 a second.
  Time take(Time now);

 private:
  std::mutex mutex_;
  Time next_;
};

// The trials under way (spec api.md 5.9): a stop waits for them.
struct Trials {
  std::atomic<int> running{0};
  std::atomic<bool> stopping{false};
};

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
  // How a connection waits; empty: by the timer's own clock. Tests turn the time with it. Called on the strand, before
  // the timer is waited for.
  std::function<void(boost::asio::steady_timer& timer, std::chrono::steady_clock::time_point until)> wait_until = {};
  // For jitter, from 0 (inclusive) to 1 (exclusive); empty: random.
  std::function<double()> random = {};
  // In place of the registry's factory; empty: that one. For tests of the states.
  std::function<std::unique_ptr<connector::Connector>(connector::Host& host)> make_connector = {};
  // The server's settings for connectors, "FOLDER.NAME" to value.
  std::map<std::string, std::string> connector_settings = {};
  // Where counters are kept over a restart; null: nowhere.
  store::Counters* counters = nullptr;
  std::shared_ptr<Pace> pace = std::make_shared<Pace>();
  std::shared_ptr<Trials> trials = std::make_shared<Trials>();
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
//
// Invariants:
//  1. No phase is without end: opening is ended after kOpenLimit, delivering after a wish of ours after the drain's
//     limit, closing after kCloseLimit, and an OPENED peer that answers nothing after kSilenceLimit.
//  2. While it waits for the next try nothing but a wish of ours (restart, changed configuration, stop) moves that try.
//  3. What is pending is touched by no change of state.
class Connection final : public connector::Host, public std::enable_shared_from_this<Connection> {
 public:
  Connection(Shared& shared, const store::Connection& stored);
  // Starts the coroutine.
  void start();
  // A changed configuration: restarts when the part that opening reads has changed, else applies from the next message
  // on.
  void apply(const store::Connection& stored);
  void restart();
  // Closes for good; `done` is called when nothing of it runs any more.
  void shut_down(std::function<void()> done);

  // The queue announces messages; from any thread.
  void on_pending(std::vector<queue::Pending> entries);

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
  void notice(connector::Notice notice) override;
  std::shared_ptr<void>& kept() override { return kept_; }
  std::string server_setting(std::string_view name) override;

 private:
  template <class T>
  using awaitable = boost::asio::awaitable<T>;
  using Time = std::chrono::steady_clock::time_point;
  // One use of a connector. Shared, since a connector that hangs in open() or close() is left behind with it.
  struct Use {
    std::shared_ptr<Watch> connector;
    std::optional<Result<void>> opened;
    bool closing = false, closed = false;
  };

  awaitable<void> run();
  // What follows on a failure: the state, the event, and the wait for the next try.
  awaitable<void> wait_for_retry(const Error& error);
  // One opening, delivering and closing; the error that ended it, or nothing when it was ended by a wish of ours.
  awaitable<std::optional<Error>> live();
  awaitable<Result<void>> open(std::shared_ptr<Use> use);
  void begin_close(const std::shared_ptr<Use>& use);
  awaitable<void> close(std::shared_ptr<Use> use);
  awaitable<void> deliver_until_ended(std::shared_ptr<Use> use);
  // Waits until then at most; ends early by wake(). Does what has fallen due meanwhile (debug mode, certificates).
  awaitable<void> wait_until(Time until);
  // Waits until then, or until something changed.
  awaitable<void> sleep_until(Time until);
  void housekeeping();
  // Judges the low rate alarms that are due, tells and keeps what that gave.
  void judge_alarms();
  void read_alarms(const boost::json::object& resource);
  void restore_alarms();
  void tell(const AlarmVerdict& verdict);
  awaitable<void> check_certificates(connector::Peer peer);
  [[nodiscard]] std::shared_ptr<Watch> make_connector(const connector::Descriptor& descriptor);
  void trace(const Watch::Trace& trace);
  [[nodiscard]] std::chrono::milliseconds jitter(std::chrono::milliseconds most) const;
  void read(const store::Connection& stored);
  void wake();
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

  std::function<double()> random_;
  Strategy strategy_ = Strategy::normal;
  ReconnectSchedule schedule_;
  boost::asio::steady_timer wake_timer_;
  bool changed_ = false;  // restart, stop or a new configuration: end what runs and look again
  bool restart_wished_ = false;
  bool shutting_down_ = false;
  bool opening_ = false;
  std::string failing_;  // event code of the failure it was last told of; empty: none since it was OPENED
  std::optional<Error> lost_;
  std::shared_ptr<void> kept_;  // the connector's, from one opening to the next
  Time opened_at_;
  std::function<void()> shut_down_done_;
  std::atomic<Time::rep> last_uplink_;  // kNever: none in this process

  bool debug_ = false;
  std::shared_ptr<std::atomic<bool>> tracing_ = std::make_shared<std::atomic<bool>>(false);
  UnixMillis debug_until_ = 0;
  std::mutex trace_mutex_;
  Time trace_second_;
  unsigned traces_ = 0, traces_left_out_ = 0;

  Alarms alarms_;
  boost::json::array alarms_read_;  // as they were configured
  // Delivered in earlier processes, of them alarms' reports: an alarm counts on over a restart.
  std::uint64_t delivered_before_ = 0, reports_before_ = 0;

  std::optional<connector::Peer> peer_;  // of what is open
  Time next_certificate_check_ = Time::max();
  std::shared_ptr<Metrics::Value> client_days_, server_days_;

  mutable std::mutex status_mutex_;
  Status status_;
  std::shared_ptr<Metrics::Value> opened_gauge_, openings_total_;
};

}  // namespace sluice::connection
