// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "connector/connector.h"

namespace sluice::connection {

// Stands between a pump and its connector: notes how long the peer has left everything unanswered (spec promises.md
// 1.5), and in debug mode tells of every message sent. Owns the connector.
class Watch final : public connector::Connector {
 public:
  // What became of one message; called on the thread of the verdict.
  struct Trace {
    std::string dev_eui;
    std::int64_t fcnt_up = -1;
    std::size_t bytes = 0;
    std::chrono::milliseconds took{0};
    std::string error;  // empty: acknowledged
  };
  using Tell = std::function<void(const Trace&)>;

  Watch(std::unique_ptr<connector::Connector> inner, const Clock& clock, std::shared_ptr<std::atomic<bool>> tracing,
        Tell tell)
      : inner_(std::move(inner)),
        clock_(clock),
        tracing_(std::move(tracing)),
        tell_(std::move(tell)),
        progress_(std::make_shared<Progress>()) {}

  // For how long messages have been with the peer without any verdict of it; zero when none is, or it answers.
  // Thread-safe.
  [[nodiscard]] std::chrono::milliseconds unanswered() const;

  boost::asio::awaitable<Result<void>> open() override { return inner_->open(); }
  void send(connector::Delivery delivery) override;
  boost::asio::awaitable<void> close() override { return inner_->close(); }
  [[nodiscard]] std::size_t max_in_flight() const override { return inner_->max_in_flight(); }
  [[nodiscard]] std::optional<connector::Peer> peer() const override { return inner_->peer(); }
  [[nodiscard]] std::uint64_t usual_rate() const override { return inner_->usual_rate(); }

 private:
  using Time = std::chrono::steady_clock::time_point;
  // Outlives the watch in deliveries that are settled late.
  struct Progress {
    std::mutex mutex;
    std::size_t with_peer = 0;
    Time since;  // of the last verdict, or of the first message when none was with the peer
  };

  std::unique_ptr<connector::Connector> inner_;
  const Clock& clock_;
  std::shared_ptr<std::atomic<bool>> tracing_;
  Tell tell_;
  std::shared_ptr<Progress> progress_;
};

}  // namespace sluice::connection
