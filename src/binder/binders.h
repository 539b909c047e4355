// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "base/http_client.h"
#include "base/metrics.h"
#include "binder/thingpark/tunnel.h"
#include "message/downlink.h"
#include "store/store.h"

namespace sluice::binder {

// The network servers attached, by id. A snapshot is swapped in on each change. Thread-safe.
class Binders {
 public:
  explicit Binders(store::Store& store);
  // Reads the store again; call after any change of a binder.
  Result<void> reload();
  // Null where there is no such binder. The id is compared in constant time with what is known.
  [[nodiscard]] std::shared_ptr<const thingpark::Settings> find(std::string_view id) const;
  // The binder to reach a device by: the one named, else the account's only one with a downlink URL; null otherwise.
  [[nodiscard]] std::shared_ptr<const thingpark::Settings> for_downlink(const std::string& account,
                                                                        const std::string& binder) const;

 private:
  struct Snapshot;
  store::Store& store_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Snapshot> snapshot_;
};

// What the network server said to a downlink.
struct DownlinkAnswer {
  bool accepted = false;
  int status = 0;    // HTTP status of the refusal, 0 where it never answered
  std::string text;  // its text without tags
};

// What the sender needs of the outside, so that tests can give it.
struct DownlinkTransport {
  std::function<void(HttpRequest, std::function<void(Result<HttpResponse>)>)> send;
  // Calls later, from a thread of its own; a delay of 0 is allowed.
  std::function<void(std::chrono::milliseconds, std::function<void()>)> after;
  std::function<double()> jitter;  // 0..1
};

// Sends downlinks to network servers (spec messages.md 8.4): per device one at a time and in order; no answer, 5xx and
// 429 are repeated with growing delay until ValidityTime or 5 minutes, whichever is first; never after a 2xx. Each
// attempt is signed anew where the caller gave no Time. At most 10,000 waiting in all; over that a downlink is refused
// at once (status 503). Thread-safe.
class DownlinkSender {
 public:
  DownlinkSender(HttpClient& http, Clock& clock, Metrics& metrics);
  DownlinkSender(DownlinkTransport transport, Clock& clock, Metrics& metrics);
  // Ends what is waiting: each `done` gets a refusal without status.
  ~DownlinkSender();
  DownlinkSender(const DownlinkSender&) = delete;
  DownlinkSender& operator=(const DownlinkSender&) = delete;
  // `done` is called once, from a thread of the sender's: after the final verdict. It may call send() again.
  void send(std::shared_ptr<const thingpark::Settings> binder, message::Downlink downlink,
            std::function<void(DownlinkAnswer)> done);

 private:
  struct Impl;
  class Timer;
  std::shared_ptr<Timer> timer_;
  std::shared_ptr<Impl> impl_;
};

}  // namespace sluice::binder
