// SPDX-License-Identifier: Apache-2.0
#include "api/router.h"

#include <algorithm>
#include <charconv>

#include "api/address.h"
#include "api/audit.h"
#include "base/codec.h"
#include "base/log.h"

namespace sluice::api {
namespace {

constexpr std::size_t kMaxPerPage = 5000;

std::vector<std::string_view> segments(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    if (path.front() == '/') path.remove_prefix(1);
    auto part = path.substr(0, path.find('/'));
    parts.push_back(part);
    path.remove_prefix(part.size());
  }
  return parts;
}

// The decoded parameters where the path fits the template.
std::optional<std::vector<std::string>> match(std::string_view pattern, const std::vector<std::string_view>& path) {
  std::vector<std::string> params;
  auto parts = segments(pattern);
  if (parts.size() != path.size()) return {};
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (!parts[i].empty() && parts[i].front() == '{') {
      auto decoded = url_decode(path[i]);
      if (!decoded || decoded->empty()) return {};
      params.push_back(std::move(*decoded));
    } else if (parts[i] != path[i]) {
      return {};
    }
  }
  return params;
}

std::string allowed_methods(const std::vector<std::string_view>& path) {
  std::string methods;
  for (const auto& route : routes()) {
    if (!match(route.path, path) || methods.find(route.method) != std::string::npos) continue;
    if (!methods.empty()) methods += ", ";
    methods += route.method;
    if (route.method == "GET") methods += ", HEAD";
  }
  // The tunnel is answered by the server itself.
  if (methods.empty() && match("/iot-flow/tunnel/{id}", path)) methods = "POST";
  return methods;
}

std::string media_type(std::string_view header) {
  return to_lower(trim(header.substr(0, header.find(';'))));
}

bool accepts(std::string_view header, std::string_view produced) {
  if (trim(header).empty() || produced == "*") return true;
  while (!header.empty()) {
    auto part = header.substr(0, header.find(','));
    header.remove_prefix(std::min(header.size(), part.size() + 1));
    auto type = media_type(part);
    auto main = std::string(produced.substr(0, produced.find('/'))) + "/*";
    if (type == "*/*" || type == "*" || type == main || type == produced) return true;
    // "application/problem+json", "application/hal+json": the client wants JSON, and JSON is what it gets.
    if (produced == "application/json" && type.starts_with("application/") && type.ends_with("+json")) return true;
  }
  return false;
}

// 415 or 400, or the parsed body in the call.
std::optional<Response> read_body(Call& call, const Route& route) {
  auto type = media_type(call.request.header("content-type"));
  bool merge_patch = route.method == "PATCH" && type == "application/merge-patch+json";
  if (!type.empty() && type != "application/json" && !merge_patch) {
    return fail("com-4015", "the body must be application/json" +
                                std::string(route.method == "PATCH" ? " or application/merge-patch+json" : ""));
  }
  if (trim(call.request.body).empty()) return fail("com-4000", "a JSON body is missing");
  auto parsed = json::parse(call.request.body);
  if (!parsed) return fail("com-4000", parsed.error().text);
  call.body = std::move(*parsed);
  return {};
}

Response unauthorized() {
  return fail("com-4001", "the token is missing, wrong or expired").with("WWW-Authenticate", "Bearer");
}

}  // namespace

const std::vector<Route>& routes() {
  static const std::vector<Route> all = [] {
    std::vector<Route> routes;
    for (auto add :
         {add_oauth,      add_connectors, add_connections, add_flows,      add_drivers,   add_driver_import,
          add_driver_log, add_driver_try, add_codec,       add_processors, add_ontology,  add_binders,
          add_events,     add_downlinks,  add_health,      add_openapi,    add_iot_admin, add_connection_test,
          add_delivery,   add_statistics, add_live,        add_messages,   add_swagger}) {
      add(routes);
    }
    return routes;
  }();
  return all;
}

Result<Caller> authenticate(Call& call) {
  auto header = call.request.header("authorization");
  std::string token;
  if (!header.empty()) {
    if (!equals_ignoring_case(header.substr(0, 7), "bearer ")) {
      return Error{ErrorKind::permanent, "the Authorization header must be a Bearer token", "com-4001"};
    }
    token = trim(header.substr(7));
  } else {
    token = call.request.parameter("access_token").value_or("");
  }
  // Which of the user's accounts: told by our own tokens themselves.
  auto checked = call.state.auth.check_token(token, std::string(call.request.header("x-account-id")));
  if (!checked) return checked.error();
  return checked->caller;
}

bool allowed(const Caller& caller, Access access) {
  switch (access) {
    case Access::open:
    case Access::reader:
      return true;
    case Access::writer:
      return caller.role >= store::Role::writer;
    case Access::controller:
      return caller.role >= store::Role::controller;
    case Access::owner:
      return caller.role >= store::Role::owner;
  }
  return false;
}

Result<store::Connection> own_connection(const Call& call, const std::string& id) {
  auto found = call.context.store.connection(id);
  if (!found) return found.error();
  if (!*found || (*found)->account != call.caller.account)
    return Error{ErrorKind::permanent, "there is no connection " + id, "com-4004"};
  return std::move(**found);
}

Response Api::handle(const Request& request) {
  Response response;
  try {
    response = dispatch(request);
  } catch (const std::exception& e) {
    // Foreign libraries and memory: our own code gives errors as values.
    log::error("{} {}: {}", request.method, log_path(request.path), e.what());
    response = fail("com-5000", "internal error");
  }
  if (!response.later) complete(request, response);
  return response;
}

Response Api::dispatch(const Request& request) {
  if (request.method == "OPTIONS") return options(request);
  auto path = segments(request.path);
  std::string_view method = request.method == "HEAD" ? "GET" : std::string_view(request.method);
  Call call{.context = context_, .state = state_, .request = request};
  call.address = client_address(request, context_.auth.proxies);
  const Route* route = nullptr;
  for (const auto& candidate : routes()) {
    if (candidate.method != method) continue;
    if (auto params = match(candidate.path, path)) {
      route = &candidate;
      call.params = std::move(*params);
      break;
    }
  }
  if (route == nullptr) {
    auto methods = allowed_methods(path);
    if (methods.empty()) return fail("com-4004", "there is no " + request.path);
    return fail("com-4005", request.method + " is not supported here").with("Allow", methods);
  }
  if (!accepts(request.header("accept"), route->produces)) {
    return fail("com-4006", "the answer is " + std::string(route->produces));
  }
  if (route->access != Access::open) {
    auto caller = authenticate(call);
    if (!caller && caller.error().code != "com-4001") return fail(caller.error());
    if (!caller) return unauthorized();
    if (!allowed(*caller, route->access)) return fail("com-4003", "the role of this token does not allow this");
    call.caller = std::move(*caller);
  }
  if (route->body == Body::json) {
    if (auto refused = read_body(call, *route)) return std::move(*refused);
  }
  const auto params = call.params;
  auto response = route->handler(call);
  if (auto id = audit_change(call, *route, params, response); !id.empty()) response.with("X-Correlation-Id", id);
  if (response.stream && route->access != Access::open) guard_stream(call, *route, *response.stream);
  return response;
}

// A stream may outlive the token it was asked for with: whoever asked is looked at again from time to time.
void Api::guard_stream(const Call& call, const Route& route, Stream& stream) {
  auto request = std::make_shared<Request>(call.request);
  request->body.clear();
  stream.allowed = [this, request, account = call.caller.account, access = route.access] {
    Call again{.context = context_, .state = state_, .request = *request};
    auto caller = authenticate(again);
    // What cannot be told now (the store is locked) is asked again a minute later.
    if (!caller) return caller.error().code != "com-4001";
    return caller->account == account && allowed(*caller, access);
  };
}

Response Api::options(const Request& request) const {
  auto methods = allowed_methods(segments(request.path));
  if (methods.empty()) return fail("com-4004", "there is no " + request.path);
  auto response = no_content();
  response.with("Allow", methods + ", OPTIONS");
  auto origin = request.header("origin");
  if (std::find(context_.cors_origins.begin(), context_.cors_origins.end(), origin) != context_.cors_origins.end()) {
    response.with("Access-Control-Allow-Methods", methods);
    response.with("Access-Control-Allow-Headers",
                  "Authorization, Content-Type, X-Account-Id, X-Correlation-Id, If-Match, If-None-Match, "
                  "If-Unmodified-Since");
    response.with("Access-Control-Max-Age", "600");
  }
  return response;
}

void Api::complete(const Request& request, Response& response) const {
  std::string id;
  for (const auto& [name, value] : response.headers) {
    if (name == "X-Correlation-Id") id = value;  // the audit has told it already
  }
  if (id.empty()) {
    id = correlation_id(request);
    response.with("X-Correlation-Id", id);
  }
  if (response.problem) {
    boost::json::object body = std::move(response.problem->more);
    body["code"] = response.problem->code;
    body["message"] = response.problem->message;
    body["correlationId"] = id;
    if (!response.problem->data.empty()) body["data"] = std::move(response.problem->data);
    response.body = json::write(body);
    response.content_type = "application/json";
    // Reports refused because the log is full come without a path: they are counted, not logged one by one.
    bool logged = response.status >= 500 && response.status != 502 && response.status != 504 && !request.path.empty();
    if (logged) {
      log::warn("{} {} answered {} {}: {} ({})", request.method, log_path(request.path), response.status,
                response.problem->code, response.problem->message, id);
    }
  }
  const bool read = response.status == 200 && (request.method == "GET" || request.method == "HEAD");
  const auto none_match = request.header("if-none-match");
  bool unchanged = false;
  if (!response.etag.empty()) {
    response.with("ETag", response.etag);
    unchanged = read && !none_match.empty() && names_tag(none_match, response.etag, true);
  }
  if (response.last_modified) {
    response.with("Last-Modified", http_date(*response.last_modified));
    auto since = parse_http_date(request.header("if-modified-since"));
    // The tag tells more than the time: where both are sent, it alone counts.
    if (none_match.empty() && read && since && *response.last_modified / 1000 <= *since / 1000) unchanged = true;
  }
  if (unchanged) {
    response.status = 304;
    response.body.clear();
  }
  if (auto origin = request.header("origin"); !origin.empty()) {
    if (std::find(context_.cors_origins.begin(), context_.cors_origins.end(), origin) != context_.cors_origins.end()) {
      response.with("Access-Control-Allow-Origin", std::string(origin)).with("Vary", "Origin");
      response.with("Access-Control-Expose-Headers",
                    "ETag, Link, Location, X-Total, X-Total-Pages, X-Per-Page, X-Page, X-Next-Page, X-Prev-Page, "
                    "X-Correlation-Id");
    }
  }
}

Result<Page> read_page(const Call& call, bool limit_too) {
  Page page;
  auto read = [&](const char* name, std::size_t most, std::size_t& into) -> Result<void> {
    auto text = call.request.parameter(name);
    if (!text) return {};
    page.given = true;
    std::size_t number = 0;
    auto end = std::from_chars(text->data(), text->data() + text->size(), number);
    if (end.ec != std::errc() || end.ptr != text->data() + text->size() || number < 1 || number > most) {
      return Error{ErrorKind::permanent, std::string(name) + " must be a number from 1 to " + std::to_string(most),
                   "com-4000"};
    }
    into = number;
    return {};
  };
  if (limit_too && !call.request.parameter("perPage")) {
    page.per_page = 1000;
    if (!call.request.parameter("limit")) page.per_page = kMaxPerPage;
    if (auto done = read("limit", kMaxPerPage, page.per_page); !done) return done.error();
  }
  if (auto done = read("perPage", kMaxPerPage, page.per_page); !done) return done.error();
  if (auto done = read("page", 1'000'000'000, page.page); !done) return done.error();
  return page;
}

void add_page_headers(const Call& call, const Page& page, std::size_t total, Response& response) {
  auto pages = std::max<std::size_t>(1, (total + page.per_page - 1) / page.per_page);
  response.with("X-Total", std::to_string(total))
      .with("X-Total-Pages", std::to_string(pages))
      .with("X-Per-Page", std::to_string(page.per_page))
      .with("X-Page", std::to_string(page.page));
  std::string others;
  for (const auto& [name, value] :
       parse_form(call.request.query).value_or(std::vector<std::pair<std::string, std::string>>())) {
    // A link may be written to a log or passed on: no token in it.
    if (name == "page" || name == "perPage" || name == "limit" || name == "access_token") continue;
    others += url_encode(name) + "=" + url_encode(value) + "&";
  }
  std::string links;
  auto link = [&](std::size_t number, const char* relation) {
    links += (links.empty() ? "<" : ", <") + call.context.public_url + call.request.path + "?" + others +
             "page=" + std::to_string(number) + "&perPage=" + std::to_string(page.per_page) + ">; rel=\"" + relation +
             "\"";
  };
  link(1, "first");
  if (page.page > 1) {
    link(std::min(page.page - 1, pages), "prev");
    response.with("X-Prev-Page", std::to_string(std::min(page.page - 1, pages)));
  }
  if (page.page < pages) {
    link(page.page + 1, "next");
    response.with("X-Next-Page", std::to_string(page.page + 1));
  }
  link(pages, "last");
  response.with("Link", links);
}

Response answer_list(const Call& call, boost::json::array items, bool always) {
  return answer_list(
      call, items.size(), [&](std::size_t i) { return std::move(items[i]); }, always);
}

Response answer_list(const Call& call, std::size_t total, const std::function<boost::json::value(std::size_t)>& entry,
                     bool always) {
  auto page = read_page(call);
  if (!page) return fail(page.error());
  const bool whole = !always && !page->given;
  // Written one by one: ten thousand entries are not held as values and as text at once.
  std::string body = "[";
  const auto from = whole ? 0 : page->offset();
  for (auto i = from; i < total && (whole || i - from < page->per_page); ++i) {
    if (body.size() > 1) body += ',';
    body += json::write(entry(i));
  }
  Response response{.body = std::move(body) + "]"};
  if (!whole) add_page_headers(call, *page, total, response);
  return response;
}

Response answer_resource(const Call&, boost::json::object resource, UnixMillis updated, int status) {
  auto response = answer(resource, status);
  response.last_modified = updated;
  response.etag = resource_tag(updated, response.body);
  return response;
}

std::string resource_tag(UnixMillis updated, std::string_view body) {
  return '"' + std::to_string(updated) + '-' + to_hex(sha256(body)).substr(0, 16) + '"';
}

std::optional<Response> unmodified_check(const Call& call, UnixMillis updated) {
  if (auto wanted = call.request.header("if-match"); !wanted.empty()) {
    if (names_tag(wanted, resource_tag(updated, ""), false, true)) return {};
    return fail("com-4012", "the resource has changed: its ETag is none of If-Match");
  }
  auto since = parse_http_date(call.request.header("if-unmodified-since"));
  if (!since || updated / 1000 <= *since / 1000) return {};
  return fail("com-4012", "the resource has changed since " + std::string(call.request.header("if-unmodified-since")));
}

bool flag(const Call& call, std::string_view name) {
  auto value = call.request.parameter(name);
  return value && (*value == "true" || *value == "1");
}

bool contains_text(std::initializer_list<std::string_view> fields, std::string_view text) {
  auto wanted = to_lower(text);
  return std::any_of(fields.begin(), fields.end(),
                     [&](std::string_view field) { return to_lower(field).find(wanted) != std::string::npos; });
}

}  // namespace sluice::api
