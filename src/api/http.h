// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "base/result.h"

namespace sluice::api {

// A request as the resources see it, free of any HTTP library.
struct Request {
  std::string method;                                        // "GET"
  std::string path;                                          // still percent-encoded, without the query
  std::string query;                                         // still percent-encoded, without '?'
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;
  std::string peer;  // address of the client

  [[nodiscard]] std::string_view header(std::string_view lower_case_name) const;
  // The decoded value of a query parameter (the first of that name); nothing where it is absent. A broken escape
  // stands for itself: a search for "100%" is one.
  [[nodiscard]] std::optional<std::string> parameter(std::string_view name) const;
};

// The body of an error answer (spec api.md 1.4). The correlation id is added when it is written.
struct Problem {
  std::string code, message;
  boost::json::object data = {};
  boost::json::object more = {};  // further members at the top, as OAuth's `error`
};

struct Response;

// An answer that comes later, so that no worker waits for a peer: `start` is called once with where to put the answer;
// when it has not come within `limit`, `too_late` is sent instead.
struct Later {
  std::function<void(std::function<void(Response)>)> start;
  std::chrono::milliseconds limit{10000};
  std::function<Response()> too_late;
};

// Where an endless answer (text/event-stream) is written to. Thread-safe. Bounded: what a slow client has not taken is
// dropped, and it is told how much.
class StreamSink {
 public:
  virtual ~StreamSink() = default;
  // One event of Server-Sent Events. False when the client is gone: write no more.
  virtual bool event(std::string_view name, std::string_view id, std::string_view data) = 0;
};
// An endless answer: `start` is called once, when the head is sent, and gives what ends the source (called once, when
// the client is gone or the server stops). A comment line every 15 s keeps proxies from cutting it.
struct Stream {
  std::function<std::function<void()>(std::shared_ptr<StreamSink>)> start;
  // Called about once a second while it runs, on an I/O thread: fast, never blocking. May be empty.
  std::function<void()> tick = {};
  // Asked once a minute on a worker, where it may block on the store: false (the token has expired) ends the stream.
  std::function<bool()> allowed = {};
  // What is given back when the stream has ended (its place among those that may run).
  std::shared_ptr<void> place = {};
};

struct Response {
  int status = 200;
  std::string body = {};
  std::string content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::optional<Problem> problem = {};
  std::optional<UnixMillis> last_modified = {};
  std::string etag = {};  // with its quotes; empty: none
  std::optional<Later> later = {};
  std::optional<Stream> stream = {};

  Response& with(std::string name, std::string value) {
    headers.emplace_back(std::move(name), std::move(value));
    return *this;
  }
};

// The HTTP status of an error code ("com-4009" gives 409); 500 for a code that is none of the API's.
int status_of(std::string_view code);

Response answer(const boost::json::value& body, int status = 200);
Response no_content();
Response fail(std::string code, std::string message, boost::json::object data = {});
// By the error's code, else by its kind.
Response fail(const Error& error);
// 400 with data.errors (spec api.md 1.4).
struct FieldFault {
  std::string path, message;
};
// As many are told; who checks a long list stops beyond (enough()). A request of 5 MiB can hold millions of faults.
constexpr std::size_t kMaxFaults = 100;
inline bool enough(const std::vector<FieldFault>& faults) {
  return faults.size() > kMaxFaults;
}
Response fail(const std::vector<FieldFault>& faults);

// A strong ETag of a text, quotes included: the same text, the same tag, on every installation.
std::string content_tag(std::string_view text);
// Whether a header If-Match or If-None-Match names the tag, or is "*". `weak` takes W/"x" for "x", as If-None-Match
// does. `version_only` compares what stands before the tag's '-' (resource_tag).
bool names_tag(std::string_view header, std::string_view tag, bool weak, bool version_only = false);

// "Sun, 06 Nov 1994 08:49:37 GMT" and back, to the second.
std::string http_date(UnixMillis time);
std::optional<UnixMillis> parse_http_date(std::string_view text);

// The parameters of a query or a form body in order, decoded; nothing where an escape is broken.
std::optional<std::vector<std::pair<std::string, std::string>>> parse_form(std::string_view text);

}  // namespace sluice::api
