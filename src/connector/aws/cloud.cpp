// SPDX-License-Identifier: Apache-2.0
#include "connector/aws/cloud.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/json.h"

namespace sluice::connector::aws {
namespace {

bool is_of_china(std::string_view region) {
  return region.starts_with("cn-");
}

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

}  // namespace

std::string Endpoint::authority() const {
  auto out = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return port == 443 ? out : out + ":" + std::to_string(port);
}

std::string_view domain_of(std::string_view region) {
  return is_of_china(region) ? "amazonaws.com.cn" : "amazonaws.com";
}

std::string registry_host(std::string_view region) {
  return "iot." + std::string(region) + "." + std::string(domain_of(region));
}

std::string data_host(std::string_view prefix, std::string_view region) {
  return std::string(prefix) + "." + registry_host(region);
}

std::string discovery_host(std::string_view region) {
  return (is_of_china(region) ? "greengrass.ats." : "greengrass-ats.") + registry_host(region);
}

std::string error_type(const HttpResponse& response) {
  auto text = response.header("x-amzn-errortype");
  if (text.empty() && response.body.size() <= 16384) {
    auto body = json::parse(response.body);
    if (body && body->is_object()) text = json::text_or(body->get_object(), "__type");
    // "com.amazonaws.iot#ThrottlingException"
    if (auto hash = text.rfind('#'); hash != std::string::npos) text.erase(0, hash + 1);
  }
  text.resize(std::min<std::size_t>(text.find(':'), std::min<std::size_t>(text.size(), 80)));
  std::erase_if(text, [](char c) { return !is_letter(c); });
  return text;
}

bool is_passing(const HttpResponse& response) {
  int status = response.status;
  if (status == 408 || status == 425 || status == 429 || status >= 500) return true;
  if (status != 400) return false;
  auto type = error_type(response);
  return type.starts_with("Throttl") || type.starts_with("TooManyRequests") || type == "RequestLimitExceeded";
}

bool is_credential_fault(const HttpResponse& response) {
  if (response.status != 400 && response.status != 401 && response.status != 403) return false;
  static constexpr std::array<std::string_view, 8> kTypes = {
      "UnrecognizedClientException", "InvalidSignatureException", "IncompleteSignatureException",
      "SignatureDoesNotMatch",       "InvalidClientTokenId",      "MissingAuthenticationTokenException",
      "ExpiredTokenException",       "MissingAuthenticationToken"};
  auto type = error_type(response);
  return std::any_of(kTypes.begin(), kTypes.end(), [&](std::string_view one) { return type == one; });
}

std::string answer_text(const HttpResponse& response) {
  auto type = error_type(response);
  return "AWS answered " + std::to_string(response.status) + (type.empty() ? "" : " (" + type + ")");
}

std::optional<std::chrono::milliseconds> retry_after(const HttpResponse& response) {
  auto text = response.header("retry-after");
  unsigned seconds = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (text.empty() || ec != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return std::chrono::seconds(std::min(seconds, 3600u));
}

Result<void> verdict_of(const HttpResponse& response) {
  int status = response.status;
  if (status >= 200 && status < 300) return {};
  auto as = [&](ErrorKind kind, const char* what_to_do = "") {
    return Error{kind, answer_text(response) + what_to_do, {}, retry_after(response)};
  };
  if (is_passing(response)) return as(ErrorKind::transient);
  if (is_credential_fault(response))
    return as(ErrorKind::bad_config, ": check the access key, and this machine's clock");
  switch (status) {
    case 401:
    case 403:
      return as(ErrorKind::bad_config,
                ": the certificate's or the access key's policy must allow iot:Publish on the topic");
    case 404:
      return as(ErrorKind::bad_config, ": this is no IoT data endpoint: check region, accountPrefix and endpoint");
    case 407:
      return as(ErrorKind::bad_config, ": check the proxy's user and password");
    default:
      break;
  }
  // Below 400 nothing was taken, and nobody knows what the message has to do with it.
  return as(status >= 400 ? ErrorKind::permanent : ErrorKind::transient);
}

Error verdict_of(const Error& error) {
  Error out = error;
  if (out.kind == ErrorKind::transient) out.kind = ErrorKind::not_connected;
  return out;
}

}  // namespace sluice::connector::aws
