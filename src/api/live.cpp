// SPDX-License-Identifier: Apache-2.0
// Events and messages as they happen, by Server-Sent Events (spec api.md 11, promises.md 5).
#include <algorithm>
#include <charconv>

#include "api/router.h"
#include "api/tap.h"
#include "base/codec.h"

namespace sluice::api {
namespace {

// What a client that comes back is sent of what it has missed; of more it is told the number alone. As many as the sink
// holds.
constexpr std::size_t kMaxMissed = 400;
// Events held for the moment between asking the store and the first byte.
constexpr std::size_t kMaxEarly = 1000;
// An event may be folded for a minute (store/events.h): what had been folded while the client was away is sent again.
constexpr UnixMillis kFoldFor = 61'000;
constexpr std::int64_t kLookBack = 200;
constexpr std::size_t kMaxRate = 200;

template <class Number>
std::optional<Number> number_of(std::string_view text) {
  Number number{};
  auto end = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || end.ec != std::errc() || end.ptr != text.data() + text.size()) return {};
  return number;
}

Response no_place() {
  return fail("com-4029", "too many streams are open: 20 an account, 100 in all").with("Retry-After", "10");
}

// The events of one client: what it has missed first, then what comes. Thread-safe.
class EventFeed {
 public:
  explicit EventFeed(store::EventQuery query) : query_(std::move(query)) {}

  // From the writer of the events.
  void on_event(const store::Event& event, bool again) {
    if (!store::matches(query_, event)) return;
    std::lock_guard lock(mutex_);
    if (sink_)
      send(event, again);
    else if (early_.size() < kMaxEarly)
      early_.emplace_back(event, again);
    else
      ++missed_;
  }
  void miss(std::vector<store::Event> events, std::uint64_t more) {
    std::lock_guard lock(mutex_);
    backlog_ = std::move(events);
    missed_ += more;
  }
  // The id up to which events were shown to the client before; those of the backlog up to it come as updates.
  void open(std::shared_ptr<StreamSink> sink, std::int64_t known) {
    std::lock_guard lock(mutex_);
    sink_ = std::move(sink);
    if (missed_ > 0) sink_->event("dropped", "", "{\"count\":" + std::to_string(missed_) + "}");
    auto newest = known;
    for (const auto& event : backlog_) {
      send(event, event.id <= known);
      newest = std::max(newest, event.id);
    }
    // What came meanwhile may stand in the backlog already.
    for (const auto& [event, again] : early_) {
      if (again || event.id > newest) send(event, again);
    }
    backlog_.clear();
    early_.clear();
  }
  void close() {
    std::lock_guard lock(mutex_);
    sink_ = nullptr;
    closed_ = true;
  }

 private:
  void send(const store::Event& event, bool again) {
    if (!closed_ && sink_)
      sink_->event(again ? "update" : "event", std::to_string(event.id), json::write(event_item(event)));
  }

  const store::EventQuery query_;
  std::mutex mutex_;  // taken before the sink's
  std::shared_ptr<StreamSink> sink_;
  bool closed_ = false;
  std::vector<store::Event> backlog_;
  std::vector<std::pair<store::Event, bool>> early_;
  std::uint64_t missed_ = 0;
};

// What the client has missed since the event of that id, oldest first, with those of the time around it that may have
// been folded further meanwhile; and how many there are beyond kMaxMissed.
Result<std::pair<std::vector<store::Event>, std::uint64_t>> missed_since(const Call& call, store::EventQuery query,
                                                                         std::int64_t known) {
  call.context.events.flush();
  query.from = 0;
  query.to = call.context.clock.now() + 1;
  query.after = known;
  query.limit = kMaxMissed;
  auto total = call.context.store.count_events(query);
  if (!total) return total.error();
  auto found = call.context.store.events(query);
  if (!found) return found.error();
  if (known > 0) {
    query.after = std::max<std::int64_t>(0, known - kLookBack);
    query.limit = kMaxMissed + static_cast<std::size_t>(kLookBack);
    auto around = call.context.store.events(query);
    if (!around) return around.error();
    std::erase_if(*around, [&](const store::Event& event) { return event.id > known; });
    UnixMillis last = 0;
    for (const auto& event : *around)
      last = std::max(last, event.time);
    std::erase_if(*around, [&](const store::Event& event) {
      return event.time < last - kFoldFor || json::int_or(event.data, "count", 1) < 2;
    });
    found->insert(found->end(), around->begin(), around->end());
  }
  std::sort(found->begin(), found->end(), [](const store::Event& a, const store::Event& b) { return a.id < b.id; });
  return std::pair(std::move(*found), *total > kMaxMissed ? *total - kMaxMissed : 0);
}

Response event_stream(Call& call) {
  std::vector<FieldFault> faults;
  auto query = read_event_filters(call, faults);
  std::string from(call.request.header("last-event-id"));
  if (auto given = call.request.parameter("lastEventId")) from = *given;
  std::optional<std::int64_t> known;
  if (!from.empty()) {
    known = number_of<std::int64_t>(from);
    if (!known || *known < 0) faults.push_back({"lastEventId", "must be the id of an event of this stream"});
  }
  if (!faults.empty()) return fail(faults);
  auto place = call.state.streams.take(call.caller.account);
  if (!place) return no_place();
  auto feed = std::make_shared<EventFeed>(query);
  // Before the store is asked: nothing falls between the two.
  auto watch =
      call.context.events.watch([feed](const store::Event& event, bool again) { feed->on_event(event, again); });
  if (known) {
    auto missed = missed_since(call, query, *known);
    if (!missed) return fail(missed.error());
    feed->miss(std::move(missed->first), missed->second);
  }
  Response response;
  response.content_type = "text/event-stream";
  response.stream = Stream{.start = [feed, watch, known](std::shared_ptr<StreamSink> sink) -> std::function<void()> {
                             feed->open(std::move(sink), known.value_or(0));
                             return [feed, watch] { feed->close(); };
                           },
                           .place = std::move(place)};
  return response;
}

Result<TapFilter> read_tap_filter(const Call& call) {
  TapFilter filter;
  auto fault = [](const std::string& text) { return Error{ErrorKind::permanent, text, "com-4000"}; };
  auto given = [&](const char* name) { return call.request.parameter(name).value_or(""); };
  if (auto text = given("deviceEui"); !text.empty()) {
    auto dev_eui = dev_eui_of(text);
    if (!dev_eui) return fault("deviceEui must be 16 hex digits");
    filter.dev_eui = *dev_eui;
  }
  filter.flow = given("flowId");
  if (auto text = given("connectionId"); !text.empty()) {
    auto id = number_of<std::uint64_t>(text);
    if (!id || *id == 0) return fault("connectionId must be the id of a connection");
    filter.connection = *id;
  }
  if (auto text = given("rate"); !text.empty()) {
    auto rate = number_of<std::size_t>(text);
    if (!rate || *rate < 1 || *rate > kMaxRate)
      return fault("rate must be a number of messages a second from 1 to " + std::to_string(kMaxRate));
    filter.rate = *rate;
  }
  auto stages = given("stages");
  for (std::string_view rest = stages; !rest.empty();) {
    auto name = trim(rest.substr(0, rest.find(',')));
    rest.remove_prefix(
        std::min(rest.size(), rest.find(',') == std::string_view::npos ? rest.size() : rest.find(',') + 1));
    if (name.empty()) continue;
    auto stage = tap_stage(name);
    if (!stage)
      return fault("stages: '" + std::string(name.substr(0, 40)) +
                   "' is none; known are raw, unmatched, routed, decoded, filtered, expired, transformed, delivered, "
                   "retried, refused, dropped");
    filter.stages.insert(*stage);
  }
  return filter;
}

Response tap(Call& call) {
  auto filter = read_tap_filter(call);
  if (!filter) return fail(filter.error());
  if (call.context.trail == nullptr) return fail("com-5003", "this server keeps no way of messages");
  auto place = call.state.streams.take(call.caller.account);
  if (!place) return no_place();
  auto tap = std::make_shared<Tap>(std::move(*filter), call.context.clock);
  Response response;
  response.content_type = "text/event-stream";
  auto start = [tap, trail = call.context.trail,
                account = call.caller.account](std::shared_ptr<StreamSink> sink) -> std::function<void()> {
    tap->open(std::move(sink));
    auto watch = trail->watch(account, [tap](const message::Seen& seen) { tap->look(seen); });
    return [tap, watch]() mutable {
      watch.reset();
      tap->close();
    };
  };
  response.stream = Stream{.start = std::move(start), .tick = [tap] { tap->tick(); }, .place = std::move(place)};
  return response;
}

}  // namespace

void add_live(std::vector<Route>& routes) {
  routes.push_back(
      {"GET", "/iot-flow/v1/events/stream", Access::reader, event_stream, Body::none, "text/event-stream"});
  routes.push_back({"GET", "/iot-flow/v1/tap", Access::reader, tap, Body::none, "text/event-stream"});
}

}  // namespace sluice::api
