// SPDX-License-Identifier: Apache-2.0
#include "app/options.h"

#include <charconv>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>
#include <yaml-cpp/yaml.h>

#include "api/address.h"
#include "base/clock.h"
#include "base/codec.h"

namespace sluice::app {
namespace {

using Setter = std::function<bool(const std::string&)>;
struct Key {
  Setter set;
  const char* takes;
};

Setter text(std::string& target) {
  return [&](const std::string& value) {
    target = value;
    return true;
  };
}

template <class T>
Setter size(T& target) {
  return [&](const std::string& value) {
    auto n = parse_size(value);
    if (n) target = static_cast<T>(*n);
    return n.has_value();
  };
}

template <class T>
Setter number(T& target) {
  return [&](const std::string& value) {
    return std::from_chars(value.data(), value.data() + value.size(), target).ptr == value.data() + value.size();
  };
}

template <class T>
Setter duration(T& target) {
  return [&](const std::string& value) {
    auto ms = parse_duration(value);
    if (ms) target = std::chrono::duration_cast<T>(*ms);
    return ms && ms->count() > 0;
  };
}

// As duration(), and "500ms".
Setter short_duration(std::chrono::milliseconds& target) {
  return [&, whole = duration(target)](const std::string& value) {
    if (!value.ends_with("ms")) return whole(value);
    int ms = 0;
    const char* const end = value.data() + value.size() - 2;
    if (std::from_chars(value.data(), end, ms).ptr != end || ms <= 0) return false;
    target = std::chrono::milliseconds(ms);
    return true;
  };
}

std::map<std::string, Key> known_keys(ServeOptions& o) {
  constexpr const char* kText = "a text";
  constexpr const char* kSize = "a size as 512MiB or 10GiB";
  constexpr const char* kCount = "a whole number";
  constexpr const char* kDuration = "a duration as 7d or 12h30m";
  return {
      {"listen", {text(o.listen), kText}},
      {"data", {text(o.data), kText}},
      {"publicUrl", {text(o.public_url), kText}},
      {"logLevel", {text(o.log_level), "debug, info, warn, error or off"}},
      {"ioThreads", {number(o.io_threads), kCount}},
      {"connections.debugLimit", {duration(o.debug_limit), kDuration}},
      {"queue.maxBytes", {size(o.queue.max_bytes), kSize}},
      {"queue.minFreeBytes", {size(o.queue.min_free_bytes), kSize}},
      {"queue.keepBytes", {size(o.queue.keep_bytes), kSize}},
      {"queue.listMaxCount", {number(o.queue.list_max_count), kCount}},
      {"queue.listMaxBytes", {size(o.queue.list_max_bytes), kSize}},
      {"queue.listMaxAge", {duration(o.queue.list_max_age), kDuration}},
      {"queue.repeatsMax", {number(o.queue.repeats_max), kCount}},
      {"downlinks.expiry", {duration(o.downlinks.expiry), kDuration}},
      {"downlinks.maxQueued", {number(o.downlinks.max_queued), kCount}},
      {"downlinks.inFlight", {number(o.downlinks.in_flight), kCount}},
      {"downlinks.urlPerSecond", {number(o.downlinks_per_second), kCount}},
      {"drivers.hosts", {number(o.drivers.fast_hosts), kCount}},
      {"drivers.callLimit", {short_duration(o.drivers.call_limit), "a duration as 500ms or 2s"}},
      {"drivers.memoryLimit", {size(o.drivers.memory_limit), kSize}},
      {"drivers.idle", {duration(o.drivers.idle), kDuration}},
      {"drivers.resultLimit", {size(o.drivers.result_limit), kSize}},
  };
}

std::string place(const YAML::Node& node, const std::string& name) {
  return "line " + std::to_string(node.Mark().line + 1) + ": " + name;
}

// An https URL; http only to this machine.
bool is_issuer_url(const std::string& url) {
  for (const char* start : {"https://", "http://127.0.0.1", "http://localhost", "http://[::1]"}) {
    if (url.starts_with(start) && url.size() > std::string_view(start).size()) return true;
  }
  return false;
}

Result<void> read_texts(const YAML::Node& node, const std::string& name, const char* takes,
                        const std::function<bool(const std::string&)>& good, std::vector<std::string>& into) {
  Error wrong{ErrorKind::bad_config, place(node, name) + ": takes a list of " + takes};
  if (!node.IsSequence()) return wrong;
  into.clear();
  for (const auto& one : node) {
    if (!one.IsScalar() || !good(one.Scalar())) return wrong;
    into.push_back(one.Scalar());
  }
  return {};
}

Result<api::OidcIssuer> read_issuer(const YAML::Node& node) {
  api::OidcIssuer issuer;
  if (!node.IsMap()) return Error{ErrorKind::bad_config, place(node, "access.issuers") + ": takes a list of maps"};
  for (const auto& entry : node) {
    auto name = entry.first.Scalar(), where = place(entry.first, "access.issuers." + name);
    auto value = entry.second.IsScalar() ? entry.second.Scalar() : std::string();
    if (value.empty()) return Error{ErrorKind::bad_config, where + ": takes a text"};
    if (name == "issuer" || name == "jwksUrl") {
      if (!is_issuer_url(value)) return Error{ErrorKind::bad_config, where + ": takes an https URL"};
      (name == "issuer" ? issuer.issuer : issuer.jwks_url) = value;
    } else if (name == "audience") {
      issuer.audience = value;
    } else if (name == "loginClaim") {
      issuer.login_claim = value;
    } else if (name == "caFile") {
      std::ostringstream text;
      std::ifstream file(value, std::ios::binary);
      if (!file || !(text << file.rdbuf())) return Error{ErrorKind::bad_config, where + ": cannot read " + value};
      issuer.ca_pem = text.str();
    } else {
      return Error{ErrorKind::bad_config, where + ": there is no such setting"};
    }
  }
  // Without an audience, a token made for any other service of the issuer would be let in.
  if (issuer.issuer.empty() || issuer.audience.empty())
    return Error{ErrorKind::bad_config, place(node, "access.issuers") + ": needs issuer and audience"};
  return issuer;
}

Result<void> read_access(const YAML::Node& node, api::AuthSettings& auth) {
  if (!node.IsMap()) return Error{ErrorKind::bad_config, place(node, "access") + ": takes a map of settings"};
  for (const auto& entry : node) {
    auto name = "access." + entry.first.Scalar();
    if (name == "access.administrators") {
      auto read = read_texts(
          entry.second, name, "logins", [](const auto& login) { return !login.empty(); }, auth.administrators);
      if (!read) return read;
    } else if (name == "access.trustedProxies") {
      auto read = read_texts(entry.second, name, "addresses or networks as 10.0.0.0/8", api::is_network, auth.proxies);
      if (!read) return read;
    } else if (name == "access.personalAccounts") {
      bool flag = false;
      if (!YAML::convert<bool>::decode(entry.second, flag))
        return Error{ErrorKind::bad_config, place(entry.first, name) + ": takes true or false"};
      auth.personal_accounts = flag;
    } else if (name == "access.issuers") {
      if (!entry.second.IsSequence())
        return Error{ErrorKind::bad_config, place(entry.first, name) + ": takes a list of maps"};
      auth.issuers.clear();
      for (const auto& one : entry.second) {
        auto issuer = read_issuer(one);
        if (!issuer) return issuer.error();
        auth.issuers.push_back(std::move(*issuer));
      }
    } else {
      return Error{ErrorKind::bad_config, place(entry.first, name) + ": there is no such setting"};
    }
  }
  return {};
}

// What connectors declare is known to the registry alone, which checks the names.
Result<void> read_connectors(const YAML::Node& node, std::map<std::string, std::string>& into) {
  if (!node.IsMap()) return Error{ErrorKind::bad_config, place(node, "connectors") + ": takes a map of connectors"};
  for (const auto& connector : node) {
    auto folder = connector.first.Scalar();
    if (!connector.second.IsMap())
      return Error{ErrorKind::bad_config, place(connector.first, "connectors." + folder) + ": takes a map of settings"};
    for (const auto& entry : connector.second) {
      auto name = folder + "." + entry.first.Scalar();
      if (!entry.second.IsScalar())
        return Error{ErrorKind::bad_config, place(entry.first, "connectors." + name) + ": takes a text"};
      into[name] = entry.second.Scalar();
    }
  }
  return {};
}

Result<void> read_map(const YAML::Node& node, const std::string& prefix, const std::map<std::string, Key>& keys) {
  for (const auto& entry : node) {
    auto name = prefix + entry.first.Scalar();
    auto where = "line " + std::to_string(entry.first.Mark().line + 1) + ": " + name;
    if (entry.second.IsMap()) {
      if (auto inner = read_map(entry.second, name + ".", keys); !inner) return inner;
      continue;
    }
    auto key = keys.find(name);
    if (key == keys.end()) return Error{ErrorKind::bad_config, where + ": there is no such setting"};
    if (!entry.second.IsScalar() || !key->second.set(entry.second.Scalar())) {
      return Error{ErrorKind::bad_config, where + ": takes " + key->second.takes};
    }
  }
  return {};
}

}  // namespace

std::optional<std::uint64_t> parse_size(std::string_view text) {
  text = trim(text);
  std::uint64_t n = 0;
  auto end = std::from_chars(text.data(), text.data() + text.size(), n).ptr;
  if (end == text.data()) return std::nullopt;
  auto unit = to_lower(trim(text.substr(static_cast<std::size_t>(end - text.data()))));
  static const std::map<std::string, unsigned> kShifts{{"", 0},     {"b", 0},  {"kib", 10}, {"mib", 20}, {"gib", 30},
                                                       {"tib", 40}, {"k", 10}, {"m", 20},   {"g", 30},   {"t", 40}};
  auto shift = kShifts.find(unit);
  if (shift == kShifts.end() || n > (~0ull >> shift->second)) return std::nullopt;
  return n << shift->second;
}

Result<void> read_config(const std::string& path, ServeOptions& options) {
  try {
    auto root = YAML::LoadFile(path);
    if (root.IsNull()) return {};
    if (!root.IsMap()) return Error{ErrorKind::bad_config, path + ": must hold a map of settings"};
    auto keys = known_keys(options);
    if (auto access = root["access"]) {
      if (auto read = read_access(access, options.auth); !read) return read.error().wrap(path);
      root.remove("access");
    }
    if (auto connectors = root["connectors"]; connectors) {
      if (auto read = read_connectors(connectors, options.connectors); !read) return read.error().wrap(path);
      root.remove("connectors");
    }
    auto read = read_map(root, "", keys);
    if (!read) return read.error().wrap(path);
    return {};
  } catch (const YAML::Exception& e) {
    return Error{ErrorKind::bad_config, path + ": " + e.what()};
  }
}

}  // namespace sluice::app
