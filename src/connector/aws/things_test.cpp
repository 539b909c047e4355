// SPDX-License-Identifier: Apache-2.0
#include "connector/aws/things.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mutex>
#include <set>

#include "base/codec.h"
#include "base/crypto.h"
#include "base/testing/http_peer.h"
#include "connector/conformance.h"

namespace sluice::connector::aws {
namespace {

using sluice::testing::HttpPeer;
using ::testing::ElementsAre;
using testing::FakeHost;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::read_data;

constexpr const char* kDevice = "20635F0108000496";
constexpr const char* kArn = "arn:aws:iot:eu-central-1:123456789012:cert/0a1b2c";

// A clock that a test turns.
struct TurnedClock : Clock {
  [[nodiscard]] UnixMillis now() const override { return system_clock().now(); }
  [[nodiscard]] std::chrono::steady_clock::time_point steady() const override { return time; }
  std::chrono::steady_clock::time_point time = std::chrono::steady_clock::now();
};

struct TurnedHost : FakeHost {
  Clock& clock() override { return turned; }
  TurnedClock turned;
};

// A registry in memory that can be told to refuse.
class Registry {
 public:
  using Refuse = std::function<HttpPeer::Reply(const std::string& call)>;

  Registry()
      : peer_([this](const HttpPeer::Request& request) { return answer(request); }, read_data("tls/server.crt"),
              read_data("tls/server.key")) {}

  [[nodiscard]] ThingsOptions options() const {
    ThingsOptions out;
    out.registry = {"localhost", peer_.port()};
    out.region = "eu-central-1";
    out.credentials = {"AKIDEXAMPLE", "s3cr3t", ""};
    out.thing_type = "sensor";
    out.certificate_arn = kArn;
    out.base.ca_pem = read_data("tls/ca.crt");
    return out;
  }

  // "GET /things/X": an answer of its own for that call; empty bytes: as usual.
  void refuse(Refuse refuse) {
    std::lock_guard lock(mutex_);
    refuse_ = std::move(refuse);
  }
  void put(const std::string& name, const std::string& type = "sensor") {
    std::lock_guard lock(mutex_);
    things_[name] = type;
  }
  void remove(const std::string& name) {
    std::lock_guard lock(mutex_);
    things_.erase(name);
    attached_.erase(name);
  }
  std::vector<std::string> take_calls() {
    std::lock_guard lock(mutex_);
    return std::exchange(calls_, {});
  }
  std::set<std::string> attached() {
    std::lock_guard lock(mutex_);
    return attached_;
  }
  int most_at_once() const { return peer_.connections(); }

  static HttpPeer::Reply error(int status, const std::string& type, const std::string& headers = "") {
    return HttpPeer::answer(status, R"({"message":"no"})", "x-amzn-ErrorType: " + type + "\r\n" + headers);
  }

 private:
  HttpPeer::Reply answer(const HttpPeer::Request& request) {
    std::lock_guard lock(mutex_);
    auto target = std::string(request.target());
    auto call = std::string(request.method_string()) + " " + target;
    calls_.push_back(call);
    if (refuse_) {
      auto reply = refuse_(call);
      if (!reply.bytes.empty() || reply.silent || reply.close) return reply;
    }
    if (!is_signed(request)) return error(403, "InvalidSignatureException");
    if (target.starts_with("/things?")) return page(target);
    if (target == "/thing-types/sensor") {
      if (std::exchange(has_type_, true)) return error(409, "ResourceAlreadyExistsException");
      return HttpPeer::answer(200, "{}");
    }
    auto name = target.substr(sizeof("/things/") - 1);
    if (auto slash = name.find('/'); slash != std::string::npos) {
      name.resize(slash);
      if (!things_.contains(name) || request["x-amzn-principal"] != kArn)
        return error(404, "ResourceNotFoundException");
      attached_.insert(name);
      return HttpPeer::answer(200, "{}");
    }
    if (request.method_string() == "GET")
      return things_.contains(name) ? HttpPeer::answer(200, "{}") : error(404, "ResourceNotFoundException");
    if (!has_type_) return error(404, "ResourceNotFoundException");
    if (things_.contains(name) && things_[name] != "sensor") return error(409, "ResourceAlreadyExistsException");
    things_[name] = json::text_or(testing::parse(request.body()), "thingTypeName");
    return HttpPeer::answer(200, "{}");
  }

  // Verified with a signer of its own over what arrived.
  static bool is_signed(const HttpPeer::Request& request) {
    SignedRequest seen;
    seen.method = request.method_string();
    auto target = std::string(request.target());
    auto question = target.find('?');
    seen.path = target.substr(0, question);
    std::istringstream query(question == std::string::npos ? "" : target.substr(question + 1));
    for (std::string pair; std::getline(query, pair, '&');) {
      auto equals = pair.find('=');
      seen.query.emplace_back(*url_decode(pair.substr(0, equals)), *url_decode(pair.substr(equals + 1)));
    }
    seen.headers.emplace_back("Host", request["host"]);
    if (!request["x-amzn-principal"].empty())
      seen.headers.emplace_back("x-amzn-principal", request["x-amzn-principal"]);
    if (!request.body().empty()) seen.body_sha256 = to_hex(sha256(request.body()));
    auto date = std::string(request["x-amz-date"]);
    auto time = date.substr(0, 4) + "-" + date.substr(4, 2) + "-" + date.substr(6, 5) + ":" + date.substr(11, 2) + ":" +
                date.substr(13);
    auto added = Signer({"AKIDEXAMPLE", "s3cr3t", ""}, "eu-central-1", "iot").sign(seen, *parse_time(time));
    return added.back().second == request["authorization"];
  }

  // Two things a page.
  HttpPeer::Reply page(const std::string& target) {
    auto token = target.find("nextToken=");
    auto from = token == std::string::npos ? things_.begin() : things_.lower_bound(target.substr(token + 10));
    std::string names, next;
    int count = 0;
    for (auto at = from; at != things_.end(); ++at) {
      if (count++ == 2) {
        next = at->first;
        break;
      }
      names += std::string(names.empty() ? "" : ",") + R"({"thingName":")" + at->first + R"("})";
    }
    return HttpPeer::answer(
        200, R"({"things":[)" + names + "]" + (next.empty() ? "" : R"(,"nextToken":")" + next + "\"") + "}");
  }

  std::mutex mutex_;
  Refuse refuse_;
  std::map<std::string, std::string> things_;
  std::set<std::string> attached_;
  std::vector<std::string> calls_;
  bool has_type_ = false;
  HttpPeer peer_;
};

Result<void> ensured(FakeHost& host, Things& things, const std::string& name = kDevice) {
  std::optional<Result<void>> result;
  things.ensure(name, [&](Result<void> verdict) { result = std::move(verdict); });
  EXPECT_TRUE(host.wait([&] { return result.has_value(); }));
  return result.value_or(Error{ErrorKind::bug, "no verdict"});
}

TEST(Things, AreMadeInOrderAndOnce) {
  Registry registry;
  FakeHost host;
  Things things(host, host.kept(), registry.options());
  EXPECT_FALSE(things.is_ready(kDevice));
  ASSERT_TRUE(ensured(host, things));
  EXPECT_THAT(registry.take_calls(),
              ElementsAre("GET /things/20635F0108000496", "POST /thing-types/sensor", "POST /things/20635F0108000496",
                          "PUT /things/20635F0108000496/principals"));
  EXPECT_TRUE(things.is_ready(kDevice));
  ASSERT_TRUE(ensured(host, things));
  EXPECT_THAT(registry.take_calls(), IsEmpty());
  // The type is made once.
  ASSERT_TRUE(ensured(host, things, "20635F0108000497"));
  EXPECT_THAT(registry.take_calls(), ElementsAre("GET /things/20635F0108000497", "POST /things/20635F0108000497",
                                                 "PUT /things/20635F0108000497/principals"));
  EXPECT_THAT(host.notices, IsEmpty());
}

TEST(Things, OfOthersAreAdopted) {
  Registry registry;
  registry.put(kDevice, "other");
  FakeHost host;
  Things things(host, host.kept(), registry.options());
  ASSERT_TRUE(ensured(host, things));
  EXPECT_THAT(registry.take_calls(),
              ElementsAre("GET /things/20635F0108000496", "PUT /things/20635F0108000496/principals"));
  // Made by somebody else between our question and our request.
  registry.refuse([](const std::string& call) {
    return call == "GET /things/20635F0108000498" ? Registry::error(404, "ResourceNotFoundException")
                                                  : HttpPeer::Reply{};
  });
  registry.put("20635F0108000498", "other");
  ASSERT_TRUE(ensured(host, things, "20635F0108000498"));
  EXPECT_THAT(registry.attached(), ElementsAre("20635F0108000496", "20635F0108000498"));
  EXPECT_THAT(host.notices, IsEmpty());
}

TEST(Things, WithoutACertificateNothingIsAttached) {
  Registry registry;
  FakeHost host;
  auto options = registry.options();
  options.certificate_arn.clear();
  Things things(host, host.kept(), options);
  ASSERT_TRUE(ensured(host, things));
  EXPECT_THAT(registry.attached(), IsEmpty());
}

TEST(Things, AreListedAtOpeningAndKeptOverReopenings) {
  Registry registry;
  for (const char* name : {"A1", "A2", "A3", "A4", "A5"})
    registry.put(name);
  FakeHost host;
  auto options = registry.options();
  options.certificate_arn.clear();
  {
    Things things(host, host.kept(), options);
    ASSERT_TRUE(host.run(things.begin(std::chrono::seconds(5))));
    ASSERT_TRUE(host.wait([&] { return things.is_ready("A5"); }));
    EXPECT_TRUE(things.is_ready("A1"));
    EXPECT_EQ(registry.take_calls().size(), 3u);
  }
  Things again(host, host.kept(), options);
  ASSERT_TRUE(host.run(again.begin(std::chrono::seconds(5))));
  EXPECT_TRUE(again.is_ready("A3"));
  EXPECT_THAT(registry.take_calls(), IsEmpty());
}

TEST(Things, ThatWereListedAreAttachedOnce) {
  Registry registry;
  registry.put(kDevice);
  FakeHost host;
  Things things(host, host.kept(), registry.options());
  ASSERT_TRUE(host.run(things.begin(std::chrono::seconds(5))));
  EXPECT_FALSE(things.is_ready(kDevice));
  registry.take_calls();
  ASSERT_TRUE(ensured(host, things));
  ASSERT_TRUE(ensured(host, things));
  EXPECT_THAT(registry.take_calls(), ElementsAre("PUT /things/20635F0108000496/principals"));
  // Deleted between the list and its first message.
  host.kept().reset();
  Things later(host, host.kept(), registry.options());
  ASSERT_TRUE(host.run(later.begin(std::chrono::seconds(5))));
  registry.remove(kDevice);
  ASSERT_TRUE(ensured(host, later));
  EXPECT_THAT(registry.attached(), ElementsAre(kDevice));
  EXPECT_THAT(host.notices, IsEmpty());
}

TEST(Things, WhatWasDeletedIsMadeAnew) {
  Registry registry;
  TurnedHost host;
  auto options = registry.options();
  options.max_age = std::chrono::minutes(10);
  Things things(host, host.kept(), options);
  ASSERT_TRUE(ensured(host, things));
  registry.take_calls();
  host.turned.time += std::chrono::minutes(11);
  EXPECT_FALSE(things.is_ready(kDevice));
  // Still there: looked at, nothing else.
  ASSERT_TRUE(ensured(host, things));
  EXPECT_THAT(registry.take_calls(), ElementsAre("GET /things/20635F0108000496"));
  registry.remove(kDevice);
  host.turned.time += std::chrono::minutes(11);
  ASSERT_TRUE(ensured(host, things));
  EXPECT_THAT(registry.take_calls(), ElementsAre("GET /things/20635F0108000496", "POST /things/20635F0108000496",
                                                 "PUT /things/20635F0108000496/principals"));
}

TEST(Things, ThatMayNotBeMadeAreTheMessagesFault) {
  Registry registry;
  TurnedHost host;
  auto options = registry.options();
  options.creates = false;
  Things things(host, host.kept(), options);
  auto refused = ensured(host, things);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::permanent);
  ASSERT_EQ(host.notices.size(), 1u);
  EXPECT_EQ(host.notices[0].kind, Notice::Kind::device_unknown);
  EXPECT_EQ(host.notices[0].dev_eui, kDevice);
  // Known for a minute: neither asked nor told again.
  ASSERT_FALSE(ensured(host, things));
  EXPECT_THAT(registry.take_calls(), ElementsAre("GET /things/20635F0108000496"));
  EXPECT_EQ(host.notices.size(), 1u);
  registry.put(kDevice);
  host.turned.time += std::chrono::seconds(61);
  EXPECT_TRUE(ensured(host, things));
  EXPECT_THAT(registry.attached(), IsEmpty());
}

TEST(Things, AThrottledRegistryHoldsUpForAWhile) {
  Registry registry;
  TurnedHost host;
  Things things(host, host.kept(), registry.options());
  for (const auto& reply : {Registry::error(429, "ThrottlingException", "Retry-After: 7\r\n"),
                            Registry::error(400, "ThrottlingException"), Registry::error(503, "")}) {
    registry.refuse([reply](const std::string&) { return reply; });
    auto refused = ensured(host, things);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, ErrorKind::transient);
    ASSERT_TRUE(refused.error().wait);
    EXPECT_GE(refused.error().wait->count(), 400);
    EXPECT_EQ(registry.take_calls().size(), 1u);
    // Meanwhile nobody else asks.
    EXPECT_FALSE(ensured(host, things, "20635F0108000497"));
    EXPECT_THAT(registry.take_calls(), IsEmpty());
    host.turned.time += std::chrono::minutes(2);
  }
  registry.refuse(nullptr);
  EXPECT_TRUE(ensured(host, things));
  EXPECT_THAT(host.notices, IsEmpty());
}

TEST(Things, ARegistryThatRefusesUsHoldsUpNothing) {
  Registry registry;
  TurnedHost host;
  Things things(host, host.kept(), registry.options());
  registry.refuse([](const std::string& call) {
    return call.starts_with("POST /things/") ? Registry::error(403, "AccessDeniedException") : HttpPeer::Reply{};
  });
  ASSERT_TRUE(ensured(host, things));
  ASSERT_EQ(host.notices.size(), 1u);
  EXPECT_EQ(host.notices[0].kind, Notice::Kind::device_failed);
  EXPECT_EQ(host.notices[0].dev_eui, kDevice);
  EXPECT_THAT(host.notices[0].text, HasSubstr("creating the thing 20635F0108000496: AWS answered 403 "
                                              "(AccessDeniedException): give the access key the right to do so"));
  EXPECT_TRUE(things.is_ready(kDevice));
  // Not for ever.
  registry.refuse(nullptr);
  registry.take_calls();
  host.turned.time += std::chrono::minutes(11);
  ASSERT_TRUE(ensured(host, things));
  EXPECT_THAT(registry.attached(), ElementsAre(kDevice));
}

TEST(Things, CanBeMadeWithoutTheRightToLook) {
  Registry registry;
  FakeHost host;
  Things things(host, host.kept(), registry.options());
  registry.refuse([](const std::string& call) {
    bool is_look = call.starts_with("GET") || call.starts_with("POST /thing-types");
    return is_look && call != "POST /thing-types/sensor" ? Registry::error(403, "AccessDeniedException")
                                                         : HttpPeer::Reply{};
  });
  ASSERT_TRUE(host.run(things.begin(std::chrono::seconds(5))));
  ASSERT_TRUE(ensured(host, things));
  EXPECT_THAT(registry.attached(), ElementsAre(kDevice));
  EXPECT_THAT(host.notices, IsEmpty());
}

TEST(Things, ARegistryThatCannotBeReachedHoldsUpNothing) {
  TurnedHost host;
  ThingsOptions options;
  {
    Registry gone;
    options = gone.options();
  }
  Things things(host, host.kept(), options);
  ASSERT_TRUE(host.run(things.begin(std::chrono::seconds(5))));
  ASSERT_TRUE(ensured(host, things));
  ASSERT_TRUE(ensured(host, things, "20635F0108000497"));
  ASSERT_EQ(host.notices.size(), 1u);
  EXPECT_THAT(host.notices[0].text, HasSubstr("The device registry can't be used"));
  EXPECT_THAT(host.notices[0].text, Not(HasSubstr("s3cr3t")));
  EXPECT_FALSE(things.is_ready(kDevice));
}

TEST(Things, AWrongAccessKeyShowsAtOpening) {
  Registry registry;
  FakeHost host;
  auto options = registry.options();
  options.credentials.secret_access_key = "wr0ng";
  Things things(host, host.kept(), options);
  auto begun = host.run(things.begin(std::chrono::seconds(5)));
  ASSERT_FALSE(begun);
  EXPECT_EQ(begun.error().kind, ErrorKind::bad_config);
  EXPECT_THAT(begun.error().text, HasSubstr("does not accept the access key: AWS answered 403"));
  EXPECT_THAT(begun.error().text, Not(HasSubstr("wr0ng")));
}

TEST(Things, AreAskedForFewAtOnce) {
  Registry registry;
  FakeHost host;
  Things things(host, host.kept(), registry.options());
  int done = 0;
  for (int i = 0; i < 60; ++i) {
    things.ensure("20635F01080004" + std::to_string(10 + i), [&](Result<void> verdict) {
      EXPECT_TRUE(verdict);
      ++done;
    });
  }
  ASSERT_TRUE(host.wait([&] { return done == 60; }));
  EXPECT_LE(registry.most_at_once(), 8);
  EXPECT_EQ(registry.attached().size(), 60u);
}

TEST(Things, StoppingSettlesAll) {
  Registry registry;
  registry.refuse([](const std::string&) { return HttpPeer::Reply{"", false, true}; });
  std::vector<ErrorKind> kinds;
  {
    FakeHost host;
    Things things(host, host.kept(), registry.options());
    auto note = [&](const Result<void>& verdict) { kinds.push_back(verdict.error().kind); };
    things.ensure("A1", note);
    things.ensure("A1", note);
    things.ensure("A2", note);
    host.io.poll();
    things.ensure("A3", note);
    things.stop();
    things.ensure("A4", note);
    host.io.restart();
    host.io.poll();
  }
  EXPECT_THAT(kinds, ElementsAre(ErrorKind::cancelled, ErrorKind::cancelled, ErrorKind::cancelled, ErrorKind::cancelled,
                                 ErrorKind::cancelled));
}

}  // namespace
}  // namespace sluice::connector::aws
