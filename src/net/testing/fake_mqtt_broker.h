// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <functional>
#include <memory>
#include <string>

#include "net/mqtt_wire.h"

namespace sluice::net::mqtt {

// A broker for tests, on a port the system chooses, played by a script: "expect this packet, answer those bytes".
class FakeBroker {
 public:
  template <class T>
  using awaitable = boost::asio::awaitable<T>;
  using tcp = boost::asio::ip::tcp;

  // A packet with its bytes.
  struct Received {
    PacketType type;
    std::uint16_t id = 0;
    int qos = 0;
    bool retain = false;
    std::string topic, payload;
  };

  // One client. Reading past its end throws, which ends the script.
  class Session {
   public:
    Session(tcp::socket socket, boost::asio::ssl::context* tls, int version)
        : socket_(std::move(socket)), version_(version) {
      if (tls) tls_ = std::make_unique<boost::asio::ssl::stream<tcp::socket&>>(socket_, *tls);
    }
    awaitable<void> begin() {
      if (tls_) co_await tls_->async_handshake(boost::asio::ssl::stream_base::server, boost::asio::use_awaitable);
    }
    awaitable<Received> next() {
      for (;;) {
        Packet packet;
        auto length = parse_packet(input_, version_, 1 << 20, packet);
        if (!length) throw std::runtime_error(length.error().text);
        if (*length > 0) {
          Received out{packet.type,
                       packet.id,
                       packet.qos,
                       packet.retain,
                       std::string(packet.topic),
                       std::string(packet.payload)};
          input_.erase(0, *length);
          co_return out;
        }
        char buffer[4096];
        std::size_t count = 0;
        if (tls_) {
          count = co_await tls_->async_read_some(boost::asio::buffer(buffer), boost::asio::use_awaitable);
        } else {
          count = co_await socket_.async_read_some(boost::asio::buffer(buffer), boost::asio::use_awaitable);
        }
        input_.append(buffer, count);
        ++reads;
      }
    }
    awaitable<void> send(std::string bytes) {
      if (tls_) {
        co_await boost::asio::async_write(*tls_, boost::asio::buffer(bytes), boost::asio::use_awaitable);
      } else {
        co_await boost::asio::async_write(socket_, boost::asio::buffer(bytes), boost::asio::use_awaitable);
      }
    }
    awaitable<void> puback(std::uint16_t id) {
      std::string out;
      append_puback(out, id);
      co_await send(out);
    }
    // Waits until the client has gone.
    awaitable<void> linger() {
      for (;;)
        co_await next();
    }
    void close() { socket_.close(); }

    int reads = 0;

   private:
    tcp::socket socket_;
    std::unique_ptr<boost::asio::ssl::stream<tcp::socket&>> tls_;
    int version_;
    std::string input_;
  };
  using Script = std::function<awaitable<void>(Session&)>;

  FakeBroker(boost::asio::io_context& io, Script script, int version = kVersion311, const std::string& certificate = "",
             const std::string& key = "")
      : script_(std::move(script)), version_(version), acceptor_(io, {boost::asio::ip::make_address("127.0.0.1"), 0}) {
    if (!certificate.empty()) {
      tls_ = std::make_unique<boost::asio::ssl::context>(boost::asio::ssl::context::tls_server);
      tls_->use_certificate_chain(boost::asio::buffer(certificate));
      tls_->use_private_key(boost::asio::buffer(key), boost::asio::ssl::context::pem);
    }
  }

  static std::shared_ptr<FakeBroker> start(std::shared_ptr<FakeBroker> broker) {
    boost::asio::co_spawn(broker->acceptor_.get_executor(), accept(broker), boost::asio::detached);
    return broker;
  }

  [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
  void stop() { acceptor_.close(); }

 private:
  static awaitable<void> accept(std::shared_ptr<FakeBroker> self) {
    for (;;) {
      auto socket = co_await self->acceptor_.async_accept(boost::asio::use_awaitable);
      boost::asio::co_spawn(self->acceptor_.get_executor(), serve(self, std::move(socket)), boost::asio::detached);
    }
  }
  static awaitable<void> serve(std::shared_ptr<FakeBroker> self, tcp::socket socket) {
    Session session(std::move(socket), self->tls_.get(), self->version_);
    try {
      co_await session.begin();
      co_await self->script_(session);
    } catch (const std::exception&) {
      // The client has gone, which is how most scripts end.
    }
  }

  Script script_;
  int version_;
  std::unique_ptr<boost::asio::ssl::context> tls_;
  tcp::acceptor acceptor_;
};

// No initializer list: GCC 12 can't keep one over a co_await.
template <class... Bytes>
std::string bytes(Bytes... values) {
  return std::string{static_cast<char>(values)...};
}

inline const std::string kConnack = bytes(0x20, 2, 0, 0);

}  // namespace sluice::net::mqtt
