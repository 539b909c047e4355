// SPDX-License-Identifier: Apache-2.0
// Accounts, members and their API keys (spec api.md 13).
#include <algorithm>

#include "api/audit.h"
#include "api/binder_resource.h"
#include "api/login.h"
#include "api/roles.h"
#include "api/router.h"
#include "base/crypto.h"

namespace sluice::api {
namespace {

using boost::json::object;
using store::Role;

constexpr std::size_t kMostName = 255;
constexpr std::size_t kMostLogin = 128;
constexpr std::size_t kMostKeys = 200;      // an account
constexpr std::size_t kMostMembers = 1000;  // an account
constexpr UnixMillis kOneTimePassword = 7LL * 24 * 3600 * 1000;
constexpr std::int64_t kMostGraceSeconds = 30LL * 24 * 3600;
constexpr std::chrono::hours kImpersonation{1};
constexpr std::chrono::hours kMostImpersonation{24};
constexpr std::size_t kLeastPassword = 10, kMostPassword = 256;

Error error(const char* code, std::string text) {
  return {ErrorKind::permanent, std::move(text), code};
}
Error no_account(const std::string& id) {
  return error("com-4004", "there is no account " + id);
}

// Where the caller stands in the account of the path: a user in each of its accounts, whatever account its token is
// for; an API key and somebody impersonated in the token's alone; an administrator of the installation in all of them.
Result<Role> role_in(const Call& call, const std::string& account) {
  const auto& caller = call.caller;
  if (caller.administrator) {
    auto found = call.context.store.account(account);
    if (!found) return found.error();
    if (*found) return Role::owner;
    return no_account(account);
  }
  bool bound = caller.kind == store::Client::Kind::key || !caller.impersonated_by.empty();
  if (bound && account != caller.account) return no_account(account);
  auto standing = call.context.store.accounts().standing(caller.client_id, account);
  if (!standing) return standing.error();
  if (!*standing) return no_account(account);
  return (*standing)->role;
}

// An error unless the caller has at least that role in the account of the path; the audit then tells the change there.
std::optional<Response> refuse_below(Call& call, Role least) {
  const auto& account = call.params[0];
  auto role = role_in(call, account);
  if (!role) return fail(role.error());
  if (*role < least) return fail("com-4003", "your role in this account does not allow this");
  call.audit.account = account;
  return {};
}

// Nothing where the body is no object; faults name each place at once.
const object* body_of(const Call& call) {
  return call.body.is_object() ? &call.body.get_object() : nullptr;
}

// A text of the body: trimmed, 1 to `most` characters; a fault where it is missing (and `needed`) or another thing.
std::string text_of(const object& body, const char* name, std::size_t most, bool needed,
                    std::vector<FieldFault>& faults) {
  const auto* value = json::find(body, name);
  if (value == nullptr) {
    if (needed) faults.push_back({std::string("/") + name, "is required"});
    return {};
  }
  auto text = value->is_string() ? std::string(trim(std::string_view(value->get_string()))) : std::string();
  bool clean = std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x20; });
  if (text.empty() || text.size() > most || !clean) {
    faults.push_back({std::string("/") + name, "must be a text of 1 to " + std::to_string(most) + " characters"});
    return {};
  }
  return text;
}

std::string login_in(const object& body, const char* name, bool needed, std::vector<FieldFault>& faults) {
  auto before = faults.size();
  auto login = to_lower(text_of(body, name, kMostLogin, needed, faults));
  bool good =
      std::all_of(login.begin(), login.end(), [](char c) { return c > 0x20 && c < 0x7f && c != '/' && c != '"'; });
  // Those of API keys are ours to give.
  if (faults.size() == before && (!good || login.starts_with("key-")))
    faults.push_back({std::string("/") + name, "must be a login: visible ASCII characters without '/'"});
  return login;
}

std::optional<Role> role_in_body(const object& body, std::vector<FieldFault>& faults) {
  const auto* value = json::find(body, "role");
  auto role = value != nullptr && value->is_string() ? read_role(value->get_string()) : std::nullopt;
  if (!role) faults.push_back({"/role", "must be Reader, Writer, Controller or Owner"});
  return role;
}

object shown(const store::Account& account) {
  return {{"id", account.id},
          {"type", account.type == store::AccountType::personal ? "personal" : "organization"},
          {"name", account.name},
          {"realm", account.realm},
          {"createdAt", format_time(account.created)},
          {"limits",
           {{"members", account.type == store::AccountType::personal ? 1 : kMostMembers},
            {"apiKeys", kMostKeys},
            {"events", 100'000},
            {"eventDays", 30}}}};
}

object shown(const store::Member& member) {
  return {{"id", member.id},
          {"login", member.client_id},
          {"name", member.name.empty() ? member.client_id : member.name},
          {"role", role_name(member.role)},
          {"since", format_time(member.since)}};
}

object shown(const store::Client& key) {
  object resource{{"id", key.key_id},
                  {"name", key.name},
                  {"role", role_name(key.role)},
                  {"clientId", key.client_id},
                  {"createdAt", format_time(key.created)}};
  if (key.expires != 0) resource["expires"] = format_time(key.expires);
  if (key.last_used != 0) resource["lastUsed"] = format_time(key.last_used);
  return resource;
}

// --- accounts

Response list_accounts(Call& call) {
  auto& accounts = call.context.store.accounts();
  const auto& caller = call.caller;
  auto found = Result<std::vector<store::Account>>(std::vector<store::Account>());
  if (caller.administrator) {
    found = accounts.all();
  } else if (caller.kind == store::Client::Kind::user && caller.impersonated_by.empty()) {
    found = accounts.of_user(caller.client_id);
  } else {
    auto own = call.context.store.account(caller.account);
    if (!own) return fail(own.error());
    if (*own) found->push_back(**own);
  }
  if (!found) return fail(found.error());
  boost::json::array all;
  for (const auto& account : *found)
    all.push_back(shown(account));
  return answer_list(call, std::move(all), false);
}

// A user of that login, made where there is none; `password` is then its one-time one.
struct Invited {
  std::string password;
};
Result<Invited> find_or_invite(Call& call, const std::string& login, const std::string& name) {
  auto client = call.context.store.client(login);
  if (!client) return client.error();
  if (*client) {
    if ((*client)->kind == store::Client::Kind::user) return Invited{};
    return error("com-4009", "that login is not a user's");
  }
  // Whoever makes the user knows its first password.
  if (call.state.auth.is_administrator(login) && !call.caller.administrator)
    return error("com-4003", "only an administrator may make an administrator's login");
  Invited invited{.password = random_secret(24)};
  auto put = call.context.store.put_client({.client_id = login,
                                            .account = "",
                                            .secret_hash = hash_secret(invited.password),
                                            .token_epoch = random_uuid(),
                                            .name = name,
                                            .expires = call.context.clock.now() + kOneTimePassword});
  if (!put) return put.error();
  return invited;
}

void show_password(const Call& call, const Invited& invited, object& resource) {
  if (invited.password.empty()) return;
  resource["password"] = invited.password;
  resource["passwordExpires"] = format_time(call.context.clock.now() + kOneTimePassword);
}

Response create_account(Call& call) {
  const auto* body = body_of(call);
  if (body == nullptr) return fail({{"", "must be an object"}});
  if (call.caller.kind != store::Client::Kind::user || !call.caller.impersonated_by.empty())
    return fail("com-4003", "only a user may make an account");
  std::vector<FieldFault> faults;
  auto name = text_of(*body, "name", kMostName, true, faults);
  auto type = to_lower(json::text_or(*body, "type", "personal"));
  if (type != "personal" && type != "organization") faults.push_back({"/type", "must be personal or organization"});
  auto owner = login_in(*body, "owner", false, faults);
  if (!faults.empty()) return fail(faults);
  const bool personal = type == "personal";
  if (!call.caller.administrator) {
    if (!personal) return fail("com-4003", "only an administrator may make an organization's account");
    if (!call.state.auth.settings().personal_accounts)
      return fail("com-4003", "this installation has no personal accounts");
    if (!owner.empty() && owner != call.caller.client_id)
      return fail("com-4003", "only an administrator may make an account for somebody else");
  }
  if (owner.empty()) owner = call.caller.client_id;
  std::lock_guard lock(call.state.configuration);
  auto invited = find_or_invite(call, owner, "");
  if (!invited) return fail(invited.error());
  auto made = call.context.store.accounts().insert(
      {.id = "", .name = name, .type = personal ? store::AccountType::personal : store::AccountType::organization},
      owner);
  if (!made) return fail(made.error());
  call.audit.account = made->id;
  call.audit.data = {{"owner", owner}, {"type", type}};
  auto resource = shown(*made);
  show_password(call, *invited, resource);
  return answer_resource(call, std::move(resource), made->updated, 201)
      .with("Location", "/accounts/" + made->id)
      .with("Cache-Control", "no-store");
}

Result<store::Account> account_of(const Call& call) {
  auto found = call.context.store.account(call.params[0]);
  if (!found) return found.error();
  if (!*found) return no_account(call.params[0]);
  return **found;
}

Response get_account(Call& call) {
  if (auto refused = refuse_below(call, Role::reader)) return std::move(*refused);
  auto account = account_of(call);
  if (!account) return fail(account.error());
  return answer_resource(call, shown(*account), account->updated);
}

Response patch_account(Call& call) {
  if (auto refused = refuse_below(call, Role::owner)) return std::move(*refused);
  const auto* body = body_of(call);
  if (body == nullptr) return fail({{"", "must be an object"}});
  std::vector<FieldFault> faults;
  auto name = text_of(*body, "name", kMostName, false, faults);
  if (const auto* value = body->if_contains("name"); value != nullptr && value->is_null())
    faults.push_back({"/name", "cannot be removed"});
  if (!faults.empty()) return fail(faults);
  std::lock_guard lock(call.state.configuration);
  auto account = account_of(call);
  if (!account) return fail(account.error());
  if (auto changed_since = unmodified_check(call, account->updated)) return std::move(*changed_since);
  if (!name.empty() && name != account->name) {
    account->name = name;
    if (auto put = call.context.store.put_account(*account); !put) return fail(put.error());
    account = account_of(call);
    if (!account) return fail(account.error());
  }
  return answer_resource(call, shown(*account), account->updated);
}

Response erase_account(Call& call) {
  if (auto refused = refuse_below(call, Role::owner)) return std::move(*refused);
  const auto id = call.params[0];
  if (id == kFirstAccount) return fail("com-4009", "the installation's own account cannot be deleted");
  std::lock_guard lock(call.state.configuration);
  auto account = account_of(call);
  if (!account) return fail(account.error());
  if (auto changed_since = unmodified_check(call, account->updated)) return std::move(*changed_since);
  if (auto erased = call.context.store.accounts().erase(id); !erased) return fail(erased.error());
  call.state.matchers.erase(id);
  for (const auto* reload : {&call.context.reload_flows, &call.context.reload_drivers, &call.context.reload_binders}) {
    if (auto done = (*reload)(); !done) return fail(done.error());
  }
  // Its own events went with it.
  call.audit.account = kFirstAccount;
  call.audit.data = {{"name", account->name}};
  return no_content();
}

// --- members

Response list_members(Call& call) {
  if (auto refused = refuse_below(call, Role::reader)) return std::move(*refused);
  auto members = call.context.store.accounts().members(call.params[0]);
  if (!members) return fail(members.error());
  boost::json::array all;
  for (const auto& member : *members)
    all.push_back(shown(member));
  return answer_list(call, std::move(all), false);
}

Response get_member(Call& call) {
  if (auto refused = refuse_below(call, Role::reader)) return std::move(*refused);
  auto member = call.context.store.accounts().member(call.params[0], call.params[1]);
  if (!member) return fail(member.error());
  if (!*member) return fail("com-4004", "there is no member " + call.params[1]);
  return answer(shown(**member));
}

Response add_member(Call& call) {
  if (auto refused = refuse_below(call, Role::owner)) return std::move(*refused);
  const auto* body = body_of(call);
  if (body == nullptr) return fail({{"", "must be an object"}});
  std::vector<FieldFault> faults;
  auto login = login_in(*body, "login", true, faults);
  auto role = role_in_body(*body, faults);
  auto name = text_of(*body, "name", kMostName, false, faults);
  if (!faults.empty()) return fail(faults);
  std::lock_guard lock(call.state.configuration);
  auto& accounts = call.context.store.accounts();
  auto account = account_of(call);
  if (!account) return fail(account.error());
  // Before a user is made for nothing.
  if (account->type == store::AccountType::personal) return fail("com-4009", "a personal account has no other members");
  auto members = accounts.members(account->id);
  if (!members) return fail(members.error());
  if (members->size() >= kMostMembers)
    return fail("com-4009", "an account has at most " + std::to_string(kMostMembers) + " members");
  auto invited = find_or_invite(call, login, name);
  if (!invited) return fail(invited.error());
  auto member = accounts.insert_member(account->id, login, *role);
  if (!member) return fail(member.error());
  call.audit.data = {{"login", login}, {"role", role_name(*role)}, {"invited", !invited->password.empty()}};
  auto resource = shown(*member);
  show_password(call, *invited, resource);
  return answer(resource, 201)
      .with("Location", "/accounts/" + account->id + "/members/" + member->id)
      .with("Cache-Control", "no-store");
}

Response patch_member(Call& call) {
  if (auto refused = refuse_below(call, Role::owner)) return std::move(*refused);
  const auto* body = body_of(call);
  if (body == nullptr) return fail({{"", "must be an object"}});
  std::vector<FieldFault> faults;
  auto role = role_in_body(*body, faults);
  if (!faults.empty()) return fail(faults);
  auto member = call.context.store.accounts().set_role(call.params[0], call.params[1], *role);
  if (!member) return fail(member.error());
  call.audit.data = {{"login", member->client_id}, {"role", role_name(*role)}};
  return answer(shown(*member));
}

Response erase_member(Call& call) {
  auto role = role_in(call, call.params[0]);
  if (!role) return fail(role.error());
  auto member = call.context.store.accounts().member(call.params[0], call.params[1]);
  if (!member) return fail(member.error());
  const bool oneself = *member && (*member)->client_id == call.caller.client_id && call.caller.impersonated_by.empty();
  if (*role < Role::owner && !oneself) return fail("com-4003", "your role in this account does not allow this");
  if (!*member) return fail("com-4004", "there is no member " + call.params[1]);
  // Who sees to the installation would be locked out.
  if ((*member)->client_id == kAdmin && call.params[0] == kFirstAccount)
    return fail("com-4009", "admin stays a member of the installation's own account");
  auto erased = call.context.store.accounts().erase_member(call.params[0], call.params[1], kAdmin);
  if (!erased) return fail(erased.error());
  call.audit.account = call.params[0];
  call.audit.data = {{"login", (*member)->client_id}};
  return no_content();
}

Response list_roles(Call& call) {
  if (auto refused = refuse_below(call, Role::reader)) return std::move(*refused);
  boost::json::array all;
  for (auto name : kRoleNames)
    all.emplace_back(name);
  return answer(all);
}

// --- API keys

Response list_keys(Call& call) {
  if (auto refused = refuse_below(call, Role::owner)) return std::move(*refused);
  auto keys = call.context.store.accounts().keys(call.params[0]);
  if (!keys) return fail(keys.error());
  boost::json::array all;
  for (const auto& key : *keys)
    all.push_back(shown(key));
  return answer_list(call, std::move(all), false);
}

Result<store::Client> key_of(const Call& call) {
  auto key = call.context.store.accounts().key(call.params[0], call.params[1]);
  if (!key) return key.error();
  if (!*key) return error("com-4004", "there is no API key " + call.params[1]);
  return **key;
}

Response get_key(Call& call) {
  if (auto refused = refuse_below(call, Role::owner)) return std::move(*refused);
  auto key = key_of(call);
  if (!key) return fail(key.error());
  return answer(shown(*key));
}

Response create_key(Call& call) {
  if (auto refused = refuse_below(call, Role::owner)) return std::move(*refused);
  const auto* body = body_of(call);
  if (body == nullptr) return fail({{"", "must be an object"}});
  std::vector<FieldFault> faults;
  auto name = text_of(*body, "name", kMostName, true, faults);
  auto role = role_in_body(*body, faults);
  UnixMillis expires = 0;
  if (const auto* value = json::find(*body, "expires")) {
    auto time = value->is_string() ? parse_time(value->get_string()) : std::nullopt;
    if (!time || *time <= call.context.clock.now())
      faults.push_back({"/expires", "must be a time to come, as 2030-01-31T00:00:00Z"});
    else
      expires = *time;
  }
  if (!faults.empty()) return fail(faults);
  std::lock_guard lock(call.state.configuration);
  auto keys = call.context.store.accounts().keys(call.params[0]);
  if (!keys) return fail(keys.error());
  if (keys->size() >= kMostKeys)
    return fail("com-4009", "an account has at most " + std::to_string(kMostKeys) + " API keys");
  auto secret = random_secret(40);
  store::Client key{.client_id = "",
                    .account = call.params[0],
                    .role = *role,
                    .secret_hash = hash_secret(secret),
                    .token_epoch = random_uuid(),
                    .kind = store::Client::Kind::key,
                    .name = name,
                    .key_id = random_uuid(),
                    .created = call.context.clock.now(),
                    .expires = expires};
  key.client_id = "key-" + key.key_id;
  if (auto put = call.context.store.put_client(key); !put) return fail(put.error());
  call.audit.data = {{"name", name}, {"role", role_name(*role)}, {"clientId", key.client_id}};
  auto resource = shown(key);
  resource["clientSecret"] = secret;
  return answer(resource, 201)
      .with("Location", "/accounts/" + call.params[0] + "/apiKeys/" + key.key_id)
      .with("Cache-Control", "no-store");
}

// A new secret. The old one ends at once, with all tokens; with `graceSeconds` it holds so long beside the new one, and
// running tokens stay.
Response rotate_key(Call& call) {
  if (auto refused = refuse_below(call, Role::owner)) return std::move(*refused);
  std::int64_t grace = 0;
  if (!trim(call.request.body).empty()) {
    auto parsed = json::parse(call.request.body);
    if (!parsed) return fail("com-4000", parsed.error().text);
    if (!parsed->is_object()) return fail({{"", "must be an object"}});
    if (const auto* value = json::find(parsed->get_object(), "graceSeconds")) {
      if (!value->is_int64() || value->get_int64() < 0 || value->get_int64() > kMostGraceSeconds)
        return fail({{"/graceSeconds", "must be a number from 0 to " + std::to_string(kMostGraceSeconds)}});
      grace = value->get_int64();
    }
  }
  std::lock_guard lock(call.state.configuration);
  auto key = key_of(call);
  if (!key) return fail(key.error());
  auto secret = random_secret(40);
  auto now = call.context.clock.now();
  key->earlier_hash = grace > 0 ? key->secret_hash : "";
  key->earlier_until = grace > 0 ? now + grace * 1000 : 0;
  key->secret_hash = hash_secret(secret);
  if (grace == 0) key->token_epoch = random_uuid();
  if (auto put = call.context.store.put_client(*key); !put) return fail(put.error());
  call.audit.data = {{"name", key->name}, {"clientId", key->client_id}, {"graceSeconds", grace}};
  auto resource = shown(*key);
  resource["clientSecret"] = secret;
  if (grace > 0) resource["earlierSecretUntil"] = format_time(key->earlier_until);
  return answer(resource).with("Cache-Control", "no-store");
}

Response erase_key(Call& call) {
  if (auto refused = refuse_below(call, Role::owner)) return std::move(*refused);
  auto key = key_of(call);
  if (!key) return fail(key.error());
  auto erased = call.context.store.accounts().erase_key(call.params[0], call.params[1]);
  if (!erased) return fail(erased.error());
  call.audit.data = {{"name", key->name}, {"clientId", key->client_id}};
  return no_content();
}

// --- users

Response get_me(Call& call) {
  auto client = call.context.store.client(call.caller.client_id);
  if (!client) return fail(client.error());
  object resource{{"login", call.caller.client_id},
                  {"name", *client && !(*client)->name.empty() ? (*client)->name : call.caller.client_id},
                  {"accountId", call.caller.account},
                  {"role", role_name(call.caller.role)},
                  {"administrator", call.caller.administrator}};
  if (!call.caller.impersonated_by.empty()) resource["impersonatedBy"] = call.caller.impersonated_by;
  return answer(resource);
}

std::optional<FieldFault> password_fault(const std::string& password) {
  if (password.size() >= kLeastPassword && password.size() <= kMostPassword) return {};
  return FieldFault{"/newPassword",
                    "must have " + std::to_string(kLeastPassword) + " to " + std::to_string(kMostPassword) + " bytes"};
}

// One's own password: the old one is asked for, so that a stolen token is not enough. All tokens of the user end.
Response change_password(Call& call) {
  const auto* body = body_of(call);
  if (body == nullptr) return fail({{"", "must be an object"}});
  if (call.caller.kind != store::Client::Kind::user || !call.caller.impersonated_by.empty())
    return fail("com-4003", "only a user may change its own password; an API key is rotated");
  std::vector<FieldFault> faults;
  for (const char* name : {"oldPassword", "newPassword"}) {
    const auto* value = json::find(*body, name);
    if (value == nullptr || !value->is_string()) faults.push_back({std::string("/") + name, "must be a text"});
  }
  auto fresh = json::text_or(*body, "newPassword");
  if (faults.empty()) {
    if (auto fault = password_fault(fresh)) faults.push_back(*fault);
  }
  if (!faults.empty()) return fail(faults);
  const auto& login = call.caller.client_id;
  if (auto wait = login_wait(call, login)) {
    return fail("com-4029", "too many failures; wait a little")
        .with("Retry-After", std::to_string((wait->count() + 999) / 1000));
  }
  auto client = call.state.auth.check_secret(login, json::text_or(*body, "oldPassword"));
  if (!client && client.error().code != "com-4001") return fail(client.error());
  if (!client) {
    record_failed_login(call, login);
    audit_refused_login(call, login, "wrong password");
    return fail({{"/oldPassword", "is not the password"}});
  }
  client->account.clear();
  client->secret_hash = hash_secret(fresh);
  client->token_epoch = random_uuid();
  client->expires = 0;
  if (auto put = call.context.store.put_client(*client); !put) return fail(put.error());
  call.audit.data = {{"login", login}};
  return no_content();
}

// A user that has lost its password gets a one-time one, by an administrator. All its tokens end.
Response reset_password(Call& call) {
  if (!call.caller.administrator) return fail("com-4003", "only an administrator may do this");
  auto login = to_lower(call.params[0]);
  auto client = call.context.store.client(login);
  if (!client) return fail(client.error());
  if (!*client || (*client)->kind != store::Client::Kind::user) return fail("com-4004", "there is no user " + login);
  // Its secret is a setting of the installation.
  if (login == kAdmin) return fail("com-4009", "the secret of admin is set where the server is started");
  auto account = (*client)->account;
  Invited invited{.password = random_secret(24)};
  (*client)->account.clear();
  (*client)->secret_hash = hash_secret(invited.password);
  (*client)->token_epoch = random_uuid();
  (*client)->expires = call.context.clock.now() + kOneTimePassword;
  if (auto put = call.context.store.put_client(**client); !put) return fail(put.error());
  call.audit.account = account;
  call.audit.data = {{"login", login}};
  object resource{{"login", login}};
  show_password(call, invited, resource);
  return answer(resource).with("Cache-Control", "no-store");
}

Response impersonate(Call& call) {
  if (!call.caller.administrator) return fail("com-4003", "only an administrator may do this");
  const auto* body = body_of(call);
  if (body == nullptr) return fail({{"", "must be an object"}});
  std::vector<FieldFault> faults;
  auto login = login_in(*body, "login", true, faults);
  auto account = text_of(*body, "accountId", 64, false, faults);
  std::chrono::seconds life = kImpersonation;
  if (const auto* value = json::find(*body, "validityPeriod")) {
    auto read = value->is_string() ? read_validity(value->get_string()) : std::nullopt;
    if (!read || *read > kMostImpersonation)
      faults.push_back({"/validityPeriod", "must be as 2hours, at most 24hours"});
    else
      life = *read;
  }
  if (!faults.empty()) return fail(faults);
  auto client = call.context.store.client(login);
  if (!client) return fail(client.error());
  if (!*client || (*client)->kind != store::Client::Kind::user) return fail("com-4004", "there is no user " + login);
  auto issued = call.state.auth.issue(
      **client, {.client_id = login, .account = account, .life = life, .impersonated_by = call.caller.client_id});
  if (!issued && issued.error().code == "com-4000")
    return fail({{"/accountId", "must be the id of an account of this user"}});
  if (!issued) return fail(issued.error());
  call.audit.told = true;
  audit_impersonation(call, login, issued->account, issued->life);
  return answer(object{{"access_token", issued->token},
                       {"token_type", "bearer"},
                       {"expires_in", issued->life.count()},
                       {"scope", issued->account},
                       {"client_id", login}},
                201)
      .with("Cache-Control", "no-store");
}

// --- binders of an account: those of /iot-flow/v1/binders

template <Handler BinderHandlers::*handler>
Response of_binders(Call& call) {
  if (auto refused = refuse_below(call, Role::owner)) return std::move(*refused);
  call.caller.account = call.params[0];
  call.params.erase(call.params.begin());
  return (binder_handlers().*handler)(call);
}

}  // namespace

// The role is that in the account of the path, so each handler looks it up: the table says only that a token is needed.
void add_iot_admin(std::vector<Route>& routes) {
  constexpr auto any = Access::reader;
  routes.push_back({"GET", "/iot-admin/v1/accounts", any, list_accounts});
  routes.push_back({"POST", "/iot-admin/v1/accounts", any, create_account, Body::json});
  routes.push_back({"GET", "/iot-admin/v1/accounts/{id}", any, get_account});
  routes.push_back({"PATCH", "/iot-admin/v1/accounts/{id}", any, patch_account, Body::json});
  routes.push_back({"DELETE", "/iot-admin/v1/accounts/{id}", any, erase_account});
  routes.push_back({"GET", "/iot-admin/v1/accounts/{id}/members", any, list_members});
  routes.push_back({"POST", "/iot-admin/v1/accounts/{id}/members", any, add_member, Body::json});
  routes.push_back({"GET", "/iot-admin/v1/accounts/{id}/members/{memberId}", any, get_member});
  routes.push_back({"PATCH", "/iot-admin/v1/accounts/{id}/members/{memberId}", any, patch_member, Body::json});
  routes.push_back({"DELETE", "/iot-admin/v1/accounts/{id}/members/{memberId}", any, erase_member});
  routes.push_back({"GET", "/iot-admin/v1/accounts/{id}/roles", any, list_roles});
  routes.push_back({"GET", "/iot-admin/v1/accounts/{id}/apiKeys", any, list_keys});
  routes.push_back({"POST", "/iot-admin/v1/accounts/{id}/apiKeys", any, create_key, Body::json});
  routes.push_back({"GET", "/iot-admin/v1/accounts/{id}/apiKeys/{keyId}", any, get_key});
  routes.push_back({"DELETE", "/iot-admin/v1/accounts/{id}/apiKeys/{keyId}", any, erase_key});
  routes.push_back({"POST", "/iot-admin/v1/accounts/{id}/apiKeys/{keyId}/rotate", any, rotate_key, Body::any});
  routes.push_back({"GET", "/iot-admin/v1/accounts/{id}/binders", any, of_binders<&BinderHandlers::list>});
  routes.push_back(
      {"POST", "/iot-admin/v1/accounts/{id}/binders", any, of_binders<&BinderHandlers::create>, Body::json});
  constexpr auto binder = "/iot-admin/v1/accounts/{id}/binders/{binderId}";
  routes.push_back({"GET", binder, any, of_binders<&BinderHandlers::get>});
  routes.push_back({"PUT", binder, any, of_binders<&BinderHandlers::put>, Body::json});
  routes.push_back({"PATCH", binder, any, of_binders<&BinderHandlers::patch>, Body::json});
  routes.push_back({"DELETE", binder, any, of_binders<&BinderHandlers::erase>});
  routes.push_back({"GET", "/iot-admin/v1/users/me", any, get_me});
  routes.push_back({"POST", "/iot-admin/v1/users/me/password", any, change_password, Body::json});
  routes.push_back({"POST", "/iot-admin/v1/users/{login}/password", any, reset_password});
  routes.push_back({"POST", "/iot-admin/v1/impersonationTokens", any, impersonate, Body::json});
}

}  // namespace sluice::api
