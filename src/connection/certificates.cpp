// SPDX-License-Identifier: Apache-2.0
#include "connection/certificates.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <ctime>
#include <memory>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/codec.h"
#include "net/resolve.h"

namespace sluice::connection {
namespace {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
using asio::awaitable;
using asio::ip::tcp;
using boost::system::error_code;
constexpr auto kUse = asio::as_tuple(asio::use_awaitable);
constexpr std::chrono::seconds kStepLimit{5};
constexpr std::chrono::seconds kDateLimit{2};
constexpr std::int64_t kDay = 24LL * 3600 * 1000;
constexpr std::int64_t kSkewWorthTelling = 5000;  // ms; a Date header has whole seconds

using Steady = std::chrono::steady_clock;
using SslStream = ssl::stream<tcp::socket>;

std::string name_text(const X509_NAME* name) {
  std::unique_ptr<BIO, decltype(&BIO_free)> out(BIO_new(BIO_s_mem()), &BIO_free);
  X509_NAME_print_ex(out.get(), name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
  char* text = nullptr;
  auto length = BIO_get_mem_data(out.get(), &text);
  constexpr long kMost = 300;
  return {text, static_cast<std::size_t>(std::clamp(length, 0L, kMost))};
}

UnixMillis time_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return 0;
  return static_cast<UnixMillis>(timegm(&parts)) * 1000;
}

Certificate facts_of(X509* certificate) {
  return {name_text(X509_get_subject_name(certificate)), name_text(X509_get_issuer_name(certificate)),
          time_of(X509_get0_notBefore(certificate)), time_of(X509_get0_notAfter(certificate))};
}

// The system's roots, read once: a store of one's own would cost each look a megabyte and some milliseconds.
X509_STORE* system_roots() {
  static const std::unique_ptr<X509_STORE, decltype(&X509_STORE_free)> store = [] {
    std::unique_ptr<X509_STORE, decltype(&X509_STORE_free)> made(X509_STORE_new(), &X509_STORE_free);
    X509_STORE_set_default_paths(made.get());
    return made;
  }();
  return store.get();
}

Result<ssl::context> make_context(const connector::Peer& peer) {
  ssl::context context(ssl::context::tls_client);
  SSL_CTX_set_min_proto_version(context.native_handle(), TLS1_2_VERSION);
  // The chain is checked all the same, and the verdict read afterwards: a bad certificate shall be told of, too.
  context.set_verify_mode(ssl::verify_none);
  error_code ec;
  if (peer.ca_pem.empty()) {
    SSL_CTX_set1_cert_store(context.native_handle(), system_roots());
  } else {
    context.add_certificate_authority(asio::buffer(peer.ca_pem), ec);
    if (ec) return Error{ErrorKind::bad_config, "the trusted CA certificate can't be used: " + ec.message()};
  }
  if (peer.certificate_pem.empty()) return context;
  context.use_certificate_chain(asio::buffer(peer.certificate_pem), ec);
  if (ec) return Error{ErrorKind::bad_config, "the client certificate can't be used: " + ec.message()};
  context.use_private_key(asio::buffer(peer.key_pem), ssl::context::pem, ec);
  if (ec) return Error{ErrorKind::bad_config, "the private key can't be used: " + ec.message()};
  return context;
}

// Why the certificate is refused and what to do; empty where it is good.
std::string fault_of(SSL* tls, const connector::Peer& peer, UnixMillis now) {
  auto clock = " (this machine's clock says " + format_time(now) + ": check it, too)";
  switch (long result = SSL_get_verify_result(tls)) {
    case X509_V_OK:
      return {};
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return "the server's certificate has expired: its operator has to renew it" + clock;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return "the server's certificate is not valid yet" + clock;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return "the server's certificate is for another host than " + peer.host +
             ": use a host name that stands in the certificate";
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      return "the server's certificate is of an unknown CA: give its CA certificate as the trusted CA of the "
             "connection";
    default:
      return std::string("the server's certificate is refused: ") + X509_verify_cert_error_string(result);
  }
}

std::string handshake_fault(const error_code& ec) {
  if (ec == asio::error::operation_aborted)
    return "no TLS handshake within " + std::to_string(kStepLimit.count()) +
           " s: the server takes connections and says nothing; is it TLS at this port?";
  if (ec.category() == asio::error::get_ssl_category() &&
      ERR_GET_REASON(static_cast<unsigned long>(ec.value())) == SSL_R_WRONG_VERSION_NUMBER)
    return "the server does not speak TLS at this port: use another port, or a protocol without TLS";
  if (ec == asio::error::eof || ec == ssl::error::stream_truncated || ec == asio::error::connection_reset)
    return "the server closed the connection in the TLS handshake: is it TLS at this port, does it want a client "
           "certificate?";
  return "the TLS handshake failed: " + ec.message();
}

// "Sun, 06 Nov 1994 08:49:37 GMT"
std::optional<UnixMillis> http_time(const std::string& text) {
  std::tm parts{};
  if (strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts) == nullptr) return std::nullopt;
  return static_cast<UnixMillis>(timegm(&parts)) * 1000;
}

// The value of the Date header in the head of an answer.
std::optional<UnixMillis> date_in(const std::string& head) {
  for (std::size_t at = 0; at < head.size();) {
    auto end = std::min(head.find("\r\n", at), head.size());
    auto line = head.substr(at, end - at);
    if (line.size() > 5 && equals_ignoring_case(std::string_view(line).substr(0, 5), "date:"))
      return http_time(std::string(trim(line.substr(5))));
    at = end + 2;
  }
  return std::nullopt;
}

// Ends what waits on the socket when a step takes too long.
class Limit {
 public:
  Limit(tcp::socket& socket, std::chrono::milliseconds limit) : timer_(socket.get_executor(), limit) {
    // The socket outlives the timer, whose wait is cancelled with it; the flag keeps a late call off.
    timer_.async_wait([&socket, alive = std::weak_ptr<bool>(alive_)](error_code ec) {
      if (ec || alive.expired()) return;
      error_code ignored;
      socket.cancel(ignored);
    });
  }

 private:
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  asio::steady_timer timer_;
};

template <class Stream>
awaitable<std::optional<UnixMillis>> ask_date(Stream& stream, tcp::socket& socket, const std::string& host) {
  Limit limit(socket, kDateLimit);
  std::string request = "HEAD / HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n";
  auto [written, count] = co_await asio::async_write(stream, asio::buffer(request), kUse);
  if (written) co_return std::nullopt;
  std::string head;
  std::array<char, 2048> bytes{};
  while (head.size() < 16384 && head.find("\r\n\r\n") == std::string::npos) {
    auto [ec, got] = co_await stream.async_read_some(asio::buffer(bytes), kUse);
    if (ec) break;
    head.append(bytes.data(), got);
  }
  co_return date_in(head);
}

std::string skew_text(std::optional<UnixMillis> theirs, UnixMillis now) {
  if (!theirs) return {};
  auto skew = now - *theirs;
  if (std::abs(skew) < kSkewWorthTelling) return "; the clocks agree";
  return "; this machine's clock is " + std::to_string(std::abs(skew) / 1000) + " s " +
         (skew > 0 ? "ahead of" : "behind") + " the server's: check both";
}

class Looker {
 public:
  Looker(asio::any_io_executor strand, connector::Peer peer, UnixMillis now, bool ask_for_time)
      : strand_(std::move(strand)), peer_(std::move(peer)), now_(now), ask_for_time_(ask_for_time) {}

  awaitable<NetworkView> run() {
    auto endpoints = co_await resolve();
    if (endpoints.empty()) co_return std::move(view_);
    tcp::socket socket(strand_);
    if (!co_await connect(socket, endpoints)) co_return std::move(view_);
    if (peer_.tls) {
      co_await shake_hands(std::move(socket));
    } else if (peer_.http && ask_for_time_) {
      auto date = co_await ask_date(socket, socket, peer_.host);
      view_.steps.back().message += skew_text(date, now_);
    }
    co_return std::move(view_);
  }

 private:
  void step(const char* name, std::string message, std::optional<ErrorKind> failed = std::nullopt) {
    auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(Steady::now() - started_).count();
    view_.steps.push_back({name, !failed, ms, message});
    if (failed) view_.error = Error{*failed, std::move(message)};
  }
  [[nodiscard]] std::string where() const { return peer_.host + ":" + std::to_string(peer_.port); }

  awaitable<std::vector<tcp::endpoint>> resolve() {
    started_ = Steady::now();
    net::Resolution resolution(strand_);
    auto found = co_await resolution.run(peer_.host, peer_.port, kStepLimit);
    if (!found) {
      step("resolve",
           "the name " + peer_.host + " cannot be resolved (" + found.error().text +
               "): check its spelling and this machine's name servers",
           ErrorKind::not_connected);
      co_return std::vector<tcp::endpoint>();
    }
    std::string text = peer_.host + " is ";
    for (std::size_t i = 0; i < found->size() && i < 4; ++i)
      text += (i ? ", " : "") + (*found)[i].address().to_string();
    step("resolve", std::move(text));
    co_return std::move(*found);
  }

  awaitable<bool> connect(tcp::socket& socket, const std::vector<tcp::endpoint>& endpoints) {
    started_ = Steady::now();
    error_code last;
    auto share = std::chrono::milliseconds(kStepLimit) / static_cast<long>(std::min<std::size_t>(endpoints.size(), 5));
    for (std::size_t i = 0; i < endpoints.size() && i < 5; ++i) {
      error_code ignored;
      socket.close(ignored);
      socket.open(endpoints[i].protocol(), last);
      if (last) continue;
      Limit limit(socket, share);
      auto [ec] = co_await socket.async_connect(endpoints[i], kUse);
      last = ec;
      if (ec) continue;
      step("connect", "connected to " + endpoints[i].address().to_string() + ":" + std::to_string(peer_.port));
      co_return true;
    }
    std::string text = where();
    if (last == asio::error::connection_refused) {
      text += " refuses the connection: does the server run, is the port right?";
    } else if (last == asio::error::operation_aborted) {
      text += " gives no answer within " + std::to_string(kStepLimit.count()) +
              " s: is the host right, does a firewall drop what goes to this port?";
    } else {
      text += " cannot be reached: " + last.message();
    }
    step("connect", std::move(text), ErrorKind::not_connected);
    co_return false;
  }

  awaitable<void> shake_hands(tcp::socket socket) {
    started_ = Steady::now();
    auto context = make_context(peer_);
    if (!context) {
      step("tls", context.error().text, ErrorKind::bad_config);
      co_return;
    }
    SslStream stream(std::move(socket), *context);
    auto* tls = stream.native_handle();
    error_code no_address;
    asio::ip::make_address(peer_.host, no_address);
    if (no_address) {
      SSL_set_tlsext_host_name(tls, peer_.host.c_str());
      SSL_set1_host(tls, peer_.host.c_str());
    } else {
      X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls), peer_.host.c_str());
    }
    error_code ec;
    {
      Limit limit(stream.next_layer(), kStepLimit);
      auto [shaken] = co_await stream.async_handshake(ssl::stream_base::client, kUse);
      ec = shaken;
    }
    if (ec) {
      step("tls", handshake_fault(ec), ErrorKind::not_connected);
      co_return;
    }
    std::unique_ptr<X509, decltype(&X509_free)> certificate(SSL_get1_peer_certificate(tls), &X509_free);
    std::string text = SSL_get_version(tls);
    if (certificate) {
      view_.certificate = facts_of(certificate.get());
      const auto& facts = *view_.certificate;
      text += ", certificate of " + facts.subject + ", issued by " + facts.issuer + ", ends " +
              format_time(facts.not_after) + ", " + std::to_string(days_left(facts, now_)) + " days left";
    }
    auto fault = fault_of(tls, peer_, now_);
    if (!fault.empty()) {
      step("tls", fault + "; " + text, ErrorKind::bad_config);
      co_return;
    }
    step("tls", std::move(text));
    if (peer_.http && ask_for_time_) {
      auto date = co_await ask_date(stream, stream.next_layer(), peer_.host);
      view_.steps.back().message += skew_text(date, now_);
    }
  }

  asio::any_io_executor strand_;
  connector::Peer peer_;
  UnixMillis now_;
  bool ask_for_time_;
  Steady::time_point started_;
  NetworkView view_;
};

}  // namespace

std::int64_t days_left(const Certificate& certificate, UnixMillis now) {
  auto left = certificate.not_after - now;
  return left >= 0 ? left / kDay : -((-left + kDay - 1) / kDay);
}

std::optional<Certificate> read_certificate(const std::string& pem) {
  if (pem.empty()) return std::nullopt;
  std::unique_ptr<BIO, decltype(&BIO_free)> in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free);
  std::unique_ptr<X509, decltype(&X509_free)> certificate(PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr),
                                                          &X509_free);
  if (!certificate) return std::nullopt;
  return facts_of(certificate.get());
}

awaitable<NetworkView> look_at_network(asio::any_io_executor strand, connector::Peer peer, UnixMillis now,
                                       bool ask_for_time) {
  Looker looker(std::move(strand), std::move(peer), now, ask_for_time);
  co_return co_await looker.run();
}

awaitable<std::optional<Certificate>> see_certificate(asio::any_io_executor strand, connector::Peer peer) {
  Looker looker(std::move(strand), std::move(peer), system_clock().now(), false);
  auto view = co_await looker.run();
  co_return view.certificate;
}

}  // namespace sluice::connection
