// SPDX-License-Identifier: Apache-2.0
#include "message/downlink.h"

#include <algorithm>
#include <charconv>

#include "base/codec.h"
#include "base/crypto.h"
#include "base/json.h"
#include "message/json_scan.h"

namespace sluice::message {
namespace {

using scan::Kind;

constexpr std::string_view kRoot = "DevEUI_downlink";
constexpr std::size_t kMaxPayload = 242;                     // bytes
constexpr std::int64_t kMaxValidity = 100LL * 365 * 86'400;  // seconds
constexpr std::size_t kMaxText = 256;                        // characters of an AS_ID or AS_KEY

std::optional<std::int64_t> integer(std::string_view text) {
  std::int64_t n = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return n;
}

// Reads one command and gathers all its faults.
class Reader {
 public:
  Reader(std::vector<scan::Item> members, std::string prefix, std::vector<Fault>& faults)
      : members_(std::move(members)), prefix_(std::move(prefix)), faults_(faults) {}

  Downlink read(const DownlinkDefaults& defaults, UnixMillis now) {
    device(defaults);
    port(defaults);
    out_.confirmed = flag("Confirmed", false);
    out_.flush_queue = flag("FlushDownlinkQueue", false);
    out_.retry_ineligible_gateways = flag("RetryIneligibleGateways", true);
    counters();
    payload();
    driver();
    validity(now);
    signature(defaults);
    if (!out_.fport && out_.payload_hex && !failed("FPort")) {
      fault("FPort", "is missing: an integer from 1 to 224 (the connection has no downlinkPort either)");
    }
    return std::move(out_);
  }

 private:
  // The member of that name; null counts as absent, the last one of several counts.
  [[nodiscard]] const scan::Item* find(std::string_view name) const {
    const scan::Item* found = nullptr;
    for (const auto& member : members_) {
      bool same = member.key_escaped ? member.name() == name : member.key == name;
      if (same) found = member.is_null() ? nullptr : &member;
    }
    return found;
  }
  void fault(std::string_view field, std::string message) {
    faults_.push_back({prefix_ + "/" + std::string(field), std::move(message)});
  }
  [[nodiscard]] bool failed(std::string_view field) const {
    auto path = prefix_ + "/" + std::string(field);
    return std::any_of(faults_.begin(), faults_.end(), [&](const Fault& f) { return f.path == path; });
  }
  // The content of a text; a fault and nothing where it is no text.
  std::optional<std::string> text(std::string_view name) {
    const auto* member = find(name);
    if (!member) return std::nullopt;
    if (member->kind != Kind::string) {
      fault(name, "must be a text");
      return std::nullopt;
    }
    return member->text();
  }

  void device(const DownlinkDefaults& defaults) {
    auto written = text("DevEUI");
    if (failed("DevEUI")) return;
    if (!written || written->empty()) written = defaults.dev_eui;
    if (written->empty()) return fault("DevEUI", "is missing: 16 hex digits");
    std::string eui;
    std::copy_if(written->begin(), written->end(), std::back_inserter(eui), [](char c) { return c != '-'; });
    if (eui.size() != 16 || !is_hex(eui)) return fault("DevEUI", "must be 16 hex digits, with or without dashes");
    out_.dev_eui = to_upper(eui);
  }
  void port(const DownlinkDefaults& defaults) {
    const auto* member = find("FPort");
    bool absent = !member || (member->kind == Kind::string && member->text().empty());
    if (absent) {
      out_.fport = defaults.fport;
      return;
    }
    auto n = integer(member->text());
    if (!n || *n < 1 || *n > 224) return fault("FPort", "must be an integer from 1 to 224");
    out_.fport = static_cast<int>(*n);
  }
  bool flag(std::string_view name, bool fallback) {
    const auto* member = find(name);
    if (!member) return fallback;
    auto written = member->text();
    if (written == "1" || written == "true") return true;
    if (written == "0" || written == "false") return false;
    if (!written.empty()) fault(name, "must be 0 or 1");
    return fallback;
  }
  std::optional<std::uint32_t> counter(std::string_view name) {
    const auto* member = find(name);
    if (!member || (member->kind == Kind::string && member->text().empty())) return std::nullopt;
    auto n = integer(member->text());
    if (n && *n >= 0 && *n <= 0xFFFFFFFFLL) return static_cast<std::uint32_t>(*n);
    fault(name, "must be an integer from 0 to 4294967295");
    return std::nullopt;
  }
  void counters() {
    out_.fcnt_dn = counter("FCntDn");
    out_.afcnt_dn = counter("AFCntDn");
    if (out_.fcnt_dn && out_.afcnt_dn) fault("AFCntDn", "stands beside FCntDn: only one of them may be given");
  }
  void payload() {
    auto hex = text("payload_hex");
    if (hex && hex->empty()) hex.reset();
    const auto* object = find("payload");
    if (hex && object) fault("payload", "stands beside payload_hex: exactly one of them must be given");
    bool nothing = !hex && !object && !failed("payload_hex");
    if (nothing && !out_.flush_queue && !failed("FlushDownlinkQueue")) {
      fault("payload_hex", "is missing: payload_hex, payload or FlushDownlinkQueue must be given");
    }
    if (hex) {
      bool sound = hex->size() % 2 == 0 && is_hex(*hex) && hex->size() <= 2 * kMaxPayload;
      if (!sound) fault("payload_hex", "must be an even number of hex digits, at most 242 bytes");
      out_.payload_hex = std::move(hex);
    }
    if (!object) return;
    // The table of the reference product says text, its example is an object: both are taken.
    auto json = object->kind == Kind::string ? scan::compact(object->text()) : scan::compact(object->value);
    if (!json || json->front() != '{') return fault("payload", "must be an object");
    if (out_.fcnt_dn || out_.afcnt_dn) {
      return fault("payload", "can't be encrypted by the caller: FCntDn and AFCntDn need payload_hex");
    }
    out_.payload = std::move(*json);
  }
  std::optional<ModuleRef> module(const scan::Item& member, const std::string& field) {
    ModuleRef ref;
    auto parts = scan::items(member.value);
    for (const auto& part : parts) {
      if (part.kind != Kind::string && part.kind != Kind::number) continue;
      if (part.key == "pId") ref.producer = part.text();
      if (part.key == "mId") ref.module = part.text();
      if (part.key == "ver") ref.version = part.text();
    }
    if (member.kind == Kind::object && !ref.producer.empty() && !ref.module.empty()) return ref;
    fault(field, "must be an object with pId, mId and ver");
    return std::nullopt;
  }
  void driver() {
    const auto* member = find("DriverCfg");
    if (!member) return;
    std::string held = member->kind == Kind::string ? member->text() : std::string(member->value);
    if (held.empty()) return;
    auto parts = scan::items(held);
    bool has_app = false;
    for (const auto& part : parts) {
      if (part.is_null()) continue;
      if (part.key == "app") {
        has_app = true;
        out_.application = module(part, "DriverCfg/app");
      }
      if (part.key == "mod") out_.model = module(part, "DriverCfg/mod");
    }
    if (!has_app) fault("DriverCfg/app", "is missing: an object with pId, mId and ver");
  }
  void validity(UnixMillis now) {
    const auto* member = find("ValidityTime");
    if (!member) return;
    auto written = member->text();
    if (written.empty()) return;
    auto until = parse_time(written);
    if (auto seconds = until ? std::nullopt : integer(written)) {
      if (*seconds < 1 || *seconds > kMaxValidity) return fault("ValidityTime", "must be more than 0 seconds");
      until = now + *seconds * 1000;
    }
    if (!until) return fault("ValidityTime", "must be a date or a number of seconds");
    if (*until <= now) return fault("ValidityTime", "is past");
    out_.validity_time = std::move(written);
    out_.valid_until = until;
  }
  std::string limited(std::string_view name, const std::string& fallback) {
    auto given = text(name);
    if (!given || given->empty()) return fallback;
    if (given->size() > kMaxText) {
      fault(name, "must be at most 256 characters long");
      return {};
    }
    return *given;
  }
  void signature(const DownlinkDefaults& defaults) {
    out_.as_id = limited("AS_ID", defaults.as_id);
    out_.as_key = limited("AS_KEY", defaults.as_key);
    if (auto time = text("Time"); time && !time->empty()) {
      if (!parse_time(*time)) fault("Time", "must be a date as 2024-05-02T08:00:00.000+02:00");
      out_.time = std::move(*time);
    }
    if (auto token = text("Token"); token && !token->empty()) {
      if (token->size() != 64 || !is_hex(*token)) fault("Token", "must be 64 hex digits");
      out_.token = std::move(*token);
    }
    if (auto id = text("CorrelationID"); id && !id->empty()) {
      if (id->size() != 16 || !is_hex(*id)) return fault("CorrelationID", "must be 16 hex digits");
      out_.correlation_id = std::move(*id);
      return;
    }
    // A signature made by the caller holds no CorrelationID that he does not know.
    bool signed_by_caller = !out_.token.empty() && !out_.time.empty();
    if (!signed_by_caller) out_.correlation_id = to_upper(to_hex(random_bytes(8)));
  }

  std::vector<scan::Item> members_;
  std::string prefix_;
  std::vector<Fault>& faults_;
  Downlink out_;
};

}  // namespace

ParsedDownlink parse_downlink(std::string_view json, const DownlinkDefaults& defaults, bool bare_allowed,
                              UnixMillis now) {
  ParsedDownlink result;
  if (json.size() > scan::kMaxSize) {
    result.faults.push_back({"", "a downlink must be at most 1 MiB"});
    return result;
  }
  auto text = scan::compact(json);
  if (!text) {
    result.is_downlink = bare_allowed;
    if (bare_allowed) result.faults.push_back({"", "a downlink must be JSON in UTF-8, nested at most 64 levels"});
    return result;
  }
  bool is_object = text->front() == '{';
  auto members = is_object ? scan::items(*text) : std::vector<scan::Item>{};
  std::string prefix;
  auto root = std::find_if(members.begin(), members.end(), [](const auto& member) { return member.name() == kRoot; });
  if (root != members.end()) {
    prefix = "/" + std::string(kRoot);
    if (root->kind != Kind::object) {
      result.faults.push_back({prefix, "must be an object"});
      return result;
    }
    members = scan::items(root->value);
  } else if (!bare_allowed) {
    result.is_downlink = false;
    return result;
  } else if (!is_object) {
    result.faults.push_back({"", "a downlink must be an object"});
    return result;
  }
  result.downlink = Reader(std::move(members), std::move(prefix), result.faults).read(defaults, now);
  return result;
}

std::string downlink_query(const Downlink& downlink, UnixMillis now) {
  std::string plain;
  std::string encoded;
  auto add = [&](std::string_view name, std::string_view value) {
    if (!plain.empty()) {
      plain += '&';
      encoded += '&';
    }
    plain.append(name).append("=").append(value);
    encoded.append(name).append("=").append(url_encode(value));
  };
  bool own_token = !downlink.token.empty() && !downlink.time.empty();
  add("DevEUI", downlink.dev_eui);
  if (downlink.fport) add("FPort", std::to_string(*downlink.fport));
  if (downlink.payload_hex) add("Payload", *downlink.payload_hex);
  if (downlink.fcnt_dn) {
    add("FCntDn", std::to_string(*downlink.fcnt_dn));
  } else if (downlink.afcnt_dn) {
    add("AFCntDn", std::to_string(*downlink.afcnt_dn));
  }
  if (downlink.confirmed) add("Confirmed", "1");
  if (downlink.flush_queue) add("FlushDownlinkQueue", "1");
  if (!downlink.validity_time.empty()) {
    bool seconds = downlink.valid_until && integer(downlink.validity_time).has_value();
    auto left = seconds && !own_token ? std::max<std::int64_t>((*downlink.valid_until - now + 999) / 1000, 1) : 0;
    add("ValidityTime", left > 0 ? std::to_string(left) : downlink.validity_time);
  }
  bool is_signed = own_token || !downlink.as_key.empty();
  if (is_signed) {
    add("AS_ID", downlink.as_id);
    add("Time", downlink.time.empty() ? format_time(now) : downlink.time);
  }
  if (!downlink.correlation_id.empty()) add("CorrelationID", downlink.correlation_id);
  if (!downlink.retry_ineligible_gateways) add("RetryIneligibleGateways", "0");
  if (is_signed) encoded += "&Token=" + (own_token ? downlink.token : to_hex(sha256(plain + downlink.as_key)));
  return encoded;
}

std::optional<std::string> downlink_of_query(std::string_view query) {
  constexpr std::pair<std::string_view, std::string_view> kNames[] = {
      {"DevEUI", "DevEUI"},
      {"FPort", "FPort"},
      {"Payload", "payload_hex"},
      {"FCntDn", "FCntDn"},
      {"AFCntDn", "AFCntDn"},
      {"Confirmed", "Confirmed"},
      {"FlushDownlinkQueue", "FlushDownlinkQueue"},
      {"ValidityTime", "ValidityTime"},
      {"AS_ID", "AS_ID"},
      {"Time", "Time"},
      {"CorrelationID", "CorrelationID"},
      {"RetryIneligibleGateways", "RetryIneligibleGateways"},
      {"Token", "Token"},
  };
  std::string out;
  bool has_device = false;
  while (!query.empty()) {
    auto pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(pair.size() + 1, query.size()));
    auto equals = std::min(pair.find('='), pair.size());
    auto name = url_decode(pair.substr(0, equals));
    // A form would write a blank as +; no value here has blanks, and a sign of an offset is often left as it is.
    auto value = url_decode(pair.substr(std::min(equals + 1, pair.size())));
    if (!name || !value) return std::nullopt;
    for (const auto& [parameter, field] : kNames) {
      if (*name != parameter) continue;
      has_device = has_device || field == "DevEUI";
      out += out.empty() ? "" : ",";
      out += json::quote(field) + ":" + json::quote(*value);
    }
  }
  if (!has_device) return std::nullopt;
  return R"({"DevEUI_downlink":{)" + out + "}}";
}

std::string write_downlink(const Downlink& downlink) {
  json::object out{{"DevEUI", downlink.dev_eui}};
  auto text = [&](const char* name, const std::string& value) {
    if (!value.empty()) out[name] = value;
  };
  auto flag = [&](const char* name, bool value) {
    if (value) out[name] = true;
  };
  if (downlink.fport) out["FPort"] = *downlink.fport;
  if (downlink.payload_hex) out["payload_hex"] = *downlink.payload_hex;
  if (downlink.fcnt_dn) out["FCntDn"] = *downlink.fcnt_dn;
  if (downlink.afcnt_dn) out["AFCntDn"] = *downlink.afcnt_dn;
  flag("Confirmed", downlink.confirmed);
  flag("FlushDownlinkQueue", downlink.flush_queue);
  flag("noRetry", !downlink.retry_ineligible_gateways);
  text("ValidityTime", downlink.validity_time);
  if (downlink.valid_until) out["validUntil"] = *downlink.valid_until;
  text("Time", downlink.time);
  text("AS_ID", downlink.as_id);
  text("AS_KEY", downlink.as_key);
  text("Token", downlink.token);
  text("CorrelationID", downlink.correlation_id);
  return json::write(out);
}

Result<Downlink> read_downlink(std::string_view text) {
  auto parsed = json::parse(text);
  if (!parsed) return parsed.error().wrap("reading a stored downlink");
  if (!parsed->is_object()) return Error{ErrorKind::permanent, "a stored downlink is no object"};
  const auto& from = parsed->get_object();
  auto counter = [&](const char* name) -> std::optional<std::uint32_t> {
    if (!json::find(from, name)) return std::nullopt;
    return static_cast<std::uint32_t>(json::int_or(from, name, 0));
  };
  Downlink out;
  out.dev_eui = json::text_or(from, "DevEUI");
  if (json::find(from, "FPort")) out.fport = static_cast<int>(json::int_or(from, "FPort", 0));
  if (json::find(from, "payload_hex")) out.payload_hex = json::text_or(from, "payload_hex");
  out.fcnt_dn = counter("FCntDn");
  out.afcnt_dn = counter("AFCntDn");
  out.confirmed = json::bool_or(from, "Confirmed", false);
  out.flush_queue = json::bool_or(from, "FlushDownlinkQueue", false);
  out.retry_ineligible_gateways = !json::bool_or(from, "noRetry", false);
  out.validity_time = json::text_or(from, "ValidityTime");
  if (json::find(from, "validUntil")) out.valid_until = json::int_or(from, "validUntil", 0);
  out.time = json::text_or(from, "Time");
  out.as_id = json::text_or(from, "AS_ID");
  out.as_key = json::text_or(from, "AS_KEY");
  out.token = json::text_or(from, "Token");
  out.correlation_id = json::text_or(from, "CorrelationID");
  if (out.dev_eui.size() != 16) return Error{ErrorKind::permanent, "a stored downlink has no DevEUI"};
  return out;
}

std::string rejected_report(const Downlink& downlink, int status, std::string_view cause, UnixMillis now) {
  std::string out = R"({"DevEUI_downlink_Rejected":{"Time":)" + json::quote(format_time(now));
  if (!downlink.dev_eui.empty()) out += R"(,"DevEUI":)" + json::quote(downlink.dev_eui);
  if (downlink.fport) out += R"(,"FPort":)" + std::to_string(*downlink.fport);
  out += R"(,"DeliveryStatus":)" + std::to_string(status);
  out += R"(,"DownlinkRejectionCause":)" + json::quote(cause);
  if (!downlink.correlation_id.empty()) out += R"(,"CorrelationID":)" + json::quote(downlink.correlation_id);
  return out + "}}";
}

}  // namespace sluice::message
