// SPDX-License-Identifier: Apache-2.0
#include "connector/http/request.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/codec.h"
#include "base/crypto.h"
#include "base/json.h"
#include "connector/pem.h"

namespace sluice::connector::http {
namespace {

using message::MessageType;

constexpr std::chrono::milliseconds kConnectTimeout{5000};
constexpr std::size_t kMaxAnswer = 8u << 20;

Error bad_config(std::string text) {
  return {ErrorKind::bad_config, std::move(text)};
}

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::any_of(names.begin(), names.end(),
                     [&](std::string_view other) { return equals_ignoring_case(name, other); });
}

// Those that frame the message are never the configuration's.
bool is_reserved(std::string_view name, bool tunnel) {
  if (is_one_of(name, {"content-length", "transfer-encoding", "connection", "expect"})) return true;
  return tunnel && is_one_of(name, {"accept", "host", "user-agent", "content-type"});
}

// A brand's fixed scheme word: exactly one, whatever was typed.
std::string with_prefix(std::string text, const std::string& prefix) {
  std::string word(trim(prefix));
  for (;;) {
    text = std::string(trim(text));
    bool has = text.size() > word.size() && equals_ignoring_case(text.substr(0, word.size()), word) &&
               text[word.size()] == ' ';
    if (!has) return prefix + text;
    text.erase(0, word.size());
  }
}

std::string destination(const Settings& settings) {
  auto url = settings.text("destinationURL");
  if (!url.empty()) return url;
  // The older form of one brand: its two parts are put together.
  auto instance = settings.text("instanceHostname");
  if (instance.empty()) return {};
  while (instance.ends_with('/'))
    instance.pop_back();
  if (instance.find("://") == std::string::npos) instance = "https://" + instance;
  return instance + "/services/thingpark?accessToken=" + url_encode(settings.text("accessToken"));
}

Result<void> read_tls(const Settings& settings, HttpRequest& out) {
  for (auto [name, place] : {std::pair{"trustedCaCertificate", &out.ca_pem},
                             std::pair{"certificate", &out.certificate_pem}, std::pair{"privateKey", &out.key_pem}}) {
    auto pem = normalise_pem(settings.text(name));
    if (!pem) return pem.error().wrap(name);
    *place = std::move(*pem);
  }
  if (out.certificate_pem.empty() != out.key_pem.empty())
    return bad_config("certificate and privateKey belong together: one is missing");
  return {};
}

void read_proxy(const Settings& settings, HttpRequest& out) {
  const auto& proxy = settings.object("proxy");
  out.proxy = json::text_or(proxy, "hostname");
  while (out.proxy.ends_with('/'))
    out.proxy.pop_back();
  out.proxy_username = json::text_or(proxy, "username");
  out.proxy_password = json::text_or(proxy, "password");
}

Result<void> read_headers(const Settings& settings, Plan& plan) {
  const auto* prefixes = json::find(settings.property("headers"), "x-header-prefixes");
  for (const auto& [name, content] : settings.object("headers")) {
    if (!content.is_string() || is_reserved(name, plan.tunnel)) continue;
    std::string text(content.get_string());
    auto prefix =
        prefixes && prefixes->is_object() ? json::text_or(prefixes->get_object(), to_lower(name)) : std::string();
    if (!prefix.empty()) text = with_prefix(std::move(text), prefix);
    auto pattern = message::Pattern::parse(text);
    if (!pattern) return pattern.error().wrap("headers." + std::string(name));
    plan.headers.emplace_back(std::string(name), std::move(*pattern));
  }
  return {};
}

std::string number_or(const auto& number, const char* fallback) {
  return number ? std::to_string(*number) : std::string(fallback);
}

// The DevEUI as the body spells it: that is what its receiver hashes.
std::string written_dev_eui(const message::Message& message) {
  constexpr std::string_view kKey = "\"DevEUI\":\"";
  auto at = message.body.find(kKey);
  if (at == std::string::npos) return message.dev_eui;
  auto written = message.body.substr(at + kKey.size(), message.dev_eui.size());
  return equals_ignoring_case(written, message.dev_eui) ? written : message.dev_eui;
}

// The values of the body that go into the token (spec messages.md 8.2).
Result<std::string> elements_of(const message::Message& message) {
  std::string device = message.customer_id + written_dev_eui(message);
  switch (message.type) {
    case MessageType::uplink:
      return device + number_or(message.fport, "0") + number_or(message.fcnt_up, "") + message.payload_hex;
    case MessageType::downlink_sent:
      return device + number_or(message.fport, "0") + number_or(message.fcnt_dn, "");
    case MessageType::location:
    case MessageType::notification:
    case MessageType::downlink_rejected:
    case MessageType::multicast_summary:
    case MessageType::device_alarm:
      return device;
    case MessageType::base_station_alarm: {
      auto lrr = message::Pattern::parse("{LrrID|''}");
      if (!lrr) return lrr.error();
      auto id = lrr->render(message::Document(message, message.body), message::Place::plain);
      return message.customer_id + (id ? *id : std::string());
    }
    case MessageType::resolved_position:
    case MessageType::downlink:
    case MessageType::unknown:
      break;
  }
  return Error{ErrorKind::permanent,
               std::string("the tunnel interface has no message of type ") + to_string(message.type)};
}

std::string with_query(std::string url, const std::string& query) {
  url.resize(std::min(url.find('#'), url.size()));
  if (url.find('?') == std::string::npos) return url + "?" + query;
  return url + (url.ends_with('?') || url.ends_with('&') ? "" : "&") + query;
}

// Retry-After in its form of seconds; a date's form is left to our own back-off.
std::optional<std::chrono::milliseconds> retry_after(const HttpResponse& response) {
  auto text = response.header("retry-after");
  unsigned seconds = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (text.empty() || ec != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return std::chrono::seconds(std::min(seconds, 3600u));
}

}  // namespace

Result<Plan> Plan::read(const Settings& settings, const std::string& connection_id) {
  Plan plan;
  auto url_text = destination(settings);
  if (url_text.empty()) return bad_config("destinationURL is not set and the brand has none of its own");
  auto url = message::Pattern::parse(url_text);
  if (!url) return url.error().wrap("destinationURL");
  plan.url = std::move(*url);
  plan.strict = settings.flag("strictMode");
  plan.tunnel = settings.flag("lrcCompliance");
  plan.as_id = settings.text("downlinkAsId");
  plan.tunnel_key = settings.text("tunnelInterfaceAuthenticationKey");
  plan.infos = "IOTFLOW_" + connection_id;
  plan.base.timeout = std::chrono::milliseconds(settings.integer("timeout"));
  plan.base.connect_timeout = std::min(kConnectTimeout, plan.base.timeout);
  plan.base.max_response = kMaxAnswer;
  if (auto read = read_headers(settings, plan); !read) return read.error();
  if (auto read = read_tls(settings, plan.base); !read) return read.error();
  read_proxy(settings, plan.base);
  return plan;
}

Result<HttpRequest> make_request(const Plan& plan, const Delivery& delivery, UnixMillis now) {
  HttpRequest request = plan.base;
  auto document = delivery.document();
  auto url = plan.url.render(document, message::Place::url);
  if (!url) return url.error();
  request.url = std::move(*url);
  if (plan.tunnel) {
    auto query = tunnel_query(delivery.message(), plan.infos, plan.as_id, plan.tunnel_key, now);
    if (!query) return query.error();
    request.url = with_query(std::move(request.url), *query);
  }
  bool has_type = false, has_accept = false;
  for (const auto& [name, pattern] : plan.headers) {
    auto content = pattern.render(document, message::Place::header);
    if (!content) return content.error().wrap("header " + name);
    has_type |= equals_ignoring_case(name, "content-type");
    has_accept |= equals_ignoring_case(name, "accept");
    request.headers.emplace_back(name, std::move(*content));
  }
  if (!has_type) request.headers.emplace_back("Content-Type", "application/json");
  if (!has_accept) request.headers.emplace_back("Accept", "application/json, application/cbor, application/*+json");
  return request;
}

std::string fixed_origin(const message::Pattern& url) {
  const auto& text = url.text();
  auto scheme = text.find("://");
  if (scheme == std::string::npos) return {};
  auto end = text.find_first_of("/?#", scheme + 3);
  auto origin = text.substr(0, end);
  return origin.find_first_of("{}") == std::string::npos ? origin + "/" : std::string();
}

Result<void> verdict_of(const HttpResponse& response, bool strict) {
  int status = response.status;
  if (status >= 200 && status < 300) return {};
  std::string text = "the endpoint answered " + std::to_string(status);
  auto as = [&](ErrorKind kind) { return Error{kind, text, {}, retry_after(response)}; };
  // Credentials that do not hold are nobody's message's fault: whatever the mode, all is held until they do.
  bool rights = status == 401 || status == 403 || status == 407;
  if (rights || (strict && status == 404)) return as(ErrorKind::bad_config);
  if (strict) return as(ErrorKind::not_connected);
  bool later = status == 408 || status == 425 || status == 429 || status >= 500;
  return as(later ? ErrorKind::transient : ErrorKind::permanent);
}

Error verdict_of(const Error& error) {
  Error out = error;
  // An endpoint that does not answer in time is as unreachable as one that does not take the connection.
  if (out.kind == ErrorKind::transient) out.kind = ErrorKind::not_connected;
  return out;
}

std::string tunnel_token(std::string_view elements, std::string_view query, std::string_view key) {
  std::string text(elements);
  text.append(query).append(is_hex(key) ? to_lower(key) : std::string(key));
  return to_hex(sha256(text));
}

Result<std::string> tunnel_query(const message::Message& message, const std::string& infos, const std::string& as_id,
                                 const std::string& key, UnixMillis now) {
  auto elements = elements_of(message);
  if (!elements) return elements.error();
  std::vector<std::pair<std::string, std::string>> parameters{
      {"LrnDevEui", written_dev_eui(message)}, {"LrnFPort", number_or(message.fport, "0")}, {"LrnInfos", infos}};
  if (!key.empty()) {
    parameters.emplace_back("AS_ID", as_id);
    parameters.emplace_back("Time", format_time(now));
  }
  std::string decoded, encoded;
  for (const auto& [name, content] : parameters) {
    const char* separator = decoded.empty() ? "" : "&";
    decoded.append(separator).append(name).append("=").append(content);
    encoded.append(separator).append(name).append("=").append(url_encode(content));
  }
  if (!key.empty()) encoded += "&Token=" + tunnel_token(*elements, decoded, key);
  return encoded;
}

}  // namespace sluice::connector::http
