// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

#include "api/http.h"

namespace sluice::api {

// What stands between the sources of a stream and the session that writes it: events as text of Server-Sent Events
// (WHATWG HTML, "Server-sent events"), bounded. Over the bound the oldest give way, and the client is told their number
// by an event `dropped` with {"count": N} before the next one.
class EventSink final : public StreamSink {
 public:
  static constexpr std::size_t kMaxEvents = 512;
  static constexpr std::size_t kMaxBytes = 256u << 10;
  static constexpr std::size_t kBatchBytes = 64u << 10;  // written at once, but for a single larger event

  bool event(std::string_view name, std::string_view id, std::string_view data) override;

  // -- the session's side --
  // What waits, as much as is written at once; empty: nothing does.
  std::string take();
  // Calls `wake` once, from any thread and without a lock, when something waits or close() was called; at once where
  // that is so already. Replaces an earlier one.
  void when_ready(std::function<void()> wake);
  // The client is gone: what waits is forgotten, and the sources are told by event().
  void close();
  [[nodiscard]] bool closed() const;

 private:
  mutable std::mutex mutex_;
  std::deque<std::string> waiting_;
  std::size_t bytes_ = 0;
  std::uint64_t dropped_ = 0;
  bool closed_ = false;
  std::function<void()> wake_;
};

// One event as text. Line breaks in the data become lines of their own; in the name and the id they are left out.
std::string event_text(std::string_view name, std::string_view id, std::string_view data);

}  // namespace sluice::api
