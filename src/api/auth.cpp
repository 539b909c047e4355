// SPDX-License-Identifier: Apache-2.0
#include "api/auth.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

#include "api/jwt.h"
#include "api/oidc.h"
#include "api/roles.h"
#include "base/codec.h"
#include "base/crypto.h"
#include "base/json.h"

namespace sluice::api {
namespace {

constexpr const char* kSigningKey = "token-signing-key";
constexpr const char* kIssuer = "sluice";
constexpr std::int64_t kSkewSeconds = 60;
constexpr std::size_t kMostToken = 16'384;  // those of foreign issuers list groups and rights

Error invalid_token() {
  return {ErrorKind::permanent, "the token is missing, wrong or expired", "com-4001"};
}

Result<void> write_secret(const std::string& path, const std::string& secret) {
  ::unlink(path.c_str());
  int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  auto text = secret + "\n";
  bool written =
      fd >= 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(fd) == 0;
  int reason = errno;
  if (fd >= 0) ::close(fd);
  if (!written) return Error{ErrorKind::bad_config, "cannot write " + path + ": " + std::strerror(reason)};
  return {};
}

}  // namespace

Auth::Auth(store::Store& store, Clock& clock, AuthSettings settings)
    : store_(store), clock_(clock), settings_(std::move(settings)) {
  for (auto& login : settings_.administrators)
    login = to_lower(login);
  if (!settings_.issuers.empty()) {
    oidc_ = std::make_unique<Oidc>(settings_.issuers, clock_, settings_.fetch ? settings_.fetch : Oidc::over_http());
  }
}

Auth::~Auth() = default;

Result<void> Auth::open() {
  auto stored = store_.setting(kSigningKey);
  if (!stored) return stored.error();
  if (*stored) {
    key_ = **stored;
    return {};
  }
  key_ = random_secret(64);
  return store_.put_setting(kSigningKey, key_);
}

std::string Auth::login_of(std::string_view client_id) {
  auto slash = client_id.find('/');
  return to_lower(slash == std::string_view::npos ? client_id : client_id.substr(slash + 1));
}

bool Auth::is_administrator(const std::string& login) const {
  const auto& all = settings_.administrators;
  return login == kAdmin || std::find(all.begin(), all.end(), login) != all.end();
}

Result<store::Client> Auth::check_secret(const std::string& client_id, const std::string& secret) {
  // Of no secret at all: checked for unknown clients, and those without one, so that they take as long.
  static const std::string kNobody = hash_secret(random_secret(32));
  auto client = store_.client(login_of(client_id));
  if (!client) return client.error();
  auto now = clock_.now();
  bool has = *client && !(*client)->secret_hash.empty();
  bool right = verify_secret(secret, has ? (*client)->secret_hash : kNobody) && has;
  if (*client && !right && now < (*client)->earlier_until) right = verify_secret(secret, (*client)->earlier_hash);
  bool over = *client && (*client)->expires != 0 && now >= (*client)->expires;
  if (!right || over) return Error{ErrorKind::permanent, "unknown client or wrong secret", "com-4001"};
  // To the minute is enough, and does not write at each token.
  if (now - (*client)->last_used >= 60'000 || now < (*client)->last_used) {
    if (auto touched = store_.accounts().touch((*client)->client_id, now); !touched) return touched.error();
  }
  return **client;
}

Result<Auth::Issued> Auth::issue(store::Client client, const Wish& wish) {
  auto account = wish.account.empty() ? client.account : wish.account;
  Error none{ErrorKind::permanent, "scope must be the id of an account of this client", "com-4000"};
  if (account.empty()) {
    none.text = "this client is a member of no account";
    return none;
  }
  auto standing = store_.accounts().standing(client.client_id, account);
  if (!standing) return standing.error();
  if (!*standing) return none;
  if (wish.end_earlier) {
    client.token_epoch = random_uuid();
    client.account.clear();  // its memberships stay what they are
    if (client.kind == store::Client::Kind::key) client.account = account;
    if (auto put = store_.put_client(client); !put) return put.error();
  }
  auto now = clock_.now() / 1000;
  auto life = wish.life;
  if (client.kind == store::Client::Kind::key && client.expires != 0)
    life = std::min(life, std::chrono::seconds(client.expires / 1000 - now));
  boost::json::object claims{{"iss", kIssuer},
                             {"sub", wish.client_id},
                             {"iat", now},
                             {"nbf", now},
                             {"exp", now + life.count()},
                             {"jti", random_uuid()},
                             {"account", account},
                             {"role", role_name((*standing)->role)},
                             {"realm", (*standing)->realm},
                             {"epoch", client.token_epoch},
                             {"member", (*standing)->member_id}};
  // RFC 8693 section 4.1: who acts for the subject. Its epoch too: the token ends with the administrator's own.
  if (!wish.impersonated_by.empty()) {
    auto actor = store_.client(wish.impersonated_by);
    if (!actor) return actor.error();
    claims["act"] = {{"sub", wish.impersonated_by}, {"epoch", *actor ? (*actor)->token_epoch : ""}};
  }
  return Issued{.token = sign_jwt(claims, key_), .account = account, .life = life};
}

Result<Auth::Token> Auth::check_token(std::string_view token, const std::string& account) {
  // An empty key would let everybody sign.
  if (key_.empty() || token.empty() || token.size() > kMostToken) return invalid_token();
  auto claims = open_jwt(token, key_);
  if (!claims) return check_foreign(token, account);
  auto now = clock_.now() / 1000;
  auto expires = json::int_or(*claims, "exp", 0);
  if (json::text_or(*claims, "iss") != kIssuer || expires + kSkewSeconds <= now ||
      json::int_or(*claims, "nbf", now + 2 * kSkewSeconds) > now + kSkewSeconds ||
      json::int_or(*claims, "iat", now + 2 * kSkewSeconds) > now + kSkewSeconds) {
    return invalid_token();
  }
  Token checked{.caller = {},
                .subject = json::text_or(*claims, "sub"),
                .left = std::chrono::seconds(std::max<std::int64_t>(0, expires - now)),
                .id = json::text_or(*claims, "jti")};
  auto& caller = checked.caller;
  caller.client_id = login_of(checked.subject);
  caller.account = json::text_or(*claims, "account");
  auto standing = store_.accounts().standing(caller.client_id, caller.account);
  if (!standing) return standing.error();
  if (!*standing || (*standing)->token_epoch != json::text_or(*claims, "epoch") ||
      (*standing)->member_id != json::text_or(*claims, "member") ||
      ((*standing)->expires != 0 && (*standing)->expires / 1000 <= now)) {
    return invalid_token();
  }
  auto ended = store_.accounts().is_ended(checked.id);
  if (!ended) return ended.error();
  if (*ended) return invalid_token();
  caller.role = (*standing)->role;
  caller.kind = (*standing)->kind;
  if (const auto* act = claims->if_contains("act"); act != nullptr && act->is_object()) {
    caller.impersonated_by = json::text_or(act->get_object(), "sub");
    auto actor = store_.client(caller.impersonated_by);
    if (!actor) return actor.error();
    if (!*actor || (*actor)->token_epoch != json::text_or(act->get_object(), "epoch") ||
        !is_administrator(caller.impersonated_by)) {
      return invalid_token();
    }
  }
  caller.administrator =
      caller.kind == store::Client::Kind::user && caller.impersonated_by.empty() && is_administrator(caller.client_id);
  return checked;
}

Result<Auth::Token> Auth::check_foreign(std::string_view token, const std::string& account) {
  if (!oidc_) return invalid_token();
  auto identity = oidc_->check(token);
  if (!identity) return identity.error();
  auto login = to_lower(identity->login);
  // The installation's own client is opened by its secret alone.
  if (login == kAdmin) return invalid_token();
  auto client = store_.client(login);
  if (!client) return client.error();
  if (!*client || (*client)->kind != store::Client::Kind::user) return invalid_token();
  auto wanted = account.empty() ? (*client)->account : account;
  auto standing = store_.accounts().standing(login, wanted);
  if (!standing) return standing.error();
  if (!*standing) return invalid_token();
  return Token{.caller = {.client_id = login,
                          .account = wanted,
                          .role = (*standing)->role,
                          .administrator = is_administrator(login)},
               .subject = login,
               .left = std::chrono::seconds(std::max<std::int64_t>(0, identity->expires - clock_.now() / 1000)),
               .id = {}};
}

Result<void> Auth::end(const Token& token) {
  if (token.id.empty()) return {};
  auto expires = clock_.now() + (token.left.count() + 2 * kSkewSeconds) * 1000;
  return store_.accounts().end_token(token.id, expires);
}

bool owns_installation(const Caller& caller) {
  return caller.account == kFirstAccount;
}

Result<std::string> bootstrap(store::Store& store, const std::string& secret_from_env, const std::string& data_dir) {
  auto account = store.account(kFirstAccount);
  if (!account) return account.error();
  if (!*account) {
    if (auto put = store.put_account({.id = kFirstAccount, .name = "default"}); !put) return put.error();
  }
  auto client = store.client(kAdmin);
  if (!client) return client.error();
  if (*client && (secret_from_env.empty() || verify_secret(secret_from_env, (*client)->secret_hash)))
    return std::string();

  auto secret = secret_from_env.empty() ? random_secret(32) : secret_from_env;
  if (secret_from_env.empty()) {
    // First the file: a client whose secret nobody knows could not be used.
    if (auto written = write_secret(data_dir + "/admin-secret", secret); !written) return written.error();
  }
  store::Client made = *client ? **client : store::Client{.client_id = kAdmin, .account = kFirstAccount};
  if (*client) made.account.clear();  // in the accounts it has since become a member of
  made.secret_hash = hash_secret(secret);
  made.token_epoch = random_uuid();
  if (auto put = store.put_client(made); !put) return put.error();
  return secret_from_env.empty() ? secret : std::string();
}

}  // namespace sluice::api
