// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/json/object.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/http_client.h"
#include "base/result.h"
#include "message/message.h"
#include "message/pattern.h"

namespace sluice::connector {

// One message on its way to the peer. Settled exactly once: by settle(), or, when it is dropped without a verdict, as
// "retry" (an Error of kind cancelled), never as delivered. Move-only; settle from any thread.
class Delivery {
 public:
  // An empty result: the peer has acknowledged this very message. An Error: its kind says what to do (transient: again
  // later; permanent: this message is refused for good; not_connected: reconnect, then again; bad_config: hold all).
  using Settle = std::function<void(Result<void>)>;

  // What the peer said of a message, for those who look into a refusal. `status`: of HTTP, 0 where there is none.
  struct Answer {
    int status = 0;
    std::string text;
  };

  // `answer`: where answered() leaves what the peer said; may be null.
  Delivery(message::MessagePtr message, std::shared_ptr<const std::string> document, std::string body, Settle settle,
           std::shared_ptr<Answer> answer = nullptr)
      : message_(std::move(message)),
        document_(std::move(document)),
        body_(std::move(body)),
        settle_(std::move(settle)),
        answer_(std::move(answer)) {}
  Delivery(Delivery&& other) noexcept
      : message_(std::move(other.message_)),
        document_(std::move(other.document_)),
        body_(std::move(other.body_)),
        settle_(std::exchange(other.settle_, nullptr)),
        answer_(std::move(other.answer_)) {}
  Delivery& operator=(Delivery&& other) noexcept {
    if (this != &other) {
      drop();
      message_ = std::move(other.message_);
      document_ = std::move(other.document_);
      body_ = std::move(other.body_);
      settle_ = std::exchange(other.settle_, nullptr);
      answer_ = std::move(other.answer_);
    }
    return *this;
  }
  ~Delivery() { drop(); }

  [[nodiscard]] const message::Message& message() const { return *message_; }
  // The document after decoding and before operations, which patterns read.
  [[nodiscard]] message::Document document() const { return {*message_, *document_}; }
  // The bytes to send.
  [[nodiscard]] const std::string& body() const { return body_; }
  std::string take_body() { return std::move(body_); }

  // Before settle(), from the same thread. At most the first 4 KiB of the text are kept.
  void answered(int status, std::string_view text) {
    if (answer_) *answer_ = {status, std::string(text.substr(0, 4096))};
  }

  void settle(Result<void> verdict) {
    if (auto settle = std::exchange(settle_, nullptr)) settle(std::move(verdict));
  }
  // Has `seen` called with the verdict just before it is given, on the thread that gives it; for whoever hands the
  // delivery on and wants to know how it ended.
  void observe(std::function<void(const Result<void>&)> seen) {
    settle_ = [settle = std::move(settle_), seen = std::move(seen)](Result<void> verdict) {
      seen(verdict);
      if (settle) settle(std::move(verdict));
    };
  }

 private:
  void drop() {
    if (settle_) settle(Error{ErrorKind::cancelled, "dropped without a verdict"});
  }

  message::MessagePtr message_;
  std::shared_ptr<const std::string> document_;
  std::string body_;
  Settle settle_;
  std::shared_ptr<Answer> answer_;
};

// A command received from the cloud.
struct Received {
  std::string body;
  std::string dev_eui;  // out of the topic, may be empty
  // Where the peer wants an acknowledgement: called once the command is handed on. May be empty.
  std::function<void()> acknowledge;
};

// Something an operator should know that ends nothing; told as an event, of which repeats are folded.
struct Notice {
  enum class Kind {
    device_unknown,  // connection-1203: the peer does not know the device, and it may not be made
    device_failed,   // connection-1204: a device, or its own link, could not be made ready
    other,           // connection-1206: a topic that is missing, a limit of the peer's, a rival of the same name
  };
  Kind kind = Kind::other;
  std::string text;     // never a secret
  std::string dev_eui;  // may be empty
};

// What a connector may say to the connection that owns it. All calls on the connection's strand.
class Host {
 public:
  virtual ~Host() = default;
  [[nodiscard]] virtual boost::asio::any_io_executor executor() = 0;
  [[nodiscard]] virtual Clock& clock() = 0;
  // Unique for this connection on this installation, stable over restarts: default client ids are made of it.
  [[nodiscard]] virtual std::string connection_id() = 0;
  // During open(): the transport is up, credentials are being checked (state AUTHENTICATING).
  virtual void authenticating() = 0;
  // The process' HTTP client: one for all connections, so that they share its thread and its kept-alive sockets.
  // Outlives every connector.
  [[nodiscard]] virtual HttpClient& http() = 0;
  // An opened connection has broken. The connection closes this connector and follows its reconnect strategy.
  virtual void lost(Error error) = 0;
  virtual void received(Received command) = 0;
  virtual void notice(Notice notice) = 0;
  // What lasts from one opening to the next, for what a connector has learnt of its peer (devices that are there): an
  // object of the connector's own. Empty at first, after a changed configuration, and in a trial.
  [[nodiscard]] virtual std::shared_ptr<void>& kept() = 0;
  // A setting of the server's own, `connectors: FOLDER: NAME` in its file, which the connector's schema.json declares
  // in "serverSettings"; the declared default where the operator gave none.
  [[nodiscard]] virtual std::string server_setting(std::string_view name) = 0;
  // True where the configuration is only tried (spec api.md 5.9): nothing may be left behind, no device made, and where
  // the peer tells clients apart by an id, connection_id() must be part of it even if the configuration names one, so
  // that a running connection is not expelled.
  [[nodiscard]] virtual bool trial() const { return false; }
};

// Where a connector connects to, as far as it is the same for every message: what the network's part of a trial looks
// at, and whose certificate is watched.
struct Peer {
  std::string host;
  std::uint16_t port = 0;
  bool tls = false;
  bool http = false;                             // speaks HTTP: its Date tells its clock
  std::string ca_pem, certificate_pem, key_pem;  // normalised PEM; ca empty: the system's roots
};

// Values of a connection's configuration, read through its schema: a missing property gives the schema's default, and
// asking for one that the schema lacks is a bug that ends the process (a fast test finds it).
class Settings {
 public:
  Settings(std::shared_ptr<const boost::json::object> schema, boost::json::object configuration)
      : schema_(std::move(schema)), configuration_(std::move(configuration)) {}
  [[nodiscard]] std::string text(std::string_view name) const;  // "" where there is neither value nor default
  [[nodiscard]] bool flag(std::string_view name) const;
  [[nodiscard]] std::int64_t integer(std::string_view name) const;               // takes 5 and "5"
  [[nodiscard]] bool has(std::string_view name) const;                           // a value other than null was given
  [[nodiscard]] const boost::json::object& object(std::string_view name) const;  // empty where there is none
  [[nodiscard]] const boost::json::object& raw() const { return configuration_; }
  // What the schema says of that property (type, limits, our x- keywords).
  [[nodiscard]] const boost::json::object& property(std::string_view name) const;

 private:
  const boost::json::value* value(std::string_view name) const;
  std::shared_ptr<const boost::json::object> schema_;
  boost::json::object configuration_;
};

// A connector speaks one protocol to one peer. It knows nothing of queues, retries, order, expiry or tenants: those
// live once, in `connection`. Made anew for every opening. All calls come on the connection's strand.
class Connector {
 public:
  virtual ~Connector() = default;
  // Resolves, connects, authenticates, subscribes; success means ready to send. The error's kind is the state's reason:
  // bad_config: AUTHENTICATION_FAILED; anything else: UNREACHABLE. Ends within the connector's own time limits, at most
  // 30 s (one brand: 60 s); close() ends it early (kind cancelled).
  virtual boost::asio::awaitable<Result<void>> open() = 0;
  // Takes the message; settles it when the peer has answered, or within `timeout` of the connector. Called only after a
  // successful open() and before close(), with at most max_in_flight() unsettled. Never blocks.
  virtual void send(Delivery delivery) = 0;
  // Ends open(), settles what is in flight (kind cancelled or not_connected), says goodbye where the protocol has it.
  // Within 5 s. No callback of Host comes after it has returned.
  virtual boost::asio::awaitable<void> close() = 0;
  [[nodiscard]] virtual std::size_t max_in_flight() const = 0;
  // Before open(), too. Nothing: not known before a message is there, or reached through somebody else (a proxy).
  [[nodiscard]] virtual std::optional<Peer> peer() const { return std::nullopt; }
  // Messages a second that the peer takes at most, where that is known: the connection keeps to it unless its
  // uplinkRateLimiter says otherwise. 0: no limit. After open().
  [[nodiscard]] virtual std::uint64_t usual_rate() const { return 0; }
  // In a trial in place of send(): where the protocol hides a refusal, by a way that shows it. `delivery`'s verdict is
  // the answer to "may we publish?".
  virtual void try_out(Delivery delivery) { send(std::move(delivery)); }
};

using Factory = std::unique_ptr<Connector> (*)(Settings settings, Host& host);

}  // namespace sluice::connector
