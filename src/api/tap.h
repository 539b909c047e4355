// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include "api/http.h"
#include "base/clock.h"
#include "message/trail_book.h"

namespace sluice::api {

// What one tap asks for.
struct TapFilter {
  std::string dev_eui, flow;          // empty: any
  std::uint64_t connection = 0;       // 0: any
  std::set<message::Stage> stages{};  // empty: all
  std::size_t rate = 20;              // messages a second
};

// The name of a stage in a tap: "raw" and "transformed" for stored and sent, else as message::to_string.
const char* tap_name(message::Stage stage);
// And back; both names of a stage are known. Nothing where it is none.
std::optional<message::Stage> tap_stage(std::string_view name);

// Whether the note belongs to the filter's flow and connection, seen with what its message was routed to. A note of no
// connection (decoded) belongs to all that its message goes to.
bool concerns(const TapFilter& filter, const message::Seen& seen);

// The messages of one account as they go by, as events `message` of a stream, at most `rate` a second; what was left
// out is told by events `skipped` with {"count": N}. Thread-safe: look() comes from those who note.
class Tap {
 public:
  Tap(TapFilter filter, Clock& clock);
  void look(const message::Seen& seen);
  void open(std::shared_ptr<StreamSink> sink);
  // About once a second: tells what was left out.
  void tick();
  void close();

 private:
  // Gives the sink where one more message may go out, else counts it as skipped.
  std::shared_ptr<StreamSink> admit();
  void send(const message::Seen& seen, message::Stage stage, UnixMillis time, std::string_view document);

  const TapFilter filter_;
  Clock& clock_;
  std::mutex mutex_;
  std::shared_ptr<StreamSink> sink_;  // null before open() and after close()
  double tokens_;
  std::chrono::steady_clock::time_point filled_at_;
  std::uint64_t skipped_ = 0;
};

}  // namespace sluice::api
