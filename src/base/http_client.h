// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace sluice {

struct HttpRequest {
  std::string method = "POST";
  std::string url;  // used verbatim, never re-encoded
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::chrono::milliseconds connect_timeout{5000};
  std::chrono::milliseconds timeout{10000};  // of the whole exchange
  // TLS 1.2 or later, the peer always verified. PEM texts; empty: the system's roots, no client certificate.
  std::string ca_pem, certificate_pem, key_pem;
  std::string proxy, proxy_username, proxy_password;  // [scheme://]host[:port]
  std::size_t max_response = 1u << 20;                // bytes of body; over it: permanent
  // Only resolves, connects and shakes hands (TLS, proxy), sends nothing and closes again: status 0. For checks.
  bool connect_only = false;
};

struct HttpResponse {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;
  [[nodiscard]] std::string header(std::string_view lower_case_name) const;
};

// HTTP/1.1 over libcurl's multi interface on one thread of its own; connections are kept alive and shared between
// requests to the same place with the same credentials. Follows no redirects. Thread-safe.
class HttpClient {
 public:
  explicit HttpClient(std::size_t max_connections_per_host = 64);
  ~HttpClient();  // what is under way ends with kind cancelled
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // `done` is called once, on the client's thread: post to your own and return. Any status is a success here. Errors:
  // not_connected (DNS, refused, reset, TLS), transient (time-out after sending), bad_config (certificate, unknown CA,
  // our own certificate refused, bad URL), cancelled. Texts never hold credentials. Returns a handle for cancel().
  std::uint64_t send(HttpRequest request, std::function<void(Result<HttpResponse>)> done);
  // Ends the request early: its `done` gets kind cancelled, unless it has already ended.
  void cancel(std::uint64_t handle);

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice
