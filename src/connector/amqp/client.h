// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
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
#include <unordered_set>

#include "base/result.h"
#include "connector/amqp/wire.h"
#include "net/dial.h"

namespace sluice::connector::amqp {

struct ClientOptions {
  net::TransportOptions transport;
  std::string username, password;  // SASL PLAIN
  bool by_certificate = false;     // SASL EXTERNAL in place of those
  std::string virtual_host = "/";
  std::string connection_name;                       // how the broker's lists show it
  std::string exchange;                              // empty: the default exchange
  std::string queue, binding_key;                    // queue empty: nothing is consumed
  bool trial = false;                                // exchange and queue are temporary where they are not there yet
  std::chrono::milliseconds connect_timeout{10000};  // from the look-up of the name to the consumer
  std::chrono::milliseconds action_timeout{10000};   // for one confirm, or one answer to a method
  std::chrono::seconds heartbeat{60};                // the broker's wish wins where it is shorter
  std::size_t max_in_flight = 4096;                  // publishes not confirmed
  std::size_t max_waiting = 65536;                   // publishes beyond those; over it they fail, kind transient
  std::size_t max_message = 1 << 20;                 // bytes of a received message; a larger one is rejected
};

// A message received. Views hold until the callback returns.
struct Incoming {
  std::string_view routing_key, body;
  bool redelivered = false;
  // To be called once the message is taken, from any thread; the broker gets its acknowledgement then.
  std::function<void()> acknowledge;
};

// An AMQP 0-9-1 client with two channels: 1 publishes with confirms, 2 consumes. One connection, made once: after a
// loss make a new client.
//
// Invariants: 1. every publish ends in exactly one call of its `done`, and succeeds only if the broker has confirmed
// that very message. 2. At most `max_in_flight` publishes are on the way, one where the broker has closed the channel
// because of an unknown one of them; the others wait in order. 3. Frames queued in one turn of the executor go out in
// one write.
// 4. on_lost is called at most once, and no callback after close() was called.
//
//   idle -connect()-> connecting -login, channels, exchange, queue-> open -fail()-> ended
//   open: channel 1: ready -channel.close-> reopening -> ready (its publishes are settled for another try)
//         channel 2: ready -channel.close, basic.cancel-> reopening, with pauses, as long as the connection is open
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
  // Something an operator should know that ends nothing: the broker blocks, the queue was deleted.
  std::function<void(std::string)> on_notice;

  // Resolves, connects, logs in, opens the channels, makes sure of exchange, queue and binding, within connect_timeout.
  // `authenticating` is called when the transport is up. Errors: bad_config (credentials, rights, virtual host,
  // certificates), not_connected naming the phase, cancelled by close().
  boost::asio::awaitable<Result<void>> connect(std::function<void()> authenticating = {});
  // `done`: the broker has confirmed. `message_id`: of at most 255 bytes, kept by the broker. `mandatory`: a message
  // that reaches no queue fails, with the kind `unroutable`. Errors: transient (refused by nack; the channel was closed
  // because of some message), permanent (this very message: too large, a routing key over 255 bytes), bad_config (no
  // right to publish), not_connected with the connection.
  void publish(std::string routing_key, std::string body, std::string message_id, bool mandatory, Done done);
  // Of unroutable messages: permanent where only that key has no queue.
  ErrorKind unroutable = ErrorKind::permanent;
  // Says goodbye, within a second, and ends what is under way (kind cancelled).
  boost::asio::awaitable<void> close();

  [[nodiscard]] bool is_open() const { return state_ == State::open; }

 private:
  using Clock = std::chrono::steady_clock;
  enum class State { idle, connecting, open, ended };
  struct Publish {
    std::string routing_key, body, message_id;
    bool mandatory;
    Done done;
  };
  // Sent and not confirmed. Delivery tags are given one after another, so that a tag tells the place.
  struct InFlight {
    Clock::time_point deadline;
    Done done;  // empty: settled out of turn
    std::string message_id;
    std::size_t size;
    std::string returned;  // what the broker said of a message that reached no queue
  };
  // What came as an answer to a method, copied out of the input.
  struct Answer {
    MethodId id = MethodId::none;
    std::uint16_t code = 0;
    std::string text;  // close: the broker's; start: mechanisms
    MethodId culprit = MethodId::none;
    std::uint16_t channel_max = 0, heartbeat = 0;
    std::uint32_t frame_max = 0;
  };
  // A message of which header and body are still to come.
  struct Content {
    enum class Stage { none, header, body } stage = Stage::none;
    bool returned = false, redelivered = false, too_large = false;
    std::uint64_t tag = 0, left = 0;
    std::string routing_key, body, message_id, reason;
  };
  struct Channel {
    explicit Channel(const boost::asio::any_io_executor& executor) : arrived(executor) {}
    boost::asio::steady_timer arrived;  // cancelled when the answer is there
    MethodId awaited = MethodId::none;
    std::optional<Answer> answer;
    bool ready = false;
    // Every opening has its own: what was received in an earlier one can't be acknowledged any more.
    std::uint64_t opening = 0;
    Content content;
  };

  Client(const boost::asio::any_io_executor& executor, ClientOptions options);
  boost::asio::awaitable<Result<void>> connect_transport();
  boost::asio::awaitable<Result<void>> log_in();
  boost::asio::awaitable<Result<void>> tune(Answer offer);
  // Each opens its channel and leaves it ready.
  boost::asio::awaitable<Result<void>> set_up_publishing();
  boost::asio::awaitable<Result<void>> set_up_consuming();
  boost::asio::awaitable<Result<void>> open_channel(std::uint16_t number);
  // Declares passively, and for real where it is not there.
  using AppendDeclare = void (*)(std::string& out, std::uint16_t channel, std::string_view name, bool passive,
                                 bool temporary);
  boost::asio::awaitable<Result<void>> make_sure(std::uint16_t channel, AppendDeclare declare, MethodId declared,
                                                 std::string name, std::string what, bool* created = nullptr);
  boost::asio::awaitable<void> reopen_publishing();
  boost::asio::awaitable<void> reopen_consuming();
  // Sends and waits for that method, within the time limit of an action; without an answer by then the connection has
  // failed. A close in its place is an answer, too.
  boost::asio::awaitable<Result<Answer>> call(std::uint16_t channel, std::string bytes, MethodId awaited);
  // As call(), with a close as an error.
  boost::asio::awaitable<Result<Answer>> ask(std::uint16_t channel, std::string bytes, MethodId awaited);
  [[nodiscard]] Error in_phase(Error error) const;

  void start_reading();
  boost::asio::awaitable<void> read_loop();
  Result<void> handle_input();
  Result<void> handle(const Frame& frame);
  Result<void> handle_method(const Frame& frame);
  Result<void> handle_connection_method(const Method& method);
  Result<void> handle_content(const Frame& frame);
  void answered(Channel& channel, const Method& method);
  void content_complete(Content content);
  void channel_closed(std::uint16_t number, const Method& method);
  void publishing_closed(const Answer& why);
  void consuming_ended(const std::string& why);
  void acknowledge(std::uint64_t opening, std::uint64_t tag, bool take);
  void notice(std::string text);

  void confirmed(const Method& method);
  void settle(InFlight& entry, bool taken);
  void pop_settled();
  [[nodiscard]] bool may_send(const Publish& message) const;
  void send(Publish message);
  void send_waiting();

  void flush();
  boost::asio::awaitable<void> write_loop();
  void arm(Clock::time_point when);
  void tick();
  void fail(const Error& error, bool farewell = false);
  boost::asio::awaitable<void> say_close_ok();
  void settle_all(const Error& error);

  boost::asio::any_io_executor executor_;
  ClientOptions options_;
  State state_ = State::idle;
  bool closing_ = false, timed_out_ = false, made_exchange_ = false;
  std::optional<Error> failure_;  // what ended it
  std::string phase_;
  std::unique_ptr<net::Transport> transport_;
  std::unique_ptr<net::Dial> dial_;  // while it connects
  boost::asio::steady_timer deadline_, timer_, written_, pause_;
  std::optional<Clock::time_point> armed_for_;

  std::string input_;
  std::size_t input_end_ = 0;  // bytes of input_ that hold something
  std::string output_, writing_;
  bool write_running_ = false;

  std::array<Channel, 3> channels_;
  std::uint32_t frame_max_;
  std::deque<InFlight> in_flight_;
  std::uint64_t first_tag_ = 1;  // of in_flight_.front()
  std::size_t unconfirmed_ = 0;  // of in_flight_, without those settled out of turn
  // Ids of messages that were on the way when the broker closed the channel because of one of them: each goes alone, so
  // that the one at fault is found.
  std::unordered_set<std::string> suspects_;
  bool suspect_on_the_way_ = false;
  std::deque<Publish> waiting_;
  bool blocked_ = false, flow_ = true;
  bool consuming_broken_ = false, consuming_revives_ = false;
  Clock::time_point went_on_;  // when the broker last went on after blocking us

  Clock::time_point last_read_, last_write_;
  bool overdue_ = false;
};

}  // namespace sluice::connector::amqp
