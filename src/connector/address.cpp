// SPDX-License-Identifier: Apache-2.0
#include "connector/address.h"

#include <algorithm>
#include <charconv>

#include "base/codec.h"

namespace sluice::connector {
namespace {

Error bad(std::string text) {
  return {ErrorKind::bad_config, std::move(text), "com-4000"};
}

Result<std::uint16_t> parse_port(std::string_view text) {
  unsigned port = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (ec != std::errc() || end != text.data() + text.size() || port == 0 || port > 65535) {
    return bad("the port must be a number from 1 to 65535");
  }
  return static_cast<std::uint16_t>(port);
}

}  // namespace

Result<Address> parse_address(std::string_view text) {
  if (text.find("://") != std::string_view::npos) return bad("must be host or host:port, without a scheme in front");
  bool blank =
      std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f; });
  if (text.empty() || blank) return bad("must be host or host:port, without blanks");
  Address out;
  if (auto slash = text.find('/'); slash != std::string_view::npos) {
    out.path = text.substr(slash);
    text = text.substr(0, slash);
  }
  std::string_view rest;
  if (text.starts_with('[')) {
    auto close = text.find(']');
    if (close == std::string_view::npos) return bad("the '[' of an IPv6 address is not closed");
    out.host = text.substr(1, close - 1);
    rest = text.substr(close + 1);
  } else {
    auto colon = text.find(':');
    if (colon != std::string_view::npos && text.find(':', colon + 1) != std::string_view::npos) {
      return bad("must be host or host:port; put an IPv6 address in brackets");
    }
    out.host = text.substr(0, colon);
    rest = colon == std::string_view::npos ? std::string_view() : text.substr(colon);
  }
  if (out.host.empty() || out.host.find('@') != std::string::npos) return bad("must be host or host:port");
  if (out.host == "http" || out.host == "https") return bad("must be host or host:port, without a scheme in front");
  if (rest.empty()) return out;
  if (rest.front() != ':') return bad("must be host or host:port");
  auto port = parse_port(rest.substr(1));
  if (!port) return port.error();
  out.port = *port;
  return out;
}

Result<std::vector<Address>> parse_addresses(std::string_view text) {
  std::vector<Address> out;
  while (true) {
    auto comma = text.find(',');
    auto one = trim(text.substr(0, comma));
    if (one.empty()) return bad("must be host:port, several separated by commas; one of them is empty");
    auto address = parse_address(one);
    if (!address) return address.error().wrap("'" + std::string(one) + "'");
    if (!address->path.empty()) return bad("'" + std::string(one) + "': must be host or host:port, without a path");
    out.push_back(std::move(*address));
    if (comma == std::string_view::npos) return out;
    text = text.substr(comma + 1);
  }
}

bool is_header_name(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    return letter || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

}  // namespace sluice::connector
