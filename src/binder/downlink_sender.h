// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/http_client.h"
#include "base/metrics.h"
#include "base/result.h"
#include "binder/thingpark/tunnel.h"
#include "message/downlink.h"
#include "store/downlink_queue.h"
#include "store/events.h"

namespace sluice::binder {

class LaterThread;

// A downlink for a network server, ready to be sent.
struct OutgoingDownlink {
  std::string account, connection_id, binder_id;
  message::Downlink downlink;
  bool keep = true;  // false: never stored, tried once
};

// What became of a downlink.
struct DownlinkAnswer {
  enum class Verdict : std::uint8_t {
    accepted,   // the network server took it
    pending,    // on the disk, and not taken yet: it is repeated until it expires
    refused,    // the network server refused it for good
    no_answer,  // of one that is not kept: the network server could not be reached, or did not answer in time
    expired,    // its validity, or the time it may wait, has ended
    full,       // too many wait for that network server, or the disk takes no more
    not_there,  // its network server is no longer attached
    purged,     // dropped from the queue by a user
  };
  Verdict verdict = Verdict::refused;
  int status = 0;          // HTTP status of the last answer, 0 where there was none
  std::string text;        // its text without tags, or what went wrong; never a secret
  UnixMillis expires = 0;  // of a pending one
};

// Settings of the queue towards network servers.
struct DownlinkSettings {
  std::chrono::milliseconds expiry = std::chrono::hours(24);  // how long one without ValidityTime may wait
  std::size_t max_queued = 10'000;                            // for one network server
  std::size_t in_flight = 32;                                 // requests at one network server at a time
  // A caller is told `pending` after that long without an answer of the network server.
  std::chrono::milliseconds patience = std::chrono::seconds(8);
};

// One that waits, for people.
struct QueuedDownlink {
  std::uint64_t id = 0;
  std::string dev_eui, correlation_id;
  std::optional<int> fport;
  UnixMillis queued = 0, expires = 0;
  unsigned tries = 0;
  bool in_flight = false;
  std::string last_error;  // of the last try; empty before it
};
struct QueuedDownlinkPage {
  std::size_t total = 0;
  std::vector<QueuedDownlink> items;  // oldest first
};

// What the sender needs of the outside, so that tests can give it.
struct DownlinkTransport {
  std::function<void(HttpRequest, std::function<void(Result<HttpResponse>)>)> send;
  // Calls later, from a thread of its own; a delay of 0 is allowed.
  std::function<void(std::chrono::milliseconds, std::function<void()>)> after;
  // Calls soon, from a thread that may block on the disk; one call at a time.
  std::function<void(std::function<void()>)> on_disk;
  std::function<double()> jitter;  // 0..1
};

// Sends downlinks to network servers (spec messages.md 8.4), and keeps them on the disk until they are settled.
//
// Promises:
// 1. Once `stored` is called, or `done` with `pending`, the downlink survives the end of the process at any moment, and
//    ends in exactly one verdict: the one `done` gets, else one that `settled` gets, after a restart too.
// 2. Per device one request at a time, in the order of send().
// 3. Never sent again after a 2xx was noted on the disk. A process that ends in the milliseconds between the answer and
//    that note sends it once more, with the same CorrelationID.
// 4. Bounded: `max_queued` and `in_flight` per network server.
//
// No answer, 429, 502, 503 and 504 say that the network server is not there: everything for it waits, then one downlink
// tries again, after a growing delay with jitter, up to a minute (event binder-5002). Another 5xx is one downlink's own
// trouble: it alone (and its device's next ones) waits. A Retry-After is heeded. Any other answer is a refusal.
// Each attempt is signed anew with the time of that attempt, but for one that brings its own Token. Thread-safe.
class DownlinkSender {
 public:
  // The network server of that id, null where there is none or it takes no downlinks.
  using Find = std::function<std::shared_ptr<const thingpark::Settings>(const std::string& binder_id)>;
  using Done = std::function<void(DownlinkAnswer)>;
  using Settled = std::function<void(const OutgoingDownlink&, const DownlinkAnswer&)>;

  DownlinkSender(HttpClient& http, store::DownlinkQueue& queue, Find find, DownlinkSettings settings,
                 store::Events& events, Clock& clock, Metrics& metrics);
  DownlinkSender(DownlinkTransport transport, store::DownlinkQueue& queue, Find find, DownlinkSettings settings,
                 store::Events& events, Clock& clock, Metrics& metrics);
  ~DownlinkSender();  // stop()
  DownlinkSender(const DownlinkSender&) = delete;
  DownlinkSender& operator=(const DownlinkSender&) = delete;

  // Reads what waits on the disk and goes on with it; before the first send(). `settled` gets the verdict of each
  // downlink whose caller has been told `pending`, or has gone with an earlier process. Errors: as of the store.
  Result<void> start(Settled settled);
  // Starts no more requests, waits up to `limit` for the answers to those under way. What waits stays on the disk; who
  // still waits for an answer gets `pending`, or `no_answer` where it is not kept. Not from a thread of the sender's.
  void stop(std::chrono::milliseconds limit);

  // `stored` (may be empty): called once when it is on the disk. `done`: called once, with the verdict, or with
  // `pending` as soon as it is clear that one has to wait. Both from a thread of the sender's, or within this call.
  void send(OutgoingDownlink downlink, std::function<void()> stored, Done done);

  // What waits or is under way for a connection, from the `offset`-th on.
  [[nodiscard]] QueuedDownlinkPage queued(const std::string& connection_id, std::size_t offset,
                                          std::size_t limit) const;
  // Drops what waits for a connection and gives the number; what is under way is left to its answer. Each gets the
  // verdict `purged`.
  std::size_t purge(const std::string& connection_id);

 private:
  struct Impl;
  std::shared_ptr<LaterThread> timer_, disk_;
  std::shared_ptr<Impl> impl_;
};

}  // namespace sluice::binder
