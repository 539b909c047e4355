// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <JavaScriptCore/JavaScript.h>
#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "driver/wire.h"

// Exported by the library, absent from its headers: a text that several global objects share.
using JSScriptRef = struct OpaqueJSScript*;

namespace sluice::driver {

// What a call or an inspection gave, as it goes onto the wire.
struct ScriptResult {
  wire::Status status = wire::Status::done;
  std::string text;
};

// The JavaScript side of a host process: one virtual machine, one warm global object for each loaded driver, evaluated
// at first use and dropped when long unused. One thread.
class ScriptHost {
 public:
  explicit ScriptHost(wire::Page& page) : page_(page) {}
  ~ScriptHost();
  ScriptHost(const ScriptHost&) = delete;
  ScriptHost& operator=(const ScriptHost&) = delete;

  // Starts the machine and touches all that opens files or starts threads: compilers, collector, watchdog, locale data,
  // time zones. False where it does not work.
  bool warm_up();
  void set_limits(std::uint64_t result_limit, std::chrono::milliseconds idle) {
    result_limit_ = result_limit;
    idle_ = idle;
  }
  void set_call_limit(std::uint32_t milliseconds) { call_limit_ms_ = milliseconds; }

  void load(const wire::Load& frame);
  void unload(std::uint32_t number);
  // True where the driver's global object is warm: the call is then likely to be quick.
  [[nodiscard]] bool is_warm(std::uint32_t number) const;
  // `now`: the time, which the caller knows anyhow.
  ScriptResult call(const wire::Call& frame, std::chrono::steady_clock::time_point now);
  // Runs `work`, which calls warm drivers, within one entry into the machine: entering costs twice what a small
  // driver's call does. Where `work` finds `ended()` it returns; it calls no driver that is not `is_plain`.
  void within(const std::function<void()>& work);
  // The driver can be called within an entry: it is warm, and its text knows nothing of promises. What those leave to
  // be done is done when the machine is left, and is to be over before another driver's turn.
  [[nodiscard]] bool is_plain(std::uint32_t number) const;
  // A call has run out of time: nothing more runs in this entry.
  [[nodiscard]] bool ended() const { return unsettled_; }
  ScriptResult inspect(const wire::Inspect& frame);
  // False once a driver has left the machine so that nobody else can run in it: the process is to be ended.
  [[nodiscard]] bool usable() const { return usable_; }
  // Drops global objects long unused. Cheap; to be called when there is nothing else to do. Gives the time after which
  // it is worth to come back, less than zero for never.
  std::chrono::milliseconds tidy(std::chrono::steady_clock::time_point now);
  // Collects what was dropped. Takes up to some tenths of a second; does nothing where nothing was.
  void clean();

 private:
  struct Context {
    JSGlobalContextRef global = nullptr;
    JSObjectRef bind = nullptr, call = nullptr, explain = nullptr;
    std::string failure;  // what every call gets when the evaluation failed
    std::string offers;   // what bind said
    std::chrono::steady_clock::time_point used;

    Context() = default;
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;
    ~Context() {
      for (const JSObjectRef kept : {bind, call, explain}) {
        if (kept != nullptr) JSValueUnprotect(global, kept);
      }
      if (global != nullptr) JSGlobalContextRelease(global);
    }
  };
  struct Script {
    std::uint8_t signature = 0;
    std::uint32_t evaluation_limit_ms = 1000;
    std::uint32_t call_limit_ms = 0;  // 0: none of its own
    std::uint64_t result_limit = 0;
    std::uint8_t flags = 0;
    bool plain = false;       // its text knows nothing of promises
    std::uint64_t entry = 0;  // the last entry in which it was called
    std::string id, source, points_source, points_schema;
    std::unique_ptr<Context> context;
    std::list<std::uint32_t>::iterator recent;  // valid while there is a context
  };

  void set_time_limit(std::uint32_t milliseconds);
  ScriptResult evaluate(Script& script);
  // `wrapped`: in a function's scope.
  ScriptResult evaluate_in(Script& script, Context& context, bool wrapped);
  JSValueRef evaluate_text(Context& context, std::string_view source, const char* name, JSValueRef* exception);
  JSScriptRef share(std::string_view source);
  ScriptResult explain(Context& context, JSValueRef exception);
  ScriptResult invoke(const Script& script, const wire::Call& frame);
  ScriptResult text_result(JSContextRef context, JSValueRef value, std::uint64_t limit);
  Context* make_context();
  void settle();
  bool open_entrance();
  void drop(Script& script);
  static bool stop_requested(JSContextRef context, void* self);
  static JSValueRef enter(JSContextRef context, JSObjectRef function, JSObjectRef, std::size_t, const JSValueRef*,
                          JSValueRef*);

  wire::Page& page_;
  JSContextGroupRef group_ = nullptr;
  std::unordered_map<std::uint32_t, Script> scripts_;
  std::list<std::uint32_t> recent_;  // numbers of the drivers with a context, latest first
  std::uint64_t result_limit_ = 1u << 20;
  std::chrono::milliseconds idle_{300000};
  bool dropped_ = false;  // something to collect
  JSScriptRef buffer_ = nullptr, environment_ = nullptr, prelude_ = nullptr, look_up_ = nullptr;
  std::uint32_t call_limit_ms_ = 1000, set_limit_ms_ = 0;
  bool timed_out_ = false, usable_ = true;

  // Entries.
  JSGlobalContextRef own_ = nullptr;  // no driver's
  JSObjectRef entrance_ = nullptr;    // a function that runs *work_
  const std::function<void()>* work_ = nullptr;
  bool inside_ = false, unsettled_ = false;
  std::uint64_t entry_ = 0, calls_ = 0, seen_call_ = 0;
  unsigned looks_ = 0;  // of the watchdog's at one call of an entry
  // Seen by the prelude of every global object, never by a driver.
  std::array<unsigned char, 256> handed_{};
  std::vector<JSValueRef> numbers_;  // numbers alone, which the collector need not see
};

}  // namespace sluice::driver
