// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/metrics.h"
#include "connection/unseen.h"
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
  std::uint64_t rate = 0;            // tries a second at most; 0: no limit
  unsigned backlog_share = 50;       // per cent of what goes out for what has waited, while there is newer, too
  unsigned max_tries = 0;            // after so many the message is given up; 0: never
  bool keep_letters = true;          // what is given up goes to the dead letters
  std::vector<std::string> secrets;  // cut out of what is kept and told of peers' answers
};

// Takes a connection's pending messages to its connector: many in flight, one per device at a time, each settled once.
//
// Invariants:
//  1. An entry leaves the list only after its fate is final: delivered, refused for good, expired or filtered. All else
//     (no verdict, lost connection, a stop) leaves it on the list.
//  2. Of one device at most one message is with the connector, and the next goes out only after the former is final:
//     the order holds through retries.
//  3. At most kLoad entries are in memory, and none while the connection is not open: what a dead peer leaves behind
//     lies on the disk.
//  4. A device whose message is refused again and again keeps a few of its entries in memory, the others stay on the
//     disk and are read when its turn comes: it takes neither the window nor the memory from the others. Of such a
//     device no entry from `skipped_from` on is in memory.
//  5. While a backlog waits on the disk, a new message of a device that has none of them goes out at once: it is
//  "live",
//     its place lies ahead of loaded_to_, and ahead_ keeps it from being read a second time (spec promises.md 1.7).
//     Live messages and the backlog take turns by the connection's share.
//
//            load                    feed                       verdict: delivered, permanent, expired, filtered
//   on disk -----> ready (in order) -----> in flight ----------------------------------------------> settled
//      |             ^                        | verdict: transient
//      | refill      |  retry timer           v
//      +-> (device)  +------------------- waiting (its device waits along)
//
// All calls on the connection's strand, but those that say so.
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
  // Halts and continues handing out; what is in flight is settled as ever. From any thread.
  void set_paused(bool paused);
  [[nodiscard]] bool paused() const { return paused_; }
  // More waits on the disk than is kept in memory: new messages of other devices go before it.
  [[nodiscard]] bool catching_up() const { return catching_up_; }
  // From any thread.
  void on_pending(std::vector<queue::Pending> entries);
  // Entries up to and including `place` were taken off the list over its bounds. From any thread.
  void on_dropped(std::uint64_t place, std::uint64_t count, const char* reason);
  // The list was emptied up to `end`, exclusive. From any thread.
  void on_purged(std::uint64_t end, std::uint64_t count);
  // True when something was delivered since open().
  [[nodiscard]] bool has_delivered() const { return delivered_since_open_; }
  [[nodiscard]] Windows& windows() { return *windows_; }
  // The same, for who outlives the pump.
  [[nodiscard]] std::shared_ptr<Windows> shared_windows() const { return windows_; }
  // The value of the label "connection" in metrics: its id, or "other" (base/metrics.h).
  [[nodiscard]] const std::string& label() const { return label_; }
  // Counts in the windows and in the metrics. From any thread.
  void count(Counter counter, std::uint64_t n = 1);
  // Messages acknowledged by the peer in this process, and how many of them were alarms' reports.
  [[nodiscard]] std::uint64_t delivered() const { return delivered_; }
  [[nodiscard]] std::uint64_t delivered_reports() const { return delivered_reports_; }
  // Arrival of the oldest message in memory; nothing when none is loaded.
  [[nodiscard]] std::optional<UnixMillis> oldest() const;
  // How many messages a second the backlog shrinks by, over the last seconds; 0 where it does not. From any thread.
  [[nodiscard]] double shrinking() const { return shrinking_; }

 private:
  struct Item {
    queue::Pending pending;
    unsigned tries = 0;
    UnixMillis checked = 0;  // when its age was last looked at
    std::size_t sent = 0;    // bytes of the last try
    bool in_flight = false;
    bool live = false;
    std::shared_ptr<connector::Delivery::Answer> answer = {};  // of the last try
  };
  using Items = std::map<std::uint64_t, Item>;
  // A device with a message under way.
  struct Device {
    std::uint64_t head = 0;             // that message
    std::deque<std::uint64_t> waiting;  // behind it, in order
    std::uint64_t skipped_from = 0;     // its entries from here on are on the disk alone; 0: none are
    bool skipped_more = false;          // since the refill under way began, further ones were left there
    bool refused = false;               // the head waits for another try
  };
  using Devices = std::unordered_map<std::string, Device>;

  void drop_new(std::vector<queue::Pending>& entries);
  void add(std::vector<queue::Pending> entries);
  void keep(queue::Pending entry);
  bool take_live(queue::Pending& entry);
  void leave(const queue::Pending& entry);
  [[nodiscard]] bool turn_of_backlog();
  [[nodiscard]] bool has_room() const;
  void load();
  void loaded(queue::Batch batch, std::uint64_t from, const std::vector<std::string>& without);
  void leave_on_disk();
  void refill();
  void refilled(const std::string& name, queue::Batch batch, std::uint64_t up_to);
  void feed();
  [[nodiscard]] bool may_start();
  // Tries a second; 0: no limit. The connection's own wish goes before what the peer usually takes.
  [[nodiscard]] std::uint64_t rate() const {
    return settings_->rate > 0 || !connector_ ? settings_->rate : connector_->usual_rate();
  }
  void show_in_flight();
  void start(Items::iterator item);
  // What is sent: by the operations that transform, else by the format; nothing where the format does not carry the
  // message. Errors: an operation failed (processor-3001).
  [[nodiscard]] Result<std::optional<std::string>> body_of(const queue::Pending& pending,
                                                           std::shared_ptr<const std::string>& document) const;
  void verdict(std::uint64_t place, Result<void> result);
  void retry_later(Items::iterator item, const Error& error);
  void run_retries();
  void wait_for_token();
  void finish(Items::iterator item, queue::Fate fate, std::shared_ptr<const queue::Letter> letter = nullptr);
  void next_of_device(const std::string& device);
  void flush_settled();
  void forget_before(std::uint64_t end);
  [[nodiscard]] std::uint64_t low() const;
  [[nodiscard]] std::int64_t validity_of(const queue::Pending& pending) const;
  bool expired(Item& item);
  void lost(Items::iterator item, Counter why, queue::Fate fate);
  void give_up(Items::iterator item, const Error& error);
  void count_lost(Counter why, std::uint64_t count);
  void measure(std::uint64_t came, std::uint64_t went);
  void note(const message::Message& message, message::Stage stage, std::string_view text = {},
            std::string_view document = {}) {
    deps_.trail.note(message, {.stage = stage, .connection = connection_, .text = text, .document = document});
  }

  Dependencies deps_;
  const std::uint64_t connection_;
  const std::string connection_text_, account_, label_;
  std::shared_ptr<const DeliverySettings> settings_;
  connector::Connector* connector_ = nullptr;
  std::function<void(Error)> trouble_;
  std::function<void()> drained_;
  std::uint64_t generation_ = 0;  // of the connector: verdicts of an earlier one are stale
  bool feeding_ = false, feed_again_ = false;
  bool delivered_since_open_ = false;
  std::uint64_t delivered_ = 0, delivered_reports_ = 0;
  std::atomic<bool> paused_{false};

  Items items_;                       // loaded and not settled, by place
  std::deque<std::uint64_t> ready_;   // may be started, in order
  std::deque<std::uint64_t> urgent_;  // next of a device whose turn it is
  std::deque<std::uint64_t> live_;    // live ones that may be started
  std::size_t live_items_ = 0;        // of items_
  std::set<std::uint64_t> ahead_;     // places of live ones, settled or not, that loaded_to_ has not come to
  Unseen unseen_;
  unsigned share_ = 0;  // per cent of a turn that the backlog has saved up
  Devices devices_;
  std::set<std::string> refused_, skipping_;  // of devices_: refused; with entries left on the disk
  std::deque<std::string> refills_;           // devices whose entries are to be read
  std::multimap<std::chrono::steady_clock::time_point, std::uint64_t> retries_;
  boost::asio::steady_timer retry_timer_, token_timer_;
  std::size_t in_flight_ = 0;
  std::int64_t shown_in_flight_ = 0;  // of in_flight_, in the gauge, which several pumps may share
  std::uint64_t loaded_to_ = 0;       // place of the newest entry looked at
  std::uint64_t purged_to_ = 0;       // entries below it are off the list, whatever becomes of them
  bool behind_ = true;                // there may be entries on the disk that are not loaded
  bool catching_up_ = false;          // since they filled the memory: there is a backlog
  bool missed_ = false;               // entries were announced and not taken since the reading under way began
  bool reading_ = false, refilling_ = false;

  double tokens_ = 0;  // tries that the rate allows now
  std::chrono::steady_clock::time_point tokens_at_;
  bool token_waiting_ = false;

  std::chrono::steady_clock::time_point measured_at_;
  std::uint64_t came_ = 0, went_ = 0;
  std::atomic<double> shrinking_{0};

  std::vector<queue::Settled> settled_;
  bool flush_posted_ = false;
  const std::shared_ptr<Windows> windows_ = std::make_shared<Windows>();
  std::array<std::shared_ptr<Metrics::Value>, kCounters> totals_;
  std::shared_ptr<Metrics::Value> retries_total_, again_total_, in_flight_gauge_;
  std::shared_ptr<Metrics::Histogram> latency_;
};

}  // namespace sluice::connection
