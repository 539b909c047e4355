// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "net/dial.h"
#include "net/mqtt_wire.h"

namespace sluice::net::mqtt {

struct ClientOptions {
  TransportOptions transport;
  int version = kVersion311;  // kVersion311 or kVersion5
  std::string client_id;
  std::optional<std::string> username, password;
  std::chrono::milliseconds connect_timeout{5000};  // from the look-up of the name to CONNACK
  std::chrono::milliseconds action_timeout{1000};   // for one acknowledgement
  std::chrono::milliseconds keep_alive{30000};      // silence after which the broker is asked
  std::chrono::milliseconds ping_timeout{10000};    // silence after asking that means it is dead
  std::size_t max_in_flight = 1000;  // QoS 1 publishes not acknowledged; a lower limit of the broker wins
  std::size_t max_waiting = 65536;   // publishes beyond those; over it they fail, kind transient
  std::size_t max_packet = 1 << 20;  // bytes of a received packet
};

// A message received. Views hold until the callback returns.
struct Incoming {
  std::string_view topic, payload;
  int qos = 0;
  bool retain = false;
  // Where QoS is 1: to be called once the message is taken, from any thread; the broker gets its PUBACK then.
  std::function<void()> acknowledge;
};

// An MQTT 3.1.1 and 5 client with clean sessions. One connection, made once: after a loss make a new client, since a
// broken session has nothing worth keeping.
//
// Invariants: 1. every publish ends in exactly one call of its `done`. 2. At most `window()` QoS 1 publishes are on the
// way; the others wait in order. 3. Packets queued in one turn of the executor go out in one write. 4. on_lost is
// called at most once, and neither it nor on_message after close() was called.
//
// All calls and callbacks on the executor, which is a strand or has a single thread.
class Client : public std::enable_shared_from_this<Client> {
 public:
  using Done = std::function<void(Result<void>)>;

  static std::shared_ptr<Client> make(const boost::asio::any_io_executor& executor, ClientOptions options);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  std::function<void(const Incoming&)> on_message;
  // The connection, once open, has broken. Publishes under way have been given not_connected before.
  std::function<void(Error)> on_lost;

  // Resolves, connects, shakes hands, authenticates, within connect_timeout. `authenticating` is called when the
  // transport is up. Errors: bad_config (credentials, certificates), not_connected naming the phase, cancelled by
  // close().
  boost::asio::awaitable<Result<void>> connect(std::function<void()> authenticating = {});
  // Errors: bad_config (refused), not_connected (no answer within action_timeout). Gives the QoS granted.
  boost::asio::awaitable<Result<int>> subscribe(std::string filter, int qos);
  // `done`: QoS 1: the broker has acknowledged; QoS 0: it was written. Errors by the broker's reason; permanent where
  // it can never be sent (too large, bad topic); not_connected with the connection.
  void publish(std::string_view topic, std::string_view payload, int qos, bool retain, Done done);
  // Says goodbye, within a second, and ends what is under way (kind cancelled).
  boost::asio::awaitable<void> close();

  [[nodiscard]] bool is_open() const { return state_ == State::open; }
  // QoS 1 publishes that may be on the way at once: known after connect().
  [[nodiscard]] std::size_t window() const { return window_; }
  // What the broker offers (MQTT 5); retain and QoS 1 unless it says otherwise.
  [[nodiscard]] const Properties& offered() const { return offered_; }
  [[nodiscard]] const std::string& client_id() const { return options_.client_id; }

 private:
  using Clock = std::chrono::steady_clock;
  enum class State { idle, connecting, open, ended };
  // A packet that the broker has to acknowledge. Ids are given one after another, so that an id tells the place.
  struct InFlight {
    Clock::time_point deadline;
    Done done;                                                    // publish
    std::function<void(const Packet*, const Error*)> subscribed;  // subscribe: one of the two
    bool settled = false;
  };
  struct Waiting {
    std::string topic, payload;
    bool retain;
    Done done;
  };

  Client(const boost::asio::any_io_executor& executor, ClientOptions options);
  boost::asio::awaitable<Result<void>> connect_transport();
  boost::asio::awaitable<Result<void>> log_in();
  Result<void> accept_connack(const Packet& packet);
  Error in_phase(Error error) const;

  void start_reading();
  boost::asio::awaitable<void> read_loop();
  // Reads more into `input_`. False: the connection has failed.
  boost::asio::awaitable<Result<void>> read_more();
  Result<void> handle_input();
  Result<void> handle(const Packet& packet);
  void handle_message(const Packet& packet);

  void flush();
  boost::asio::awaitable<void> write_loop();
  void send_publish(std::string_view topic, std::string_view payload, bool retain, Done done);
  void send_waiting();
  InFlight& add_in_flight();
  void acknowledged(const Packet& packet);
  void pop_settled();

  void arm(Clock::time_point when);
  void tick();
  void fail(const Error& error);
  void settle_all(const Error& error);

  boost::asio::any_io_executor executor_;
  ClientOptions options_;
  State state_ = State::idle;
  bool closing_ = false, timed_out_ = false;
  std::string phase_;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<Dial> dial_;  // while it connects
  boost::asio::steady_timer deadline_, timer_, written_;
  std::optional<Clock::time_point> armed_for_;

  std::string input_;
  std::size_t input_end_ = 0;  // bytes of input_ that hold something

  std::string output_, writing_;
  std::vector<Done> after_write_, after_this_write_;
  bool write_running_ = false;

  std::deque<InFlight> in_flight_;
  std::uint16_t first_id_ = 1;      // of in_flight_.front()
  std::size_t unacknowledged_ = 0;  // of in_flight_, without those settled out of turn
  std::deque<Waiting> waiting_;
  std::size_t window_ = 0;
  Properties offered_;

  Clock::time_point last_read_, last_write_, ping_sent_;
  bool ping_outstanding_ = false, overdue_ = false;
};

}  // namespace sluice::net::mqtt
