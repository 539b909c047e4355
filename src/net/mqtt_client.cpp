// SPDX-License-Identifier: Apache-2.0
#include "net/mqtt_client.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace sluice::net::mqtt {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using asio::ip::tcp;
constexpr auto kUse = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t kReadSize = 4096;  // a thousand PUBACKs; idle connections are many, so not more
constexpr std::chrono::milliseconds kGrace{10};
constexpr std::size_t kMaxIds = 60000;  // ids on the way, of 65,535

std::string in_ms(std::chrono::milliseconds time) {
  return std::to_string(time.count()) + " ms";
}

std::string with_reason(const Reason& reason, const Packet& packet) {
  std::string text = reason.text;
  if (!packet.properties.reason_string.empty()) text += ": " + packet.properties.reason_string.substr(0, 200);
  return text;
}

std::uint16_t id_after(std::uint16_t first, std::size_t steps) {
  return static_cast<std::uint16_t>((first - 1 + steps) % 65535 + 1);
}

}  // namespace

std::shared_ptr<Client> Client::make(const asio::any_io_executor& executor, ClientOptions options) {
  return std::shared_ptr<Client>(new Client(executor, std::move(options)));
}

Client::Client(const asio::any_io_executor& executor, ClientOptions options)
    : executor_(executor), options_(std::move(options)), deadline_(executor), timer_(executor), written_(executor) {
  window_ = options_.max_in_flight;
}

Client::~Client() {
  settle_all(Error{ErrorKind::cancelled, "the MQTT client was destroyed"});
}

// ---------------------------------------------------------------- connecting

Error Client::in_phase(Error error) const {
  if (closing_) return Error{ErrorKind::cancelled, "given up while " + phase_};
  if (timed_out_)
    return Error{ErrorKind::not_connected, phase_ + ": no success within " + in_ms(options_.connect_timeout)};
  return error.wrap(phase_);
}

awaitable<Result<void>> Client::connect(std::function<void()> authenticating) {
  auto self = shared_from_this();
  ENSURE(state_ == State::idle);
  if (closing_) co_return Error{ErrorKind::cancelled, "closed before it was opened"};
  state_ = State::connecting;
  deadline_.expires_after(options_.connect_timeout);
  deadline_.async_wait([weak = weak_from_this()](boost::system::error_code ec) {
    auto client = weak.lock();
    if (ec || !client || client->state_ != State::connecting) return;
    client->timed_out_ = true;
    if (client->dial_) client->dial_->cancel();
    if (client->transport_) client->transport_->abort();
  });
  auto connected = co_await connect_transport();
  if (connected && !closing_ && !timed_out_) {
    if (authenticating) authenticating();
    phase_ = "authenticating";
    connected = co_await log_in();
  }
  deadline_.cancel();
  if (connected && (closing_ || timed_out_)) connected = Error{ErrorKind::not_connected, "ended"};
  if (!connected) {
    auto error = in_phase(connected.error());
    state_ = State::ended;
    written_.cancel();
    if (transport_) transport_->abort();
    settle_all(error);
    co_return error;
  }
  state_ = State::open;
  start_reading();
  co_return Result<void>();
}

awaitable<Result<void>> Client::connect_transport() {
  dial_ = std::make_unique<Dial>(executor_, options_.transport);
  auto made = co_await dial_->run(phase_, options_.connect_timeout);
  dial_.reset();
  if (!made) co_return made.error();
  transport_ = std::move(*made);
  co_return Result<void>();
}

awaitable<Result<void>> Client::log_in() {
  ConnectOptions hello;
  hello.version = options_.version;
  hello.client_id = options_.client_id;
  hello.has_username = options_.username.has_value();
  hello.username = options_.username.value_or("");
  hello.has_password = options_.password.has_value();
  hello.password = options_.password.value_or("");
  auto seconds = (options_.keep_alive.count() + 999) / 1000;
  hello.keep_alive_s = static_cast<std::uint16_t>(std::clamp<long>(seconds, 1, 65535));
  hello.maximum_packet_size = static_cast<std::uint32_t>(options_.max_packet);
  std::string packet_bytes;
  append_connect(packet_bytes, hello);
  if (auto ec = co_await transport_->write(asio::buffer(packet_bytes))) co_return transport_error(ec);
  last_write_ = Clock::now();
  for (;;) {
    Packet packet;
    auto length = parse_packet({input_.data(), input_end_}, options_.version, options_.max_packet, packet);
    if (!length) co_return length.error();
    if (*length > 0) {
      auto accepted = accept_connack(packet);
      input_.erase(0, *length);
      input_end_ -= *length;
      co_return accepted;
    }
    auto more = co_await read_more();
    if (!more) co_return more;
  }
}

Result<void> Client::accept_connack(const Packet& packet) {
  if (packet.type != PacketType::connack)
    return Error{ErrorKind::not_connected, "the broker did not answer with CONNACK"};
  if (packet.reason != 0) {
    auto reason = options_.version == kVersion5 ? reason_of(packet.reason) : connack_reason_311(packet.reason);
    // A connection has no message that could be at fault: all but a person's matters is tried again.
    auto kind = reason.kind == ErrorKind::bad_config ? ErrorKind::bad_config : ErrorKind::not_connected;
    return Error{kind, "the broker refuses the connection: " + with_reason(reason, packet)};
  }
  offered_ = packet.properties;
  if (offered_.receive_maximum) window_ = std::min<std::size_t>(window_, *offered_.receive_maximum);
  window_ = std::clamp<std::size_t>(window_, 1, kMaxIds / 2);
  if (offered_.server_keep_alive && *offered_.server_keep_alive > 0) {
    options_.keep_alive =
        std::min<std::chrono::milliseconds>(options_.keep_alive, std::chrono::seconds(*offered_.server_keep_alive));
  }
  if (!offered_.assigned_client_id.empty()) options_.client_id = offered_.assigned_client_id;
  return {};
}

// ---------------------------------------------------------------- reading

void Client::start_reading() {
  last_read_ = Clock::now();
  arm(std::min(last_read_, last_write_) + options_.keep_alive);
  asio::co_spawn(executor_, read_loop(), [self = shared_from_this()](std::exception_ptr failed) {
    if (failed) self->fail(Error{ErrorKind::bug, "reading from the broker ended with an exception"});
  });
}

awaitable<void> Client::read_loop() {
  auto self = shared_from_this();
  while (state_ == State::open) {
    // First what came along with CONNACK.
    auto handled = handle_input();
    if (handled && state_ == State::open) handled = co_await read_more();
    if (!handled) {
      fail(handled.error());
      co_return;
    }
  }
}

awaitable<Result<void>> Client::read_more() {
  if (input_.size() - input_end_ < kReadSize / 4) input_.resize(std::max(kReadSize, input_.size() * 2));
  auto [ec, count] = co_await transport_->read(asio::buffer(input_.data() + input_end_, input_.size() - input_end_));
  if (ec && state_ == State::open && closed_by_peer(ec)) {
    // MQTT 3.1.1 has no word for the reason, and mosquitto 2.0 sends none with 5 either.
    co_return Error{ErrorKind::not_connected,
                    "the broker closed the connection and gave no reason, as it does when another client takes the "
                    "client id '" +
                        options_.client_id + "'"};
  }
  if (ec) co_return transport_error(ec);
  input_end_ += count;
  last_read_ = Clock::now();
  co_return Result<void>();
}

Result<void> Client::handle_input() {
  std::size_t at = 0;
  while (state_ == State::open) {
    Packet packet;
    auto length = parse_packet({input_.data() + at, input_end_ - at}, options_.version, options_.max_packet, packet);
    if (!length) return length.error();
    if (*length == 0) break;
    auto handled = handle(packet);
    if (!handled) return handled;
    at += *length;
  }
  std::copy(input_.begin() + static_cast<long>(at), input_.begin() + static_cast<long>(input_end_), input_.begin());
  input_end_ -= at;
  // A large message leaves no large buffer behind.
  if (input_end_ == 0 && input_.size() > 16 * kReadSize) {
    input_.resize(kReadSize);
    input_.shrink_to_fit();
  }
  return {};
}

Result<void> Client::handle(const Packet& packet) {
  switch (packet.type) {
    case PacketType::puback:
    case PacketType::suback:
      acknowledged(packet);
      return {};
    case PacketType::pingresp:
      return {};
    case PacketType::publish:
      if (packet.qos > 1)
        return Error{ErrorKind::not_connected, "the broker sent a message with QoS 2, which was not asked for"};
      handle_message(packet);
      return {};
    case PacketType::disconnect: {
      auto reason = reason_of(packet.reason);
      auto kind = reason.kind == ErrorKind::bad_config ? ErrorKind::bad_config : ErrorKind::not_connected;
      std::string text = packet.reason == 0 ? "" : ": " + with_reason(reason, packet);
      if (packet.reason == 0x8e) text += " '" + options_.client_id + "'";
      return Error{kind, "the broker ended the connection" + text};
    }
    default:
      return Error{ErrorKind::not_connected, "the broker sent a packet of type " +
                                                 std::to_string(static_cast<int>(packet.type)) +
                                                 ", which a client does not get"};
  }
}

void Client::handle_message(const Packet& packet) {
  Incoming incoming{packet.topic, packet.payload, packet.qos, packet.retain, {}};
  if (packet.qos == 1) {
    incoming.acknowledge = [weak = weak_from_this(), executor = executor_, id = packet.id] {
      asio::dispatch(executor, [weak, id] {
        auto client = weak.lock();
        if (!client || client->state_ != State::open) return;
        append_puback(client->output_, id);
        client->flush();
      });
    };
  }
  if (on_message) {
    on_message(incoming);
  } else if (incoming.acknowledge) {
    incoming.acknowledge();
  }
}

// ---------------------------------------------------------------- publishing

void Client::publish(std::string_view topic, std::string_view payload, int qos, bool retain, Done done) {
  auto refuse = [&](ErrorKind kind, std::string text) { done(Error{kind, std::move(text)}); };
  if (state_ != State::open || closing_) return refuse(ErrorKind::not_connected, "not connected to the broker");
  if (topic.empty() || topic.size() > 65535 ||
      topic.find_first_of(std::string_view("+#\0", 3)) != std::string_view::npos) {
    return refuse(ErrorKind::permanent, "the topic is empty, too long or holds '+', '#' or NUL");
  }
  auto size = publish_size(options_.version, topic, payload, qos);
  // 256 MiB is MQTT's own limit.
  std::size_t limit = std::min<std::size_t>(offered_.maximum_packet_size.value_or(268435455), 268435455);
  if (size > limit) {
    return refuse(ErrorKind::permanent, "a packet of " + std::to_string(size) +
                                            " bytes is over the broker's maximum of " + std::to_string(limit));
  }
  if (qos == 0) {
    append_publish(output_, options_.version, 0, topic, payload, 0, retain);
    after_write_.push_back(std::move(done));
    flush();
  } else if (waiting_.empty() && unacknowledged_ < window_ && in_flight_.size() < kMaxIds) {
    send_publish(topic, payload, retain, std::move(done));
  } else if (waiting_.size() < options_.max_waiting) {
    waiting_.push_back({std::string(topic), std::string(payload), retain, std::move(done)});
  } else {
    refuse(ErrorKind::transient, "too many messages wait for the broker's acknowledgements");
  }
}

Client::InFlight& Client::add_in_flight() {
  auto deadline = Clock::now() + options_.action_timeout;
  arm(deadline);
  ++unacknowledged_;
  return in_flight_.emplace_back(InFlight{deadline, {}, {}, false});
}

void Client::send_publish(std::string_view topic, std::string_view payload, bool retain, Done done) {
  auto id = id_after(first_id_, in_flight_.size());
  add_in_flight().done = std::move(done);
  append_publish(output_, options_.version, id, topic, payload, 1, retain);
  flush();
}

void Client::send_waiting() {
  while (state_ == State::open && !waiting_.empty() && unacknowledged_ < window_ && in_flight_.size() < kMaxIds) {
    auto next = std::move(waiting_.front());
    waiting_.pop_front();
    send_publish(next.topic, next.payload, next.retain, std::move(next.done));
  }
}

void Client::acknowledged(const Packet& packet) {
  // Ids were given one after another: the distance from the first one's is the place in the queue.
  std::size_t place = static_cast<std::size_t>((packet.id - first_id_ + 65535) % 65535);
  if (packet.id == 0 || place >= in_flight_.size() || in_flight_[place].settled) return;
  auto& entry = in_flight_[place];
  bool is_publish = packet.type == PacketType::puback;
  if (is_publish != static_cast<bool>(entry.done)) return;
  entry.settled = true;
  --unacknowledged_;
  auto done = std::exchange(entry.done, nullptr);
  auto subscribed = std::exchange(entry.subscribed, nullptr);
  pop_settled();
  if (subscribed) {
    subscribed(&packet, nullptr);
  } else if (packet.reason < 0x80) {
    done(Result<void>());
  } else {
    auto reason = reason_of(packet.reason);
    done(Error{reason.kind, "the broker refuses the message: " + with_reason(reason, packet)});
  }
  send_waiting();
}

void Client::pop_settled() {
  while (!in_flight_.empty() && in_flight_.front().settled) {
    in_flight_.pop_front();
    first_id_ = id_after(first_id_, 1);
  }
}

awaitable<Result<int>> Client::subscribe(std::string filter, int qos) {
  auto self = shared_from_this();
  if (state_ != State::open || closing_) co_return Error{ErrorKind::not_connected, "not connected to the broker"};
  auto arrived = std::make_shared<asio::steady_timer>(executor_, Clock::time_point::max());
  auto answer = std::make_shared<std::optional<Result<int>>>();
  auto id = id_after(first_id_, in_flight_.size());
  // Its time limit is that of everything on the way: see tick().
  add_in_flight().subscribed = [=, version = options_.version](const Packet* packet, const Error* error) {
    if (error) {
      *answer = *error;
    } else if (auto code = packet->codes.empty() ? 0x80 : packet->codes.front(); code < 0x80) {
      *answer = static_cast<int>(code);
    } else {
      std::string why = version == kVersion5 ? ": " + with_reason(reason_of(code), *packet) : "";
      *answer = Error{ErrorKind::bad_config, "the broker refuses the subscription" + why};
    }
    arrived->cancel();
  };
  append_subscribe(output_, options_.version, id, filter, qos);
  flush();
  co_await arrived->async_wait(kUse);
  if (!*answer) co_return Error{ErrorKind::cancelled, "given up while subscribing to " + filter};
  if (!**answer) co_return (*answer)->error().wrap("subscribing to " + filter);
  co_return ***answer;
}

// ---------------------------------------------------------------- writing

void Client::flush() {
  if (write_running_) return;
  write_running_ = true;
  // co_spawn posts: what else is published in this turn goes out in the same write.
  asio::co_spawn(executor_, write_loop(), [self = shared_from_this()](std::exception_ptr failed) {
    if (failed) self->fail(Error{ErrorKind::bug, "writing to the broker ended with an exception"});
  });
}

awaitable<void> Client::write_loop() {
  auto self = shared_from_this();
  while (state_ == State::open && !output_.empty()) {
    writing_.clear();
    writing_.swap(output_);
    after_this_write_.swap(after_write_);
    auto ec = co_await transport_->write(asio::buffer(writing_));
    last_write_ = Clock::now();
    if (ec) {
      fail(transport_error(ec));
      break;
    }
    auto dones = std::exchange(after_this_write_, {});
    for (auto& done : dones)
      done(Result<void>());
    constexpr std::size_t kKeep = 1 << 16;
    if (writing_.capacity() > kKeep && output_.empty()) std::string().swap(writing_);
  }
  write_running_ = false;
  written_.cancel();
}

// ---------------------------------------------------------------- time

void Client::arm(Clock::time_point when) {
  if (armed_for_ && *armed_for_ <= when) return;
  armed_for_ = when;
  timer_.expires_at(when);
  timer_.async_wait([weak = weak_from_this()](boost::system::error_code ec) {
    auto client = weak.lock();
    if (ec || !client) return;
    client->armed_for_.reset();
    client->tick();
  });
}

void Client::tick() {
  if (state_ != State::open) return;
  auto now = Clock::now();
  if (ping_outstanding_ && last_read_ >= ping_sent_) ping_outstanding_ = false;
  bool unacknowledged = !in_flight_.empty() && in_flight_.front().deadline <= now;
  bool unanswered = ping_outstanding_ && now >= ping_sent_ + options_.ping_timeout;
  if (unacknowledged || unanswered) {
    // Where it was this thread that stood still, the answer waits in the socket: read it before judging.
    if (!std::exchange(overdue_, true)) return arm(now + kGrace);
    return fail(Error{ErrorKind::not_connected,
                      unacknowledged ? "no acknowledgement within " + in_ms(options_.action_timeout)
                                     : "the broker has not answered a ping within " + in_ms(options_.ping_timeout)});
  }
  overdue_ = false;
  if (!ping_outstanding_ && now >= std::min(last_read_, last_write_) + options_.keep_alive) {
    ping_outstanding_ = true;
    ping_sent_ = now;
    append_pingreq(output_);
    flush();
  }
  auto next =
      ping_outstanding_ ? ping_sent_ + options_.ping_timeout : std::min(last_read_, last_write_) + options_.keep_alive;
  if (!in_flight_.empty()) next = std::min(next, in_flight_.front().deadline);
  arm(next);
}

// ---------------------------------------------------------------- ending

void Client::settle_all(const Error& error) {
  auto in_flight = std::exchange(in_flight_, {});
  auto waiting = std::exchange(waiting_, {});
  auto unwritten = std::exchange(after_this_write_, {});
  auto queued = std::exchange(after_write_, {});
  unacknowledged_ = 0;
  for (auto& done : unwritten)
    done(error);
  for (auto& done : queued)
    done(error);
  for (auto& entry : in_flight) {
    if (entry.done) entry.done(error);
    if (entry.subscribed) entry.subscribed(nullptr, &error);
  }
  for (auto& entry : waiting)
    entry.done(error);
}

void Client::fail(const Error& error) {
  if (state_ != State::open) return;
  state_ = State::ended;
  timer_.cancel();
  written_.cancel();
  transport_->abort();
  // A message is not at fault for what became of its connection.
  settle_all(Error{closing_ ? ErrorKind::cancelled : ErrorKind::not_connected, error.text});
  if (!closing_ && on_lost) std::exchange(on_lost, nullptr)(error);
}

awaitable<void> Client::close() {
  auto self = shared_from_this();
  closing_ = true;
  on_message = nullptr;
  on_lost = nullptr;
  if (state_ == State::open) {
    append_disconnect(output_);
    written_.expires_after(std::chrono::seconds(1));
    flush();
    if (write_running_) co_await written_.async_wait(kUse);
  }
  if (dial_) dial_->cancel();
  if (transport_) transport_->abort();
  if (state_ == State::connecting) {
    written_.expires_after(std::chrono::seconds(1));
    co_await written_.async_wait(kUse);
  }
  fail(Error{ErrorKind::cancelled, "the connection is being closed"});
  settle_all(Error{ErrorKind::cancelled, "the connection is being closed"});
}

}  // namespace sluice::net::mqtt
