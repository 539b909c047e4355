// SPDX-License-Identifier: Apache-2.0
#include "app/rest_client.h"

#include <future>

#include "app/data_directory.h"
#include "base/codec.h"
#include "base/json.h"

namespace sluice::app {
namespace {

// What the place does not say is found in its data directory.
Result<ServerPlace> complete(ServerPlace place) {
  if (place.url.empty()) {
    const auto url = read_url(place.data);
    if (!url) {
      return Error{ErrorKind::bad_config,
                   "no server runs on the data directory " + place.data + ": give --url, or --data with another one"};
    }
    place.url = *url;
  }
  if (place.secret.empty()) {
    const auto secret = admin_secret(place.data);
    if (!secret) {
      return Error{ErrorKind::bad_config,
                   "no secret for " + place.url +
                       ": give --client-secret-file, set SLUICE_ADMIN_SECRET, or give --data with "
                       "the server's data directory"};
    }
    place.secret = *secret;
  }
  while (place.url.ends_with('/'))
    place.url.pop_back();
  return place;
}

}  // namespace

Result<std::unique_ptr<RestClient>> RestClient::open(const ServerPlace& given) {
  const auto place = complete(given);
  if (!place) return place.error();
  std::unique_ptr<RestClient> client(new RestClient);
  client->base_ = place->url + "/iot-flow/v1";
  HttpRequest request;
  request.url = client->base_ + "/oauth/token";
  request.headers = {{"Content-Type", "application/x-www-form-urlencoded"}};
  request.body = "grant_type=client_credentials&client_id=" + url_encode(place->client_id) +
                 "&client_secret=" + url_encode(place->secret);
  auto answer = client->exchange(std::move(request));
  if (!answer) return answer.error().wrap(place->url);
  const auto body = json::parse(answer->body);
  if (body && body->is_object()) client->token_ = json::text_or(body->get_object(), "access_token");
  if (client->token_.empty()) {
    return Error{ErrorKind::permanent,
                 place->url + ": the server gives no token: HTTP status " + std::to_string(answer->status)};
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
