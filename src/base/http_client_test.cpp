// SPDX-License-Identifier: Apache-2.0
#include "base/http_client.h"

#include <fstream>
#include <future>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sstream>

#include "base/testing/http_peer.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;
using testing::HttpPeer;
using ::testing::Not;

std::string data(const std::string& name) {
  std::ifstream in(std::string(SLUICE_SOURCE_DIR) + "/tests/data/tls/" + name);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

Result<HttpResponse> run(HttpClient& client, HttpRequest request) {
  std::promise<Result<HttpResponse>> promise;
  auto future = promise.get_future();
  client.send(std::move(request), [&](Result<HttpResponse> result) { promise.set_value(std::move(result)); });
  return future.get();
}

HttpRequest to(const std::string& url) {
  HttpRequest request;
  request.url = url;
  request.body = "{}";
  return request;
}

TEST(HttpClient, SendsTheRequestAsItIs) {
  std::mutex mutex;
  HttpPeer::Request seen;
  HttpPeer peer([&](const HttpPeer::Request& request) {
    std::lock_guard lock(mutex);
    seen = request;
    return HttpPeer::answer(201, "hello", "X-Answer:  yes \r\n");
  });
  HttpClient client;
  auto request = to(peer.url("/a/../b%2f?idName=DevEUI_uplink+DevEUI&x=%7b{}"));
  request.headers = {{"Content-Type", "application/json"}, {"X-Empty", ""}, {"X-Thing", "a: b"}};
  auto result = run(client, request);
  ASSERT_TRUE(result) << result.error().text;
  EXPECT_EQ(result->status, 201);
  EXPECT_EQ(result->body, "hello");
  EXPECT_EQ(result->header("x-answer"), "yes");
  std::lock_guard lock(mutex);
  EXPECT_EQ(seen.method_string(), "POST");
  EXPECT_EQ(seen.target(), "/a/../b%2f?idName=DevEUI_uplink+DevEUI&x=%7b{}");
  EXPECT_EQ(seen["content-type"], "application/json");
  EXPECT_EQ(seen["x-thing"], "a: b");
  EXPECT_TRUE(seen.find("x-empty") != seen.end());
  EXPECT_TRUE(seen.find("expect") == seen.end());
  EXPECT_EQ(seen.body(), "{}");
}

TEST(HttpClient, OtherMethods) {
  HttpPeer peer([](const HttpPeer::Request& request) {
    return HttpPeer::answer(
        200, request.method_string() == "HEAD" ? "" : std::string(request.method_string()) + " " + request.body());
  });
  HttpClient client;
  for (const char* method : {"GET", "PUT", "DELETE", "PATCH"}) {
    auto request = to(peer.url());
    request.method = method;
    if (request.method == "GET" || request.method == "DELETE") request.body.clear();
    auto result = run(client, request);
    ASSERT_TRUE(result);
    EXPECT_EQ(result->body, std::string(method) + " " + request.body);
  }
}

TEST(HttpClient, KeepsConnectionsAliveAndBoundsThem) {
  HttpPeer peer([](const HttpPeer::Request&) { return HttpPeer::answer(204); });
  HttpClient client(2);
  for (int i = 0; i < 5; ++i)
    EXPECT_TRUE(run(client, to(peer.url())));
  EXPECT_EQ(peer.connections(), 1);
  std::atomic<int> left{50};
  std::promise<void> all;
  for (int i = 0; i < 50; ++i) {
    client.send(to(peer.url()), [&](Result<HttpResponse> result) {
      EXPECT_TRUE(result);
      if (--left == 0) all.set_value();
    });
  }
  all.get_future().wait();
  EXPECT_LE(peer.connections(), 2);
}

TEST(HttpClient, EveryStatusIsASuccessAndRedirectsAreNotFollowed) {
  HttpPeer peer([](const HttpPeer::Request& request) {
    int status = std::stoi(std::string(request.target().substr(1)));
    return HttpPeer::answer(status, "", status == 302 ? "Location: /200\r\n" : "Retry-After: 7\r\n");
  });
  HttpClient client;
  for (int status : {200, 204, 302, 401, 404, 429, 500, 503}) {
    auto result = run(client, to(peer.url("/" + std::to_string(status))));
    ASSERT_TRUE(result);
    EXPECT_EQ(result->status, status);
  }
}

TEST(HttpClient, AReusedConnectionThatThePeerHasClosedIsMadeAnew) {
  HttpPeer peer([](const HttpPeer::Request&) {
    auto reply = HttpPeer::answer(200);
    reply.close = true;  // without saying so in the answer
    return reply;
  });
  HttpClient client;
  for (int i = 0; i < 3; ++i)
    EXPECT_TRUE(run(client, to(peer.url())));
  EXPECT_EQ(peer.connections(), 3);
}

TEST(HttpClient, RefusedCutAndSilentPeers) {
  unsigned short dead_port = 0;
  {
    dead_port = HttpPeer([](const auto&) { return HttpPeer::Reply{}; }).port();
  }
  HttpClient client;
  auto refused = run(client, to("http://127.0.0.1:" + std::to_string(dead_port)));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::not_connected);

  HttpPeer peer([](const HttpPeer::Request& request) -> HttpPeer::Reply {
    if (request.target() == "/cut") return {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", true, false};
    if (request.target() == "/close") return {"", true, false};
    return {"", false, true};
  });
  auto cut = run(client, to(peer.url("/cut")));
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().kind, ErrorKind::not_connected);
  auto closed = run(client, to(peer.url("/close")));
  ASSERT_FALSE(closed);
  EXPECT_EQ(closed.error().kind, ErrorKind::not_connected);
  auto request = to(peer.url("/silent"));
  request.timeout = std::chrono::milliseconds(150);
  auto silent = run(client, request);
  ASSERT_FALSE(silent);
  EXPECT_EQ(silent.error().kind, ErrorKind::transient) << silent.error().text;
}

TEST(HttpClient, TooLargeAnAnswer) {
  HttpPeer peer([](const HttpPeer::Request&) { return HttpPeer::answer(200, std::string(2000, 'x')); });
  HttpClient client;
  auto request = to(peer.url());
  request.max_response = 1999;
  auto result = run(client, request);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind, ErrorKind::permanent);
}

TEST(HttpClient, NothingBreaksOutOfAHeader) {
  HttpClient client;
  for (auto header : std::vector<std::pair<std::string, std::string>>{
           {"X", "a\r\nY: b"}, {"X", std::string("a\0b", 3)}, {"X: y", "a"}, {"", "a"}, {"X\n", "a"}}) {
    auto request = to("http://127.0.0.1:1/");
    request.headers = {header};
    auto result = run(client, request);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().kind, ErrorKind::bad_config);
  }
}

TEST(HttpClient, ErrorsHoldNoCredentials) {
  HttpClient client;
  for (const char* url : {"http://user:s3cr3t@127.0.0.1:1/x?key=s3cr3t", "http://user:s3cr3t@[bad/x?key=s3cr3t",
                          "gopher://user:s3cr3t@127.0.0.1/?key=s3cr3t", "http://a b/?s3cr3t"}) {
    auto result = run(client, to(url));
    ASSERT_FALSE(result);
    EXPECT_THAT(result.error().text, Not(HasSubstr("s3cr3t")));
    EXPECT_THAT(result.error().text, HasSubstr("requesting "));
  }
}

TEST(HttpClient, TlsIsVerified) {
  auto answer = [](const HttpPeer::Request&) { return HttpPeer::answer(200); };
  HttpClient client;
  HttpPeer good(answer, data("server.crt"), data("server.key"));
  auto request = to(good.url());
  auto unknown = run(client, request);
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().kind, ErrorKind::bad_config) << unknown.error().text;
  request.ca_pem = data("ca.crt");
  auto trusted = run(client, request);
  EXPECT_TRUE(trusted) << trusted.error().text;
  request.certificate_pem = data("client.crt");
  request.key_pem = data("client.key");
  EXPECT_TRUE(run(client, request));
  request.key_pem = data("server.key");
  request.certificate_pem = data("elsewhere.crt");
  auto unfit = run(client, request);
  ASSERT_FALSE(unfit);
  EXPECT_EQ(unfit.error().kind, ErrorKind::bad_config) << unfit.error().text;

  HttpPeer expired(answer, data("expired.crt"), data("expired.key")),
      elsewhere(answer, data("elsewhere.crt"), data("elsewhere.key"));
  for (auto* peer : {&expired, &elsewhere}) {
    auto bad = to(peer->url());
    bad.ca_pem = data("ca.crt");
    auto result = run(client, bad);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().kind, ErrorKind::bad_config) << result.error().text;
  }
}

TEST(HttpClient, AServerThatRefusesOurCertificateIsTold) {
  HttpPeer strict([](const HttpPeer::Request&) { return HttpPeer::answer(200); }, data("server.crt"),
                  data("server.key"), data("ca.crt"));
  HttpClient client;
  auto request = to(strict.url());
  request.ca_pem = data("ca.crt");
  auto without = run(client, request);
  ASSERT_FALSE(without);
  EXPECT_EQ(without.error().kind, ErrorKind::bad_config) << without.error().text;
  EXPECT_THAT(without.error().text, HasSubstr("wants a client certificate"));
  request.certificate_pem = data("client.crt");
  request.key_pem = data("client.key");
  auto with = run(client, request);
  EXPECT_TRUE(with) << with.error().text;
}

TEST(HttpClient, ConnectOnlySendsNothing) {
  std::atomic<int> requests{0};
  HttpPeer peer([&](const HttpPeer::Request&) {
    ++requests;
    return HttpPeer::answer(200);
  });
  HttpClient client;
  auto request = to(peer.url());
  request.connect_only = true;
  auto result = run(client, request);
  ASSERT_TRUE(result) << result.error().text;
  EXPECT_EQ(result->status, 0);
  EXPECT_TRUE(run(client, to(peer.url())));
  EXPECT_EQ(requests, 1);
  request.url = "http://127.0.0.1:1/";
  EXPECT_FALSE(run(client, request));
}

TEST(HttpClient, CancelAndDestructionEndWhatIsUnderWay) {
  std::promise<void> arrived;
  HttpPeer peer([&](const HttpPeer::Request& request) -> HttpPeer::Reply {
    if (request.target() == "/first") arrived.set_value();
    return {"", false, true};
  });
  auto client = std::make_unique<HttpClient>();
  std::promise<Result<HttpResponse>> first, second;
  auto handle = client->send(to(peer.url("/first")), [&](Result<HttpResponse> r) { first.set_value(std::move(r)); });
  client->send(to(peer.url("/second")), [&](Result<HttpResponse> r) { second.set_value(std::move(r)); });
  arrived.get_future().wait();
  client->cancel(handle);
  client->cancel(12345);
  auto cancelled = first.get_future().get();
  ASSERT_FALSE(cancelled);
  EXPECT_EQ(cancelled.error().kind, ErrorKind::cancelled);
  client.reset();
  auto stopped = second.get_future().get();
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().kind, ErrorKind::cancelled);
}

}  // namespace
}  // namespace sluice
