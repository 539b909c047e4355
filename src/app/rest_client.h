// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/value.hpp>
#include <memory>
#include <string>

#include "base/http_client.h"
#include "base/result.h"

namespace sluice::app {

// Where a running server is and who asks: for words of the command line that talk to it.
struct ServerPlace {
  std::string url;                     // empty: where the server that runs on `data` serves
  std::string data = "./sluice-data";  // its data directory, whose admin's secret is taken where none is given
  std::string client_id = "admin", secret;
};

// The REST API of a server, with a token. Blocks; one thread.
class RestClient {
 public:
  // Errors: bad_config where there is no secret or no server, not_connected, permanent with what the server says.
  static Result<std::unique_ptr<RestClient>> open(const ServerPlace& place);

  struct Answer {
    int status = 0;
    boost::json::value body;  // null where it has none
  };
  // `path` below /iot-flow/v1, as "/decode". Errors: not_connected, transient; any status is an answer.
  Result<Answer> call(const std::string& method, const std::string& path, const boost::json::value& body);
  // "https://host/iot-flow/v1", and the token: for what reads a stream.
  [[nodiscard]] const std::string& base() const { return base_; }
  [[nodiscard]] const std::string& token() const { return token_; }

 private:
  RestClient() = default;
  Result<HttpResponse> exchange(HttpRequest request);
  HttpClient http_;
  std::string base_, token_;
};

}  // namespace sluice::app
