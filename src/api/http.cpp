// SPDX-License-Identifier: Apache-2.0
#include "api/http.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>

#include "base/codec.h"
#include "base/crypto.h"

namespace sluice::api {
namespace {

struct CodeStatus {
  std::string_view code;
  int status;
};

// Driver failures by hand are 400: the input is at fault as a rule (spec api.md 8).
constexpr std::array<CodeStatus, 14> kCodes = {{{"com-4000", 400},
                                                {"com-4001", 401},
                                                {"com-4003", 403},
                                                {"com-4004", 404},
                                                {"com-4005", 405},
                                                {"com-4006", 406},
                                                {"com-4009", 409},
                                                {"com-4012", 412},
                                                {"com-4013", 413},
                                                {"com-4015", 415},
                                                {"com-4029", 429},
                                                {"com-5002", 400},
                                                {"com-5003", 503},
                                                {"com-5004", 400}}};

const char* code_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::permanent:
      return "com-4000";
    case ErrorKind::transient:
    case ErrorKind::not_connected:
    case ErrorKind::cancelled:
      return "com-5003";
    case ErrorKind::bad_config:
    case ErrorKind::bug:
      break;
  }
  return "com-5000";
}

constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

}  // namespace

std::string_view Request::header(std::string_view lower_case_name) const {
  for (const auto& [name, value] : headers) {
    if (name == lower_case_name) return value;
  }
  return {};
}

std::optional<std::string> Request::parameter(std::string_view name) const {
  auto decoded = [](std::string_view text) { return url_decode(text, true).value_or(std::string(text)); };
  for (std::string_view rest = query; !rest.empty();) {
    auto part = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    auto equals = part.find('=');
    if (decoded(part.substr(0, equals)) != name) continue;
    return decoded(equals == std::string_view::npos ? std::string_view() : part.substr(equals + 1));
  }
  return {};
}

int status_of(std::string_view code) {
  for (const auto& entry : kCodes) {
    if (entry.code == code) return entry.status;
  }
  return 500;
}

Response answer(const boost::json::value& body, int status) {
  return {.status = status, .body = json::write(body)};
}

Response no_content() {
  return {.status = 204, .content_type = ""};
}

Response fail(std::string code, std::string message, boost::json::object data) {
  Response response{.status = status_of(code)};
  if (response.status == 503) response.with("Retry-After", "5");
  response.problem = Problem{.code = std::move(code), .message = std::move(message), .data = std::move(data)};
  return response;
}

Response fail(const Error& error) {
  auto response = fail(error.code.empty() ? code_of(error.kind) : error.code, error.text);
  return response;
}

Response fail(const std::vector<FieldFault>& faults) {
  boost::json::array errors;
  std::string text;
  for (const auto& fault : faults) {
    if (errors.size() == kMaxFaults) {
      text += "; and more";
      break;
    }
    if (!text.empty()) text += "; ";
    text += (fault.path.empty() ? "" : fault.path + ": ") + fault.message;
    errors.push_back(boost::json::object{{"path", fault.path}, {"message", fault.message}});
  }
  return fail("com-4000", std::move(text), {{"errors", std::move(errors)}});
}

std::string content_tag(std::string_view text) {
  return '"' + to_hex(sha256(text)).substr(0, 24) + '"';
}

bool names_tag(std::string_view header, std::string_view tag, bool weak, bool version_only) {
  auto version = [](std::string_view text) { return text.substr(0, text.find('-')); };
  while (!header.empty()) {
    auto part = std::string_view(header.substr(0, header.find(',')));
    header.remove_prefix(std::min(header.size(), part.size() + 1));
    auto one = std::string(trim(part));
    if (one == "*") return true;
    if (weak && one.starts_with("W/")) one.erase(0, 2);
    if (one == tag) return true;
    bool quoted = one.size() > 2 && one.front() == '"' && one.back() == '"' && one.find('-') != std::string::npos;
    if (version_only && quoted && version(one) == version(tag)) return true;
  }
  return false;
}

std::string http_date(UnixMillis time) {
  std::time_t seconds = time / 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%s, %02d %s %04d %02d:%02d:%02d GMT", kDays[parts.tm_wday % 7], parts.tm_mday,
                kMonths[parts.tm_mon % 12], parts.tm_year + 1900, parts.tm_hour, parts.tm_min, parts.tm_sec);
  return buffer;
}

std::optional<UnixMillis> parse_http_date(std::string_view text) {
  std::tm parts{};
  std::string copy(text);
  char month[4] = {};
  int used = 0;
  if (std::sscanf(copy.c_str(), "%*3s, %2d %3s %4d %2d:%2d:%2d GMT%n", &parts.tm_mday, month, &parts.tm_year,
                  &parts.tm_hour, &parts.tm_min, &parts.tm_sec, &used) != 6 ||
      used != static_cast<int>(copy.size())) {
    return {};
  }
  parts.tm_mon = -1;
  for (int i = 0; i < 12; ++i) {
    if (std::string_view(month) == kMonths[i]) parts.tm_mon = i;
  }
  if (parts.tm_mon < 0) return {};
  parts.tm_year -= 1900;
  return static_cast<UnixMillis>(timegm(&parts)) * 1000;
}

std::optional<std::vector<std::pair<std::string, std::string>>> parse_form(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> all;
  while (!text.empty()) {
    auto part = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    if (part.empty()) continue;
    auto equals = part.find('=');
    auto name = url_decode(part.substr(0, equals), true);
    auto value = url_decode(equals == std::string_view::npos ? std::string_view() : part.substr(equals + 1), true);
    if (!name || !value) return {};
    all.emplace_back(std::move(*name), std::move(*value));
  }
  return all;
}

}  // namespace sluice::api
