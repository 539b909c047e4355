// SPDX-License-Identifier: Apache-2.0
#include "connector/aws/sessions.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace sluice::connector::aws {

namespace asio = boost::asio;

asio::awaitable<void> close_all(asio::any_io_executor executor, std::vector<ClientPtr> clients) {
  struct Left {
    std::size_t count;
    asio::steady_timer timer;
  };
  if (clients.empty()) co_return;
  auto left =
      std::make_shared<Left>(Left{clients.size(), asio::steady_timer(executor, std::chrono::milliseconds(3000))});
  for (const auto& client : clients) {
    auto closing = client->close();
    asio::co_spawn(executor, std::move(closing), [left, client](std::exception_ptr) {
      if (--left->count == 0) left->timer.cancel();
    });
  }
  if (left->count > 0) co_await left->timer.async_wait(asio::as_tuple(asio::use_awaitable));
}

}  // namespace sluice::connector::aws
