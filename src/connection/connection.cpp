// SPDX-License-Identifier: Apache-2.0
#include "connection/connection.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <random>

#include "base/json.h"
#include "base/log.h"
#include "connection/cut.h"

namespace sluice::connection {
namespace asio = boost::asio;

namespace {

constexpr std::chrono::seconds kOpenLimit{65};  // a connector's own limit is 30 s, for one brand 60 s
constexpr std::chrono::seconds kDrainLimit{5};
// A connection that falls again sooner than this, without having delivered anything, goes on in its schedule instead of
// starting it anew: a rival with the same client id would otherwise have it reconnect every second for ever.
constexpr std::chrono::seconds kStable{5};

double random_share() {
  thread_local std::minstd_rand generator{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(generator);
}

std::optional<int> port_of(const json::value* value) {
  if (!value) return std::nullopt;
  if (value->is_int64()) return static_cast<int>(value->get_int64());
  if (value->is_string()) {
    int n = std::atoi(value->get_string().c_str());
    if (n > 0) return n;
  }
  return std::nullopt;
}

// A number of the configuration, 5 or "5"; 0 where there is none.
std::int64_t number_of(const json::object& configuration, std::string_view name) {
  const auto* value = json::find(configuration, name);
  if (!value) return 0;
  if (value->is_int64()) return std::max<std::int64_t>(0, value->get_int64());
  if (value->is_string()) return std::max(0LL, std::atoll(value->get_string().c_str()));
  return 0;
}

}  // namespace

const char* to_string(State state) {
  switch (state) {
    case State::opened:
      return "OPENED";
    case State::opening:
      return "OPENING";
    case State::closed:
      return "CLOSED";
    case State::closing:
      return "CLOSING";
    case State::authenticating:
      return "AUTHENTICATING";
    case State::authentication_failed:
      return "AUTHENTICATION_FAILED";
    case State::unreachable:
      return "UNREACHABLE";
    case State::deactivated:
      return "DEACTIVATED";
  }
  return "CLOSED";
}

Connection::Connection(Shared& shared, const store::Connection& stored)
    : shared_(shared),
      id_(stored.id),
      account_(stored.account),
      strand_(asio::make_strand(shared.executor)),
      schedule_(Strategy::normal, random_share),
      wake_timer_(strand_) {
  pump_ = std::make_shared<Pump>(
      Pump::Dependencies{strand_, shared.disk, shared.queue, shared.events, shared.clock, shared.metrics, shared.trail},
      std::stoull(stored.id), stored.account);
  Metrics::Labels labels{{"connection", id_}};
  opened_gauge_ = shared.metrics.gauge("sluice_connection_opened", "1 while the connection is OPENED.", labels);
  openings_total_ = shared.metrics.counter("sluice_connection_openings_total", "Tries to open the connection.", labels);
  read(stored);
  status_.since = shared.clock.now();
  if (!active_) status_.state = State::deactivated;
}

void Connection::read(const store::Connection& stored) {
  name_ = json::text_or(stored.resource, "name");
  connector_id_ = json::text_or(stored.resource, "connectorId");
  brand_ = json::text_or(stored.resource, "brand");
  active_ = json::bool_or(stored.resource, "active", true);
  const auto* configuration = json::find(stored.resource, "configuration");
  configuration_ = connector::join_secrets(
      configuration && configuration->is_object() ? configuration->get_object() : json::object(), stored.secrets);
  schedule_ = ReconnectSchedule(strategy_of(json::text_or(configuration_, "reconnectStrategy")), random_share);
  downlink_defaults_.as_id = json::text_or(configuration_, "downlinkAsId");
  downlink_defaults_.as_key = json::text_or(configuration_, "downlinkAsKey");
  downlink_defaults_.fport = port_of(json::find(configuration_, "downlinkPort"));
  auto delivery = std::make_shared<DeliverySettings>();
  delivery->format.send_metadata = json::bool_or(configuration_, "sendMetadata", false);
  delivery->format.send_raw_decoded_format = json::bool_or(configuration_, "sendRawDecodedFormat", false);
  if (auto validity = parse_duration(json::text_or(configuration_, "uplinkTimeValidity")))
    delivery->validity_ms = validity->count();
  delivery->rate = static_cast<std::uint64_t>(number_of(configuration_, "uplinkRateLimiter"));
  delivery->max_tries = static_cast<unsigned>(number_of(configuration_, "maxTries"));
  delivery->keep_letters = json::bool_or(configuration_, "deadLetters", true);
  delivery->secrets = texts_of_secrets(stored.secrets);
  queue::Bounds bounds;
  bounds.max_count = static_cast<std::uint64_t>(number_of(configuration_, "queueMaxMessages"));
  if (auto age = parse_duration(json::text_or(configuration_, "queueMaxAge"))) bounds.max_age_ms = age->count();
  shared_.queue.set_bounds(std::stoull(id_), bounds);
  delivery->drop_new = !active_ && !json::bool_or(configuration_, "queueWhenInactive", true);
  delivery->downlink_url = shared_.public_url + "/iot-flow/downlinkMessages/" + stored.downlink_uuid;
  if (const auto* operations = json::find(stored.resource, "upOperations"); operations && operations->is_array()) {
    auto read = processor::Operations::read(operations->get_array());
    if (read)
      delivery->operations = std::move(*read);
    else
      event("error", "processor-3001", "The connection's operations cannot run: " + read.error().text);
  }
  pump_->configure(std::move(delivery));
}

void Connection::start(std::chrono::milliseconds delay) {
  asio::co_spawn(
      strand_,
      [self = shared_from_this(), delay]() -> awaitable<void> {
        if (delay.count() > 0) co_await self->sleep(delay);
        co_await self->run();
      },
      [self = shared_from_this()](std::exception_ptr failure) {
        if (failure) {
          try {
            std::rethrow_exception(failure);
          } catch (const std::exception& e) {
            log::error("connection {} has stopped: {}", self->id_, e.what());
          }
        }
        if (self->shut_down_done_) std::exchange(self->shut_down_done_, nullptr)();
      });
}

void Connection::wake() {
  wake_timer_.cancel();
}

void Connection::apply(const store::Connection& stored) {
  asio::dispatch(strand_, [self = shared_from_this(), stored] {
    bool was_active = self->active_;
    auto before = json::write(self->configuration_);
    self->read(stored);
    bool same = before == json::write(self->configuration_);
    if (same && was_active == self->active_) return;
    self->changed_ = true;
    self->end_opening();
    self->wake();
  });
}

void Connection::restart() {
  asio::dispatch(strand_, [self = shared_from_this()] {
    self->changed_ = true;
    self->end_opening();
    self->wake();
  });
}

void Connection::shut_down(std::function<void()> done) {
  asio::dispatch(strand_, [self = shared_from_this(), done = std::move(done)]() mutable {
    self->shutting_down_ = true;
    self->shut_down_done_ = std::move(done);
    self->changed_ = true;
    self->end_opening();
    self->wake();
  });
}

void Connection::end_opening() {
  if (!opening_ || !connector_ || early_close_ != EarlyClose::none) return;
  early_close_ = EarlyClose::running;
  asio::co_spawn(strand_, connector_->close(), [self = shared_from_this()](std::exception_ptr) {
    self->early_close_ = EarlyClose::done;
    self->wake();
  });
}

asio::awaitable<void> Connection::sleep(std::optional<std::chrono::milliseconds> wait) {
  if (changed_) co_return;
  if (wait)
    wake_timer_.expires_after(*wait);
  else
    wake_timer_.expires_at(std::chrono::steady_clock::time_point::max());
  boost::system::error_code ignored;
  co_await wake_timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

asio::awaitable<void> Connection::run() {
  while (!shutting_down_) {
    changed_ = false;
    if (!active_) {
      set_reason("", "", std::nullopt);
      set_state(State::deactivated);
      co_await sleep(std::nullopt);
      schedule_.reset();
      continue;
    }
    auto error = co_await live();
    if (changed_ || shutting_down_) {
      schedule_.reset();
      continue;
    }
    bool refused = error && error->kind == ErrorKind::bad_config;
    auto wait = schedule_.next(!refused);
    auto text = error ? error->text : "closed";
    if (!wait) {
      set_reason("connection-1104", "given up after the last try of the CALM strategy: " + text, std::nullopt);
      set_state(State::closed);
      event("error", "connection-1104", "Connection given up: " + text);
      co_await sleep(std::nullopt);
      schedule_.reset();
      continue;
    }
    auto retry_at = shared_.clock.now() + wait->count();
    set_reason(refused ? "connection-1102" : "connection-1103", text, retry_at);
    set_state(refused ? State::authentication_failed : State::unreachable);
    event("error", refused ? "connection-1102" : "connection-1103",
          (refused ? "Authentication failed: " : "Unreachable: ") + text,
          {{"cause", text}, {"nextRetry", format_time(retry_at)}});
    co_await sleep(*wait);
    if (changed_) schedule_.reset();
  }
}

asio::awaitable<std::optional<Error>> Connection::live() {
  const auto* descriptor = shared_.registry.find(connector_id_);
  if (!descriptor) {
    co_return Error{ErrorKind::bad_config, "there is no connector " + connector_id_ + " in this build"};
  }
  lost_.reset();
  set_reason("connection-1001", "opening", std::nullopt);
  set_state(State::opening);
  openings_total_->add();
  {
    std::lock_guard lock(status_mutex_);
    status_.startup_time = shared_.clock.now();
  }
  event("info", "connection-1001", "Connection opening: Opening connection " + name_ + " with id " + id_);
  auto connector = descriptor->make(connector::Settings(descriptor->schema_for(brand_), configuration_), *this);
  connector_ = connector.get();
  auto started = shared_.clock.steady();
  auto opened = co_await open(*connector);
  if (!opened) {
    lost_ = opened.error();
  } else if (!changed_) {
    set_reason("", "", std::nullopt);
    set_state(State::opened);
    opened_at_ = shared_.clock.steady();
    auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(opened_at_ - started).count();
    event("info", "connection-1002", "Connection opened", {{"ms", ms}});
    co_await deliver_until_ended(*connector);
    const char* why = shutting_down_ ? "stop" : !active_ ? "stop" : changed_ ? "restart" : "failure";
    set_reason("connection-1003", lost_ ? lost_->text : why, std::nullopt);
    set_state(State::closing);
    event("info", "connection-1003", "Connection closing: Closing connection " + name_ + " for " + why,
          {{"reason", why}});
    if (shared_.clock.steady() - opened_at_ >= kStable || pump_->has_delivered()) schedule_.reset();
  }
  pump_->close();
  co_await close(*connector);
  connector_ = nullptr;
  set_state(State::closed);
  co_return lost_;
}

asio::awaitable<Result<void>> Connection::open(connector::Connector& connector) {
  opening_ = true;
  early_close_ = EarlyClose::none;
  // A connector keeps its own limits; this one stands behind them, so that no state gets stuck.
  asio::steady_timer guard(strand_, kOpenLimit);
  guard.async_wait([self = shared_from_this(), &connector](boost::system::error_code ec) {
    if (!ec && self->connector_ == &connector) self->end_opening();
  });
  Result<void> result;
  try {
    result = co_await connector.open();
  } catch (const std::exception& e) {
    result = Error{ErrorKind::not_connected, std::string("opening failed: ") + e.what()};
  }
  opening_ = false;
  guard.cancel();
  co_return result;
}

asio::awaitable<void> Connection::close(connector::Connector& connector) {
  while (early_close_ == EarlyClose::running) {
    wake_timer_.expires_at(std::chrono::steady_clock::time_point::max());
    boost::system::error_code ignored;
    co_await wake_timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  if (early_close_ == EarlyClose::done) co_return;
  try {
    co_await connector.close();
  } catch (const std::exception& e) {
    log::warn("connection {}: closing failed: {}", id_, e.what());
  }
}

asio::awaitable<void> Connection::deliver_until_ended(connector::Connector& connector) {
  pump_->open(connector, [self = shared_from_this()](Error error) { self->lost(std::move(error)); });
  while (!lost_ && !changed_)
    co_await sleep(std::nullopt);
  if (lost_) co_return;
  // A wish of ours: what is in flight may still be acknowledged, which spares sending it twice.
  auto drained = std::make_shared<bool>(false);
  pump_->drain([self = shared_from_this(), drained] {
    *drained = true;
    self->wake();
  });
  auto until = shared_.clock.steady() + kDrainLimit;
  while (!*drained && !lost_ && shared_.clock.steady() < until) {
    wake_timer_.expires_at(until);
    boost::system::error_code ignored;
    co_await wake_timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

void Connection::authenticating() {
  if (opening_) set_state(State::authenticating);
}

void Connection::lost(Error error) {
  if (lost_) return;
  lost_ = std::move(error);
  wake();
}

void Connection::received(connector::Received received) {
  if (!active_ || !json::bool_or(configuration_, "downlinkEnabled", true)) {
    // Came while the subscription was ending.
    auto now = shared_.clock.now();
    pump_->windows().add(Counter::downlinks, now);
    pump_->windows().add(Counter::downlinks_lost, now);
    if (received.acknowledge) received.acknowledge();
    return;
  }
  Command command{account_, id_, downlink_defaults_, std::move(received.body)};
  command.defaults.dev_eui = received.dev_eui;
  command.keep = json::bool_or(configuration_, "queueDownlinks", true);
  command.check_device = json::bool_or(configuration_, "checkDevice", false);
  shared_.handle_command(std::move(command),
                         [self = shared_from_this(), acknowledge = std::move(received.acknowledge)] {
                           if (acknowledge) asio::post(self->strand_, acknowledge);
                         });
}

void Connection::set_state(State state) {
  {
    std::lock_guard lock(status_mutex_);
    if (status_.state == state) return;
    status_.state = state;
    status_.since = shared_.clock.now();
    if (state == State::opened || state == State::deactivated) {
      status_.reason_code.clear();
      status_.reason.clear();
      status_.next_retry.reset();
    }
  }
  opened_gauge_->set(state == State::opened ? 1 : 0);
}

void Connection::set_reason(std::string code, std::string text, std::optional<UnixMillis> next_retry) {
  std::lock_guard lock(status_mutex_);
  status_.reason_code = std::move(code);
  status_.reason = std::move(text);
  status_.next_retry = next_retry;
}

Status Connection::status() const {
  std::lock_guard lock(status_mutex_);
  return status_;
}

void Connection::event(const char* level, const char* code, const std::string& message, json::object data) {
  data["connectionId"] = id_;
  shared_.events.add(account_, level, code, message, std::move(data));
}

}  // namespace sluice::connection
