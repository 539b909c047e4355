// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace sluice::testing {

// A server for tests, on a port the system chooses: answers each request with the bytes a function gives.
class HttpPeer {
 public:
  using Request = boost::beast::http::request<boost::beast::http::string_body>;
  struct Reply {
    std::string bytes;    // sent as they are
    bool close = false;   // afterwards, the connection ends
    bool silent = false;  // no answer at all, the connection stays
  };
  using Script = std::function<Reply(const Request&)>;

  // With a certificate and its key (PEM) it speaks TLS.
  // `clients_ca`: demands certificates of that authority from its clients.
  explicit HttpPeer(Script script, std::string certificate = {}, std::string key = {}, std::string clients_ca = {})
      : script_(std::move(script)), acceptor_(io_, {boost::asio::ip::make_address("127.0.0.1"), 0}) {
    port_ = acceptor_.local_endpoint().port();
    if (!certificate.empty()) {
      tls_ = std::make_unique<boost::asio::ssl::context>(boost::asio::ssl::context::tls_server);
      tls_->use_certificate_chain(boost::asio::buffer(certificate));
      tls_->use_private_key(boost::asio::buffer(key), boost::asio::ssl::context::pem);
      if (!clients_ca.empty()) {
        tls_->add_certificate_authority(boost::asio::buffer(clients_ca));
        tls_->set_verify_mode(boost::asio::ssl::verify_peer | boost::asio::ssl::verify_fail_if_no_peer_cert);
      }
    }
    boost::asio::co_spawn(io_, accept(), boost::asio::detached);
    thread_ = std::thread([this] { io_.run(); });
  }
  ~HttpPeer() {
    io_.stop();
    thread_.join();
  }
  HttpPeer(const HttpPeer&) = delete;
  HttpPeer& operator=(const HttpPeer&) = delete;

  [[nodiscard]] unsigned short port() const { return port_; }
  [[nodiscard]] std::string url(const std::string& path = "/") const {
    return (tls_ ? "https://localhost:" : "http://127.0.0.1:") + std::to_string(port_) + path;
  }
  // Connections accepted so far: those kept alive count once.
  [[nodiscard]] int connections() const { return connections_; }

  static Reply answer(int status, const std::string& body = "", const std::string& headers = "") {
    return {"HTTP/1.1 " + std::to_string(status) + " Text\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
            headers + "\r\n" + body};
  }

 private:
  using tcp = boost::asio::ip::tcp;
  template <class T>
  using awaitable = boost::asio::awaitable<T>;

  awaitable<void> accept() {
    for (;;) {
      tcp::socket socket = co_await acceptor_.async_accept(boost::asio::use_awaitable);
      ++connections_;
      if (tls_) {
        boost::asio::co_spawn(io_, secure(std::move(socket)), boost::asio::detached);
      } else {
        boost::asio::co_spawn(io_, serve(std::make_shared<tcp::socket>(std::move(socket))), boost::asio::detached);
      }
    }
  }

  awaitable<void> secure(tcp::socket socket) {
    auto stream = std::make_shared<boost::asio::ssl::stream<tcp::socket>>(std::move(socket), *tls_);
    co_await stream->async_handshake(boost::asio::ssl::stream_base::server, boost::asio::use_awaitable);
    co_await serve(stream);
  }

  template <class Stream>
  awaitable<void> serve(std::shared_ptr<Stream> stream) {
    namespace http = boost::beast::http;
    boost::beast::flat_buffer buffer;
    for (;;) {
      http::request_parser<http::string_body> parser;
      co_await http::async_read(*stream, buffer, parser, boost::asio::use_awaitable);
      Reply reply = script_(parser.get());
      if (!reply.silent) {
        co_await boost::asio::async_write(*stream, boost::asio::buffer(reply.bytes), boost::asio::use_awaitable);
      }
      if (reply.close) co_return;
    }
  }

  Script script_;
  boost::asio::io_context io_;
  std::unique_ptr<boost::asio::ssl::context> tls_;
  tcp::acceptor acceptor_;
  unsigned short port_ = 0;
  std::atomic<int> connections_{0};
  std::thread thread_;
};

}  // namespace sluice::testing
