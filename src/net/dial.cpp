// SPDX-License-Identifier: Apache-2.0
#include "net/dial.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "base/codec.h"

namespace sluice::net {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using asio::ip::tcp;
using Clock = std::chrono::steady_clock;
constexpr auto kUse = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t kMaxProxyAnswer = 8192;

const Error kCancelled{ErrorKind::not_connected, "given up"};

std::string authority(const std::string& host, std::uint16_t port) {
  bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

}  // namespace

Dial::Dial(const asio::any_io_executor& executor, TransportOptions options)
    : executor_(executor), options_(std::move(options)), resolution_(executor) {}

awaitable<Result<std::unique_ptr<Transport>>> Dial::run(std::string& phase, std::chrono::milliseconds limit) {
  phase = "setting up TLS";
  auto made = make_transport(executor_, options_);
  if (!made) co_return made.error();
  transport_ = std::move(*made);
  const auto& proxy = options_.proxy;
  const auto& host = proxy ? proxy->host : options_.host;
  auto port = proxy ? proxy->port : options_.port;
  phase = (proxy ? "resolving the proxy " : "resolving ") + host;
  auto endpoints = co_await resolution_.run(host, port, limit);
  if (!endpoints) co_return endpoints.error();
  if (cancelled_) co_return kCancelled;
  phase = (proxy ? "connecting to the proxy " : "connecting to ") + host + ":" + std::to_string(port);
  auto connected = co_await connect(*endpoints, limit);
  if (!connected) co_return connected.error();
  if (proxy) {
    phase = "asking the proxy " + host + " for a way to " + options_.host;
    auto opened = co_await tunnel();
    if (!opened) co_return opened.error();
  }
  auto shaken = co_await transport_->handshake(phase);
  if (!shaken) co_return shaken.error();
  if (cancelled_) co_return kCancelled;
  co_return std::move(transport_);
}

void Dial::cancel() {
  cancelled_ = true;
  resolution_.cancel();
  if (transport_) transport_->abort();
}

awaitable<Result<void>> Dial::connect(const Endpoints& endpoints, std::chrono::milliseconds limit) {
  auto& socket = transport_->socket();
  auto until = Clock::now() + limit;
  Error error{ErrorKind::not_connected, "the name has no address"};
  for (std::size_t i = 0; i < endpoints.size() && !cancelled_; ++i) {
    boost::system::error_code ignored;
    socket.close(ignored);
    // An address that answers nothing must not eat the time of those behind it.
    auto share =
        std::max<Clock::duration>((until - Clock::now()) / static_cast<long>(endpoints.size() - i), Clock::duration(1));
    asio::steady_timer attempt(executor_, share);
    if (i + 1 < endpoints.size()) {
      attempt.async_wait([&socket](boost::system::error_code ec) {
        if (!ec) {
          boost::system::error_code none;
          socket.cancel(none);
        }
      });
    }
    auto [ec] = co_await socket.async_connect(endpoints[i], kUse);
    attempt.cancel();
    if (!ec) {
      socket.set_option(tcp::no_delay(true), ignored);
      co_return Result<void>();
    }
    error.text = ec == asio::error::operation_aborted ? "no answer" : ec.message();
  }
  co_return error;
}

awaitable<Result<void>> Dial::tunnel() {
  auto& socket = transport_->socket();
  const auto& proxy = *options_.proxy;
  auto target = authority(options_.host, options_.port);
  std::string request = "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n";
  if (!proxy.username.empty() || !proxy.password.empty())
    request += "Proxy-Authorization: Basic " + to_base64(proxy.username + ":" + proxy.password) + "\r\n";
  request += "\r\n";
  auto [sent, written] = co_await asio::async_write(socket, asio::buffer(request), kUse);
  if (sent) co_return transport_error(sent);
  std::string answer;
  while (answer.find("\r\n\r\n") == std::string::npos) {
    if (answer.size() >= kMaxProxyAnswer) co_return Error{ErrorKind::not_connected, "its answer is too long"};
    // One byte at a time: what follows the answer belongs to the peer, and it is asked once a connection.
    char byte = 0;
    auto [ec, count] = co_await socket.async_read_some(asio::buffer(&byte, 1), kUse);
    if (ec) co_return Error{ErrorKind::not_connected, "the proxy closed the connection"};
    answer += byte;
  }
  auto space = answer.find(' ');
  if (answer.compare(0, 5, "HTTP/") != 0 || space == std::string::npos)
    co_return Error{ErrorKind::not_connected, "it is no HTTP proxy"};
  auto status = answer.substr(space + 1, 3);
  if (status[0] == '2') co_return Result<void>();
  bool refused = status == "407" || status == "403" || status == "401";
  co_return Error{refused ? ErrorKind::bad_config : ErrorKind::not_connected, "the proxy answered " + status};
}

}  // namespace sluice::net
