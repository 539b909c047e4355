// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"

// AWS Signature Version 4 (docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html). Our own
// code, since libcurl 7.88 normalises paths and queries incompletely. Pure functions and values; the Signer alone keeps
// a key, and is for one thread.
namespace sluice::connector::aws {

struct Credentials {
  std::string access_key_id, secret_access_key;
  std::string session_token;  // empty: none
};

// What of a request is signed.
struct SignedRequest {
  using Pairs = std::vector<std::pair<std::string, std::string>>;
  std::string method = "GET";
  std::string path = "/";   // as it goes over the wire: encoded there, and once more in what is signed
  Pairs query;              // not encoded
  Pairs headers;            // "host" must be among them; any case, any blanks
  std::string body_sha256;  // lower-case hex; empty: of an empty body
  bool normalise = true;    // "/a/./b" as "/a/b": all services but S3
};

// "a=1&b=2" with both sides percent-encoded, in the given order: what goes over the wire.
std::string query_text(const SignedRequest::Pairs& query);

// The text whose hash is signed.
std::string canonical_request(const SignedRequest& request);

class Signer {
 public:
  Signer(Credentials credentials, std::string region, std::string service)
      : credentials_(std::move(credentials)), region_(std::move(region)), service_(std::move(service)) {}

  // The headers to add to the request: X-Amz-Date, X-Amz-Security-Token with a session, Authorization.
  SignedRequest::Pairs sign(SignedRequest request, UnixMillis now);

  enum class Token {
    is_signed,
    // The MQTT gateway (service iotdevicegateway) wants the session's token behind the signature.
    is_added,
  };
  // The query that authenticates a request by its URL, with the request's own in front. `expires_s` 0: not said.
  std::string presign(SignedRequest request, UnixMillis now, unsigned expires_s, Token token);

 private:
  struct Scope {
    std::string time, date, text;  // "20150830T123600Z", "20150830", "20150830/us-east-1/iot/aws4_request"
  };
  [[nodiscard]] Scope scope_at(UnixMillis now) const;
  std::string signature(const Scope& scope, const std::string& canonical);

  Credentials credentials_;
  std::string region_, service_;
  // Holds for a day: deriving it anew for each message would be four of its five HMACs.
  std::string key_, key_date_;
};

}  // namespace sluice::connector::aws
