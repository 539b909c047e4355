// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "api/auth.h"
#include "api/http.h"
#include "api/limits.h"
#include "api/server.h"

namespace sluice::api {

// Who may use a route (spec api.md 3). `open` routes see to it themselves.
enum class Access : std::uint8_t { open, reader, writer, controller, owner };

// What a route takes: no body, JSON (parsed before the handler is called), or anything (handler's own business).
enum class Body : std::uint8_t { none, json, any };

// What the routes share from request to request.
struct State {
  explicit State(const Context& context)
      : auth(context.store, context.clock, context.auth),
        downlinks(context.downlinks_per_second, std::chrono::seconds(1)) {}
  Auth auth;
  SlidingLimit token_failures{10, std::chrono::minutes(5)};
  SlidingLimit downlinks;
  Places streams{100, 20};  // by account
  // Trials of connections under way. Shared, since one may end after us.
  std::shared_ptr<std::atomic<int>> trials = std::make_shared<std::atomic<int>>(0);
  // Held from reading to writing the configuration, so that two requests cannot both pass a check that only one may.
  std::mutex configuration;
  // Per account: canonical matcher -> flow id. Guarded by `configuration`; absent: to be made from the store.
  std::unordered_map<std::string, std::unordered_map<std::string, std::string>> matchers;
};

// One request at its handler.
struct Call {
  const Context& context;
  State& state;
  const Request& request;
  std::vector<std::string> params = {};  // values of the path's {names}, decoded, in order
  Caller caller = {};
  boost::json::value body = {};
  std::string address = {};  // of the client, behind the configured proxies
  // What the audit tells of a change beside what the route says.
  struct Audit {
    std::string account = {};       // whose change it is; empty: the caller's
    boost::json::object data = {};  // never a secret
    bool told = false;              // by the handler itself
  } audit = {};
};

using Handler = Response (*)(Call&);

struct Route {
  std::string_view method;
  std::string_view path;  // "/iot-flow/v1/connections/{id}"
  Access access = Access::reader;
  Handler handler = nullptr;
  Body body = Body::none;
  std::string_view produces = "application/json";
};

// All routes; of two that fit a path, the earlier one.
const std::vector<Route>& routes();

// The routes of one resource, put together by routes().
void add_oauth(std::vector<Route>& routes);
void add_connectors(std::vector<Route>& routes);
void add_connections(std::vector<Route>& routes);
void add_flows(std::vector<Route>& routes);
void add_drivers(std::vector<Route>& routes);
void add_driver_import(std::vector<Route>& routes);
void add_driver_log(std::vector<Route>& routes);
void add_driver_try(std::vector<Route>& routes);
void add_codec(std::vector<Route>& routes);
void add_processors(std::vector<Route>& routes);
void add_ontology(std::vector<Route>& routes);
void add_binders(std::vector<Route>& routes);
void add_events(std::vector<Route>& routes);
void add_downlinks(std::vector<Route>& routes);
void add_health(std::vector<Route>& routes);
void add_openapi(std::vector<Route>& routes);
void add_iot_admin(std::vector<Route>& routes);
void add_connection_test(std::vector<Route>& routes);
void add_delivery(std::vector<Route>& routes);
void add_statistics(std::vector<Route>& routes);
void add_live(std::vector<Route>& routes);
void add_messages(std::vector<Route>& routes);
void add_swagger(std::vector<Route>& routes);

// The REST API without a socket: finds the route, checks media types, token and role, calls the handler, completes the
// answer.
class Api {
 public:
  explicit Api(Context context) : context_(std::move(context)), state_(context_) {}
  // Reads what must be there before the first request. Errors as of the store.
  Result<void> open() { return state_.auth.open(); }
  // Blocks on the store: call on a worker. Thread-safe. An answer with `later` is to be completed by complete() when it
  // comes.
  Response handle(const Request& request);
  // Writes the body of an error, and headers that every answer has.
  void complete(const Request& request, Response& response) const;

  [[nodiscard]] const Context& context() const { return context_; }
  State& state() { return state_; }

 private:
  Response dispatch(const Request& request);
  void guard_stream(const Call& call, const Route& route, Stream& stream);
  Response options(const Request& request) const;

  Context context_;
  State state_;
};

// The caller of a request that brings a token; errors com-4001.
Result<Caller> authenticate(Call& call);
[[nodiscard]] bool allowed(const Caller& caller, Access access);
// The caller's own connection of that id; without one, of the path's first parameter. Errors: com-4004, also where it
// is another account's.
Result<store::Connection> own_connection(const Call& call, const std::string& id);
inline Result<store::Connection> own_connection(const Call& call) {
  return own_connection(call, call.params[0]);
}

// Pages (spec api.md 1.5).
struct Page {
  std::size_t page = 1, per_page = 5000;
  bool given = false;
  [[nodiscard]] std::size_t offset() const { return (page - 1) * per_page; }
};
// Errors: com-4000 for values out of range. `limit_too`: the older name of perPage is read as well.
Result<Page> read_page(const Call& call, bool limit_too = false);
// Adds X-Total and the like, and Link.
void add_page_headers(const Call& call, const Page& page, std::size_t total, Response& response);
// The page of a whole list. Without paging parameters, and where `always` is not set: the whole list without headers.
Response answer_list(const Call& call, boost::json::array items, bool always);
// The same for a list of `total` entries that are made only where the page has them: entry(i) gives the i-th.
Response answer_list(const Call& call, std::size_t total, const std::function<boost::json::value(std::size_t)>& entry,
                     bool always);

// The ETag of a resource: what is stored (the time of its last change), '-', and what is shown. If-None-Match compares
// all of it, If-Match only the first part: a change of state is no reason to refuse a change of the configuration.
std::string resource_tag(UnixMillis updated, std::string_view body);
// Single resources: ETag, Last-Modified, and 304 where the client has it already.
Response answer_resource(const Call& call, boost::json::object resource, UnixMillis updated, int status = 200);
// 412 where If-Match names another version, or If-Unmodified-Since is older than the last change (read only where there
// is no If-Match, RFC 9110 13.2.2); nothing where the request may go on.
std::optional<Response> unmodified_check(const Call& call, UnixMillis updated);

// A time in a query. A '+' that was not escaped has become a space: where the sign of an offset belongs it is read as
// '+'.
std::optional<UnixMillis> time_parameter(std::string text);
// A DevEUI as the store and the log have it: upper case, without dashes. Nothing where it is not 16 hex digits.
std::optional<std::string> dev_eui_of(std::string_view text);

// What GET /events and its live stream are filtered by (spec api.md 11), but for the time: faults where a parameter is
// wrong.
store::EventQuery read_event_filters(const Call& call, std::vector<FieldFault>& faults);
// An event as the API shows it.
boost::json::object event_item(const store::Event& event);

// The connection that a trial's body describes (spec api.md 5.9): as for POST, or, with `id`, with that one's stored
// secrets for "*****", or with nothing but `id` that one itself. Else the answer that says what is wrong.
std::variant<store::Connection, Response> read_trial(Call& call);

// True for ?name=true and ?name=1.
bool flag(const Call& call, std::string_view name);
// Whether `text` is in one of the fields, ignoring ASCII case.
bool contains_text(std::initializer_list<std::string_view> fields, std::string_view text);

}  // namespace sluice::api
