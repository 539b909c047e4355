// SPDX-License-Identifier: Apache-2.0
#include "connection/connection.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <limits>
#include <random>

#include "base/json.h"
#include "base/log.h"
#include "connection/cut.h"

namespace sluice::connection {
namespace asio = boost::asio;

namespace {

constexpr std::chrono::seconds kOpenLimit{65};   // a connector's own limit is 30 s, for one brand 60 s
constexpr std::chrono::seconds kCloseLimit{10};  // a connector's own limit is 5 s
// For acknowledgements of what is in flight: before a restart, and when it is switched off (spec api.md 5.4: 30 s with
// the closing).
constexpr std::chrono::seconds kDrainLimit{4};
constexpr std::chrono::seconds kStopDrainLimit{25};
// A connection that falls again sooner than this, without having delivered anything, goes on in its schedule instead of
// starting it anew: a rival with the same client id would otherwise have it reconnect every second for ever.
constexpr std::chrono::seconds kStable{5};
// A peer that takes messages and gives no verdict on any is not OPENED for longer (spec promises.md 1.5). Connectors
// have limits of their own for each message; this one stands behind them.
constexpr std::chrono::seconds kSilenceLimit{60};
constexpr std::chrono::seconds kSilenceCheck{15};
// AGGRESSIVE restarts when no uplink was seen for so long, while there was one in the last week (spec api.md 5.4).
constexpr std::chrono::hours kNoUplink{1};
constexpr std::chrono::hours kUplinkMemory{7 * 24};
constexpr auto kNever = std::numeric_limits<std::chrono::steady_clock::rep>::min();
constexpr std::chrono::hours kDebugLimit{48};
constexpr unsigned kTracesASecond = 10;
constexpr std::chrono::seconds kFirstCertificateCheck{10};
constexpr std::chrono::hours kCertificateCheck{24};
constexpr std::chrono::milliseconds kBetweenOpenings{5};
constexpr std::chrono::minutes kAlarmLook{10};

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

Pace::Time Pace::take(Time now) {
  std::lock_guard lock(mutex_);
  auto at = std::max(now, next_);
  next_ = at + kBetweenOpenings;
  return at;
}

Connection::Connection(Shared& shared, const store::Connection& stored)
    : shared_(shared),
      id_(stored.id),
      account_(stored.account),
      strand_(asio::make_strand(shared.executor)),
      random_(shared.random ? shared.random : random_share),
      schedule_(Strategy::normal, random_),
      wake_timer_(strand_),
      last_uplink_(kNever) {
  pump_ = std::make_shared<Pump>(
      Pump::Dependencies{strand_, shared.disk, shared.queue, shared.events, shared.clock, shared.metrics, shared.trail},
      std::stoull(stored.id), stored.account);
  Metrics::Labels labels{{"connection", pump_->label()}};
  opened_gauge_ = shared.metrics.gauge("sluice_connection_opened", "1 while the connection is OPENED.", labels);
  openings_total_ = shared.metrics.counter("sluice_connection_openings_total", "Tries to open the connection.", labels);
  read(stored);
  restore_alarms();
  schedule_ = ReconnectSchedule(strategy_, random_);
  status_.since = shared.clock.now();
  if (!active_) status_.state = State::deactivated;
  set_reason("connection-1004", "not opened yet", std::nullopt);
}

void Connection::read(const store::Connection& stored) {
  name_ = json::text_or(stored.resource, "name");
  connector_id_ = json::text_or(stored.resource, "connectorId");
  brand_ = json::text_or(stored.resource, "brand");
  active_ = json::bool_or(stored.resource, "active", true);
  const auto* configuration = json::find(stored.resource, "configuration");
  configuration_ = connector::join_secrets(
      configuration && configuration->is_object() ? configuration->get_object() : json::object(), stored.secrets);
  strategy_ = strategy_of(json::text_or(configuration_, "reconnectStrategy"));
  debug_ = json::bool_or(stored.resource, "debug", false);
  if (debug_) {
    const auto* until = json::find(stored.resource, "debugUntil");
    debug_until_ = until && until->is_int64() ? until->get_int64()
                                              : shared_.clock.now() + std::chrono::milliseconds(kDebugLimit).count();
    debug_ = debug_until_ > shared_.clock.now();
  }
  tracing_->store(debug_, std::memory_order_relaxed);
  downlink_defaults_.as_id = json::text_or(configuration_, "downlinkAsId");
  downlink_defaults_.as_key = json::text_or(configuration_, "downlinkAsKey");
  downlink_defaults_.fport = port_of(json::find(configuration_, "downlinkPort"));
  auto delivery = std::make_shared<DeliverySettings>();
  delivery->format.send_metadata = json::bool_or(configuration_, "sendMetadata", false);
  delivery->format.send_raw_decoded_format = json::bool_or(configuration_, "sendRawDecodedFormat", false);
  if (auto validity = parse_duration(json::text_or(configuration_, "uplinkTimeValidity")))
    delivery->validity_ms = validity->count();
  delivery->rate = static_cast<std::uint64_t>(number_of(configuration_, "uplinkRateLimiter"));
  if (const auto share = number_of(configuration_, "backlogShare"); share > 0)
    delivery->backlog_share = static_cast<unsigned>(share);
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
  read_alarms(stored.resource);
}

void Connection::start() {
  asio::co_spawn(
      strand_, [self = shared_from_this()]() -> awaitable<void> { co_await self->run(); },
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
    auto was_active = self->active_;
    auto brand = self->brand_;
    auto before = self->configuration_;
    self->read(stored);
    if (before != self->configuration_ || brand != self->brand_ || was_active != self->active_) {
      self->schedule_ = ReconnectSchedule(self->strategy_, self->random_);
      self->changed_ = true;
      self->kept_.reset();  // it may be of another peer
    }
    self->wake();  // debug mode may have another end
  });
}

void Connection::restart() {
  asio::dispatch(strand_, [self = shared_from_this()] {
    self->changed_ = true;
    self->wake();
  });
}

void Connection::shut_down(std::function<void()> done) {
  asio::dispatch(strand_, [self = shared_from_this(), done = std::move(done)]() mutable {
    self->shutting_down_ = true;
    self->shut_down_done_ = std::move(done);
    self->changed_ = true;
    self->wake();
  });
}

void Connection::on_pending(std::vector<queue::Pending> entries) {
  last_uplink_.store(shared_.clock.steady().time_since_epoch().count(), std::memory_order_relaxed);
  pump_->on_pending(std::move(entries));
}

std::chrono::milliseconds Connection::jitter(std::chrono::milliseconds most) const {
  return std::chrono::milliseconds(static_cast<std::int64_t>(static_cast<double>(most.count()) * random_()));
}

// ---------------------------------------------------------------- waiting

asio::awaitable<void> Connection::wait_until(Time until) {
  auto now = shared_.clock.steady();
  if (debug_) until = std::min(until, now + std::chrono::milliseconds(debug_until_ - shared_.clock.now()));
  if (peer_) until = std::min(until, next_certificate_check_);
  judge_alarms();
  // Alarms go by the clock on the wall, which may be set while we wait.
  if (auto due = alarms_.due()) {
    auto wait = std::chrono::milliseconds(std::max<UnixMillis>(0, *due - shared_.clock.now()));
    until = std::min(until, now + std::min<std::chrono::milliseconds>(wait, kAlarmLook));
  }
  if (shared_.wait_until)
    shared_.wait_until(wake_timer_, until);
  else
    wake_timer_.expires_at(until);
  boost::system::error_code ignored;
  co_await wake_timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  housekeeping();
}

asio::awaitable<void> Connection::sleep_until(Time until) {
  while (!changed_ && shared_.clock.steady() < until)
    co_await wait_until(until);
}

void Connection::housekeeping() {
  judge_alarms();
  if (debug_ && shared_.clock.now() >= debug_until_) {
    debug_ = false;
    tracing_->store(false, std::memory_order_relaxed);
    event("info", "connection-1007", "Debug mode has switched itself off");
  }
  if (shared_.clock.steady() < next_certificate_check_ || !peer_) return;
  next_certificate_check_ = shared_.clock.steady() + kCertificateCheck;
  asio::co_spawn(strand_, check_certificates(*peer_), [self = shared_from_this()](std::exception_ptr failure) {
    if (failure) log::warn("connection {}: its certificates could not be looked at", self->id_);
  });
}

asio::awaitable<void> Connection::check_certificates(connector::Peer peer) {
  auto self = shared_from_this();
  auto look = [&](const char* whose, const Certificate& certificate, std::shared_ptr<Metrics::Value>& gauge) {
    auto now = shared_.clock.now();
    auto days = days_left(certificate, now);
    if (!gauge && pump_->label() == id_) {
      gauge = shared_.metrics.gauge("sluice_connection_certificate_days_left",
                                    "Whole days until the certificate ends; negative: since it has ended.",
                                    {{"connection", id_}, {"certificate", whose}});
    }
    if (gauge) gauge->set(days);
    if (days >= kCertificateWarningDays) return;
    bool over = certificate.not_after <= now;
    std::string text = std::string(whose) == "client" ? "The client certificate" : "The server's certificate";
    text += over ? " has expired" : " expires in " + std::to_string(days) + (days == 1 ? " day" : " days");
    event(over ? "error" : "warn", "connection-1009", text + ": renew it",
          {{"certificate", whose},
           {"subject", certificate.subject},
           {"issuer", certificate.issuer},
           {"notAfter", format_time(certificate.not_after)},
           {"daysLeft", days}});
  };
  if (auto own = read_certificate(peer.certificate_pem)) look("client", *own, client_days_);
  if (!peer.tls) co_return;
  auto seen = co_await see_certificate(strand_, peer);
  if (seen && !shutting_down_) look("server", *seen, server_days_);
}

// ---------------------------------------------------------------- alarms

void Connection::read_alarms(const json::object& resource) {
  const auto* found = json::find(resource, "alarms");
  auto alarms = found && found->is_array() ? found->get_array() : json::array();
  if (alarms == alarms_read_) return;
  for (const auto& fault : alarms_.configure(alarms))
    log::error("connection {}: an alarm cannot be watched: {}", id_, fault);
  alarms_read_ = std::move(alarms);
}

void Connection::restore_alarms() {
  delivered_before_ =
      shared_.queue.state(std::stoull(id_)).totals.fates[static_cast<std::size_t>(queue::Fate::delivered)];
  auto saved = alarms_.empty() ? std::nullopt : shared_.queue.fact(alarms_fact(id_));
  if (!saved) return;
  auto read = json::parse(*saved);
  if (!read || !read->is_object()) return;
  reports_before_ = static_cast<std::uint64_t>(json::int_or(read->get_object(), "reports", 0));
  if (const auto* alarms = json::find(read->get_object(), "alarms"); alarms && alarms->is_object())
    alarms_.restore(alarms->get_object());
}

void Connection::judge_alarms() {
  if (shutting_down_) return;
  auto reports = reports_before_ + pump_->delivered_reports();
  auto delivered = delivered_before_ + pump_->delivered();
  for (const auto& verdict : alarms_.advance(shared_.clock.now(), delivered - std::min(reports, delivered), active_))
    tell(verdict);
  if (!alarms_.has_changed()) return;
  shared_.queue.put_fact(alarms_fact(id_), json::write(json::object{{"reports", static_cast<std::int64_t>(reports)},
                                                                    {"alarms", alarms_.save()}}));
}

void Connection::tell(const AlarmVerdict& verdict) {
  event(verdict.low ? "warn" : "info", verdict.low ? "connection-1401" : "connection-1402",
        verdict.low ? verdict.message : "Back to normal: " + verdict.message,
        {{"expected", verdict.expected},
         {"observed", verdict.observed},
         {"from", format_time(verdict.from)},
         {"to", format_time(verdict.to)}});
  if (verdict.deliver_to.empty()) return;
  auto report = alarm_report(verdict, account_, id_, name_, shared_.clock.now());
  if (!report) return log::error("connection {}: its alarm cannot be delivered: {}", id_, report.error().text);
  // Refused for lack of room: the event stands, the report is a courtesy.
  shared_.queue.append(std::move(*report), [](Result<queue::Appended>) {});
}

// ---------------------------------------------------------------- the way through the states

asio::awaitable<void> Connection::run() {
  while (!shutting_down_) {
    changed_ = false;
    if (!active_) {
      schedule_.reset();
      failing_.clear();
      if (status().state != State::deactivated) event("info", "connection-1004", "Connection deactivated");
      set_reason("", "", std::nullopt);
      set_state(State::deactivated);
      co_await sleep_until(Time::max());
      continue;
    }
    auto error = co_await live();
    if (error && !changed_) co_await wait_for_retry(*error);
    if (changed_ || !error) {
      schedule_.reset();
      failing_.clear();
    }
  }
}

asio::awaitable<void> Connection::wait_for_retry(const Error& error) {
  bool refused = error.kind == ErrorKind::bad_config;
  auto now = shared_.clock.steady();
  auto at = schedule_.next(now, !refused);
  if (!at) {
    set_reason("connection-1104", "given up after the last try of the CALM strategy; restart it: " + error.text,
               std::nullopt);
    set_state(State::closed);
    event("error", "connection-1104", "Connection given up: " + error.text, {{"cause", error.text}});
    co_await sleep_until(Time::max());
    co_return;
  }
  auto retry_at = shared_.clock.now() + std::chrono::duration_cast<std::chrono::milliseconds>(*at - now).count();
  const char* code = refused ? "connection-1102" : "connection-1103";
  set_reason(code, error.text, retry_at);
  set_state(refused ? State::authentication_failed : State::unreachable);
  boost::json::object data{{"cause", error.text}, {"nextRetry", format_time(retry_at)}};
  if (failing_ == code) {
    event("error", "connection-1101",
          "Connection restart failed: Unable to restart connection " + name_ + " with id " + id_ + ": " + error.text,
          std::move(data));
  } else {
    event("error", code, (refused ? "Authentication failed: " : "Unreachable: ") + error.text, std::move(data));
  }
  failing_ = code;
  co_await sleep_until(*at);
}

std::shared_ptr<Watch> Connection::make_connector(const connector::Descriptor& descriptor) {
  auto made = shared_.make_connector
                  ? shared_.make_connector(*this)
                  : descriptor.make(connector::Settings(descriptor.schema_for(brand_), configuration_), *this);
  return std::make_shared<Watch>(std::move(made), shared_.clock, tracing_,
                                 [weak = weak_from_this()](const Watch::Trace& trace) {
                                   if (auto self = weak.lock()) self->trace(trace);
                                 });
}

asio::awaitable<std::optional<Error>> Connection::live() {
  const auto* descriptor = shared_.registry.find(connector_id_);
  if (!descriptor) {
    co_return Error{ErrorKind::bad_config, "there is no connector " + connector_id_ + " in this build"};
  }
  co_await sleep_until(shared_.pace->take(shared_.clock.steady()));
  if (changed_) co_return std::nullopt;
  lost_.reset();
  set_reason("connection-1001", "opening", std::nullopt);
  set_state(State::opening);
  openings_total_->add();
  {
    std::lock_guard lock(status_mutex_);
    status_.startup_time = shared_.clock.now();
  }
  event("info", "connection-1001", "Connection opening: Opening connection " + name_ + " with id " + id_);
  auto use = std::make_shared<Use>();
  use->connector = make_connector(*descriptor);
  auto started = shared_.clock.steady();
  auto opened = co_await open(use);
  const char* why = shutting_down_ || !active_ ? "stop" : changed_ ? "restart" : "failure";
  bool wished = changed_;
  if (!opened) {
    lost_ = opened.error();
  } else if (!changed_) {
    set_reason("", "", std::nullopt);
    set_state(State::opened);
    opened_at_ = shared_.clock.steady();
    auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(opened_at_ - started).count();
    event("info", "connection-1002", "Connection opened", {{"ms", ms}});
    peer_ = use->connector->peer();
    if (peer_ && (peer_->tls || !peer_->certificate_pem.empty())) {
      auto due = opened_at_ + kFirstCertificateCheck + jitter(kFirstCertificateCheck);
      if (next_certificate_check_ == Time::max() || next_certificate_check_ < opened_at_) next_certificate_check_ = due;
    }
    restart_wished_ = false;
    co_await deliver_until_ended(use);
    peer_.reset();
    auto left = shared_.clock.steady();
    if (left - opened_at_ >= kStable || pump_->has_delivered()) {
      schedule_.reset(left);
      failing_.clear();
    }
    wished = changed_ || restart_wished_;
    why = shutting_down_ || !active_ ? "stop" : wished ? "restart" : "failure";
  }
  if (opened || wished) {
    boost::json::object data{{"reason", why}};
    if (restart_wished_) data["cause"] = "no uplink for over an hour";
    if (!wished && lost_) data["cause"] = lost_->text;
    set_reason("connection-1003", !wished && lost_ ? lost_->text : std::string("closing for ") + why, std::nullopt);
    set_state(State::closing);
    event("info", "connection-1003", "Connection closing: Closing connection " + name_ + " for " + why,
          std::move(data));
  }
  pump_->close();
  co_await close(use);
  set_reason("connection-1004", !wished && lost_ ? lost_->text : std::string("closed for ") + why, std::nullopt);
  set_state(State::closed);
  if (opened || wished) event("info", "connection-1004", "Connection closed", {{"reason", why}});
  co_return wished ? std::nullopt : lost_;
}

asio::awaitable<Result<void>> Connection::open(std::shared_ptr<Use> use) {
  opening_ = true;
  auto opening = use->connector->open();
  asio::co_spawn(strand_, std::move(opening),
                 [self = shared_from_this(), use](std::exception_ptr failure, Result<void> result) {
                   if (failure) {
                     try {
                       std::rethrow_exception(failure);
                     } catch (const std::exception& e) {
                       result = Error{ErrorKind::not_connected, std::string("opening failed: ") + e.what()};
                     }
                   }
                   use->opened = std::move(result);
                   self->wake();
                 });
  // A connector keeps its own limits; this one stands behind them, so that no state gets stuck.
  auto limit = shared_.clock.steady() + kOpenLimit;
  while (!use->opened) {
    auto now = shared_.clock.steady();
    if (use->closing && now >= limit) break;
    if ((changed_ || now >= limit) && !use->closing) {
      begin_close(use);
      limit = now + kCloseLimit;
    }
    co_await wait_until(limit);
  }
  opening_ = false;
  if (!use->opened) {
    log::error("connection {}: its connector does not end opening; it is left behind", id_);
    co_return Error{ErrorKind::not_connected, "opening does not end"};
  }
  if (use->closing && *use->opened) co_return Error{ErrorKind::not_connected, "not open within the limit"};
  co_return *use->opened;
}

void Connection::begin_close(const std::shared_ptr<Use>& use) {
  if (use->closing) return;
  use->closing = true;
  auto closing = use->connector->close();
  asio::co_spawn(strand_, std::move(closing), [self = shared_from_this(), use](std::exception_ptr failure) {
    if (failure) log::warn("connection {}: closing failed", self->id_);
    use->closed = true;
    self->wake();
  });
}

asio::awaitable<void> Connection::close(std::shared_ptr<Use> use) {
  begin_close(use);
  auto limit = shared_.clock.steady() + kCloseLimit;
  while (!use->closed && shared_.clock.steady() < limit)
    co_await wait_until(limit);
  if (!use->closed) log::error("connection {}: its connector does not end closing; it is left behind", id_);
}

asio::awaitable<void> Connection::deliver_until_ended(std::shared_ptr<Use> use) {
  auto& connector = *use->connector;
  pump_->open(connector, [self = shared_from_this()](Error error) { self->lost(std::move(error)); });
  while (!lost_ && !changed_) {
    auto now = shared_.clock.steady();
    if (connector.unanswered() >= kSilenceLimit) {
      lost_ = Error{ErrorKind::not_connected, "the peer takes messages and has answered none for " +
                                                  std::to_string(kSilenceLimit.count()) + " s"};
      co_return;
    }
    auto until = now + kSilenceCheck;
    if (auto last = last_uplink_.load(std::memory_order_relaxed); strategy_ == Strategy::aggressive && last != kNever) {
      Time seen{Time::duration(last)};
      auto due = std::max(seen, opened_at_) + kNoUplink;
      restart_wished_ = now >= due && now - seen < kUplinkMemory;
      if (restart_wished_) break;
      if (now < due) until = std::min(until, due);
    }
    co_await wait_until(until);
  }
  if (lost_) co_return;
  // A wish of ours: what is in flight may still be acknowledged, which spares sending it twice.
  set_reason("connection-1003", "closing", std::nullopt);
  set_state(State::closing);
  auto drained = std::make_shared<bool>(false);
  pump_->drain([self = shared_from_this(), drained] {
    *drained = true;
    self->wake();
  });
  auto began = shared_.clock.steady();
  for (;;) {
    auto until = began + (active_ || shutting_down_ ? kDrainLimit : kStopDrainLimit);
    if (*drained || lost_ || shared_.clock.steady() >= until) break;
    co_await wait_until(until);
  }
}

void Connection::trace(const Watch::Trace& trace) {
  auto now = shared_.clock.steady();
  unsigned left_out = 0;
  {
    std::lock_guard lock(trace_mutex_);
    if (now - trace_second_ >= std::chrono::seconds(1)) {
      trace_second_ = now;
      traces_ = 0;
      left_out = std::exchange(traces_left_out_, 0);
    }
    if (++traces_ > kTracesASecond) {
      ++traces_left_out_;
      return;
    }
  }
  boost::json::object data{
      {"DevEUI", trace.dev_eui}, {"FCntUp", trace.fcnt_up}, {"bytes", trace.bytes}, {"ms", trace.took.count()}};
  if (!trace.error.empty()) data["cause"] = trace.error;
  if (left_out > 0) data["leftOut"] = left_out;
  event("debug", "connection-1010",
        "Message of " + trace.dev_eui + " " + std::to_string(trace.fcnt_up) +
            (trace.error.empty() ? " sent and acknowledged" : " sent: " + trace.error),
        std::move(data));
}

void Connection::authenticating() {
  if (opening_) set_state(State::authenticating);
}

void Connection::lost(Error error) {
  if (lost_) return;
  lost_ = std::move(error);
  wake();
}

void Connection::notice(connector::Notice notice) {
  using Kind = connector::Notice::Kind;
  json::object data;
  if (!notice.dev_eui.empty()) data["DevEUI"] = notice.dev_eui;
  const char* code = notice.kind == Kind::device_unknown  ? "connection-1203"
                     : notice.kind == Kind::device_failed ? "connection-1204"
                                                          : "connection-1206";
  event(notice.kind == Kind::device_unknown ? "error" : "warn", code, notice.text, std::move(data));
}

std::string Connection::server_setting(std::string_view name) {
  const auto* descriptor = shared_.registry.find(connector_id_);
  return descriptor ? descriptor->server_setting(name, shared_.connector_settings) : "";
}

void Connection::received(connector::Received received) {
  if (!active_ || !json::bool_or(configuration_, "downlinkEnabled", true)) {
    // Came while the subscription was ending.
    pump_->count(Counter::downlinks);
    pump_->count(Counter::downlinks_lost);
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
  State before;
  std::string reason;
  {
    std::lock_guard lock(status_mutex_);
    if (status_.state == state) return;
    before = status_.state;
    reason = status_.reason;
    status_.state = state;
    status_.since = shared_.clock.now();
    if (state == State::opened || state == State::deactivated) {
      status_.reason_code.clear();
      status_.reason.clear();
      status_.next_retry.reset();
    }
  }
  // Several connections may share the gauge.
  opened_gauge_->add((state == State::opened ? 1 : 0) - (before == State::opened ? 1 : 0));
  if (!debug_) return;
  event("debug", "connection-1010", std::string("State ") + to_string(before) + " -> " + to_string(state),
        {{"from", to_string(before)}, {"to", to_string(state)}, {"reason", reason}});
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
