// SPDX-License-Identifier: Apache-2.0
// Against AWS's own vectors (tests/data/sigv4, from awslabs/aws-c-auth).
#include "connector/aws/sigv4.h"

#include <algorithm>
#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/codec.h"
#include "base/crypto.h"
#include "connector/conformance.h"

namespace sluice::connector::aws {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::parse;
using testing::read_data;

// The plain HTTP of the vectors: a request line, headers of which a value may go on in the next line, a body.
SignedRequest read_request(const std::string& text) {
  SignedRequest out;
  auto end_of_head = text.find("\n\n");
  std::istringstream head(text.substr(0, end_of_head));
  std::string line;
  std::getline(head, line);
  auto first = line.find(' '), last = line.rfind(' ');
  out.method = line.substr(0, first);
  auto target = line.substr(first + 1, last - first - 1);
  auto question = target.find('?');
  out.path = target.substr(0, question);
  std::istringstream query(question == std::string::npos ? "" : target.substr(question + 1));
  for (std::string pair; std::getline(query, pair, '&');) {
    auto equals = std::min(pair.find('='), pair.size());
    out.query.emplace_back(*url_decode(pair.substr(0, equals)),
                           equals < pair.size() ? *url_decode(pair.substr(equals + 1)) : "");
  }
  while (std::getline(head, line)) {
    if (line.starts_with(' ')) {
      out.headers.back().second += "\n" + line;
    } else if (auto colon = line.find(':'); colon != std::string::npos) {
      out.headers.emplace_back(line.substr(0, colon), line.substr(colon + 1));
    }
  }
  if (end_of_head != std::string::npos && end_of_head + 2 < text.size())
    out.body_sha256 = to_hex(sha256(text.substr(end_of_head + 2)));
  return out;
}

struct Case {
  std::string name;
  SignedRequest request;
  Credentials credentials;
  std::string region, service;
  UnixMillis now = 0;
  unsigned expires_s = 0;
  bool signs_body = false, omits_token = false;

  explicit Case(std::string folder) : name(std::move(folder)) {
    auto context = parse(file("context.json"));
    request = read_request(file("request.txt"));
    request.normalise = json::bool_or(context, "normalize", true);
    const auto& keys = context.at("credentials").get_object();
    credentials = {json::text_or(keys, "access_key_id"), json::text_or(keys, "secret_access_key"),
                   json::text_or(keys, "token")};
    region = json::text_or(context, "region");
    service = json::text_or(context, "service");
    now = *parse_time(json::text_or(context, "timestamp"));
    expires_s = static_cast<unsigned>(json::int_or(context, "expiration_in_seconds", 0));
    signs_body = json::bool_or(context, "sign_body", false);
    omits_token = json::bool_or(context, "omit_session_token", false);
  }
  [[nodiscard]] std::string file(const std::string& part) const { return read_data("sigv4/" + name + "/" + part); }
};

std::vector<std::string> cases() {
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(SLUICE_SOURCE_DIR) + "/tests/data/sigv4")) {
    if (entry.is_directory()) out.push_back(entry.path().filename());
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::string content_of(const SignedRequest::Pairs& pairs, std::string_view name) {
  for (const auto& [key, content] : pairs) {
    if (key == name) return content;
  }
  return "";
}

TEST(SigV4, HeadersAsAwsSignsThem) {
  auto names = cases();
  EXPECT_EQ(names.size(), 38u);
  for (const auto& name : names) {
    SCOPED_TRACE(name);
    Case vector(name);
    auto request = vector.request;
    if (vector.signs_body) request.headers.emplace_back("X-Amz-Content-Sha256", request.body_sha256);
    auto credentials = vector.credentials;
    if (vector.omits_token) credentials.session_token.clear();
    Signer signer(credentials, vector.region, vector.service);
    auto added = signer.sign(request, vector.now);
    EXPECT_THAT(content_of(added, "Authorization"), HasSubstr("Signature=" + vector.file("header-signature.txt")));
    EXPECT_EQ(content_of(added, "X-Amz-Security-Token"), credentials.session_token);
    request.headers.emplace_back("X-Amz-Date", content_of(added, "X-Amz-Date"));
    if (!credentials.session_token.empty())
      request.headers.emplace_back("X-Amz-Security-Token", credentials.session_token);
    EXPECT_EQ(canonical_request(request), vector.file("header-canonical-request.txt"));
  }
}

TEST(SigV4, UrlsAsAwsSignsThem) {
  for (const auto& name : cases()) {
    SCOPED_TRACE(name);
    Case vector(name);
    Signer signer(vector.credentials, vector.region, vector.service);
    auto token = vector.omits_token ? Signer::Token::is_added : Signer::Token::is_signed;
    auto query = signer.presign(vector.request, vector.now, vector.expires_s, token);
    EXPECT_THAT(query, HasSubstr("X-Amz-Signature=" + vector.file("query-signature.txt")));
    // The token of the MQTT gateway stands behind the signature.
    if (vector.omits_token) {
      EXPECT_LT(query.find("X-Amz-Signature"), query.find("X-Amz-Security-Token=" + url_encode("AQoDYXdzEPT//")));
    }
  }
}

TEST(SigV4, EncodedSlashesAreEncodedOnceMore) {
  SignedRequest request;
  request.method = "POST";
  request.path = "/topics/tpx%2Fthings%2F20635F0108000496%2Fuplink";
  request.query = {{"qos", "1"}};
  request.headers = {{"host", "x"}};
  EXPECT_THAT(canonical_request(request),
              HasSubstr("POST\n/topics/tpx%252Fthings%252F20635F0108000496%252Fuplink\nqos=1\nhost:x\n"));
}

TEST(SigV4, TheKeyChangesWithTheDay) {
  Credentials credentials{"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", ""};
  SignedRequest request;
  request.headers = {{"host", "x"}};
  auto day = *parse_time("2015-08-30T23:59:59Z"), next = *parse_time("2015-08-31T00:00:00Z");
  Signer kept(credentials, "us-east-1", "iot");
  auto first = kept.sign(request, day);
  auto second = kept.sign(request, next);
  EXPECT_EQ(second, Signer(credentials, "us-east-1", "iot").sign(request, next));
  EXPECT_NE(first, second);
  EXPECT_EQ(kept.sign(request, day), first);
  EXPECT_THAT(content_of(first, "Authorization"), Not(HasSubstr(credentials.secret_access_key)));
}

}  // namespace
}  // namespace sluice::connector::aws
