// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "net/resolve.h"
#include "net/transport.h"

namespace sluice::net {

// One way to a peer: certificates read, name resolved, connected (through a proxy where there is one), hands shaken.
// Use it once. All on one strand.
class Dial {
 public:
  Dial(const boost::asio::any_io_executor& executor, TransportOptions options);

  // `phase` always says what is under way, for the caller's error texts ("resolving h", "TLS handshake"). `limit` is
  // shared out among the name's addresses, of which each gets its turn; the caller ends the whole by cancel(). Errors:
  // bad_config (certificates, the proxy refuses us), not_connected.
  boost::asio::awaitable<Result<std::unique_ptr<Transport>>> run(std::string& phase, std::chrono::milliseconds limit);
  // Ends run() early, as not_connected.
  void cancel();

 private:
  using Endpoints = std::vector<boost::asio::ip::tcp::endpoint>;
  boost::asio::awaitable<Result<void>> connect(const Endpoints& endpoints, std::chrono::milliseconds limit);
  // Asks the proxy for a tunnel to the peer (RFC 9110 9.3.6).
  boost::asio::awaitable<Result<void>> tunnel();

  boost::asio::any_io_executor executor_;
  TransportOptions options_;
  Resolution resolution_;
  std::unique_ptr<Transport> transport_;
  bool cancelled_ = false;
};

}  // namespace sluice::net
