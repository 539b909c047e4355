// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/result.h"

namespace sluice::net {

// How the bytes travel: in clear, over TLS, or in a WebSocket over TLS.
enum class Protocol { tcp, ssl, wss };

// An HTTP proxy that is asked for a tunnel (CONNECT).
struct Proxy {
  std::string host;
  std::uint16_t port = 0;
  std::string username, password;
};

// Where the peer is, and what TLS and the WebSocket need to know.
struct TransportOptions {
  Protocol protocol = Protocol::tcp;
  std::string host;  // for SNI, the certificate's name and the Host header
  std::uint16_t port = 0;
  std::string path = "/mqtt";                       // WSS: with its query, which no error text shows
  std::string subprotocol = "mqtt";                 // WSS
  std::string alpn;                                 // the one protocol offered in the TLS handshake; empty: none
  std::string ca_pem, certificate_pem, key_pem;     // normalised PEM; ca empty: the system's roots
  std::string ca_property = "trustedCaCertficate";  // of the configuration: named where the CA is unknown
  std::optional<Proxy> proxy;
};

// A byte stream to the peer: TCP, TLS over it, or a WebSocket over that. One read and one write at a time. All on the
// executor it was made with.
class Transport {
 public:
  using Tcp = boost::asio::ip::tcp;
  virtual ~Transport() = default;
  virtual Tcp::socket& socket() = 0;
  // After the socket is connected: TLS and WebSocket handshakes; `phase` says which is under way. Errors: bad_config
  // (certificates, naming the reason), not_connected.
  virtual boost::asio::awaitable<Result<void>> handshake(std::string& phase) = 0;
  virtual boost::asio::awaitable<std::pair<boost::system::error_code, std::size_t>> read(
      boost::asio::mutable_buffer into) = 0;
  virtual boost::asio::awaitable<boost::system::error_code> write(boost::asio::const_buffer bytes) = 0;
  // Ends everything under way at once, without a farewell.
  void abort() {
    boost::system::error_code ignored;
    socket().close(ignored);
  }
};

// Errors: bad_config where a certificate or key can't be used.
Result<std::unique_ptr<Transport>> make_transport(const boost::asio::any_io_executor& executor,
                                                  const TransportOptions& options);

// Whether the peer has closed the connection in an orderly way, as opposed to a reset.
bool closed_by_peer(const boost::system::error_code& ec);

// The text and kind of a failed read or write: a broker that refuses our certificate says so only there with TLS 1.3.
Error transport_error(const boost::system::error_code& ec);

}  // namespace sluice::net
