// SPDX-License-Identifier: Apache-2.0
#include "connector/aws/sigv4.h"

#include <algorithm>
#include <map>

#include "base/codec.h"
#include "base/crypto.h"

namespace sluice::connector::aws {
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";
constexpr std::string_view kEmptyBody = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

// "/a/./b/../c//d" as "/a/c/d" (RFC 3986 5.2.4, and empty segments away); a '/' at the end stays.
std::string normalised(std::string_view path) {
  std::vector<std::string_view> segments;
  bool ends_in_folder = true;
  for (std::size_t at = 0; at < path.size();) {
    auto end = std::min(path.find('/', at), path.size());
    auto segment = path.substr(at, end - at);
    at = end + 1;
    ends_in_folder = end < path.size() || segment == "." || segment == "..";
    if (segment.empty() || segment == ".") continue;
    if (segment != "..") {
      segments.push_back(segment);
    } else if (!segments.empty()) {
      segments.pop_back();
    }
  }
  std::string out;
  for (auto segment : segments)
    out.append("/").append(segment);
  if (out.empty() || ends_in_folder) out += '/';
  return out;
}

std::string canonical_path(const SignedRequest& request) {
  auto path = request.normalise ? normalised(request.path) : request.path;
  std::string out;
  for (std::size_t at = 0; at <= path.size();) {
    auto end = std::min(path.find('/', at), path.size());
    out += url_encode(std::string_view(path).substr(at, end - at));
    if (end < path.size()) out += '/';
    at = end + 1;
  }
  return out;
}

std::string canonical_query(const SignedRequest& request) {
  SignedRequest::Pairs encoded;
  for (const auto& [name, content] : request.query)
    encoded.emplace_back(url_encode(name), url_encode(content));
  std::sort(encoded.begin(), encoded.end());
  std::string out;
  for (const auto& [name, content] : encoded)
    out.append(out.empty() ? "" : "&").append(name).append("=").append(content);
  return out;
}

// Blanks at the ends away, those within as one.
std::string squeezed(std::string_view text) {
  std::string out;
  for (char c : trim(text)) {
    bool blank = c == ' ' || c == '\t' || c == '\r' || c == '\n';
    if (!blank) {
      out += c;
    } else if (!out.ends_with(' ')) {
      out += ' ';
    }
  }
  return out;
}

// By lower-case name; values of one name joined in their order.
std::map<std::string, std::string> canonical_headers(const SignedRequest& request) {
  std::map<std::string, std::string> out;
  for (const auto& [name, content] : request.headers) {
    auto [place, fresh] = out.try_emplace(to_lower(name));
    if (!fresh) place->second += ',';
    place->second += squeezed(content);
  }
  return out;
}

std::string signed_headers(const SignedRequest& request) {
  std::string out;
  for (const auto& [name, content] : canonical_headers(request))
    out.append(out.empty() ? "" : ";").append(name);
  return out;
}

}  // namespace

std::string query_text(const SignedRequest::Pairs& query) {
  std::string out;
  for (const auto& [name, content] : query)
    out.append(out.empty() ? "" : "&").append(url_encode(name)).append("=").append(url_encode(content));
  return out;
}

std::string canonical_request(const SignedRequest& request) {
  std::string out = request.method + "\n" + canonical_path(request) + "\n" + canonical_query(request) + "\n";
  for (const auto& [name, content] : canonical_headers(request))
    out.append(name).append(":").append(content).append("\n");
  out.append("\n").append(signed_headers(request)).append("\n");
  return out.append(request.body_sha256.empty() ? kEmptyBody : std::string_view(request.body_sha256));
}

Signer::Scope Signer::scope_at(UnixMillis now) const {
  // "2015-08-30T12:36:00.000+00:00"
  auto text = format_time(now);
  Scope scope;
  scope.date = text.substr(0, 4) + text.substr(5, 2) + text.substr(8, 2);
  scope.time = scope.date + "T" + text.substr(11, 2) + text.substr(14, 2) + text.substr(17, 2) + "Z";
  scope.text = scope.date + "/" + region_ + "/" + service_ + "/aws4_request";
  return scope;
}

std::string Signer::signature(const Scope& scope, const std::string& canonical) {
  if (key_date_ != scope.date) {
    key_ = hmac_sha256("AWS4" + credentials_.secret_access_key, scope.date);
    key_ = hmac_sha256(key_, region_);
    key_ = hmac_sha256(key_, service_);
    key_ = hmac_sha256(key_, "aws4_request");
    key_date_ = scope.date;
  }
  std::string text(kAlgorithm);
  text.append("\n").append(scope.time).append("\n").append(scope.text).append("\n");
  text += to_hex(sha256(canonical));
  return to_hex(hmac_sha256(key_, text));
}

SignedRequest::Pairs Signer::sign(SignedRequest request, UnixMillis now) {
  auto scope = scope_at(now);
  SignedRequest::Pairs added{{"X-Amz-Date", scope.time}};
  if (!credentials_.session_token.empty()) added.emplace_back("X-Amz-Security-Token", credentials_.session_token);
  request.headers.insert(request.headers.end(), added.begin(), added.end());
  std::string authorization(kAlgorithm);
  authorization += " Credential=" + credentials_.access_key_id + "/" + scope.text;
  authorization += ", SignedHeaders=" + signed_headers(request);
  authorization += ", Signature=" + signature(scope, canonical_request(request));
  added.emplace_back("Authorization", std::move(authorization));
  return added;
}

std::string Signer::presign(SignedRequest request, UnixMillis now, unsigned expires_s, Token token) {
  auto scope = scope_at(now);
  auto& query = request.query;
  query.emplace_back("X-Amz-Algorithm", kAlgorithm);
  query.emplace_back("X-Amz-Credential", credentials_.access_key_id + "/" + scope.text);
  query.emplace_back("X-Amz-Date", scope.time);
  if (expires_s > 0) query.emplace_back("X-Amz-Expires", std::to_string(expires_s));
  query.emplace_back("X-Amz-SignedHeaders", signed_headers(request));
  std::pair<std::string, std::string> session{"X-Amz-Security-Token", credentials_.session_token};
  bool has_session = !credentials_.session_token.empty();
  if (has_session && token == Token::is_signed) query.push_back(session);
  auto signature_text = signature(scope, canonical_request(request));
  query.emplace_back("X-Amz-Signature", signature_text);
  if (has_session && token == Token::is_added) query.push_back(session);
  return query_text(query);
}

}  // namespace sluice::connector::aws
