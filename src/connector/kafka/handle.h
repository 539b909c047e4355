// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <functional>
#include <librdkafka/rdkafka.h>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/result.h"

// librdkafka with its edges off: what blocks runs on a thread of its own, what its threads say comes to a strand, and
// nothing of it is left over where a connector goes.
namespace sluice::connector::kafka {

// Runs what may block for seconds (making, asking and ending a client) on a thread of its own. At the process' end
// those under way are waited for, 3 s at most. From any thread.
void in_background(std::function<void()> work);

// Does something in builds with a sanitizer only (threads_for_sanitizers.cpp).
void make_threads_visible();

// The way from any thread to a connector's strand that the connector can shut.
class Outlet : public std::enable_shared_from_this<Outlet> {
 public:
  explicit Outlet(boost::asio::any_io_executor strand) : strand_(std::move(strand)) {}
  // Has `work` run on the strand, unless the outlet is shut before. From any thread.
  void post(std::function<void()> work);
  // On the strand: nothing more is posted, and what was posted does not run.
  void shut();
  [[nodiscard]] bool is_open() const { return open_; }

 private:
  std::mutex mutex_;
  std::optional<boost::asio::any_io_executor> strand_;
  std::atomic<bool> open_{true};
};

enum class Role { producer, consumer };

// Options of librdkafka by name (its CONFIGURATION.md).
using Options = std::map<std::string, std::string>;

// One client of librdkafka, with its threads: one of its own and one a broker. It logs nothing; what it has to say
// comes as events. Ends in the background, without blocking, when the last reference goes.
class Handle {
 public:
  // Blocks for as long as reading certificates takes: in the background only. Errors: bad_config, without any value.
  static Result<std::shared_ptr<Handle>> make(Role role, const Options& options);
  ~Handle();
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  [[nodiscard]] rd_kafka_t* get() const { return kafka_; }
  // Calls `ready` through the outlet whenever there are events after there were none. Once.
  void wake_by(std::shared_ptr<Outlet> outlet, std::function<void()> ready);
  // The next event, nullptr when there is none; never blocks. To be destroyed by rd_kafka_event_destroy.
  [[nodiscard]] rd_kafka_event_t* next() const { return rd_kafka_queue_poll(queue_, 0); }
  // A producer's topic, kept by the client. nullptr where the library does not take the name. One thread at a time.
  rd_kafka_topic_t* topic(const std::string& name);
  // What the broker's certificate was refused for, in an operator's words; empty where it was not. From any thread.
  [[nodiscard]] std::string certificate_fault() const;
  // `token` goes when the client has ended altogether.
  void keep_until_ended(std::shared_ptr<void> token) { token_ = std::move(token); }

 private:
  struct Shared {  // with librdkafka's threads
    mutable std::mutex mutex;
    std::string certificate_fault;
  };
  struct Wake {
    std::shared_ptr<Outlet> outlet;
    std::function<void()> ready;
  };
  Handle(Role role, std::shared_ptr<Shared> shared) : role_(role), shared_(std::move(shared)) {}
  static int verify(rd_kafka_t*, const char* broker, std::int32_t id, int* fault, int depth, const char* certificate,
                    std::size_t size, char* text, std::size_t text_size, void* opaque);

  const Role role_;
  const std::shared_ptr<Shared> shared_;
  rd_kafka_t* kafka_ = nullptr;
  rd_kafka_queue_t* queue_ = nullptr;
  std::unique_ptr<Wake> wake_;
  std::unordered_map<std::string, rd_kafka_topic_t*> topics_;
  std::shared_ptr<void> token_;
};

// Asks the cluster for a topic, or with nullptr only for its brokers. Blocks until there is an answer, `stop` is set or
// `limit` has passed: in the background only. The first error is that of the asking (RD_KAFKA_RESP_ERR__TIMED_OUT where
// there was no answer), the second the cluster's of the topic.
struct Asked {
  rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR__TIMED_OUT;
  rd_kafka_resp_err_t topic_error = RD_KAFKA_RESP_ERR_NO_ERROR;
  int partitions = 0;
};
Asked ask(const Handle& handle, const char* topic, std::chrono::milliseconds limit, const std::atomic<bool>& stop);

}  // namespace sluice::connector::kafka
