// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "connection/manager.h"
#include "connector/connector.h"

namespace sluice::connection {

// What an operator wants to know of a certificate.
struct Certificate {
  std::string subject, issuer;  // "CN=broker.example.org,O=Example"
  UnixMillis not_before = 0, not_after = 0;
};
// An end nearer than this many days is warned of.
constexpr std::int64_t kCertificateWarningDays = 30;
// Whole days until its end, rounded down; negative once it has ended.
[[nodiscard]] std::int64_t days_left(const Certificate& certificate, UnixMillis now);
// The first certificate of a PEM text; nothing where there is none that can be read.
[[nodiscard]] std::optional<Certificate> read_certificate(const std::string& pem);

// What was found on the way to a peer: the steps "resolve", "connect" and, where the peer speaks TLS, "tls", up to and
// including the first that failed.
struct NetworkView {
  std::vector<TestStep> steps;
  std::optional<Certificate> certificate;  // of the peer, whether or not it is good
  std::optional<Error> error;              // bad_config: a certificate; else not_connected
};
// Resolves, connects and shakes hands, each within 5 s, then closes again without a word of the peer's protocol (but
// for a HEAD request where it speaks HTTP and `ask_for_time` is set: its Date tells its clock). On the executor's
// strand.
boost::asio::awaitable<NetworkView> look_at_network(boost::asio::any_io_executor strand, connector::Peer peer,
                                                    UnixMillis now, bool ask_for_time);
// The peer's certificate as look_at_network() sees it; nothing where it could not be seen.
boost::asio::awaitable<std::optional<Certificate>> see_certificate(boost::asio::any_io_executor strand,
                                                                   connector::Peer peer);

}  // namespace sluice::connection
