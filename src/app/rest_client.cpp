// SPDX-License-Identifier: Apache-2.0
#include "app/rest_client.h"

#include <cstdlib>
#include <fstream>
#include <future>
#include <iterator>

#include "base/codec.h"
#include "base/json.h"

namespace sluice::app {
namespace {

Result<std::string> secret_of(const ServerPlace& place) {
  if (!place.secret.empty()) return place.secret;
  if (const char* given = std::getenv("SLUICE_SECRET"); given != nullptr && *given != '\0') return std::string(given);
  const auto path = place.data + "/admin-secret";
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file || trim(text).empty()) {
    return Error{ErrorKind::bad_config,
                 "no secret for the server: give --secret, SLUICE_SECRET or --data with its data directory (" + path +
                     " cannot be read)"};
  }
  return std::string(trim(text));
}

}  // namespace

Result<std::unique_ptr<RestClient>> RestClient::open(const ServerPlace& place) {
  auto secret = secret_of(place);
  if (!secret) return secret.error();
  std::unique_ptr<RestClient> client(new RestClient);
  client->base_ = place.url;
  while (client->base_.ends_with('/'))
    client->base_.pop_back();
  client->base_ += "/iot-flow/v1";
  HttpRequest request;
  request.url = client->base_ + "/oauth/token";
  request.headers = {{"Content-Type", "application/x-www-form-urlencoded"}};
  request.body = "grant_type=client_credentials&client_id=" + url_encode(place.client_id) +
                 "&client_secret=" + url_encode(*secret);
  auto answer = client->exchange(std::move(request));
  if (!answer) return answer.error().wrap(place.url);
  const auto body = json::parse(answer->body);
  if (body && body->is_object()) client->token_ = json::text_or(body->get_object(), "access_token");
  if (client->token_.empty()) {
    return Error{ErrorKind::permanent,
                 place.url + ": the server gives no token: HTTP status " + std::to_string(answer->status)};
  }
  return client;
}

Result<RestClient::Answer> RestClient::call(const std::string& method, const std::string& path,
                                            const boost::json::value& body) {
  HttpRequest request;
  request.method = method;
  request.url = base_ + path;
  request.headers = {{"Content-Type", "application/json"}, {"Authorization", "Bearer " + token_}};
  request.timeout = std::chrono::seconds(60);
  request.max_response = 16u << 20;
  if (!body.is_null()) request.body = json::write(body);
  auto answer = exchange(std::move(request));
  if (!answer) return answer.error().wrap(base_ + path);
  Answer out{.status = answer->status};
  if (auto parsed = json::parse(answer->body, 128)) out.body = std::move(*parsed);
  return out;
}

Result<HttpResponse> RestClient::exchange(HttpRequest request) {
  auto promise = std::make_shared<std::promise<Result<HttpResponse>>>();
  auto future = promise->get_future();
  http_.send(std::move(request), [promise](Result<HttpResponse> result) { promise->set_value(std::move(result)); });
  return future.get();
}

}  // namespace sluice::app
