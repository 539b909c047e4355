// SPDX-License-Identifier: Apache-2.0
#include "api/auth.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

#include "api/jwt.h"
#include "base/crypto.h"
#include "base/json.h"

namespace sluice::api {
namespace {

constexpr const char* kSigningKey = "token-signing-key";
constexpr const char* kIssuer = "sluice";
constexpr const char* kRealm = "default";
constexpr std::int64_t kSkewSeconds = 60;
constexpr const char* kAdmin = "admin";
constexpr const char* kFirstAccount = "1";

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

Result<store::Client> Auth::check_secret(const std::string& client_id, const std::string& secret) {
  // Of no secret at all: checked for unknown clients so that they take as long.
  static const std::string kNobody = hash_secret(random_secret(32));
  auto client = store_.client(client_id);
  if (!client) return client.error();
  bool right = verify_secret(secret, *client ? (*client)->secret_hash : kNobody);
  if (!*client || !right) return Error{ErrorKind::permanent, "unknown client or wrong secret", "com-4001"};
  return **client;
}

Result<std::string> Auth::issue(store::Client client, std::chrono::seconds life, bool end_earlier) {
  if (end_earlier) {
    client.token_epoch = random_uuid();
    if (auto put = store_.put_client(client); !put) return put.error();
  }
  auto now = clock_.now() / 1000;
  return sign_jwt({{"iss", kIssuer},
                   {"sub", client.client_id},
                   {"iat", now},
                   {"nbf", now},
                   {"exp", now + life.count()},
                   {"jti", random_uuid()},
                   {"account", client.account},
                   {"role", static_cast<int>(client.role)},
                   {"realm", kRealm},
                   {"epoch", client.token_epoch}},
                  key_);
}

Result<Auth::Token> Auth::check_token(std::string_view token) {
  // An empty key would let everybody sign.
  if (key_.empty() || token.empty() || token.size() > 4096) return invalid_token();
  auto claims = open_jwt(token, key_);
  if (!claims) return invalid_token();
  auto now = clock_.now() / 1000;
  auto expires = json::int_or(*claims, "exp", 0);
  if (json::text_or(*claims, "iss") != kIssuer || expires + kSkewSeconds <= now ||
      json::int_or(*claims, "nbf", now + 2 * kSkewSeconds) > now + kSkewSeconds ||
      json::int_or(*claims, "iat", now + 2 * kSkewSeconds) > now + kSkewSeconds) {
    return invalid_token();
  }
  auto client = store_.client(json::text_or(*claims, "sub"));
  if (!client) return client.error();
  if (!*client || (*client)->token_epoch != json::text_or(*claims, "epoch")) return invalid_token();
  return Token{.caller = {.client_id = (*client)->client_id, .account = (*client)->account, .role = (*client)->role},
               .left = std::chrono::seconds(std::max<std::int64_t>(0, expires - now))};
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
  made.secret_hash = hash_secret(secret);
  made.token_epoch = random_uuid();
  if (auto put = store.put_client(made); !put) return put.error();
  return secret_from_env.empty() ? secret : std::string();
}

}  // namespace sluice::api
