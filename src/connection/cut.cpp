// SPDX-License-Identifier: Apache-2.0
#include "connection/cut.h"

#include <algorithm>
#include <boost/json/value.hpp>

#include "message/json_scan.h"

namespace sluice::connection {
namespace {

constexpr std::size_t kShortest = 4;
constexpr std::size_t kShortestPart = 8;
constexpr std::string_view kMask = "*****";

void collect(const boost::json::value& value, std::vector<std::string>& out) {
  if (value.is_string()) {
    std::string text(value.get_string());
    for (std::size_t at = 0; text.find(' ') != std::string::npos && at < text.size();) {
      auto end = std::min(text.find(' ', at), text.size());
      if (end - at >= kShortestPart) out.push_back(text.substr(at, end - at));
      at = end + 1;
    }
    if (text.size() >= kShortest) out.push_back(std::move(text));
  } else if (value.is_array()) {
    for (const auto& item : value.get_array())
      collect(item, out);
  } else if (value.is_object()) {
    for (const auto& member : value.get_object())
      collect(member.value(), out);
  }
}

}  // namespace

std::vector<std::string> texts_of_secrets(const boost::json::object& secrets) {
  std::vector<std::string> out;
  for (const auto& member : secrets)
    collect(member.value(), out);
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.size() > b.size(); });
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

std::string cut_secrets(std::string_view text, const std::vector<std::string>& secrets) {
  std::string out(text);
  for (const auto& secret : secrets) {
    for (std::size_t at = 0; (at = out.find(secret, at)) != std::string::npos; at += kMask.size())
      out.replace(at, secret.size(), kMask);
  }
  return out;
}

std::string clean_text(std::string_view text) {
  std::string out(text);
  for (auto& c : out) {
    auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 && c != '\n' && c != '\r' && c != '\t') c = '?';
  }
  if (message::scan::valid_utf8(out)) return out;
  for (std::size_t i = 0; i < out.size();) {
    auto byte = static_cast<unsigned char>(out[i]);
    std::size_t length = byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    if (i + length <= out.size() && message::scan::valid_utf8(std::string_view(out).substr(i, length))) {
      i += length;
    } else {
      out[i++] = '?';
    }
  }
  return out;
}

}  // namespace sluice::connection
