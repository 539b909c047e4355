// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>

#include "base/http_client.h"
#include "base/result.h"

namespace sluice::connector::aws {

// The HTTP requests of one connector: answered on its strand, ended together. All calls on the strand.
class Calls {
 public:
  using Done = std::function<void(Result<HttpResponse>)>;

  // `http` outlives this.
  Calls(boost::asio::any_io_executor executor, HttpClient& http);
  ~Calls();  // stop()
  Calls(const Calls&) = delete;
  Calls& operator=(const Calls&) = delete;

  // `done` is called once, on the strand, unless stop() came first, which calls it itself. After stop(): at once, kind
  // cancelled.
  void start(HttpRequest request, Done done);
  // The same for a coroutine on the strand. It may outlive this.
  boost::asio::awaitable<Result<HttpResponse>> run(HttpRequest request);
  // Ends what is under way, kind cancelled.
  void stop();

 private:
  struct State;
  boost::asio::any_io_executor executor_;
  HttpClient& http_;
  std::shared_ptr<State> state_;
};

}  // namespace sluice::connector::aws
