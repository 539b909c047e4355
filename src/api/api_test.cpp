// SPDX-License-Identifier: Apache-2.0
// Conventions, tokens and roles; the resources have tests of their own.
#include <fstream>
#include <sys/stat.h>

#include "api/jwt.h"
#include "api/openapi.h"
#include "api/test_api.h"

namespace sluice::api {
namespace {

TEST_F(ApiTest, ErrorsHaveOneShape) {
  auto response = send("GET", "/nowhere");
  EXPECT_EQ(response.status, 404);
  EXPECT_EQ(code_of(response), "com-4004");
  EXPECT_FALSE(json::text_or(body_of(response).as_object(), "message").empty());
  EXPECT_EQ(json::text_or(body_of(response).as_object(), "correlationId"), header_of(response, "X-Correlation-Id"));

  response = send("PUT", "/connections");
  EXPECT_EQ(response.status, 405);
  EXPECT_EQ(code_of(response), "com-4005");
  EXPECT_EQ(header_of(response, "Allow"), "GET, HEAD, POST");

  auto odd = request("GET", "/connectors");
  odd.headers.emplace_back("accept", "text/html");
  response = send(odd);
  EXPECT_EQ(response.status, 406);
  EXPECT_EQ(code_of(response), "com-4006");

  odd = request("POST", "/connections");
  odd.body = "<a/>";
  odd.headers.emplace_back("content-type", "application/xml");
  response = send(odd);
  EXPECT_EQ(response.status, 415);
  EXPECT_EQ(code_of(response), "com-4015");

  EXPECT_EQ(code_of(send("POST", "/connections", "{")), "com-4000");
  EXPECT_EQ(code_of(send("POST", "/connections", "[]")), "com-4000");
  EXPECT_EQ(code_of(send("POST", "/connections")), "com-4000");
}

TEST_F(ApiTest, TheTunnelTakesPostsOnly) {
  auto response = send("GET", "/iot-flow/tunnel/x");
  EXPECT_EQ(response.status, 405);
  EXPECT_EQ(header_of(response, "Allow"), "POST");
  EXPECT_EQ(send("GET", "/iot-flow/tunnel/x/y").status, 404);
}

TEST_F(ApiTest, ABrokenEscapeInAQueryStandsForItself) {
  Request odd{.query = "q=100%&force=true&%zz=1&plus=a+b"};
  EXPECT_EQ(odd.parameter("q"), "100%");
  EXPECT_EQ(odd.parameter("force"), "true");
  EXPECT_EQ(odd.parameter("%zz"), "1");
  EXPECT_EQ(odd.parameter("plus"), "a b");
  EXPECT_FALSE(odd.parameter("none"));
}

TEST_F(ApiTest, KeepsACorrelationIdThatIsSane) {
  auto asked = request("GET", "/connectors");
  asked.headers.emplace_back("x-correlation-id", "abc-1");
  EXPECT_EQ(header_of(send(asked), "X-Correlation-Id"), "abc-1");
  asked.headers.back().second = std::string("a\r\nSet-Cookie: x");
  EXPECT_EQ(header_of(send(asked), "X-Correlation-Id").size(), 16u);
}

TEST_F(ApiTest, AcceptsOtherJsonAndWildcards) {
  for (const char* accept :
       {"*/*", "application/json", "application/*", "text/html, */*;q=0.1", "application/hal+json"}) {
    auto asked = request("GET", "/connectors");
    asked.headers.emplace_back("accept", accept);
    EXPECT_EQ(send(asked).status, 200) << accept;
  }
}

TEST_F(ApiTest, AnswersPreflightsOfConfiguredOriginsOnly) {
  auto asked = request("OPTIONS", "/connections");
  asked.headers = {{"origin", "https://console.test"}};
  auto response = send(asked);
  EXPECT_EQ(response.status, 204);
  EXPECT_EQ(header_of(response, "Access-Control-Allow-Origin"), "");
  auto open = context();
  open.cors_origins = {"https://console.test"};
  Api other(open);
  ASSERT_TRUE(other.open());
  response = other.handle(asked);
  EXPECT_EQ(header_of(response, "Access-Control-Allow-Origin"), "https://console.test");
  EXPECT_EQ(header_of(response, "Access-Control-Allow-Methods"), "GET, HEAD, POST");
}

TEST_F(ApiTest, TokensByFormAndByHeader) {
  Request form{.method = "POST", .path = "/iot-flow/v1/oauth/tokenSwagger", .peer = "192.0.2.1"};
  form.body = "grant_type=client_credentials";
  form.headers = {{"authorization", "Basic " + to_base64("admin:first-secret")},
                  {"content-type", "application/x-www-form-urlencoded"}};
  auto response = send(form);
  ASSERT_EQ(response.status, 200) << response.body;
  auto body = body_of(response).as_object();
  EXPECT_EQ(body.at("token_type"), "bearer");
  EXPECT_EQ(body.at("expires_in"), 43200);
  EXPECT_EQ(body.at("client_id"), "admin");
  EXPECT_EQ(header_of(response, "Cache-Control"), "no-store");

  form.body += "&client_id=somebody";
  EXPECT_EQ(send(form).status, 400);
  form.body = "grant_type=password";
  response = send(form);
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(json::text_or(body_of(response).as_object(), "error"), "unsupported_grant_type");
  EXPECT_EQ(code_of(response), "com-4000");
  for (const auto& [period, status] :
       {std::pair{"7days", 200}, {"infinite", 400}, {"0days", 400}, {"1hours", 200}, {"400days", 400}}) {
    form.body = std::string("grant_type=client_credentials&validityPeriod=") + period;
    EXPECT_EQ(send(form).status, status) << period;
  }
}

TEST_F(ApiTest, WrongSecretsAreRefusedAndThenSlowedDown) {
  Request form{.method = "POST", .path = "/iot-flow/v1/oauth/token", .peer = "192.0.2.7"};
  form.body = "grant_type=client_credentials&client_id=admin&client_secret=wrong";
  for (int i = 0; i < 10; ++i) {
    auto response = send(form);
    ASSERT_EQ(response.status, 401);
    EXPECT_EQ(json::text_or(body_of(response).as_object(), "error"), "invalid_client");
    EXPECT_EQ(code_of(response), "com-4001");
    EXPECT_TRUE(header_of(response, "WWW-Authenticate").starts_with("Basic"));
  }
  auto response = send(form);
  EXPECT_EQ(response.status, 429);
  EXPECT_FALSE(header_of(response, "Retry-After").empty());
  form.body = "grant_type=client_credentials&client_id=other&client_secret=wrong";
  EXPECT_EQ(send(form).status, 429);  // the same address
  form.peer = "192.0.2.8";
  EXPECT_EQ(send(form).status, 401);
  clock_.time += 5 * 60 * 1000 + 1;
  form.peer = "192.0.2.7";
  form.body = "grant_type=client_credentials&client_id=admin&client_secret=first-secret";
  EXPECT_EQ(send(form).status, 200);
}

TEST_F(ApiTest, ForgedTokensAreRefused) {
  auto refused = [&](const std::string& token) {
    token_ = token;
    auto response = send("GET", "/connectors");
    EXPECT_EQ(response.status, 401) << token;
    EXPECT_EQ(code_of(response), "com-4001");
    EXPECT_EQ(header_of(response, "WWW-Authenticate"), "Bearer");
  };
  auto good = token_;
  EXPECT_EQ(send("GET", "/connectors").status, 200);
  auto first = good.find('.'), second = good.rfind('.');
  auto claims = good.substr(first + 1, second - first - 1);
  for (const char* alg : {R"({"alg":"none"})", R"({"alg":"HS512"})", R"({"alg":"hs256"})", "{}"}) {
    refused(to_base64url(alg) + "." + claims + ".");
    refused(to_base64url(alg) + "." + claims + good.substr(second));
  }
  auto read = json::parse(*from_base64(claims))->as_object();
  refused(sign_jwt(read, "another key"));
  refused(sign_jwt(read, ""));
  refused(good + "A");
  refused(good.substr(0, good.size() - 1));
  refused(good + ".x");
  refused("");
  refused("a.b.c");
  refused(std::string(10000, 'a'));
  read["account"] = "2";
  refused(good.substr(0, first + 1) + to_base64url(json::write(read)) + good.substr(second));
}

TEST_F(ApiTest, TokensEndByTimeByRenewalAndWithTheSecret) {
  auto old = token_;
  clock_.time += (12LL * 3600 + 59) * 1000;  // within the skew
  EXPECT_EQ(send("GET", "/connectors").status, 200);
  clock_.time += 2000;
  EXPECT_EQ(send("GET", "/connectors").status, 401);
  token_ = token_of("admin", "first-secret");
  EXPECT_EQ(send("GET", "/connectors").status, 200);
  clock_.time -= 61'000;  // issued in the future
  EXPECT_EQ(send("GET", "/connectors").status, 401);
  clock_.time += 61'000;

  Request form{.method = "POST", .path = "/iot-flow/v1/oauth/token", .peer = "192.0.2.1"};
  form.body = "grant_type=client_credentials&client_id=admin&client_secret=first-secret&renewToken=true";
  auto renewed = json::text_or(body_of(send(form)).as_object(), "access_token");
  EXPECT_EQ(send("GET", "/connectors").status, 401);
  token_ = renewed;
  EXPECT_EQ(send("GET", "/connectors").status, 200);
  ASSERT_TRUE(bootstrap(*store_, "second-secret", directory_));
  EXPECT_EQ(send("GET", "/connectors").status, 401);
  token_ = token_of("admin", "second-secret");
  EXPECT_EQ(send("GET", "/connectors").status, 200);
  ASSERT_TRUE(bootstrap(*store_, "second-secret", directory_));
  EXPECT_EQ(send("GET", "/connectors").status, 200);
}

TEST_F(ApiTest, TheTokenMayStandInTheQuery) {
  auto asked = request("GET", "/connectors?access_token=" + token_);
  asked.headers.clear();
  EXPECT_EQ(send(asked).status, 200);
  asked.headers = {{"authorization", "Bearer wrong"}};  // the header wins
  EXPECT_EQ(send(asked).status, 401);
  Request info{.method = "GET", .path = "/iot-flow/v1/oauth/tokeninfo", .query = "access_token=" + token_, .peer = "x"};
  auto body = body_of(send(info)).as_object();
  EXPECT_EQ(body.at("client_id"), "admin");
  EXPECT_EQ(body.at("expires_in"), 43200);
  info.query = "access_token=x";
  EXPECT_EQ(send(info).status, 401);
}

TEST_F(ApiTest, RolesLimitWhatIsDone) {
  struct Row {
    const char *method, *target, *body;
    store::Role least;
  };
  const Row rows[] = {
      {"GET", "/connections", "", store::Role::reader},
      {"POST", "/decode", "{}", store::Role::reader},
      {"POST", "/connections", "{}", store::Role::writer},
      {"PUT", "/flows/1", "{}", store::Role::writer},
      {"POST", "/connections/1/restart", "", store::Role::writer},
      {"POST", "/connections/1/downlinks", "{}", store::Role::controller},
      {"GET", "/connections/1/downlinks/queue", "", store::Role::reader},
      {"DELETE", "/connections/1/downlinks/queue", "", store::Role::owner},
      {"DELETE", "/connections/1", "", store::Role::owner},
      {"DELETE", "/connections/1/queue", "", store::Role::owner},
      {"DELETE", "/drivers/x:y:1", "", store::Role::owner},
      {"GET", "/binders", "", store::Role::owner},
  };
  for (auto role : {store::Role::reader, store::Role::writer, store::Role::controller, store::Role::owner}) {
    token_ = token_with(role);
    for (const auto& row : rows) {
      auto response = send(row.method, row.target, row.body);
      EXPECT_EQ(response.status == 403, role < row.least) << row.method << row.target << static_cast<int>(role);
      EXPECT_NE(response.status, 401);
    }
  }
}

TEST_F(ApiTest, ARoleThatChangesAppliesToRunningTokens) {
  token_ = token_with(store::Role::owner);
  EXPECT_EQ(send("GET", "/binders").status, 200);
  auto client = **store_->client("client-31");
  client.role = store::Role::reader;
  ASSERT_TRUE(store_->put_client(client));
  EXPECT_EQ(send("GET", "/binders").status, 403);
}

TEST_F(ApiTest, BootstrapMakesASecretOnce) {
  auto other = directory_ + "/other";
  auto store = std::move(*store::open_sqlite(other, SecretBox(std::string(32, 'k')), clock_));
  auto secret = bootstrap(*store, "", other);
  ASSERT_TRUE(secret);
  EXPECT_EQ(secret->size(), 32u);
  std::string written;
  std::getline(std::ifstream(other + "/admin-secret"), written);
  EXPECT_EQ(written, *secret);
  struct stat info {};
  ASSERT_EQ(::stat((other + "/admin-secret").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(*bootstrap(*store, "", other), "");
  auto client = **store->client("admin");
  EXPECT_TRUE(verify_secret(*secret, client.secret_hash));
  EXPECT_EQ(client.role, store::Role::owner);
  EXPECT_TRUE(*store->account("1"));
}

TEST_F(ApiTest, HealthNeedsNoToken) {
  token_ = "";
  EXPECT_EQ(send("GET", "/healthz").status, 200);
  EXPECT_EQ(send("GET", "/readyz").status, 200);
  ready_ = false;
  EXPECT_EQ(send("GET", "/readyz").status, 503);
  auto metrics = request("GET", "/metrics");
  EXPECT_EQ(send(metrics).status, 401);
  metrics.peer = "127.0.0.1";
  EXPECT_EQ(send(metrics).status, 200);
  EXPECT_TRUE(send(metrics).content_type.starts_with("text/plain"));
  metrics.headers.emplace_back("x-forwarded-for", "203.0.113.9");
  EXPECT_EQ(send(metrics).status, 401);
}

// The contract has every route, and nothing but routes; the tunnel is served before the route table.
TEST_F(ApiTest, TheContractIsTheRouteTable) {
  token_ = "";
  auto response = send("GET", "/v3/api-docs");
  ASSERT_EQ(response.status, 200);
  std::set<std::string> documented, served = {"POST /iot-flow/tunnel/{binderId}"};
  const auto document = body_of(response).as_object();
  for (const auto& path : document.at("paths").as_object()) {
    for (const auto& method : path.value().as_object()) {
      if (method.key() == "parameters") continue;
      documented.insert(to_upper(method.key()) + " " + std::string(path.key()));
      EXPECT_TRUE(method.value().as_object().contains("responses")) << path.key();
    }
  }
  for (const auto& route : routes())
    served.insert(std::string(route.method) + " " + std::string(route.path));
  EXPECT_EQ(documented, served);
  EXPECT_EQ(document.at("info").at("version"), "1");
  EXPECT_EQ(document.at("components").at("schemas").at("connection").at("properties").at("active").at("default"), true);
  auto yaml = request("GET", "/v3/api-docs");
  yaml.headers.emplace_back("accept", "application/yaml");
  EXPECT_TRUE(send(yaml).body.starts_with("\"openapi\": \"3.1")) << send(yaml).body.substr(0, 40);
  yaml.headers.emplace_back("if-none-match", header_of(send(yaml), "ETag"));
  EXPECT_EQ(send(yaml).status, 304);
}

// What a route may answer because of its kind is in the contract without being written there.
TEST_F(ApiTest, TheContractHasWhatEveryRouteMayAnswer) {
  const auto paths = body_of(send("GET", "/v3/api-docs")).at("paths");
  const auto& responses = paths.at("/iot-flow/v1/connections/{id}").at("put").at("responses").as_object();
  for (const char* status : {"200", "400", "401", "403", "404", "406", "409", "412", "413", "415", "503"}) {
    EXPECT_TRUE(responses.contains(status)) << status;
  }
  const auto& read = paths.at("/iot-flow/v1/connections/{id}").at("get").at("responses").as_object();
  EXPECT_TRUE(read.contains("304"));
  EXPECT_FALSE(read.contains("415"));
  const auto& list = paths.at("/iot-flow/v1/connections").at("get").at("responses").at("200").at("headers").as_object();
  EXPECT_TRUE(list.contains("Link") && list.contains("X-Total"));
}

TEST_F(ApiTest, TagsOfVersions) {
  auto flow = R"({"name":"a","driver":{"id":"actility:auto:1"},"matchers":[],"connectors":[]})";
  auto created = send("POST", "/flows", flow);
  ASSERT_EQ(created.status, 201) << created.body;
  auto path = "/flows/" + json::text_or(body_of(created).as_object(), "id");
  auto with = [&](const char* method, const char* header, const std::string& value, const std::string& body = "") {
    auto made = request(method, path, body);
    made.headers.emplace_back(header, value);
    return send(made);
  };
  auto tag = header_of(send("GET", path), "ETag");
  EXPECT_EQ(header_of(created, "ETag"), tag);
  EXPECT_EQ(with("GET", "if-none-match", tag).status, 304);
  EXPECT_EQ(with("GET", "if-none-match", "W/" + tag + ", \"x\"").status, 304);
  EXPECT_EQ(with("GET", "if-none-match", "\"x\"").status, 200);
  EXPECT_EQ(with("PUT", "if-match", "\"x-y\"", flow).status, 412);
  EXPECT_EQ(with("PUT", "if-match", "W/" + tag, flow).status, 412);
  auto same = with("PUT", "if-match", tag, flow);
  EXPECT_EQ(same.status, 200);
  EXPECT_EQ(header_of(same, "ETag"), tag) << "the same again is no change";
  auto changed = with("PATCH", "if-match", tag, R"({"name":"b"})");
  EXPECT_EQ(changed.status, 200);
  EXPECT_NE(header_of(changed, "ETag"), tag);
  EXPECT_EQ(with("DELETE", "if-match", tag).status, 412);
  EXPECT_EQ(with("DELETE", "if-match", "*").status, 204);
}

TEST_F(ApiTest, HttpDatesGoBothWays) {
  EXPECT_EQ(http_date(784111777123), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"), 784111777000);
  for (const char* odd : {"", "x", "Sun, 06 Xyz 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMTx"}) {
    EXPECT_FALSE(parse_http_date(odd)) << odd;
  }
}

}  // namespace
}  // namespace sluice::api
