// SPDX-License-Identifier: Apache-2.0
// Accounts, members, API keys, tokens, audit (spec api.md 2, 3, 13).
#include <gtest/gtest.h>

#include "api/address.h"
#include "api/jwt.h"
#include "api/test_api.h"

namespace sluice::api {
namespace {

constexpr const char* kAdminRoot = "/iot-admin/v1";

class AccessTest : public ApiTest {
 protected:
  Response admin(const std::string& method, const std::string& target, const std::string& body = "") {
    auto question = target.find('?');
    Request made{.method = method, .path = kAdminRoot + target.substr(0, question), .body = body, .peer = "192.0.2.1"};
    if (question != std::string::npos) made.query = target.substr(question + 1);
    made.headers = {{"authorization", "Bearer " + token_}};
    if (!body.empty()) made.headers.emplace_back("content-type", "application/json");
    return send(made);
  }
  static std::string text(const Response& response, const char* name) {
    return json::text_or(body_of(response).as_object(), name);
  }
  Response ask_token(const std::string& client, const std::string& secret, const std::string& more = "",
                     const std::string& peer = "192.0.2.1") {
    Request form{.method = "POST", .path = "/iot-flow/v1/oauth/token", .peer = peer};
    form.body =
        "grant_type=client_credentials&client_id=" + url_encode(client) + "&client_secret=" + url_encode(secret) + more;
    return send(form);
  }
  int status_with(const std::string& token, const std::string& target = "/connections") {
    auto before = token_;
    token_ = token;
    auto status = send("GET", target).status;
    token_ = before;
    return status;
  }
  // An organization account of that owner; its id.
  std::string organization(const std::string& owner = "") {
    auto made =
        admin("POST", "/accounts",
              R"({"name":"org","type":"organization")" + (owner.empty() ? "" : R"(,"owner":")" + owner + "\"") + "}");
    EXPECT_EQ(made.status, 201) << made.body;
    password_ = json::text_or(body_of(made).as_object(), "password");
    return text(made, "id");
  }
  std::string password_;
};

TEST_F(AccessTest, AccountsAreMadeShownRenamedAndDeleted) {
  auto first = body_of(admin("GET", "/accounts")).as_array();
  ASSERT_EQ(first.size(), 1u);
  EXPECT_EQ(first[0].at("id"), "1");
  EXPECT_EQ(first[0].at("type"), "organization");
  clock_.time += 5000;
  auto id = organization();
  EXPECT_EQ(body_of(admin("GET", "/accounts")).as_array().size(), 2u);
  EXPECT_EQ(text(admin("PATCH", "/accounts/" + id, R"({"name":"renamed"})"), "name"), "renamed");
  EXPECT_EQ(text(admin("GET", "/accounts/" + id), "name"), "renamed");
  EXPECT_EQ(admin("PATCH", "/accounts/" + id, R"({"name":""})").status, 400);
  EXPECT_EQ(admin("PATCH", "/accounts/" + id, R"({"name":null})").status, 400);
  ASSERT_TRUE(store_->insert_connection({.account = id}));
  EXPECT_EQ(admin("DELETE", "/accounts/" + id).status, 409);
  ASSERT_TRUE(store_->erase_connection("1"));
  ASSERT_TRUE(store_->insert_flow({.account = id}));
  EXPECT_EQ(admin("DELETE", "/accounts/" + id).status, 204);
  EXPECT_EQ(admin("GET", "/accounts/" + id).status, 404);
  EXPECT_TRUE(store_->flows(id)->empty());
  EXPECT_EQ(admin("DELETE", "/accounts/1").status, 409);
  EXPECT_EQ(admin("GET", "/accounts/77").status, 404);
}

TEST_F(AccessTest, AUserMakesOnePersonalAccountAndNoOrganization) {
  token_ = token_with(store::Role::reader);
  auto made = admin("POST", "/accounts", R"({"name":"mine"})");
  ASSERT_EQ(made.status, 201) << made.body;
  EXPECT_EQ(text(made, "type"), "personal");
  EXPECT_EQ(header_of(made, "Location"), "/accounts/" + text(made, "id"));
  EXPECT_EQ(admin("POST", "/accounts", R"({"name":"second"})").status, 409);
  EXPECT_EQ(admin("POST", "/accounts", R"({"name":"x","type":"organization"})").status, 403);
  EXPECT_EQ(admin("POST", "/accounts", R"({"name":"x","owner":"admin"})").status, 403);
  // Its one Owner stays, and stays alone; it is a member of both accounts by the same token.
  auto account = "/accounts/" + text(made, "id");
  auto members = body_of(admin("GET", account + "/members")).as_array();
  ASSERT_EQ(members.size(), 1u);
  auto me = account + "/members/" + json::text_or(members[0].as_object(), "id");
  EXPECT_EQ(admin("DELETE", me).status, 409);
  EXPECT_EQ(admin("PATCH", me, R"({"role":"Reader"})").status, 409);
  EXPECT_EQ(admin("POST", account + "/members", R"({"login":"bob","role":"Reader"})").status, 409);
  EXPECT_FALSE(*store_->client("bob"));
  EXPECT_EQ(admin("GET", "/accounts/1/apiKeys").status, 403);  // a Reader there
  EXPECT_EQ(admin("GET", account + "/apiKeys").status, 200);
}

TEST_F(AccessTest, MembersAreInvitedChangedAndRemoved) {
  auto made = admin("POST", "/accounts/1/members", R"({"login":"Ann@Example.com","role":"WRITER","name":"Ann"})");
  ASSERT_EQ(made.status, 201) << made.body;
  EXPECT_EQ(text(made, "login"), "ann@example.com");
  EXPECT_EQ(text(made, "role"), "Writer");
  EXPECT_EQ(text(made, "name"), "Ann");
  auto password = text(made, "password");
  ASSERT_FALSE(password.empty());
  EXPECT_EQ(admin("POST", "/accounts/1/members", R"({"login":"ann@example.com","role":"Owner"})").status, 409);
  auto listed = send("GET", "/connections").body + admin("GET", "/accounts/1/members").body;
  EXPECT_EQ(listed.find(password), std::string::npos);

  auto token = text(ask_token("community-api/ann@example.com", password), "access_token");
  EXPECT_EQ(status_with(token), 200);
  EXPECT_EQ(status_with(token, "/binders"), 403);
  auto member = "/accounts/1/members/" + text(made, "id");
  EXPECT_EQ(text(admin("PATCH", member, R"({"role":"owner"})"), "role"), "Owner");
  EXPECT_EQ(status_with(token, "/binders"), 200);  // at once, with the same token
  EXPECT_EQ(admin("PATCH", member, R"({"role":"King"})").status, 400);
  EXPECT_EQ(admin("DELETE", member).status, 204);
  EXPECT_EQ(status_with(token), 401);
  EXPECT_EQ(ask_token("ann@example.com", password).status, 401);  // known nowhere else: forgotten
  // Invited again, the old token stays dead.
  ASSERT_EQ(admin("POST", "/accounts/1/members", R"({"login":"ann@example.com","role":"Owner"})").status, 201);
  EXPECT_EQ(status_with(token), 401);
}

TEST_F(AccessTest, TheLastOwnerStays) {
  auto members = body_of(admin("GET", "/accounts/1/members")).as_array();
  auto own = "/accounts/1/members/" + json::text_or(members[0].as_object(), "id");
  EXPECT_EQ(admin("DELETE", own).status, 409);
  EXPECT_EQ(admin("PATCH", own, R"({"role":"Controller"})").status, 409);
  EXPECT_EQ(admin("PATCH", own, R"({"role":"Owner"})").status, 200);
  // An API key with the role Owner is no member.
  ASSERT_EQ(admin("POST", "/accounts/1/apiKeys", R"({"name":"k","role":"Owner"})").status, 201);
  EXPECT_EQ(admin("DELETE", own).status, 409);
  ASSERT_EQ(admin("POST", "/accounts/1/members", R"({"login":"bob","role":"Owner"})").status, 201);
  EXPECT_EQ(admin("PATCH", own, R"({"role":"Controller"})").status, 200);
}

TEST_F(AccessTest, OneMayLeaveAnAccount) {
  auto made = admin("POST", "/accounts/1/members", R"({"login":"ann","role":"Reader"})");
  auto other = admin("POST", "/accounts/1/members", R"({"login":"bob","role":"Reader"})");
  token_ = text(ask_token("ann", text(made, "password")), "access_token");
  EXPECT_EQ(admin("DELETE", "/accounts/1/members/" + text(other, "id")).status, 403);
  EXPECT_EQ(admin("DELETE", "/accounts/1/members/nobody").status, 403);
  EXPECT_EQ(admin("DELETE", "/accounts/1/members/" + text(made, "id")).status, 204);
  EXPECT_EQ(admin("GET", "/accounts").status, 401);
}

TEST_F(AccessTest, NobodyButAnAdministratorMakesAnAdministratorsLogin) {
  auto settings = context();
  settings.auth.administrators = {"Ops"};
  Api other(settings);
  ASSERT_TRUE(other.open());
  token_ = token_with(store::Role::owner);
  Request asked{.method = "POST", .path = "/iot-admin/v1/accounts/1/members", .peer = "192.0.2.1"};
  asked.body = R"({"login":"ops","role":"Reader"})";
  asked.headers = {{"authorization", "Bearer " + token_}};
  EXPECT_EQ(other.handle(asked).status, 403);
  asked.headers = {{"authorization", "Bearer " + token_of("admin", "first-secret")}};
  EXPECT_EQ(other.handle(asked).status, 201);
}

TEST_F(AccessTest, ApiKeysCarryOneRoleAndAreShownOnce) {
  auto made = admin("POST", "/accounts/1/apiKeys", R"({"name":"script","role":"controller"})");
  ASSERT_EQ(made.status, 201) << made.body;
  EXPECT_EQ(header_of(made, "Cache-Control"), "no-store");
  auto id = text(made, "id"), client = text(made, "clientId"), secret = text(made, "clientSecret");
  EXPECT_EQ(secret.size(), 40u);
  auto listed = admin("GET", "/accounts/1/apiKeys").body + admin("GET", "/accounts/1/apiKeys/" + id).body;
  EXPECT_EQ(listed.find(secret), std::string::npos);
  EXPECT_NE(listed.find(client), std::string::npos);
  auto token = text(ask_token("any-profile/" + client, secret), "access_token");
  EXPECT_EQ(status_with(token), 200);
  EXPECT_EQ(status_with(token, "/binders"), 403);
  {
    auto before = token_;
    token_ = token;
    EXPECT_EQ(admin("GET", "/accounts/1/apiKeys").status, 403);
    EXPECT_EQ(admin("POST", "/accounts", R"({"name":"x"})").status, 403);
    EXPECT_EQ(body_of(admin("GET", "/accounts")).as_array().size(), 1u);
    token_ = before;
  }
  EXPECT_EQ(admin("DELETE", "/accounts/1/apiKeys/" + id).status, 204);
  EXPECT_EQ(admin("DELETE", "/accounts/1/apiKeys/" + id).status, 404);
  EXPECT_EQ(status_with(token), 401);
  EXPECT_EQ(ask_token(client, secret).status, 401);
  for (const char* bad :
       {R"({"role":"Owner"})", R"({"name":"x"})", R"({"name":"x","role":"Owner","expires":"yesterday"})",
        R"({"name":"x","role":"Owner","expires":"2001-01-01T00:00:00Z"})", "[]"}) {
    EXPECT_EQ(admin("POST", "/accounts/1/apiKeys", bad).status, 400) << bad;
  }
}

TEST_F(AccessTest, AnApiKeyEndsInTime) {
  auto made = admin("POST", "/accounts/1/apiKeys",
                    R"({"name":"x","role":"Reader","expires":")" + format_time(clock_.time + 3600'000) + "\"}");
  auto client = text(made, "clientId"), secret = text(made, "clientSecret");
  auto answer = ask_token(client, secret);
  EXPECT_EQ(body_of(answer).at("expires_in"), 3600);
  auto token = text(answer, "access_token");
  clock_.time += 3599'000;
  EXPECT_EQ(status_with(token), 200);
  clock_.time += 2000;
  EXPECT_EQ(status_with(token), 401);
  EXPECT_EQ(ask_token(client, secret).status, 401);
}

TEST_F(AccessTest, ARotatedKeyHasANewSecretAtOnceOrBesideTheOld) {
  auto made = admin("POST", "/accounts/1/apiKeys", R"({"name":"x","role":"Reader"})");
  auto path = "/accounts/1/apiKeys/" + text(made, "id") + "/rotate";
  auto client = text(made, "clientId"), first = text(made, "clientSecret");
  auto token = text(ask_token(client, first), "access_token");
  auto second = text(admin("POST", path, R"({"graceSeconds":60})"), "clientSecret");
  EXPECT_NE(second, first);
  EXPECT_EQ(status_with(token), 200);
  EXPECT_EQ(ask_token(client, first).status, 200);
  EXPECT_EQ(ask_token(client, second).status, 200);
  clock_.time += 60'000;
  EXPECT_EQ(ask_token(client, first).status, 401);
  auto third = text(admin("POST", path), "clientSecret");
  EXPECT_EQ(status_with(token), 401);
  EXPECT_EQ(ask_token(client, second).status, 401);
  EXPECT_EQ(ask_token(client, third).status, 200);
  EXPECT_EQ(admin("POST", path, R"({"graceSeconds":-1})").status, 400);
}

TEST_F(AccessTest, OnesPasswordIsChangedByTheOldOne) {
  auto made = admin("POST", "/accounts/1/members", R"({"login":"ann","role":"Reader"})");
  auto password = text(made, "password");
  auto token = text(ask_token("ann", password), "access_token");
  auto admins = token_;
  token_ = token;
  auto change = [&](const std::string& old, const std::string& fresh) {
    return admin("POST", "/users/me/password",
                 json::write(boost::json::object{{"oldPassword", old}, {"newPassword", fresh}}));
  };
  EXPECT_EQ(change("wrong", "a-new-password").status, 400);
  EXPECT_EQ(change(password, "short").status, 400);
  EXPECT_EQ(change(password, "a-new-password").status, 204);
  EXPECT_EQ(status_with(token), 401);
  EXPECT_EQ(ask_token("ann", password).status, 401);
  clock_.time += 8LL * 24 * 3600 * 1000;  // it is not a one-time password any more
  EXPECT_EQ(ask_token("ann", "a-new-password").status, 200);
  token_ = token_of("admin", "first-secret");
  auto reset = admin("POST", "/users/Ann/password");
  ASSERT_EQ(reset.status, 200) << reset.body;
  EXPECT_EQ(ask_token("ann", "a-new-password").status, 401);
  EXPECT_EQ(ask_token("ann", text(reset, "password")).status, 200);
  clock_.time += 7LL * 24 * 3600 * 1000;
  EXPECT_EQ(ask_token("ann", text(reset, "password")).status, 401);
  token_ = token_of("admin", "first-secret");
  EXPECT_EQ(admin("POST", "/users/admin/password").status, 409);
  EXPECT_EQ(admin("POST", "/users/nobody/password").status, 404);
}

TEST_F(AccessTest, AUserOfSeveralAccountsChoosesByScope) {
  auto a = organization("ann");
  auto password = password_;
  clock_.time += 1000;
  auto b = organization("ann");
  EXPECT_TRUE(password_.empty());                           // known already
  EXPECT_EQ(text(ask_token("ann", password), "scope"), a);  // the first by id
  auto in_b = ask_token("ann", password, "&scope=" + b);
  EXPECT_EQ(text(in_b, "scope"), b);
  EXPECT_EQ(ask_token("ann", password, "&scope=1").status, 400);
  ASSERT_TRUE(store_->insert_connection({.account = a}));
  auto token = text(in_b, "access_token");
  EXPECT_EQ(status_with(token, "/connections/1"), 404);
  EXPECT_EQ(status_with(text(ask_token("ann", password), "access_token"), "/connections/1"), 200);
  token_ = token;
  EXPECT_EQ(body_of(admin("GET", "/accounts")).as_array().size(), 2u);
  EXPECT_EQ(admin("GET", "/accounts/1").status, 404);
}

TEST_F(AccessTest, OneTokenIsEndedByItsHolder) {
  auto other = token_of("admin", "first-secret");
  Request form{.method = "POST", .path = "/iot-flow/v1/oauth/revoke", .body = "token=" + token_, .peer = "192.0.2.1"};
  EXPECT_EQ(send(form).status, 200);
  EXPECT_EQ(send("GET", "/connections").status, 401);
  EXPECT_EQ(status_with(other), 200);
  EXPECT_EQ(send(form).status, 200);  // no token is no error
  form.body = "x=y";
  EXPECT_EQ(send(form).status, 400);
}

TEST_F(AccessTest, AnAdministratorActsForAUserWithinLimits) {
  auto a = organization("ann");
  auto answer = admin("POST", "/impersonationTokens", R"({"login":"ann","accountId":")" + a + R"("})");
  ASSERT_EQ(answer.status, 201) << answer.body;
  auto admins = token_;
  token_ = text(answer, "access_token");
  EXPECT_EQ(send("GET", "/binders").status, 200);
  EXPECT_EQ(text(admin("GET", "/users/me"), "impersonatedBy"), "admin");
  EXPECT_EQ(admin("POST", "/users/me/password", R"({"oldPassword":"x","newPassword":"yyyyyyyyyyyy"})").status, 403);
  EXPECT_EQ(admin("POST", "/impersonationTokens", R"({"login":"ann"})").status, 403);
  EXPECT_EQ(admin("GET", "/accounts/1").status, 404);
  // It ends with the administrator's own tokens.
  ask_token("admin", "first-secret", "&renewToken=true");
  EXPECT_EQ(send("GET", "/binders").status, 401);
  token_ = token_of("admin", "first-secret");
  EXPECT_EQ(admin("POST", "/impersonationTokens", R"({"login":"nobody"})").status, 404);
  EXPECT_EQ(admin("POST", "/impersonationTokens", R"({"login":"ann","accountId":"1"})").status, 400);
  EXPECT_EQ(admin("POST", "/impersonationTokens", R"({"login":"ann","validityPeriod":"7days"})").status, 400);
  token_ = token_with(store::Role::owner);
  EXPECT_EQ(admin("POST", "/impersonationTokens", R"({"login":"admin"})").status, 403);
}

TEST_F(AccessTest, BindersOfAnAccountAreThoseOfTheApi) {
  auto body = R"({"type":"thingpark","name":"b","asId":"a","asKey":"0123456789abcdef0123456789abcdef"})";
  auto a = organization();
  auto made = admin("POST", "/accounts/" + a + "/binders", body);
  ASSERT_EQ(made.status, 201) << made.body;
  auto path = "/accounts/" + a + "/binders/" + text(made, "id");
  EXPECT_EQ(text(admin("GET", path), "asKey"), "*****");
  EXPECT_EQ(admin("GET", "/accounts/1/binders/" + text(made, "id")).status, 404);
  EXPECT_EQ(body_of(admin("GET", "/accounts/1/binders")).as_array().size(), 0u);
  EXPECT_EQ(send("GET", "/binders/" + text(made, "id")).status, 404);
  EXPECT_EQ(admin("DELETE", path).status, 204);
}

TEST_F(AccessTest, TheClaimsNameAccountRoleAndRealm) {
  auto claims =
      json::parse(*from_base64(token_.substr(token_.find('.') + 1, token_.rfind('.') - token_.find('.') - 1)));
  ASSERT_TRUE(claims);
  for (const char* name : {"iss", "sub", "iat", "nbf", "exp", "jti", "account", "role", "realm"})
    EXPECT_TRUE(claims->as_object().contains(name)) << name;
  EXPECT_EQ(claims->at("role"), "Owner");
  EXPECT_EQ(claims->at("account"), "1");
}

TEST_F(AccessTest, ChangesAndRefusedLoginsAreAudited) {
  auto binder =
      send("POST", "/binders", R"({"type":"thingpark","name":"b","asId":"a","asKey":"secret-as-key-of-mine"})");
  ASSERT_EQ(binder.status, 201) << binder.body;
  auto told = events("audit-6004");
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].level, "info");
  EXPECT_EQ(json::text_or(told[0].data, "user"), "admin");
  EXPECT_EQ(json::text_or(told[0].data, "address"), "192.0.2.1");
  EXPECT_EQ(json::text_or(told[0].data, "action"), "created");
  EXPECT_EQ(json::text_or(told[0].data, "id"), text(binder, "id"));
  EXPECT_EQ(json::text_or(told[0].data, "correlationId"), header_of(binder, "X-Correlation-Id"));
  EXPECT_EQ(json::write(told[0].data).find("secret-as-key"), std::string::npos);
  // Each change is told, also several of one thing within a minute; reads and what is refused are not.
  for (int i = 0; i < 3; ++i)
    ASSERT_EQ(send("PATCH", "/binders/" + text(binder, "id"), R"({"name":"c"})").status, 200);
  send("GET", "/binders");
  send("PATCH", "/binders/none", R"({"name":"c"})");
  EXPECT_EQ(events("audit-6004").size(), 4u);

  for (int i = 0; i < 3; ++i)
    ask_token("Admin\n", "wrong-secret-text");
  auto refused = events("audit-6008");
  ASSERT_EQ(refused.size(), 1u);  // folded
  EXPECT_EQ(refused[0].data.at("count"), 3);
  EXPECT_EQ(json::text_or(refused[0].data, "user"), "admin?");
  EXPECT_EQ((json::write(refused[0].data) + refused[0].message).find("wrong-secret"), std::string::npos);

  auto made = admin("POST", "/accounts/1/members", R"({"login":"ann","role":"Reader"})");
  auto joined = events("audit-6006");
  ASSERT_EQ(joined.size(), 1u);
  EXPECT_EQ(json::text_or(joined[0].data, "login"), "ann");
  EXPECT_EQ(json::write(joined[0].data).find(text(made, "password")), std::string::npos);
  // In the account that was changed, not in the caller's.
  auto a = organization();
  ASSERT_EQ(admin("POST", "/accounts/" + a + "/apiKeys", R"({"name":"k","role":"Reader"})").status, 201);
  EXPECT_EQ(events("audit-6007").size(), 0u);
  EXPECT_EQ(store_->events({.account = a, .from = 0, .to = clock_.now() + 1, .code = "audit-6007"})->size(), 1u);
}

TEST_F(AccessTest, MetricsOfAllAreForTheInstallationsOwnAccount) {
  Request asked{.method = "GET", .path = "/metrics", .peer = "192.0.2.1"};
  asked.headers = {{"authorization", "Bearer " + token_with(store::Role::owner, "2")}};
  EXPECT_EQ(send(asked).status, 403);
  asked.headers = {{"authorization", "Bearer " + token_with(store::Role::reader)}};
  EXPECT_EQ(send(asked).status, 200);
}

TEST_F(AccessTest, FailuresAreCountedByTheClientBehindTheProxy) {
  auto settings = context();
  settings.auth.proxies = {"10.0.0.0/8"};
  Api other(settings);
  ASSERT_TRUE(other.open());
  auto fail_from = [&](const std::string& peer, const std::string& forwarded, int i) {
    Request form{.method = "POST", .path = "/iot-flow/v1/oauth/token", .peer = peer};
    form.headers = {{"x-forwarded-for", forwarded}};
    form.body = "grant_type=client_credentials&client_id=c" + std::to_string(i) + "&client_secret=w";
    return other.handle(form).status;
  };
  for (int i = 0; i < 10; ++i)
    EXPECT_EQ(fail_from("10.1.2.3", "1.2.3.4, 203.0.113.9", i), 401);
  EXPECT_EQ(fail_from("10.1.2.3", "9.9.9.9, 203.0.113.9", 11), 429);  // what stands left of it is not believed
  EXPECT_EQ(fail_from("10.1.2.3", "203.0.113.10", 12), 401);
  EXPECT_EQ(fail_from("192.0.2.5", "203.0.113.9", 13), 401);  // no proxy of ours: its own address
}

TEST(AddressTest, ReadsProxiesAndNetworks) {
  auto from = [](const std::string& peer, const std::string& forwarded) {
    Request request{.peer = peer};
    if (!forwarded.empty()) request.headers = {{"x-forwarded-for", forwarded}};
    return client_address(request, {"10.0.0.0/8", "fd00::/8", "127.0.0.1"});
  };
  EXPECT_EQ(from("10.0.0.1", "198.51.100.7"), "198.51.100.7");
  EXPECT_EQ(from("::ffff:10.0.0.1", "198.51.100.7"), "198.51.100.7");
  EXPECT_EQ(from("10.0.0.1", "6.6.6.6, 198.51.100.7, 10.2.3.4"), "198.51.100.7");
  EXPECT_EQ(from("10.0.0.1", "10.2.3.4"), "10.2.3.4");
  EXPECT_EQ(from("10.0.0.1", "garbage"), "10.0.0.1");
  EXPECT_EQ(from("10.0.0.1", ""), "10.0.0.1");
  EXPECT_EQ(from("11.0.0.1", "198.51.100.7"), "11.0.0.1");
  EXPECT_EQ(from("fd00::1", "2001:db8::1"), "2001:db8::1");
  EXPECT_EQ(limit_key("2001:db8:0:1:2::3"), limit_key("2001:db8:0:1::9"));
  EXPECT_NE(limit_key("2001:db8:0:1::1"), limit_key("2001:db8:0:2::1"));
  EXPECT_EQ(limit_key("::ffff:192.0.2.1"), "192.0.2.1");
  for (const char* good : {"10.0.0.0/8", "::1", "fd00::/8", "1.2.3.4"})
    EXPECT_TRUE(is_network(good)) << good;
  for (const char* bad : {"", "10.0.0.0/33", "10.0.0.0/", "x", "10.0.0.0/-1", "::1/129"})
    EXPECT_FALSE(is_network(bad)) << bad;
}

}  // namespace
}  // namespace sluice::api
