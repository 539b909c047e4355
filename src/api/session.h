// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "api/http.h"

namespace sluice::api {

using Executor = boost::asio::io_context::executor_type;
using Socket = boost::asio::basic_stream_socket<boost::asio::ip::tcp, Executor>;

// What a waiting request is woken with.
struct Wakeup {
  enum class Kind : std::uint8_t { stored, refused, response, event, timed_out } kind = Kind::timed_out;
  std::chrono::milliseconds retry_after{5000};  // refused
  std::unique_ptr<Response> response;           // response
};

// Continues a suspended coroutine; made by Session's wait.
struct Resumer {
  virtual ~Resumer() = default;
  virtual void run() = 0;
};

// One client connection. Its coroutine alone touches the socket and the buffer. Other threads may only shut the socket
// down (safe at any time while the session is registered) and send wake-ups.
struct Session {
  enum class Phase : std::uint8_t { idle, reading, waiting, writing };

  explicit Session(Socket connected) : socket(std::move(connected)), descriptor(socket.native_handle()) {}

  Socket socket;
  const int descriptor;
  boost::beast::flat_buffer buffer;
  std::string peer;
  std::string out;  // the answer being written; kept for its memory
  std::atomic<Phase> phase{Phase::idle};
  std::atomic<bool> streaming{false};     // an endless answer: a stop does not wait for it
  std::atomic<std::int64_t> deadline{0};  // steady milliseconds; past it the session is woken or ended

  // Guards the three below. A wake-up is good for one wait only, the one it was made for.
  std::mutex mutex;
  std::uint64_t wait = 0;
  std::unique_ptr<Resumer> resumer;
  Wakeup wakeup;
};

// Wake-ups from other threads to the I/O threads: one post for all that come together. Lives as long as anybody may
// still wake.
class Wakeups : public std::enable_shared_from_this<Wakeups> {
 public:
  explicit Wakeups(boost::asio::io_context& io) : io_(io) {}
  // From any thread, any time: ignored after close(), and where that wait is over.
  void wake(std::weak_ptr<Session> session, std::uint64_t wait, Wakeup wakeup);
  void close();

 private:
  struct Item {
    std::weak_ptr<Session> session;
    std::uint64_t wait;
    Wakeup wakeup;
  };
  void drain();

  boost::asio::io_context& io_;
  std::mutex mutex_;
  std::vector<Item> items_, spare_;
  bool posted_ = false, closed_ = false;
};

}  // namespace sluice::api
