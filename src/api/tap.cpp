// SPDX-License-Identifier: Apache-2.0
#include "api/tap.h"

#include <algorithm>

#include "base/json.h"

namespace sluice::api {
namespace {

using message::Stage;

// A larger document is told by its size alone: the sink holds some 256 KiB in all.
constexpr std::size_t kMaxDocument = 32u << 10;

constexpr Stage kStages[] = {Stage::stored,   Stage::unmatched, Stage::routed, Stage::decoded,
                             Stage::filtered, Stage::expired,   Stage::sent,   Stage::delivered,
                             Stage::retried,  Stage::refused,   Stage::dropped};

// The document as a JSON value where it is one, else as a text.
void append_document(std::string& out, std::string_view document) {
  if (document.empty()) return;
  out += ",\"documentBytes\":" + std::to_string(document.size());
  if (document.size() > kMaxDocument) return;
  out += ",\"document\":";
  // Written anew: the line breaks of a document that is laid out for people would end the event's line.
  if (auto parsed = json::parse(document, 128))
    out += json::write(*parsed);
  else
    json::append_quoted(out, document);
}

void append_text(std::string& out, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  out += ",\"";
  out += name;
  out += "\":";
  json::append_quoted(out, value);
}

}  // namespace

const char* tap_name(Stage stage) {
  if (stage == Stage::stored) return "raw";
  if (stage == Stage::sent) return "transformed";
  return message::to_string(stage);
}

std::optional<Stage> tap_stage(std::string_view name) {
  for (auto stage : kStages) {
    if (name == tap_name(stage) || name == message::to_string(stage)) return stage;
  }
  return {};
}

bool concerns(const TapFilter& filter, const message::Seen& seen) {
  const auto& note = seen.note;
  if (filter.connection == 0 && filter.flow.empty()) return true;
  if (note.connection != 0 && filter.connection != 0 && note.connection != filter.connection) return false;
  return std::any_of(seen.routed.begin(), seen.routed.end(), [&](const message::TrailStep& step) {
    if (note.connection != 0 && step.connection != note.connection) return false;
    if (filter.connection != 0 && step.connection != filter.connection) return false;
    if (!filter.flow.empty() && step.flow != filter.flow) return false;
    return note.stage != Stage::decoded || step.driver.empty() || step.driver == note.driver;
  });
}

Tap::Tap(TapFilter filter, Clock& clock)
    : filter_(std::move(filter)),
      clock_(clock),
      tokens_(static_cast<double>(filter_.rate)),
      filled_at_(clock.steady()) {}

void Tap::open(std::shared_ptr<StreamSink> sink) {
  std::lock_guard lock(mutex_);
  sink_ = std::move(sink);
}

void Tap::close() {
  std::lock_guard lock(mutex_);
  sink_ = nullptr;
}

std::shared_ptr<StreamSink> Tap::admit() {
  std::lock_guard lock(mutex_);
  if (!sink_) return nullptr;
  auto now = clock_.steady();
  auto rate = static_cast<double>(filter_.rate);
  tokens_ = std::min(rate, tokens_ + rate * std::chrono::duration<double>(now - filled_at_).count());
  filled_at_ = now;
  if (tokens_ < 1) {
    ++skipped_;
    return nullptr;
  }
  tokens_ -= 1;
  return sink_;
}

void Tap::tick() {
  std::shared_ptr<StreamSink> sink;
  std::uint64_t skipped = 0;
  {
    std::lock_guard lock(mutex_);
    sink = sink_;
    if (sink) skipped = std::exchange(skipped_, 0);
  }
  if (skipped > 0) sink->event("skipped", "", "{\"count\":" + std::to_string(skipped) + "}");
}

void Tap::look(const message::Seen& seen) {
  if (!filter_.dev_eui.empty() && seen.message.dev_eui != filter_.dev_eui) return;
  auto stage = seen.note.stage;
  bool by_way = filter_.connection != 0 || !filter_.flow.empty();
  auto wanted = [&](Stage one) { return filter_.stages.empty() || filter_.stages.contains(one); };
  // When a message is stored, nobody knows yet where it will go: for a flow or a connection it is shown when its first
  // way there is found.
  if (by_way && stage == Stage::stored) return;
  if (!concerns(filter_, seen)) return;
  if (by_way && stage == Stage::routed && wanted(Stage::stored)) {
    auto ways = std::count_if(seen.routed.begin(), seen.routed.end(), [&](const message::TrailStep& step) {
      return (filter_.connection == 0 || step.connection == filter_.connection) &&
             (filter_.flow.empty() || step.flow == filter_.flow);
    });
    if (ways == 1) send(seen, Stage::stored, seen.message.arrived, seen.message.body);
  }
  if (wanted(stage)) send(seen, stage, seen.time, seen.note.document);
}

void Tap::send(const message::Seen& seen, Stage stage, UnixMillis time, std::string_view document) {
  auto sink = admit();
  if (!sink) return;
  const auto& m = seen.message;
  bool raw = stage == Stage::stored;
  std::string out = R"({"stage":")" + std::string(tap_name(stage)) + R"(","time":")" + format_time(time) +
                    R"(","id":")" + std::to_string(m.seq) + '"';
  append_text(out, "DevEUI", m.dev_eui);
  append_text(out, "type", m.join ? "join" : message::to_string(m.type));
  if (m.fcnt_up) out += ",\"FCntUp\":" + std::to_string(*m.fcnt_up);
  if (m.fport) out += ",\"FPort\":" + std::to_string(*m.fport);
  if (!raw) {
    if (seen.note.connection != 0) append_text(out, "connectionId", std::to_string(seen.note.connection));
    append_text(out, "flowId", seen.note.flow);
    append_text(out, "driverId", seen.note.driver);
    append_text(out, "text", seen.note.text);
  }
  append_document(out, document);
  out += '}';
  sink->event("message", "", out);
}

}  // namespace sluice::api
