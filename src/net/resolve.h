// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

namespace sluice::net {

// Name resolution that never blocks the I/O threads nor waits behind somebody else's: Asio's own resolver has one
// thread for all, where one dead name server would hold up every connection. Here up to 16 threads of the executor's
// context serve them all; an address needs none.
//
// One resolution; use it once. All on one strand.
class Resolution {
 public:
  explicit Resolution(const boost::asio::any_io_executor& executor);
  // The host's addresses in the system's order. Errors: not_connected (unknown host, time-out), cancelled.
  boost::asio::awaitable<Result<std::vector<boost::asio::ip::tcp::endpoint>>> run(std::string host, std::uint16_t port,
                                                                                  std::chrono::milliseconds limit);
  // Ends run() early, kind cancelled.
  void cancel();

 private:
  struct Answer;
  boost::asio::any_io_executor executor_;
  std::shared_ptr<Answer> answer_;
};

}  // namespace sluice::net
