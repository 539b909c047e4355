// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/metrics.h"
#include "connection/windows.h"
#include "connector/connector.h"
#include "message/trail.h"
#include "processor/filter.h"
#include "queue/queue.h"
#include "store/events.h"

namespace sluice::connection {

using Executor = boost::asio::any_io_executor;

// What a connection's configuration says about delivery.
struct DeliverySettings {
  message::Format format;
  processor::Operations operations;
  std::int64_t validity_ms = 0;  // 0: no limit
  bool drop_new = false;         // deactivated, and its user does not want messages kept meanwhile
  std::string downlink_url;
};

// Takes a connection's pending messages to its connector: many in flight, one per device at a time, each settled once.
//
// Invariants:
//  1. An entry leaves the list only after its fate is final: delivered, refused for good, expired or filtered. All else
//     (no verdict, lost connection, a stop) leaves it on the list.
//  2. Of one device at most one message is with the connector, and the next goes out only after the former is final:
//  the
//     order holds through retries.
//  3. At most kLoad entries are in memory, and none while the connection is not open: what a dead peer leaves behind
//  lies
//     on the disk.
//
//            load                    feed                       verdict: delivered, permanent, expired, filtered
//   on disk -----> ready (in order) -----> in flight ----------------------------------------------> settled
//                    ^                        | verdict: transient
//                    |  retry timer           v
//                    +------------------- waiting (its device waits along)
//
// All calls on the connection's strand, but on_pending(), which may come from any thread.
class Pump : public std::enable_shared_from_this<Pump> {
 public:
  struct Dependencies {
    Executor strand;
    boost::asio::thread_pool& disk;
    queue::Queue& queue;
    store::Events& events;
    Clock& clock;
    Metrics& metrics;
    message::Trail& trail = message::no_trail();
  };
  Pump(Dependencies dependencies, std::uint64_t connection, std::string account);

  void configure(std::shared_ptr<const DeliverySettings> settings) { settings_ = std::move(settings); }
  // The connector is open: delivers from the oldest pending message on. `trouble` is called at most once, with an error
  // of kind not_connected or bad_config, when a verdict says that the connection itself is at fault.
  void open(connector::Connector& connector, std::function<void(Error)> trouble);
  // Hands out nothing more; calls `done` when nothing is in flight (at once, if so).
  void drain(std::function<void()> done);
  // The connector is going: later verdicts of it count for nothing. Forgets what is loaded.
  void close();
  void on_pending(std::vector<queue::Pending> entries);
  void on_dropped(std::uint64_t place, std::uint64_t count, const char* reason);
  // True when something was delivered since open().
  [[nodiscard]] bool has_delivered() const { return delivered_since_open_; }
  [[nodiscard]] Windows& windows() { return windows_; }
  // Arrival of the oldest message in memory; nothing when none is loaded.
  [[nodiscard]] std::optional<UnixMillis> oldest() const;

 private:
  struct Item {
    queue::Pending pending;
    unsigned tries = 0;
  };
  using Items = std::map<std::uint64_t, Item>;

  void add(std::vector<queue::Pending> entries);
  void load();
  void feed();
  void start(Items::iterator item);
  void verdict(std::uint64_t place, Result<void> result);
  void retry_later(Items::iterator item, const Error& error);
  void run_retries();
  void finish(Items::iterator item, Counter* counter);
  void next_of_device(const std::string& device);
  void flush_settled();
  bool expired(const queue::Pending& pending) const;
  void lost(Items::iterator item);
  void refused(Items::iterator item, const Error& error);
  void note(const message::Message& message, message::Stage stage, std::string_view text = {},
            std::string_view document = {}) {
    deps_.trail.note(message, {.stage = stage, .connection = connection_, .text = text, .document = document});
  }

  Dependencies deps_;
  const std::uint64_t connection_;
  const std::string connection_text_, account_;
  std::shared_ptr<const DeliverySettings> settings_;
  connector::Connector* connector_ = nullptr;
  std::function<void(Error)> trouble_;
  std::function<void()> drained_;
  std::uint64_t generation_ = 0;  // of the connector: verdicts of an earlier one are stale
  bool feeding_ = false, feed_again_ = false;
  bool delivered_since_open_ = false;

  Items items_;                                                         // loaded and not settled, by place
  std::deque<std::uint64_t> ready_;                                     // may be started, in order
  std::deque<std::uint64_t> urgent_;                                    // next of a device whose turn it is
  std::unordered_map<std::string, std::deque<std::uint64_t>> devices_;  // with a message under way -> what waits behind
  std::multimap<std::chrono::steady_clock::time_point, std::uint64_t> retries_;
  boost::asio::steady_timer retry_timer_;
  std::size_t in_flight_ = 0;
  std::uint64_t loaded_to_ = 0;  // place of the newest entry loaded
  bool behind_ = true;           // there may be entries on the disk that are not loaded
  bool missed_ = false;          // entries were announced and not taken since the reading under way began
  bool reading_ = false;

  std::vector<queue::Settled> settled_;
  bool flush_posted_ = false;
  Windows windows_;
  std::shared_ptr<Metrics::Value> delivered_total_, failed_total_, lost_total_, expired_total_, retries_total_,
      in_flight_gauge_;
  std::shared_ptr<Metrics::Histogram> latency_;
};

}  // namespace sluice::connection
