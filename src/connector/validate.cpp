// SPDX-License-Identifier: Apache-2.0
#if !defined(__clang__)
// GCC 12 with sanitizers takes std::regex, which valijson uses, for uninitialised; it looks at where the header came
// in.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include <algorithm>
#include <charconv>
#include <set>

#include "base/clock.h"
#include "base/codec.h"
#include "base/json.h"
#include "connector/address.h"
#include "connector/pem.h"
#include "connector/registry.h"
#include "message/pattern.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wpedantic"
// It ends the process otherwise, where a schema or a value is not what it expects.
#define VALIJSON_USE_EXCEPTIONS 1
#include <valijson/adapters/boost_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>
#pragma GCC diagnostic pop

namespace sluice::connector {
namespace {

using boost::json::object;
using boost::json::value;

constexpr std::string_view kRoot = "/configuration";
constexpr std::size_t kLongestName = 64;

// null counts as absent (spec api.md 1.1).
object without_nulls(const object& o) {
  object out;
  for (const auto& [key, item] : o) {
    if (item.is_null()) continue;
    if (item.is_object()) {
      out.emplace(key, without_nulls(item.get_object()));
    } else {
      out.emplace(key, item);
    }
  }
  return out;
}

std::string quoted_list(const boost::json::array& values) {
  std::string out;
  for (const auto& v : values) {
    if (!out.empty()) out += ", ";
    out += v.is_string() ? std::string(v.get_string()) : json::write(v);
  }
  return out;
}

// What would be right, out of the property's own description; never the value that was wrong.
std::string expectation(const object& property) {
  if (auto said = json::text_or(property, "x-expected"); !said.empty()) return "must be " + said;
  if (const auto* options = json::find(property, "enum"); options && options->is_array()) {
    return "must be one of " + quoted_list(options->get_array());
  }
  std::string type = json::text_or(property, "type", "value of another form");
  std::string out =
      "must be " + std::string(type == "integer" || type == "object" || type == "array" ? "an " : "a ") + type;
  const auto* low = json::find(property, "minimum");
  const auto* high = json::find(property, "maximum");
  if (low && high) return out + " from " + json::write(*low) + " to " + json::write(*high);
  if (low) return out + " of at least " + json::write(*low);
  if (high) return out + " of at most " + json::write(*high);
  if (type == "string" && json::int_or(property, "minLength", 0) > 0) out += " that is not empty";
  if (const auto* longest = json::find(property, "maxLength"))
    out += " of at most " + json::write(*longest) + " characters";
  if (auto pattern = json::text_or(property, "pattern"); !pattern.empty()) out += " matching " + pattern;
  return out;
}

// valijson names a place as "<root>", "[name]", "[inner]".
std::vector<std::string> names_of(const std::vector<std::string>& context) {
  std::vector<std::string> names;
  for (std::size_t i = 1; i < context.size(); ++i) {
    const auto& step = context[i];
    names.push_back(step.size() >= 2 && step.front() == '[' ? step.substr(1, step.size() - 2) : step);
  }
  return names;
}

const object* property_at(const object& schema, const std::vector<std::string>& names) {
  const object* at = &schema;
  for (const auto& name : names) {
    const auto* properties = at->if_contains("properties");
    const value* next = properties && properties->is_object() ? properties->get_object().if_contains(name) : nullptr;
    if (!next) next = at->if_contains("additionalProperties");
    if (!next || !next->is_object()) return nullptr;
    at = &next->get_object();
  }
  return at;
}

// The schema without what valijson must not see: it takes a value with a `format` for a text, whatever it is, and our
// formats are looked at by check_format anyway.
value without_formats(const value& schema) {
  if (schema.is_array()) {
    boost::json::array out;
    for (const auto& item : schema.get_array())
      out.push_back(without_formats(item));
    return out;
  }
  if (!schema.is_object()) return schema;
  object out;
  for (const auto& [key, item] : schema.get_object()) {
    if (key == "format" && item.is_string()) continue;
    out.emplace(key, without_formats(item));
  }
  return out;
}

void check_schema(const object& schema, const value& configuration, std::vector<Fault>& faults) {
  valijson::Schema compiled;
  valijson::SchemaParser parser(valijson::SchemaParser::kDraft4);
  parser.populateSchema(valijson::adapters::BoostJsonAdapter(without_formats(schema)), compiled);
  valijson::Validator validator(valijson::Validator::kStrongTypes);
  valijson::ValidationResults results;
  if (validator.validate(compiled, valijson::adapters::BoostJsonAdapter(configuration), &results)) return;
  // Missing properties are told one by one below; of several errors at one place the first tells all.
  std::set<std::string> told;
  for (const auto& error : results) {
    auto names = names_of(error.context);
    if (names.empty()) continue;
    std::string path(kRoot);
    for (const auto& name : names)
      path += "/" + name;
    // An error below an anyOf and its parent's "none fits" are one fault; so is a parent's error about its member.
    if (!told.insert(path).second) continue;
    const auto* property = property_at(schema, names);
    faults.push_back({path, property ? expectation(*property) : error.description});
  }
  std::erase_if(faults, [&](const Fault& fault) {
    return std::any_of(told.begin(), told.end(),
                       [&](const std::string& other) { return other.starts_with(fault.path + "/"); });
  });
}

void check_required(const object& schema, const object& configuration, std::vector<Fault>& faults) {
  const auto* required = json::find(schema, "required");
  if (!required) return;
  for (const auto& name : required->get_array()) {
    if (!json::find(configuration, name.get_string())) {
      faults.push_back({std::string(kRoot) + "/" + std::string(name.get_string()), "is required"});
    }
  }
}

void check_pattern(const std::string& path, const std::string& text, std::vector<Fault>& faults) {
  auto pattern = message::Pattern::parse(text);
  if (!pattern) faults.push_back({path, "is no pattern: " + pattern.error().text});
}

std::string check_url(std::string_view url) {
  for (std::string_view scheme : {"http://", "https://"}) {
    if (url.size() > scheme.size() && equals_ignoring_case(url.substr(0, scheme.size()), scheme)) {
      char first = url[scheme.size()];
      bool blank = std::any_of(url.begin(), url.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; });
      return first == '/' || first == '?' || first == '#' || blank ? "has no host or holds control characters" : "";
    }
  }
  return "must be an absolute URL that starts with http:// or https://";
}

std::string check_pem(const std::string& text, bool key) {
  auto pem = normalise_pem(text);
  if (!pem) return pem.error().text;
  if (pem->empty() || is_placeholder_pem(*pem)) return "";
  auto checked = key ? check_key(*pem) : check_certificates(*pem);
  return checked ? "" : checked.error().text;
}

// Nothing where the value has the form that the property's `format` names.
std::string check_format(std::string_view format, const std::string& text) {
  if (format == "duration-sum") {
    return parse_duration(text) ? "" : "must be a sum of days, hours, minutes and seconds as 72h or 3d12h60m";
  }
  if (format == "host-port") {
    auto address = parse_address(text);
    return address ? "" : address.error().text;
  }
  if (format == "host-port-list") {
    auto addresses = parse_addresses(text);
    return addresses ? "" : addresses.error().text;
  }
  if (format == "http-url") return check_url(text);
  if (format == "proxy-address") {
    return trim(text).empty() || text.find_first_of(" \r\n\t") != std::string::npos ? "must be [scheme://]host[:port]"
                                                                                    : "";
  }
  if (format == "pem-certificates") return check_pem(text, false);
  if (format == "pem-key") return check_pem(text, true);
  return "";
}

void check_value(const object& property, const value& v, const std::string& path, std::vector<Fault>& faults) {
  bool is_pattern = json::bool_or(property, "x-pattern-expression", false);
  if (v.is_string() && !v.get_string().empty()) {
    std::string text(v.get_string());
    if (auto wrong = check_format(json::text_or(property, "format"), text); !wrong.empty())
      faults.push_back({path, wrong});
    if (is_pattern) check_pattern(path, text, faults);
  }
  if (!v.is_object()) return;
  const auto* nested = property.if_contains("properties");
  for (const auto& [key, item] : v.get_object()) {
    std::string below = path + "/" + std::string(key);
    if (const auto* described = nested && nested->is_object() ? nested->get_object().if_contains(key) : nullptr) {
      check_value(described->get_object(), item, below, faults);
    } else if (is_pattern && item.is_string()) {
      check_pattern(below, std::string(item.get_string()), faults);
    }
    if (json::bool_or(property, "x-secret-headers", false) && !is_header_name(key)) {
      faults.push_back({below, "is no HTTP header name"});
    }
  }
}

// Settings that contradict each other (spec promises.md 1.10).
void check_together(const object& schema, const object& configuration, std::vector<Fault>& faults) {
  const auto& properties = schema.at("properties").get_object();
  auto text = [&](const char* name) {
    return properties.contains(name) ? json::text_or(configuration, name) : std::string();
  };
  std::string root(kRoot);
  // Both as someone set them: the default of the one says nothing of what was meant by the other.
  auto validity = parse_duration(json::text_or(configuration, "uplinkTimeValidity"));
  auto strategy = json::text_or(configuration, "reconnectStrategy");
  if (validity && validity->count() > 0 && !strategy.empty()) {
    auto interval = std::chrono::minutes(strategy == "CALM" ? 10 : strategy == "AGGRESSIVE" ? 3 : 5);
    if (*validity < interval) {
      faults.push_back(
          {root + "/uplinkTimeValidity",
           "is shorter than the interval of reconnectStrategy " + strategy + " (" + std::to_string(interval.count()) +
               "m): every message that waits for a reconnection would expire; use a longer one, or leave out "
               "reconnectStrategy"});
    }
  }
  auto certificate = text("certificate"), key = text("privateKey");
  if (text("protocol") == "TCP") {
    for (const char* name : {"certificate", "privateKey"}) {
      if (!text(name).empty())
        faults.push_back({root + "/" + name, "can't be used with protocol TCP; choose SSL or WSS, or leave it out"});
    }
    return;
  }
  if (certificate.empty() != key.empty()) {
    faults.push_back(certificate.empty()
                         ? Fault{root + "/certificate", "is missing: privateKey is of no use without it"}
                         : Fault{root + "/privateKey", "is missing: certificate needs its private key"});
  } else if (!certificate.empty()) {
    auto certificate_pem = normalise_pem(certificate), key_pem = normalise_pem(key);
    bool real = certificate_pem && key_pem && !is_placeholder_pem(*certificate_pem) && !is_placeholder_pem(*key_pem);
    if (real && check_certificates(*certificate_pem) && check_key(*key_pem)) {
      auto fits = check_key_fits(*certificate_pem, *key_pem);
      if (!fits) faults.push_back({root + "/privateKey", fits.error().text});
    }
  }
}

std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j)
    row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

}  // namespace

std::vector<Fault> validate(const Descriptor& connector, const object& configuration, std::string_view brand) {
  const auto& schema = *connector.schema_for(brand);
  std::vector<Fault> faults;
  object given = without_nulls(configuration);
  check_schema(schema, value(given), faults);
  check_required(schema, given, faults);
  const auto& properties = schema.at("properties").get_object();
  for (const auto& [key, item] : given) {
    std::string path = std::string(kRoot) + "/" + std::string(key);
    bool known_bad = std::any_of(faults.begin(), faults.end(), [&](const Fault& fault) { return fault.path == path; });
    const auto* property = properties.if_contains(key);
    if (property && !known_bad) check_value(property->get_object(), item, path, faults);
  }
  check_together(schema, given, faults);
  return faults;
}

std::vector<std::pair<std::string, std::string>> unknown_keys(const Descriptor& connector,
                                                              const object& configuration) {
  std::vector<std::pair<std::string, std::string>> out;
  const auto& properties = connector.schema->at("properties").get_object();
  for (const auto& [key, item] : configuration) {
    if (properties.contains(key)) continue;
    std::string lower = to_lower(key.substr(0, kLongestName)), nearest;
    // More than a third of the letters differing is another word, not a slip; nor is what is longer than any name.
    std::size_t best = key.size() <= kLongestName ? key.size() / 3 + 1 : 0;
    for (const auto& [known, property] : properties) {
      if (best == 0) break;
      auto d = distance(lower, to_lower(known));
      if (d < best) {
        best = d;
        nearest = known;
      }
    }
    out.emplace_back(std::string(key), nearest);
  }
  return out;
}

}  // namespace sluice::connector
