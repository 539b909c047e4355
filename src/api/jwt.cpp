// SPDX-License-Identifier: Apache-2.0
#include "api/jwt.h"

#include "base/codec.h"
#include "base/crypto.h"
#include "base/json.h"

namespace sluice::api {
namespace {

Result<boost::json::object> part(std::string_view encoded) {
  Error error{ErrorKind::permanent, "the token is not a JSON Web Token", "com-4001"};
  auto text = from_base64(encoded);
  if (!text) return error;
  auto parsed = json::parse(*text, 8);
  if (!parsed || !parsed->is_object()) return error;
  return std::move(parsed->get_object());
}

}  // namespace

std::string sign_jwt(const boost::json::object& claims, std::string_view key) {
  auto text = to_base64url(R"({"alg":"HS256","typ":"JWT"})") + "." + to_base64url(json::write(claims));
  return text + "." + to_base64url(hmac_sha256(key, text));
}

Result<boost::json::object> open_jwt(std::string_view token, std::string_view key) {
  Error error{ErrorKind::permanent, "the token is not valid", "com-4001"};
  auto first = token.find('.');
  auto second = token.find('.', first == std::string_view::npos ? first : first + 1);
  if (second == std::string_view::npos || token.find('.', second + 1) != std::string_view::npos) return error;
  auto header = part(token.substr(0, first));
  if (!header) return header.error();
  if (json::text_or(*header, "alg") != "HS256") return error;
  // Compared in its encoded form: base64 has several spellings of one value, and only ours is good.
  auto expected = to_base64url(hmac_sha256(key, token.substr(0, second)));
  if (!equal_in_constant_time(expected, token.substr(second + 1))) return error;
  return part(token.substr(first + 1, second - first - 1));
}

}  // namespace sluice::api
