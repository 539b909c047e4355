// SPDX-License-Identifier: Apache-2.0
#include "driver/script_host.h"

#include <algorithm>
#include <array>
#include <thread>
#include <utility>
#include <vector>

#include "driver/prelude.h"

// Exported by the library, absent from its headers.
extern "C" {
using JSShouldTerminateCallback = bool (*)(JSContextRef context, void* user);
void JSContextGroupSetExecutionTimeLimit(JSContextGroupRef group, double seconds, JSShouldTerminateCallback callback,
                                         void* user);
JSScriptRef JSScriptCreateReferencingImmortalASCIIText(JSContextGroupRef group, JSStringRef url, int line,
                                                       const char* source, std::size_t length, JSStringRef* error,
                                                       int* error_line);
JSValueRef JSScriptEvaluate(JSContextRef context, JSScriptRef script, JSValueRef self, JSValueRef* exception);
// The only call that collects at once: JSGarbageCollect leaves it to a run loop, which a host has not.
void JSSynchronousGarbageCollectForDebugging(JSContextRef context);
}

namespace sluice::driver {
namespace {

// So many fit wire::kWarmMemory. A message for one more costs an evaluation, some milliseconds in place of
// microseconds.
constexpr std::size_t kMaxContexts = 400;
constexpr std::chrono::milliseconds kCleanAfter{1000};  // of quiet
constexpr std::uint32_t kSettleLimitMs = 5;
constexpr std::string_view kNoSignature =
    "Fcom-4000\n\"unable to wrap driver, driver code must have one type of signatures (tpx, ttn, chirpstack)\"\n\n\n";

// UTF-16 of UTF-8; broken sequences become U+FFFD. The C API's own conversion gives up on the whole text.
std::vector<JSChar> to_utf16(std::string_view text) {
  std::vector<JSChar> out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const int need = lead < 0x80                    ? 0
                     : lead >= 0xc2 && lead <= 0xdf ? 1
                     : (lead & 0xf0) == 0xe0        ? 2
                     : lead >= 0xf0 && lead <= 0xf4 ? 3
                                                    : -1;
    std::uint32_t point = need == 0 ? lead : need == 1 ? lead & 0x1fu : need == 2 ? lead & 0xfu : lead & 7u;
    int have = 0;
    while (have < need && i + 1 + have < text.size() &&
           (static_cast<unsigned char>(text[i + 1 + have]) & 0xc0) == 0x80) {
      point = (point << 6) | (static_cast<unsigned char>(text[i + 1 + have]) & 0x3fu);
      ++have;
    }
    i += 1 + static_cast<std::size_t>(have);
    constexpr std::array<std::uint32_t, 4> kLeast = {0, 0x80, 0x800, 0x10000};
    if (need < 0 || have < need || point < kLeast[static_cast<std::size_t>(need)] || point > 0x10ffff ||
        (point >= 0xd800 && point <= 0xdfff)) {
      point = 0xfffd;
    }
    if (point > 0xffff) {
      out.push_back(static_cast<JSChar>(0xd7c0 + (point >> 10)));
      out.push_back(static_cast<JSChar>(0xdc00 + (point & 0x3ff)));
    } else {
      out.push_back(static_cast<JSChar>(point));
    }
  }
  return out;
}

bool is_plain_ascii(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) - 1u > 126u) return false;
  }
  return true;
}

// Copies text that is plain ASCII, which nearly all is; false where it is not. In blocks of fixed size, for the
// compiler to use vectors.
bool narrow(const JSChar* text, std::size_t size, char* out) {
  constexpr std::size_t kBlock = 16;
  unsigned all = 0;
  std::size_t i = 0;
  for (; i + kBlock <= size; i += kBlock) {
    for (std::size_t k = 0; k < kBlock; ++k)
      all |= text[i + k];
    for (std::size_t k = 0; k < kBlock; ++k)
      out[i + k] = static_cast<char>(text[i + k]);
  }
  for (; i < size; ++i) {
    all |= text[i];
    out[i] = static_cast<char>(text[i]);
  }
  return all < 0x80;
}

// A JavaScriptCore string, released at the end of its life.
class Text {
 public:
  explicit Text(std::string_view text) {
    if (is_plain_ascii(text)) {  // one byte a character
      const std::string terminated(text);
      string_ = JSStringCreateWithUTF8CString(terminated.c_str());
    } else {
      const auto wide = to_utf16(text);
      string_ = JSStringCreateWithCharacters(wide.data(), wide.size());
    }
  }
  explicit Text(JSStringRef string) : string_(string) {}
  ~Text() {
    if (string_ != nullptr) JSStringRelease(string_);
  }
  Text(const Text&) = delete;
  Text& operator=(const Text&) = delete;
  [[nodiscard]] JSStringRef get() const { return string_; }

 private:
  JSStringRef string_;
};

// Of a failure's text (prelude.js, `call`): the code and the message; the place is the sixth field.
std::string_view failure_head(std::string_view text) {
  const auto code = text.find('\n');
  const auto message = code == std::string_view::npos ? code : text.find('\n', code + 1);
  return text.substr(0, message);
}

bool knows_no_place(std::string_view text) {
  if (!text.starts_with("Fcom-5002")) return false;
  for (int field = 0; field < 5; ++field) {
    const auto end = text.find('\n');
    if (end == std::string_view::npos) return true;
    text.remove_prefix(end + 1);
  }
  return text.starts_with('\n');
}

bool same_failure(std::string_view a, std::string_view b) {
  return failure_head(a) == failure_head(b);
}

// Whether a text may start something that goes on after it has returned. A text that hides it finds itself out
// (ScriptHost::within).
bool knows_promises(std::string_view text) {
  for (const std::string_view word : {"Promise", "async", "import(", "import ("}) {
    if (text.find(word) != std::string_view::npos) return true;
  }
  return false;
}

JSObjectRef object_at(JSContextRef context, JSObjectRef list, unsigned index) {
  JSValueRef exception = nullptr;
  const JSValueRef value = JSObjectGetPropertyAtIndex(context, list, index, &exception);
  if (exception != nullptr || value == nullptr || !JSValueIsObject(context, value)) return nullptr;
  return JSValueToObject(context, value, nullptr);
}

}  // namespace

ScriptHost::~ScriptHost() {
  scripts_.clear();
  if (own_ != nullptr) JSGlobalContextRelease(own_);
  if (group_ != nullptr) JSContextGroupRelease(group_);
}

// Within an entry the time of many calls adds up, and the limit set is half of theirs: a call that has been seen at
// three looks in a row has used up its own.
bool ScriptHost::stop_requested(JSContextRef, void* self) {
  auto& host = *static_cast<ScriptHost*>(self);
  if (host.inside_) {
    if (std::exchange(host.seen_call_, host.calls_) != host.calls_) host.looks_ = 0;
    if (++host.looks_ < 3) return false;
  }
  host.timed_out_ = true;
  return true;
}

JSValueRef ScriptHost::enter(JSContextRef context, JSObjectRef function, JSObjectRef, std::size_t, const JSValueRef*,
                             JSValueRef*) {
  const auto& host = *static_cast<ScriptHost*>(JSObjectGetPrivate(function));
  (*host.work_)();
  return JSValueMakeUndefined(context);
}

bool ScriptHost::open_entrance() {
  JSClassDefinition definition = kJSClassDefinitionEmpty;
  definition.className = "entrance";
  definition.callAsFunction = &enter;
  const JSClassRef made = JSClassCreate(&definition);
  own_ = JSGlobalContextCreateInGroup(group_, nullptr);
  entrance_ = JSObjectMake(own_, made, this);
  JSClassRelease(made);
  if (entrance_ == nullptr) return false;
  JSValueProtect(own_, entrance_);
  return true;
}

void ScriptHost::within(const std::function<void()>& work) {
  ++entry_;
  inside_ = true;
  timed_out_ = unsettled_ = false;
  seen_call_ = calls_;
  looks_ = 0;
  const std::function<void()> all = [&] {
    work();
    inside_ = false;  // what is left to be done now has no call's limit any more, but one of its own
  };
  work_ = &all;
  JSValueRef exception = nullptr;
  JSObjectCallAsFunction(own_, entrance_, nullptr, 0, nullptr, &exception);
  inside_ = false;
  if (!timed_out_) return;
  if (!unsettled_) {
    // Somebody hid that he knows promises. He is found out when each of them has an entry of his own.
    for (auto& [number, script] : scripts_) {
      if (script.entry != entry_) continue;
      script.plain = false;
      drop(script);
    }
  }
  unsettled_ = false;
  settle();
}

bool ScriptHost::is_plain(std::uint32_t number) const {
  const auto found = scripts_.find(number);
  return found != scripts_.end() && found->second.plain && found->second.context != nullptr;
}

// Setting it costs a timer, so it is set only when it changes.
void ScriptHost::set_time_limit(std::uint32_t milliseconds) {
  if (milliseconds == set_limit_ms_) return;
  set_limit_ms_ = milliseconds;
  JSContextGroupSetExecutionTimeLimit(group_, milliseconds / 1000.0, &stop_requested, this);
}

bool ScriptHost::warm_up() {
  group_ = JSContextGroupCreate();
  if (group_ == nullptr || !open_entrance()) return false;
  buffer_ = share(kPreludeBuffer);
  environment_ = share(kPreludeEnvironment);
  prelude_ = share(kPrelude);
  look_up_ = share(kLookUp);
  if (buffer_ == nullptr || environment_ == nullptr || prelude_ == nullptr || look_up_ == nullptr) return false;
  set_time_limit(10000);
  // A hot function reaches the last compiler tier; the dates, the zones and the locales open ICU's data; the loop that
  // makes garbage starts the collector.
  constexpr std::string_view kWork = R"js(
    function decodeUplink(input) {
      var sum = 0, o = [];
      for (var i = 0; i < 20000; i++) { sum += input.bytes[i % input.bytes.length] * i; if (i % 16 === 0) o = [sum, { a: o.length }]; }
      var d = new Date(1700000000000);
      return { sum: sum, o: o, a: d.toLocaleString(), b: d.toLocaleString('fr-FR', { timeZone: 'Europe/Paris' }),
        c: new Intl.NumberFormat('de-DE').format(1234.5), d: 'z'.localeCompare('a'), e: 'I'.toLocaleLowerCase('tr'), f: /(\p{L}+)x/u.exec('abcx'),
        g: new Intl.DateTimeFormat('ja-JP', { timeZone: 'Asia/Tokyo', dateStyle: 'full' }).format(d), h: 'e\u0301'.normalize('NFC'), i: d.getHours(),
        j: new Date('2024-06-01T10:00:00').getTime(), k: new Date('6/1/2024 10:00').getTimezoneOffset(), l: Buffer.from('00ff', 'hex').toString('base64'),
        m: new Intl.PluralRules('en').select(1), n: new Intl.RelativeTimeFormat('en').format(1, 'day'), q: new Intl.Collator('sv').compare('a', 'b') };
    })js";
  wire::Load load;
  load.number = 0;
  load.evaluation_limit_ms = 10000;
  load.source = kWork;
  this->load(load);
  wire::Call call;
  call.bytes = "\x01\x02\x03";
  call.time = 1;
  call_limit_ms_ = 10000;
  bool works = true;
  for (int round = 0; round < 20; ++round) {
    const auto result = this->call(call, std::chrono::steady_clock::now());
    works = works && result.status == wire::Status::done && result.text.starts_with("D{\"sum\"");
  }
  unload(0);
  clean();
  return works;
}

void ScriptHost::load(const wire::Load& frame) {
  Script& script = scripts_[frame.number];
  drop(script);
  script.signature = frame.signature;
  script.evaluation_limit_ms = frame.evaluation_limit_ms;
  script.call_limit_ms = frame.call_limit_ms;
  script.result_limit = frame.result_limit;
  script.flags = frame.flags;
  script.id = frame.id;
  script.source = frame.source;
  if (script.source.starts_with("\xef\xbb\xbf")) script.source.erase(0, 3);
  script.points_source = frame.points_source;
  script.plain = !knows_promises(script.source) && !knows_promises(script.points_source);
  script.points_schema = frame.points_schema;
}

void ScriptHost::unload(std::uint32_t number) {
  const auto found = scripts_.find(number);
  if (found == scripts_.end()) return;
  drop(found->second);
  scripts_.erase(found);
}

bool ScriptHost::is_warm(std::uint32_t number) const {
  const auto found = scripts_.find(number);
  return found != scripts_.end() && found->second.context != nullptr;
}

void ScriptHost::drop(Script& script) {
  if (!script.context) return;
  recent_.erase(script.recent);
  script.context.reset();
  dropped_ = true;
}

std::chrono::milliseconds ScriptHost::tidy(std::chrono::steady_clock::time_point now) {
  while (!recent_.empty()) {
    Script& oldest = scripts_.at(recent_.back());
    const auto rest = std::chrono::ceil<std::chrono::milliseconds>(oldest.context->used + idle_ - now);
    if (recent_.size() <= kMaxContexts && rest.count() > 0) return dropped_ ? std::min(rest, kCleanAfter) : rest;
    drop(oldest);
  }
  return dropped_ ? kCleanAfter : std::chrono::milliseconds(-1);
}

void ScriptHost::clean() {
  if (!std::exchange(dropped_, false)) return;
  JSSynchronousGarbageCollectForDebugging(own_);
}

JSScriptRef ScriptHost::share(std::string_view source) {
  const Text name(std::string_view("prelude"));
  return JSScriptCreateReferencingImmortalASCIIText(group_, name.get(), 1, source.data(), source.size(), nullptr,
                                                    nullptr);
}

JSValueRef ScriptHost::evaluate_text(Context& context, std::string_view source, const char* name,
                                     JSValueRef* exception) {
  const Text text(source);
  const Text url{std::string_view(name)};
  return JSEvaluateScript(context.global, text.get(), nullptr, url.get(), 1, exception);
}

ScriptResult ScriptHost::text_result(JSContextRef context, JSValueRef value, std::uint64_t limit) {
  JSValueRef exception = nullptr;
  const Text text(JSValueToStringCopy(context, value, &exception));
  if (exception != nullptr || text.get() == nullptr) return {wire::Status::too_large, {}};
  // A character is at least one byte, so this refuses nothing that is within the limit and bounds the copy. Beside the
  // result there is room for the console's lines and a context.
  if (JSStringGetLength(text.get()) > limit + (256u << 10)) return {wire::Status::too_large, {}};
  // The library's own conversion takes 2.5 ns a character, more than a driver does to make it.
  const std::size_t length = JSStringGetLength(text.get());
  std::string out(length, '\0');
  if (narrow(JSStringGetCharactersPtr(text.get()), length, out.data())) return {wire::Status::done, std::move(out)};
  out.resize(JSStringGetMaximumUTF8CStringSize(text.get()));
  const std::size_t size = JSStringGetUTF8CString(text.get(), out.data(), out.size());
  out.resize(size == 0 ? 0 : size - 1);
  return {wire::Status::done, std::move(out)};
}

ScriptResult ScriptHost::explain(Context& context, JSValueRef exception) {
  JSValueRef second = nullptr;
  const JSValueRef text = JSObjectCallAsFunction(context.global, context.explain, nullptr, 1, &exception, &second);
  if (second != nullptr || text == nullptr) {
    return {wire::Status::done, "Fcom-5002\n\"driver internal error: Error: the exception has no text\"\n\n\n"};
  }
  return text_result(context.global, text, result_limit_);
}

ScriptResult ScriptHost::evaluate_in(Script& script, Context& context, bool wrapped) {
  context.global = JSGlobalContextCreateInGroup(group_, nullptr);
  std::array<JSValueRef, 5> makers{};
  makers[2] = JSValueMakeBoolean(context.global, (script.flags & wire::kUsesContext) != 0);
  JSValueRef exception = nullptr;
  makers[0] = JSScriptEvaluate(context.global, buffer_, nullptr, &exception);
  if (exception == nullptr) makers[1] = JSScriptEvaluate(context.global, environment_, nullptr, &exception);
  makers[3] = JSValueMakeUndefined(context.global);
  makers[4] = JSObjectMakeTypedArrayWithBytesNoCopy(
      context.global, kJSTypedArrayTypeUint8Array, handed_.data(), handed_.size(), [](void*, void*) {}, nullptr,
      nullptr);
  if (exception == nullptr && (script.flags & wire::kTrusted) != 0) {
    makers[3] = evaluate_text(context, kPreludeCrypto, "prelude", &exception);
  }
  JSValueRef prelude = nullptr;
  if (exception == nullptr) prelude = JSScriptEvaluate(context.global, prelude_, nullptr, &exception);
  JSObjectRef made = nullptr;
  if (exception == nullptr) {
    const JSObjectRef function = JSValueToObject(context.global, prelude, &exception);
    const JSValueRef list =
        JSObjectCallAsFunction(context.global, function, nullptr, makers.size(), makers.data(), &exception);
    if (exception == nullptr) made = JSValueToObject(context.global, list, &exception);
  }
  if (made == nullptr)
    return {wire::Status::done, "Fcom-5002\n\"driver internal error: Error: the prelude failed\"\n\n\n"};
  for (auto [kept, index] : {std::pair{&context.bind, 0u}, {&context.call, 1u}, {&context.explain, 2u}}) {
    *kept = object_at(context.global, made, index);
    JSValueProtect(context.global, *kept);
  }

  if (wrapped) {
    evaluate_text(context, "(function(){" + script.source + "\n})()", "driver.js", &exception);
  } else {
    evaluate_text(context, script.source, "driver.js", &exception);
  }
  if (exception != nullptr) return explain(context, exception);
  const JSValueRef found = JSScriptEvaluate(context.global, look_up_, nullptr, &exception);
  JSValueRef points = JSValueMakeUndefined(context.global);
  if (exception == nullptr && !script.points_source.empty()) {
    // Evaluated by itself: a function's scope keeps its names apart from the driver's, whose own extractPoints is
    // hidden.
    const std::string wrapped =
        "(function(){var extractPoints,exports={},module={exports:exports};return (function(exports,module){" +
        script.points_source +
        "\nreturn [typeof extractPoints==='function'?extractPoints:undefined,exports,module];\n})"
        "(exports,module);})()";
    points = evaluate_text(context, wrapped, "extractPoints.js", &exception);
  }
  if (exception != nullptr) return explain(context, exception);
  const Text schema{std::string_view(script.points_schema)};
  const int signature = script.signature == wire::kAnySignature ? -1 : script.signature;
  const std::array<JSValueRef, 4> arguments = {found, JSValueMakeNumber(context.global, signature), points,
                                               JSValueMakeString(context.global, schema.get())};
  const JSValueRef offers =
      JSObjectCallAsFunction(context.global, context.bind, nullptr, arguments.size(), arguments.data(), &exception);
  if (exception != nullptr) return explain(context, exception);
  auto result = text_result(context.global, offers, result_limit_);
  if (result.text.empty()) return {wire::Status::done, std::string(kNoSignature)};
  context.offers = result.text;
  return {wire::Status::done, {}};
}

// A stop that hit promises which the call had left behind stays pending: the next to enter the machine, whoever that
// is, would be stopped in its place. It is taken out here, with what of those promises is left.
void ScriptHost::settle() {
  set_time_limit(kSettleLimitMs);
  for (int round = 0; round < 8; ++round) {
    timed_out_ = false;
    JSValueRef exception = nullptr;
    const Text nothing(std::string_view("0"));
    JSEvaluateScript(own_, nothing.get(), nullptr, nullptr, 1, &exception);
    if (exception == nullptr && !timed_out_) return;
  }
  usable_ = false;
}

// Makes script.context. Its failure, if any, is kept there, so that code that cannot work is not evaluated again for
// every message; one that ran out of time is not kept.
ScriptResult ScriptHost::evaluate(Script& script) {
  page_.phase.store(wire::Page::evaluating, std::memory_order_release);
  set_time_limit(script.evaluation_limit_ms);
  timed_out_ = false;
  auto context = std::make_unique<Context>();
  auto result = evaluate_in(script, *context, false);
  if (knows_no_place(result.text) && !timed_out_) {
    // A variable missing at top level is found out before the script has a frame, and so a place; in a function it has
    // one.
    Context again;
    const auto second = evaluate_in(script, again, true);
    if (same_failure(second.text, result.text)) result = second;
    if (timed_out_) settle();
    timed_out_ = false;  // the first one was in time
  }
  page_.phase.store(wire::Page::calling, std::memory_order_release);
  if (timed_out_) {
    settle();
    return {wire::Status::evaluation_timed_out, {}};
  }
  context->failure = result.text;
  context->used = std::chrono::steady_clock::now();
  script.context = std::move(context);
  return {wire::Status::done, {}};
}

ScriptResult ScriptHost::invoke(const Script& script, const wire::Call& frame) {
  Context& context = *script.context;
  const JSGlobalContextRef js = context.global;
  const JSValueRef undefined = JSValueMakeUndefined(js);
  std::array<JSValueRef, 7> arguments = {
      JSValueMakeNumber(js, frame.operation), undefined, undefined, undefined, undefined, undefined, undefined};
  if (frame.operation < 2 && frame.bytes.size() <= handed_.size()) {
    std::copy(frame.bytes.begin(), frame.bytes.end(), handed_.begin());
    arguments[1] = JSValueMakeNumber(js, static_cast<double>(frame.bytes.size()));
  } else if (frame.operation < 2) {
    numbers_.resize(frame.bytes.size());
    for (std::size_t i = 0; i < numbers_.size(); ++i) {
      numbers_[i] = JSValueMakeNumber(js, static_cast<unsigned char>(frame.bytes[i]));
    }
    arguments[1] = JSObjectMakeArray(js, numbers_.size(), numbers_.data(), nullptr);
  }
  if (frame.fport >= 0) arguments[2] = JSValueMakeNumber(js, frame.fport);
  if (frame.time) arguments[3] = JSValueMakeNumber(js, static_cast<double>(*frame.time));
  if (frame.operation >= 2) {
    const Text data(frame.data);
    arguments[4] = JSValueMakeString(js, data.get());
  }
  if (!frame.rest.empty()) {
    const Text rest(frame.rest);
    arguments[5] = JSValueMakeString(js, rest.get());
  }
  if (!frame.context.empty()) {
    const Text own(frame.context);
    arguments[6] = JSValueMakeString(js, own.get());
  }
  const auto limit = script.call_limit_ms == 0 ? call_limit_ms_ : std::min(script.call_limit_ms, call_limit_ms_);
  set_time_limit(inside_ ? (limit + 1) / 2 : limit);
  ++calls_;
  timed_out_ = false;
  JSValueRef exception = nullptr;
  const JSValueRef value =
      JSObjectCallAsFunction(js, context.call, nullptr, arguments.size(), arguments.data(), &exception);
  if (timed_out_) {
    if (inside_) {
      unsettled_ = true;
    } else {
      settle();
    }
    return {wire::Status::timed_out, {}};
  }
  if (exception != nullptr) return explain(context, exception);
  return text_result(js, value,
                     script.result_limit == 0 ? result_limit_ : std::min(script.result_limit, result_limit_));
}

ScriptResult ScriptHost::call(const wire::Call& frame, std::chrono::steady_clock::time_point now) {
  const auto found = scripts_.find(frame.number);
  if (found == scripts_.end()) return {wire::Status::unknown_driver, {}};
  Script& script = found->second;
  if (!script.context) {
    auto result = evaluate(script);
    if (!script.context) return result;
    recent_.push_front(frame.number);
    script.recent = recent_.begin();
    tidy(now);
  } else if (script.recent != recent_.begin()) {
    recent_.splice(recent_.begin(), recent_, script.recent);
  }
  if (!script.context->failure.empty()) return {wire::Status::done, script.context->failure};
  script.entry = entry_;
  script.context->used = now;
  auto result = invoke(script, frame);
  // After a call that ran out of time or stack its global object may be half changed (spec drivers.md 9.4).
  if (result.status == wire::Status::timed_out ||
      (result.status == wire::Status::done && result.text.starts_with('S'))) {
    drop(script);
  }
  return result;
}

ScriptResult ScriptHost::inspect(const wire::Inspect& frame) {
  const auto found = scripts_.find(frame.number);
  if (found == scripts_.end()) return {wire::Status::unknown_driver, {}};
  Script& script = found->second;
  drop(script);
  auto result = evaluate(script);
  if (!script.context) return result;
  auto context = std::move(script.context);
  if (!context->failure.empty()) return {wire::Status::done, context->failure};
  return {wire::Status::done, "I" + context->offers};
}

}  // namespace sluice::driver
