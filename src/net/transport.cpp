// SPDX-License-Identifier: Apache-2.0
#include "net/transport.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/http/fields.hpp>
#include <boost/beast/websocket/error.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <boost/beast/websocket/stream.hpp>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

namespace sluice::net {
namespace {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
namespace websocket = boost::beast::websocket;
using asio::awaitable;
using asio::ip::tcp;
using boost::system::error_code;
constexpr auto kUse = asio::as_tuple(asio::use_awaitable);

using SslStream = ssl::stream<tcp::socket>;
using WebSocket = websocket::stream<SslStream>;

Error bad_config(std::string text) {
  return {ErrorKind::bad_config, std::move(text)};
}

// The system's roots, read once for all connections of a context: a store of one's own would cost each a megabyte.
class SystemRoots : public asio::execution_context::service {
 public:
  using key_type = SystemRoots;
  static inline asio::execution_context::id id;
  explicit SystemRoots(asio::execution_context& context) : service(context), store_(X509_STORE_new()) {
    X509_STORE_set_default_paths(store_);
  }
  ~SystemRoots() override { X509_STORE_free(store_); }
  void give(SSL_CTX* context) { SSL_CTX_set1_cert_store(context, store_); }

 private:
  void shutdown() override {}
  X509_STORE* store_;
};

// Why the peer's certificate was refused, in an operator's words; nothing where it was not about that.
std::string certificate_fault(SSL* tls, const std::string& ca_property) {
  switch (long result = SSL_get_verify_result(tls)) {
    case X509_V_OK:
      return {};
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return "the broker's certificate has expired";
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return "the broker's certificate is not valid yet";
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return "the broker's certificate is for another host";
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      return "the broker's certificate is of an unknown CA: set " + ca_property;
    case X509_V_ERR_CERT_REVOKED:
      return "the broker's certificate was revoked";
    default:
      return std::string("the broker's certificate is refused: ") + X509_verify_cert_error_string(result);
  }
}

Result<ssl::context> make_context(const asio::any_io_executor& executor, const TransportOptions& options) {
  ssl::context context(ssl::context::tls_client);
  SSL_CTX_set_min_proto_version(context.native_handle(), TLS1_2_VERSION);
  SSL_CTX_set_mode(context.native_handle(), SSL_MODE_RELEASE_BUFFERS);
  context.set_verify_mode(ssl::verify_peer);
  if (!options.alpn.empty()) {
    std::string offered = static_cast<char>(options.alpn.size()) + options.alpn;
    SSL_CTX_set_alpn_protos(context.native_handle(), reinterpret_cast<const unsigned char*>(offered.data()),
                            static_cast<unsigned>(offered.size()));
  }
  error_code ec;
  if (options.ca_pem.empty()) {
    asio::use_service<SystemRoots>(asio::query(executor, asio::execution::context)).give(context.native_handle());
  } else {
    context.add_certificate_authority(asio::buffer(options.ca_pem), ec);
    if (ec) return bad_config("the trusted CA certificate can't be used: " + ec.message());
  }
  if (options.certificate_pem.empty()) return context;
  context.use_certificate_chain(asio::buffer(options.certificate_pem), ec);
  if (ec) return bad_config("the client certificate can't be used: " + ec.message());
  context.use_private_key(asio::buffer(options.key_pem), ssl::context::pem, ec);
  if (ec) return bad_config("the private key can't be used: " + ec.message());
  return context;
}

// SNI, and the name or address that the certificate must be for.
void expect_host(SSL* tls, const std::string& host) {
  error_code ec;
  asio::ip::make_address(host, ec);
  if (ec) {
    SSL_set_tlsext_host_name(tls, host.c_str());
    SSL_set1_host(tls, host.c_str());
  } else {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls), host.c_str());
  }
}

awaitable<Result<void>> tls_handshake(SslStream& stream, const TransportOptions& options) {
  expect_host(stream.native_handle(), options.host);
  auto [ec] = co_await stream.async_handshake(ssl::stream_base::client, kUse);
  if (!ec) co_return Result<void>();
  auto fault = certificate_fault(stream.native_handle(), options.ca_property);
  if (!fault.empty()) co_return bad_config(fault);
  co_return transport_error(ec);
}

template <class Stream>
awaitable<std::pair<error_code, std::size_t>> read_some(Stream& stream, asio::mutable_buffer into) {
  auto [ec, count] = co_await stream.async_read_some(into, kUse);
  co_return std::make_pair(ec, count);
}

// What is in the TLS context need not be kept a second time, for as long as the connection lasts.
void forget_secrets(TransportOptions& options) {
  options.ca_pem.clear();
  options.certificate_pem.clear();
  options.key_pem.clear();
  options.ca_pem.shrink_to_fit();
  options.certificate_pem.shrink_to_fit();
  options.key_pem.shrink_to_fit();
  options.proxy.reset();
}

class TcpTransport : public Transport {
 public:
  explicit TcpTransport(const asio::any_io_executor& executor) : socket_(executor) {}
  tcp::socket& socket() override { return socket_; }
  awaitable<Result<void>> handshake(std::string&) override { co_return Result<void>(); }
  awaitable<std::pair<error_code, std::size_t>> read(asio::mutable_buffer into) override {
    return read_some(socket_, into);
  }
  awaitable<error_code> write(asio::const_buffer bytes) override {
    auto [ec, count] = co_await asio::async_write(socket_, bytes, kUse);
    co_return ec;
  }

 private:
  tcp::socket socket_;
};

class TlsTransport : public Transport {
 public:
  TlsTransport(const asio::any_io_executor& executor, ssl::context context, const TransportOptions& options)
      : context_(std::move(context)), stream_(executor, context_), options_(options) {
    forget_secrets(options_);
  }
  tcp::socket& socket() override { return stream_.next_layer(); }
  awaitable<Result<void>> handshake(std::string& phase) override {
    phase = "TLS handshake";
    return tls_handshake(stream_, options_);
  }
  awaitable<std::pair<error_code, std::size_t>> read(asio::mutable_buffer into) override {
    return read_some(stream_, into);
  }
  awaitable<error_code> write(asio::const_buffer bytes) override {
    auto [ec, count] = co_await asio::async_write(stream_, bytes, kUse);
    co_return ec;
  }

 private:
  ssl::context context_;
  SslStream stream_;
  TransportOptions options_;
};

class WebSocketTransport : public Transport {
 public:
  WebSocketTransport(const asio::any_io_executor& executor, ssl::context context, const TransportOptions& options)
      : context_(std::move(context)), stream_(executor, context_), options_(options) {
    forget_secrets(options_);
    stream_.binary(true);
    stream_.auto_fragment(false);
    stream_.set_option(
        websocket::stream_base::decorator([subprotocol = options.subprotocol](websocket::request_type& request) {
          request.set(boost::beast::http::field::sec_websocket_protocol, subprotocol);
          request.set(boost::beast::http::field::user_agent, "Sluice/" SLUICE_VERSION);
        }));
  }
  tcp::socket& socket() override { return stream_.next_layer().next_layer(); }
  awaitable<Result<void>> handshake(std::string& phase) override {
    phase = "TLS handshake";
    auto secured = co_await tls_handshake(stream_.next_layer(), options_);
    if (!secured) co_return secured;
    phase = "WebSocket handshake";
    websocket::response_type response;
    bool v6 = options_.host.find(':') != std::string::npos;
    std::string host = v6 ? "[" + options_.host + "]" : options_.host;
    // The usual port is left out (RFC 6455 4.1), which matters where the header is signed.
    if (options_.port != 443) host += ":" + std::to_string(options_.port);
    auto [ec] = co_await stream_.async_handshake(response, host, options_.path, kUse);
    if (!ec) co_return Result<void>();
    if (ec != websocket::error::upgrade_declined) co_return transport_error(ec);
    int status = response.result_int();
    bool refused = status == 401 || status == 403 || status == 404;
    co_return Error{
        refused ? ErrorKind::bad_config : ErrorKind::not_connected,
        "the broker answered " + std::to_string(status) + " at " + options_.path.substr(0, options_.path.find('?'))};
  }
  awaitable<std::pair<error_code, std::size_t>> read(asio::mutable_buffer into) override {
    return read_some(stream_, into);
  }
  awaitable<error_code> write(asio::const_buffer bytes) override {
    auto [ec, count] = co_await stream_.async_write(bytes, kUse);
    co_return ec;
  }

 private:
  ssl::context context_;
  WebSocket stream_;
  TransportOptions options_;
};

}  // namespace

Result<std::unique_ptr<Transport>> make_transport(const asio::any_io_executor& executor,
                                                  const TransportOptions& options) {
  if (options.protocol == Protocol::tcp) return std::unique_ptr<Transport>(std::make_unique<TcpTransport>(executor));
  auto context = make_context(executor, options);
  if (!context) return context.error();
  if (options.protocol == Protocol::ssl) {
    return std::unique_ptr<Transport>(std::make_unique<TlsTransport>(executor, std::move(*context), options));
  }
  return std::unique_ptr<Transport>(std::make_unique<WebSocketTransport>(executor, std::move(*context), options));
}

bool closed_by_peer(const error_code& ec) {
  return ec == asio::error::eof || ec == ssl::error::stream_truncated || ec == websocket::error::closed;
}

Error transport_error(const error_code& ec) {
  if (closed_by_peer(ec)) {
    return {ErrorKind::not_connected, "the broker closed the connection"};
  }
  if (ec.category() == asio::error::get_ssl_category()) {
    switch (ERR_GET_REASON(static_cast<unsigned long>(ec.value()))) {
      case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
      case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
      case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
      case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
      case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
      case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
      case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
      case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
        return {ErrorKind::bad_config, "the broker refuses our client certificate (" + ec.message() + ")"};
      case SSL_R_WRONG_VERSION_NUMBER:
        return {ErrorKind::not_connected, "the broker does not speak TLS at this port"};
      default:
        break;
    }
  }
  return {ErrorKind::not_connected, ec.message()};
}

}  // namespace sluice::net
