// SPDX-License-Identifier: Apache-2.0
// TEMPLATE_TITLE: each message as one line of JSON over TCP or TLS, each acknowledged by a line.
//
//   we     {"hello":"7","token":"..."}                  who we are
//   peer   {"welcome":true}                             or {"refused":true}, and it closes
//   we     {"id":1,"to":"20635F0108000496","body":{}}   a message, and where it belongs
//   peer   {"ack":1}                                    it has the message; or it says why not, see verdict_of()
//   peer   {"command":5,"device":"20635F0108000496","body":{}}
//   we     {"done":5}                                   the command is on its way to the device
#include "connector/connector.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <map>

#include "base/json.h"
#include "connector/address.h"
#include "connector/pem.h"
#include "net/dial.h"

namespace sluice::connector::template_name {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using Steady = std::chrono::steady_clock;

constexpr std::size_t kMaxInFlight = 256;
constexpr std::size_t kMaxLine = 1 << 20;  // bytes of a line that the peer sends
constexpr std::chrono::seconds kOpenLimit{10};

// ---- settings in

struct Configuration {
  net::TransportOptions transport;
  std::string token;
  message::Pattern address;
  std::chrono::milliseconds answer_timeout{};
  bool takes_commands = true;
};

// Reads through the schema: names, defaults and limits stand there and nowhere else. What is wrong only for us is said
// here, naming the property, as bad_config: the connection shows it and waits for a person.
Result<Configuration> read_configuration(const Settings& settings) {
  Configuration out;
  auto address = parse_address(settings.text("hostName"));
  if (!address) return address.error().wrap("hostName");
  if (address->port == 0) return Error{ErrorKind::bad_config, "hostName: give the port, as in example.org:7000"};
  out.transport.host = address->host;
  out.transport.port = address->port;
  out.transport.protocol = settings.text("security") == "NONE" ? net::Protocol::tcp : net::Protocol::ssl;
  out.transport.ca_property = "trustedCaCertificate";
  for (auto [name, place] :
       {std::pair{"trustedCaCertificate", &out.transport.ca_pem},
        std::pair{"certificate", &out.transport.certificate_pem}, std::pair{"privateKey", &out.transport.key_pem}}) {
    auto pem = normalise_pem(settings.text(name));
    if (!pem) return pem.error().wrap(name);
    *place = std::move(*pem);
  }
  if (out.transport.certificate_pem.empty() != out.transport.key_pem.empty())
    return Error{ErrorKind::bad_config, "certificate and privateKey belong together: one is missing"};
  auto pattern = message::Pattern::parse(settings.text("uplinkAddressPattern"));
  if (!pattern) return pattern.error().wrap("uplinkAddressPattern");
  out.address = std::move(*pattern);
  out.token = settings.text("token");
  out.answer_timeout = std::chrono::milliseconds(settings.integer("answerTimeout"));
  out.takes_commands = settings.flag("downlinkEnabled");
  return out;
}

// ---- verdicts out

// What the peer's answer means for its message. The connection acts on the kind alone, so this table is the connector.
// What is not in it is tried again: a message twice is better than a message lost.
Result<void> verdict_of(const json::object& answer) {
  auto error = json::text_or(answer, "error");
  if (error.empty()) return {};
  auto text = "the peer refuses the message: " + error.substr(0, 200);
  auto because = json::text_or(answer, "because");
  if (because == "message") return Error{ErrorKind::permanent, text};  // it alone is at fault
  if (because == "rights") return Error{ErrorKind::bad_config, text};  // a person has to act; all messages wait
  return Error{ErrorKind::transient, text};                            // later, by the connection's schedule
}

// ---- the conversation

// One connection to the peer, used once. Coroutines and timers hold it, so that it outlives a connector that is
// destroyed with messages on the way. All on the connection's strand.
//
// Invariants: 1. Each delivery is settled once: by the peer's answer, or by end(). 2. After close() and forget() the
// host is not touched.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Host& host, Configuration configuration)
      : host_(&host),
        executor_(host.executor()),
        hello_(R"({"hello":)" + json::quote(host.connection_id()) + R"(,"token":)" + json::quote(configuration.token) +
               "}\n"),
        configuration_(std::move(configuration)),
        dial_(executor_, configuration_.transport),
        timer_(executor_) {}

  awaitable<Result<void>> open() {
    auto self = shared_from_this();
    if (state_ != State::idle) co_return Error{ErrorKind::cancelled, "closed before it was opened"};
    state_ = State::opening;
    arm(Steady::now() + kOpenLimit);
    auto opened = co_await log_in();
    if (state_ == State::ended) co_return Error{ErrorKind::cancelled, "given up while " + phase_};
    if (opened) {
      state_ = State::open;
      timer_.cancel();
      asio::co_spawn(executor_, read_loop(), [self](std::exception_ptr failed) {
        if (failed) self->end(Error{ErrorKind::bug, "reading ended with an exception"});
      });
      co_return opened;
    }
    auto error = timed_out_ ? Error{ErrorKind::not_connected, "no success within 10 s"} : opened.error();
    end(error);
    co_return error.wrap(phase_);
  }

  void send(Delivery delivery) {
    // Patterns read the message as it was decoded, not what is sent; one that has no such value is at fault. An address
    // has levels as a topic has: what a device's owner wrote into a name must not make another level of it.
    auto address = configuration_.address.render(delivery.document(), message::Place::mqtt_topic);
    if (!address) return delivery.settle(address.error());
    if (state_ != State::open) return delivery.settle(Error{ErrorKind::not_connected, "not connected"});
    auto body = delivery.take_body();
    // Between the parts of JSON a line's end is a blank.
    std::replace_if(
        body.begin(), body.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
    auto id = ++last_id_;
    write(R"({"id":)" + std::to_string(id) + R"(,"to":)" + json::quote(*address) + R"(,"body":)" + body + "}\n");
    auto deadline = Steady::now() + configuration_.answer_timeout;
    if (in_flight_.empty()) arm(deadline);
    in_flight_.emplace(id, Waiting{std::move(delivery), deadline});
  }

  void close() {
    host_ = nullptr;
    dial_.cancel();
    end(Error{ErrorKind::cancelled, "the connection is being closed"});
  }

 private:
  enum class State { idle, opening, open, ended };
  struct Waiting {
    Delivery delivery;
    Steady::time_point deadline;
  };

  awaitable<Result<void>> log_in() {
    auto dialled = co_await dial_.run(phase_, kOpenLimit);
    if (!dialled) co_return dialled.error();
    transport_ = std::move(*dialled);
    if (state_ != State::opening) co_return Error{ErrorKind::cancelled, "given up"};
    host_->authenticating();
    phase_ = "logging in";
    if (auto failed = co_await transport_->write(asio::buffer(hello_))) co_return net::transport_error(failed);
    auto line = co_await next_line();
    if (!line) co_return line.error();
    auto answer = json::parse(*line);
    if (!answer || !answer->is_object())
      co_return Error{ErrorKind::not_connected, "the peer does not speak this protocol"};
    // Not in the peer's words: who knows whether it repeats the token.
    if (answer->get_object().contains("refused")) co_return Error{ErrorKind::bad_config, "the peer refuses the token"};
    if (!answer->get_object().contains("welcome"))
      co_return Error{ErrorKind::not_connected, "the peer does not speak this protocol"};
    co_return Result<void>();
  }

  awaitable<Result<std::string>> next_line() {
    for (;;) {
      if (auto end = input_.find('\n'); end != std::string::npos) {
        auto line = input_.substr(0, end);
        input_.erase(0, end + 1);
        co_return line;
      }
      if (input_.size() > kMaxLine) co_return Error{ErrorKind::not_connected, "the peer's line is too long"};
      char buffer[4096];
      auto [failed, count] = co_await transport_->read(asio::buffer(buffer));
      if (failed) co_return net::transport_error(failed);
      input_.append(buffer, count);
    }
  }

  awaitable<void> read_loop() {
    auto self = shared_from_this();
    while (state_ == State::open) {
      auto line = co_await next_line();
      auto handled = line ? handle(*line) : Result<void>(line.error());
      if (!handled) end(handled.error());
    }
  }

  Result<void> handle(const std::string& line) {
    auto parsed = json::parse(line);
    if (!parsed || !parsed->is_object()) return Error{ErrorKind::not_connected, "the peer sent a line that is no JSON"};
    const auto& said = parsed->get_object();
    if (said.contains("command")) {
      take_command(said);
      return {};
    }
    auto found = in_flight_.find(static_cast<std::uint64_t>(json::int_or(said, "ack", 0)));
    if (found == in_flight_.end()) return {};  // answered twice
    auto delivery = std::move(found->second.delivery);
    in_flight_.erase(found);
    delivery.settle(verdict_of(said));
    return {};
  }

  void take_command(const json::object& said) {
    if (!host_ || !configuration_.takes_commands) return;
    Received command;
    if (const auto* body = json::find(said, "body")) command.body = json::write(*body);
    command.dev_eui = json::text_or(said, "device");
    // Called from any thread, maybe long after: only when the command is safe does the peer hear of it.
    command.acknowledge = [weak = weak_from_this(), executor = executor_, id = json::int_or(said, "command", 0)] {
      asio::dispatch(executor, [weak, id] {
        if (auto self = weak.lock()) self->write(R"({"done":)" + std::to_string(id) + "}\n");
      });
    };
    host_->received(std::move(command));
  }

  void write(const std::string& line) {
    if (state_ != State::open) return;
    output_ += line;
    if (std::exchange(writing_, true)) return;
    // co_spawn posts: what else is sent in this turn goes out in the same write.
    asio::co_spawn(executor_, write_loop(), [self = shared_from_this()](std::exception_ptr failed) {
      if (failed) self->end(Error{ErrorKind::bug, "writing ended with an exception"});
    });
  }

  awaitable<void> write_loop() {
    auto self = shared_from_this();
    while (state_ == State::open && !output_.empty()) {
      auto bytes = std::exchange(output_, {});
      if (auto failed = co_await transport_->write(asio::buffer(bytes))) end(net::transport_error(failed));
    }
    writing_ = false;
  }

  // Every wait has a limit: that of opening, then that of the oldest message on the way.
  void arm(Steady::time_point when) {
    timer_.expires_at(when);
    timer_.async_wait([weak = weak_from_this()](boost::system::error_code ec) {
      auto self = weak.lock();
      if (!ec && self) self->tick();
    });
  }

  void tick() {
    if (state_ == State::opening) {
      timed_out_ = true;
      dial_.cancel();
      if (transport_) transport_->abort();
    } else if (!in_flight_.empty()) {
      auto deadline = in_flight_.begin()->second.deadline;
      if (deadline > Steady::now()) return arm(deadline);
      end(Error{ErrorKind::not_connected,
                "no answer within " + std::to_string(configuration_.answer_timeout.count()) + " ms"});
    }
  }

  void end(const Error& error) {
    if (state_ == State::ended) return;
    bool was_open = state_ == State::open;
    state_ = State::ended;
    timer_.cancel();
    if (transport_) transport_->abort();
    // A message is not at fault for what became of its connection.
    auto kind = error.kind == ErrorKind::cancelled ? ErrorKind::cancelled : ErrorKind::not_connected;
    auto in_flight = std::exchange(in_flight_, {});
    for (auto& [id, waiting] : in_flight)
      waiting.delivery.settle(Error{kind, error.text});
    // While it opens, the result of open() tells.
    if (was_open && host_) std::exchange(host_, nullptr)->lost(error);
  }

  Host* host_;  // null: nothing more is to be said to it
  asio::any_io_executor executor_;
  std::string hello_;
  Configuration configuration_;
  State state_ = State::idle;
  bool timed_out_ = false, writing_ = false;
  std::string phase_;
  net::Dial dial_;
  std::unique_ptr<net::Transport> transport_;
  asio::steady_timer timer_;
  std::string input_, output_;
  std::uint64_t last_id_ = 0;
  std::map<std::uint64_t, Waiting> in_flight_;  // by id, so the first is the oldest
};

// ---- the connector

class TemplateNameConnector : public Connector {
 public:
  TemplateNameConnector(Settings settings, Host& host) : host_(host), configuration_(read_configuration(settings)) {}

  ~TemplateNameConnector() override {
    if (session_) session_->close();
  }

  awaitable<Result<void>> open() override {
    if (!configuration_) co_return configuration_.error();
    auto session = session_ = std::make_shared<Session>(host_, *configuration_);
    co_return co_await session->open();
  }

  void send(Delivery delivery) override { session_->send(std::move(delivery)); }

  awaitable<void> close() override {
    if (session_) session_->close();
    co_return;
  }

  [[nodiscard]] std::size_t max_in_flight() const override { return kMaxInFlight; }

  [[nodiscard]] std::optional<Peer> peer() const override {
    if (!configuration_) return std::nullopt;
    const auto& to = configuration_->transport;
    return Peer{to.host, to.port, to.protocol != net::Protocol::tcp, false, to.ca_pem, to.certificate_pem, to.key_pem};
  }

 private:
  Host& host_;
  Result<Configuration> configuration_;
  std::shared_ptr<Session> session_;
};

}  // namespace

std::unique_ptr<Connector> make(Settings settings, Host& host) {
  return std::make_unique<TemplateNameConnector>(std::move(settings), host);
}

}  // namespace sluice::connector::template_name
