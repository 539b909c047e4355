// SPDX-License-Identifier: Apache-2.0
#include "binder/thingpark/tunnel.h"

#include <algorithm>
#include <array>

#include "base/codec.h"
#include "base/crypto.h"

namespace sluice::binder::thingpark {
namespace {

using message::Message;
using message::MessageType;

constexpr std::size_t kMaxBody = 1u << 20;

// In the order they are signed in.
constexpr std::array<std::string_view, 5> kSigned = {"LrnDevEui", "LrnFPort", "LrnInfos", "AS_ID", "Time"};
constexpr std::size_t kAsId = 3;
constexpr std::size_t kTime = 4;

// The tunnel's parameters, decoded. A parameter that is missing or broken is nothing.
struct Query {
  std::array<std::optional<std::string>, kSigned.size()> values;
  std::string token;  // lower case

  explicit Query(std::string_view text) {
    while (!text.empty()) {
      auto pair = text.substr(0, text.find('&'));
      text.remove_prefix(std::min(pair.size() + 1, text.size()));
      auto equals = pair.find('=');
      if (equals == std::string_view::npos) continue;
      auto name = pair.substr(0, equals);
      auto value = pair.substr(equals + 1);
      if (name == "Token") {
        token = to_lower(value);
        continue;
      }
      auto known = std::find(kSigned.begin(), kSigned.end(), name);
      if (known == kSigned.end()) continue;
      auto& slot = values[static_cast<std::size_t>(known - kSigned.begin())];
      slot = url_decode(value);
    }
  }
  // What is signed of it, without the key.
  void append_to(std::string& out) const {
    bool first = true;
    for (std::size_t i = 0; i < kSigned.size(); ++i) {
      if (!values[i]) continue;
      if (!first) out += '&';
      first = false;
      out.append(kSigned[i]).append("=").append(*values[i]);
    }
  }
};

// The texts of a body that may have been signed, in the order they are tried (spec messages.md 8.2).
std::vector<std::string> elements_of(const Message& m) {
  std::string device = m.customer_id;
  device += m.spelled(m.dev_eui_text);
  auto with_port = [&](std::string_view rest, std::string_view payload) {
    std::vector<std::string> candidates;
    auto add = [&](std::string_view port) {
      auto& text = candidates.emplace_back(device);
      text.append(port).append(rest).append(payload);
    };
    if (m.fport_text.size != 0) {
      add(m.spelled(m.fport_text));
    } else {
      add("0");
      add("");
    }
    return candidates;
  };
  switch (m.type) {
    case MessageType::uplink:
      return with_port(m.spelled(m.fcnt_up_text), m.payload_hex);
    case MessageType::downlink_sent:
      return with_port(m.spelled(m.fcnt_dn_text), {});
    case MessageType::location:
    case MessageType::notification:
      return {device};
    case MessageType::base_station_alarm:
      return {m.customer_id + std::string(m.spelled(m.lrr_id_text))};
    default:
      return {device, m.customer_id, ""};
  }
}

bool names_itself(const Settings& settings, const Query& query, UnixMillis now) {
  const auto& as_id = query.values[kAsId];
  const auto& time = query.values[kTime];
  if (!as_id || !time || settings.as_key.empty() || !equal_in_constant_time(*as_id, settings.as_id)) return false;
  if (query.token.size() != 64) return false;
  if (!settings.max_time_deviation) return true;
  auto made = parse_time(*time);
  auto most = settings.max_time_deviation->count();
  return made && *made >= now - most && *made <= now + most;
}

bool signed_with(std::string_view key, const Query& query, const std::vector<std::string>& elements) {
  std::string text;
  for (const auto& candidate : elements) {
    text.clear();
    text.reserve(candidate.size() + 256 + key.size());
    text += candidate;
    query.append_to(text);
    text += key;
    if (equal_in_constant_time(to_hex(sha256(text)), query.token)) return true;
  }
  return false;
}

bool token_fits(const Settings& settings, const Query& query, const Message& message) {
  auto elements = elements_of(message);
  if (signed_with(settings.as_key, query, elements)) return true;
  // The interface says lower case, two published tokens were made with the key as written: both are tried.
  auto lower = to_lower(settings.as_key);
  return lower != settings.as_key && signed_with(lower, query, elements);
}

bool is_xml(const Request& request) {
  auto type = to_lower(request.content_type.substr(0, request.content_type.find(';')));
  if (type.find("xml") != std::string::npos) return true;
  if (type.find("json") != std::string::npos) return false;
  return trim(request.body).starts_with('<');
}

Result<Message> read(Request request) {
  // A byte order mark is no part of the text.
  if (request.body.starts_with("\xEF\xBB\xBF")) request.body.remove_prefix(3);
  if (is_xml(request)) {
    auto json = message::xml_to_json(request.body);
    if (!json) return json.error();
    return message::parse_report(*json);
  }
  return message::parse_report(request.body);
}

Refusal not_authentic() {
  return {401, "Authentication failed"};
}

}  // namespace

std::variant<Message, Refusal> accept(const Settings& settings, const Request& request, UnixMillis now) {
  if (request.body.size() > kMaxBody) return Refusal{413, "the report is over 1 MiB"};
  // What can be refused without reading the body is refused first.
  std::optional<Query> query;
  if (settings.security) {
    query.emplace(request.query);
    if (!names_itself(settings, *query, now)) return not_authentic();
  }
  auto report = read(request);
  if (!report) return Refusal{400, report.error().text};
  if (query && !token_fits(settings, *query, *report)) return not_authentic();
  report->account = settings.account;
  report->binder = settings.id;
  report->arrived = now;
  return std::move(*report);
}

std::string make_token(std::string_view body_elements, std::string_view decoded_query_without_token,
                       std::string_view as_key) {
  std::string text;
  text.reserve(body_elements.size() + decoded_query_without_token.size() + as_key.size());
  text.append(body_elements).append(decoded_query_without_token).append(as_key);
  return to_hex(sha256(text));
}

}  // namespace sluice::binder::thingpark
