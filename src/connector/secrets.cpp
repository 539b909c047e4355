// SPDX-License-Identifier: Apache-2.0
// What in a configuration is secret: properties marked x-secret (at any depth), unknown ones with a telling name,
// values of headers with a telling name below x-secret-headers, and query parameters with a telling name in a URL
// marked x-secret-query.
#include <algorithm>
#include <array>
#include <functional>

#include "base/codec.h"
#include "base/json.h"
#include "connector/registry.h"

namespace sluice::connector {
namespace {

using boost::json::object;
using boost::json::value;

constexpr std::string_view kMask = "*****";

bool is_secret_header(std::string_view name) {
  std::string lower = to_lower(name);
  for (std::string_view whole : {"authorization", "proxy-authorization", "cookie"}) {
    if (lower == whole) return true;
  }
  for (std::string_view part : {"token", "secret", "password", "api-key", "apikey", "signingkey"}) {
    if (lower.find(part) != std::string::npos) return true;
  }
  return false;
}

// What some connector calls a secret (spec api.md 5.5). A body made for another connector brings such keys along: this
// connector's schema does not know them, and still nobody may read them back.
bool is_secret_name(std::string_view name) {
  static constexpr std::array<std::string_view, 12> kNames = {
      "accessKeyId",          "privateKey",      "certificate",
      "sharedAccessKey",      "applicationKey",  "serviceAccount",
      "authorizedPrivateKey", "downlinkAsKey",   "tunnelInterfaceAuthenticationKey",
      "ggadPrivateKey",       "ggadCertificate", "serverPrivateKey"};
  auto same = [&](std::string_view other) { return equals_ignoring_case(name, other); };
  return is_secret_header(name) || std::any_of(kNames.begin(), kNames.end(), same);
}

bool is_secret_parameter(std::string_view name) {
  return is_secret_header(name) || equals_ignoring_case(name, "key");
}

std::string escape_pointer(std::string_view key) {
  std::string out;
  for (char c : key) {
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else {
      out += c;
    }
  }
  return out;
}

std::string unescape_pointer(std::string_view token) {
  std::string out;
  for (std::size_t i = 0; i < token.size(); ++i) {
    if (token[i] == '~' && i + 1 < token.size()) {
      out += token[++i] == '1' ? '/' : '~';
    } else {
      out += token[i];
    }
  }
  return out;
}

// Where the secret parts of a URL lie: the values of telling query parameters and the password of user:password@.
struct Part {
  std::size_t begin, end;
  std::string name;
};

std::vector<Part> secret_parts_of_url(std::string_view url) {
  std::vector<Part> parts;
  auto scheme = url.find("://");
  auto authority = scheme == std::string_view::npos ? 0 : scheme + 3;
  auto authority_end = std::min(url.find_first_of("/?#", authority), url.size());
  auto at = url.substr(authority, authority_end - authority).rfind('@');
  if (at != std::string_view::npos) {
    auto colon = url.substr(authority, at).find(':');
    if (colon != std::string_view::npos && colon + 1 < at)
      parts.push_back({authority + colon + 1, authority + at, "@"});
  }
  auto query = url.find('?', authority);
  while (query != std::string_view::npos) {
    auto start = query + 1;
    auto end = std::min(url.find_first_of("&#", start), url.size());
    auto equals = url.substr(start, end - start).find('=');
    if (equals != std::string_view::npos && equals + 1 < end - start) {
      auto name = url.substr(start, equals);
      if (is_secret_parameter(name)) parts.push_back({start + equals + 1, end, to_lower(name)});
    }
    query = end < url.size() && url[end] == '&' ? end : std::string_view::npos;
  }
  return parts;
}

std::string mask_url(const std::string& url) {
  std::string out;
  std::size_t at = 0;
  for (const auto& part : secret_parts_of_url(url)) {
    out.append(url, at, part.begin - at).append(kMask);
    at = part.end;
  }
  return out.append(url, at);
}

// "*****" in a URL takes the part of the same name out of the stored URL; nothing where there is none.
std::optional<std::string> keep_url(const std::string& url, const std::string& stored) {
  auto stored_parts = secret_parts_of_url(stored);
  std::string out;
  std::size_t at = 0;
  for (const auto& part : secret_parts_of_url(url)) {
    if (std::string_view(url).substr(part.begin, part.end - part.begin) != kMask) continue;
    const Part* found = nullptr;
    for (const auto& candidate : stored_parts) {
      if (candidate.name == part.name) found = &candidate;
    }
    if (!found) return std::nullopt;
    out.append(url, at, part.begin - at).append(stored, found->begin, found->end - found->begin);
    at = part.end;
  }
  return out.append(url, at);
}

enum class SecretKind { whole, url };
// Called with the JSON Pointer of each secret that is set, its value and its kind.
using Visit = std::function<void(const std::string& pointer, value& secret, SecretKind kind)>;

bool is_set(const value& v) {
  return !v.is_null() && !(v.is_string() && v.get_string().empty());
}

void visit_secrets(const object& properties, object& configuration, const std::string& path, const Visit& visit) {
  for (auto& member : configuration) {
    if (!is_set(member.value())) continue;
    const auto* described = properties.if_contains(member.key());
    std::string pointer = path + "/" + escape_pointer(member.key());
    if (!described && is_secret_name(member.key())) visit(pointer, member.value(), SecretKind::whole);
    if (!described || !described->is_object()) continue;
    const auto& property = described->get_object();
    auto& v = member.value();
    if (json::bool_or(property, "x-secret", false)) {
      visit(pointer, v, SecretKind::whole);
    } else if (json::bool_or(property, "x-secret-headers", false) && v.is_object()) {
      for (auto& header : v.get_object()) {
        if (is_set(header.value()) && is_secret_header(header.key())) {
          visit(pointer + "/" + escape_pointer(header.key()), header.value(), SecretKind::whole);
        }
      }
    } else if (json::bool_or(property, "x-secret-query", false) && v.is_string()) {
      if (!secret_parts_of_url(v.get_string()).empty()) visit(pointer, v, SecretKind::url);
    } else if (const auto* nested = property.if_contains("properties");
               nested && nested->is_object() && v.is_object()) {
      visit_secrets(nested->get_object(), v.get_object(), pointer, visit);
    }
  }
}

void visit_secrets(const Descriptor& connector, object& configuration, const Visit& visit) {
  visit_secrets(connector.schema->at("properties").get_object(), configuration, "", visit);
}

value masked(const value& secret, SecretKind kind) {
  if (kind == SecretKind::url) return value(mask_url(std::string(secret.get_string())));
  return value(kMask);
}

value* at_pointer(object& root, std::string_view pointer, bool make) {
  object* where = &root;
  while (!pointer.empty()) {
    pointer.remove_prefix(1);
    auto end = pointer.find('/');
    auto key = unescape_pointer(pointer.substr(0, end));
    bool last = end == std::string_view::npos;
    value* next = where->if_contains(key);
    if (!next && make) next = &(*where)[key];
    if (!next || last) return next;
    if (!next->is_object()) {
      if (!make) return nullptr;
      *next = object();
    }
    where = &next->get_object();
    pointer.remove_prefix(end);
  }
  return nullptr;
}

// Header names are the same in any case, so a renamed-in-case header keeps its secret too.
const value* stored_secret(const object& stored, const std::string& pointer) {
  auto& root = const_cast<object&>(stored);  // at_pointer changes nothing when it makes nothing
  if (const auto* exact = at_pointer(root, pointer, false)) return exact;
  auto slash = pointer.rfind('/');
  const auto* parent = slash == 0 ? nullptr : at_pointer(root, std::string_view(pointer).substr(0, slash), false);
  if (!parent || !parent->is_object()) return nullptr;
  auto name = unescape_pointer(std::string_view(pointer).substr(slash + 1));
  for (const auto& member : parent->get_object()) {
    if (equals_ignoring_case(member.key(), name)) return &member.value();
  }
  return nullptr;
}

}  // namespace

object mask(const Descriptor& connector, object configuration) {
  visit_secrets(connector, configuration, [](const std::string&, value& v, SecretKind kind) { v = masked(v, kind); });
  return configuration;
}

std::pair<object, object> split_secrets(const Descriptor& connector, object configuration) {
  object secrets;
  visit_secrets(connector, configuration, [&](const std::string& pointer, value& v, SecretKind kind) {
    auto shown = masked(v, kind);
    secrets[pointer] = std::exchange(v, std::move(shown));
  });
  return {std::move(configuration), std::move(secrets)};
}

object join_secrets(object configuration, const object& secrets) {
  for (const auto& [pointer, secret] : secrets) {
    if (auto* place = at_pointer(configuration, pointer, true)) *place = secret;
  }
  return configuration;
}

std::vector<Fault> keep_masked(const Descriptor& connector, object& updated, const object& stored) {
  std::vector<Fault> faults;
  auto nothing_stored = [&](const std::string& pointer) {
    faults.push_back(
        {"/configuration" + pointer, "\"*****\" stands for a stored secret, but none is stored here; give its value"});
  };
  visit_secrets(connector, updated, [&](const std::string& pointer, value& v, SecretKind kind) {
    const auto* kept = stored_secret(stored, pointer);
    bool usable = kept && is_set(*kept) && *kept != value(kMask);
    if (kind == SecretKind::whole) {
      if (v != value(kMask)) return;
      if (usable) {
        v = *kept;
      } else {
        nothing_stored(pointer);
      }
      return;
    }
    std::string url(v.get_string());
    auto merged = keep_url(url, usable && kept->is_string() ? std::string(kept->get_string()) : std::string());
    if (merged) {
      v = *merged;
    } else {
      nothing_stored(pointer);
    }
  });
  return faults;
}

}  // namespace sluice::connector
