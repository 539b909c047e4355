// SPDX-License-Identifier: Apache-2.0
#include "api/address.h"

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <charconv>
#include <optional>

#include "base/codec.h"

namespace sluice::api {
namespace {

namespace ip = boost::asio::ip;

// IPv4 as IPv4, also where it comes mapped into IPv6.
std::optional<ip::address> parse(std::string_view text) {
  boost::system::error_code failed;
  auto address = ip::make_address(std::string(text), failed);
  if (failed) return {};
  if (address.is_v6() && address.to_v6().is_v4_mapped()) return ip::make_address_v4(ip::v4_mapped, address.to_v6());
  return address;
}

template <class Bytes>
bool same_start(const Bytes& a, const Bytes& b, unsigned bits) {
  for (std::size_t i = 0; i < a.size() && bits > 0; ++i) {
    unsigned taken = std::min(bits, 8u);
    auto mask = static_cast<unsigned char>(0xff << (8 - taken));
    if (((a[i] ^ b[i]) & mask) != 0) return false;
    bits -= taken;
  }
  return true;
}

struct Network {
  ip::address start;
  unsigned bits = 0;

  [[nodiscard]] bool holds(const ip::address& address) const {
    if (address.is_v4() != start.is_v4()) return false;
    return start.is_v4() ? same_start(address.to_v4().to_bytes(), start.to_v4().to_bytes(), bits)
                         : same_start(address.to_v6().to_bytes(), start.to_v6().to_bytes(), bits);
  }
};

std::optional<Network> parse_network(std::string_view text) {
  auto slash = text.find('/');
  auto start = parse(text.substr(0, slash));
  if (!start) return {};
  Network network{*start, start->is_v4() ? 32u : 128u};
  if (slash == std::string_view::npos) return network;
  unsigned bits = 0;
  const char* end = text.data() + text.size();
  auto read = std::from_chars(text.data() + slash + 1, end, bits);
  if (read.ec != std::errc() || read.ptr != end || bits > network.bits) return {};
  network.bits = bits;
  return network;
}

}  // namespace

bool is_network(std::string_view text) {
  return parse_network(text).has_value();
}

std::string client_address(const Request& request, const std::vector<std::string>& proxies) {
  auto is_proxy = [&](const ip::address& address) {
    return std::any_of(proxies.begin(), proxies.end(), [&](const auto& text) {
      auto network = parse_network(text);
      return network && network->holds(address);
    });
  };
  auto peer = parse(request.peer);
  if (proxies.empty() || !peer || !is_proxy(*peer)) return request.peer;
  // From the right: each proxy adds whom it was called by; left of the first foreign one anything may stand.
  std::string_view chain = request.header("x-forwarded-for");
  std::string last = request.peer;
  while (!chain.empty()) {
    auto comma = chain.rfind(',');
    auto one = parse(trim(comma == std::string_view::npos ? chain : chain.substr(comma + 1)));
    if (!one) break;
    last = one->to_string();
    if (!is_proxy(*one) || comma == std::string_view::npos) break;
    chain = chain.substr(0, comma);
  }
  return last;
}

std::string limit_key(const std::string& address) {
  auto parsed = parse(address);
  if (!parsed) return address;
  if (parsed->is_v4()) return parsed->to_string();
  auto bytes = parsed->to_v6().to_bytes();
  std::fill(bytes.begin() + 8, bytes.end(), static_cast<unsigned char>(0));
  return ip::address_v6(bytes).to_string() + "/64";
}

}  // namespace sluice::api
