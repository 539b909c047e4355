// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <memory>
#include <vector>

#include "net/mqtt_client.h"

namespace sluice::connector::aws {

using ClientPtr = std::shared_ptr<net::mqtt::Client>;

// Says goodbye to all brokers at once, within 3 s.
boost::asio::awaitable<void> close_all(boost::asio::any_io_executor executor, std::vector<ClientPtr> clients);

}  // namespace sluice::connector::aws
