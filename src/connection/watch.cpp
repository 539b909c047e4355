// SPDX-License-Identifier: Apache-2.0
#include "connection/watch.h"

namespace sluice::connection {

std::chrono::milliseconds Watch::unanswered() const {
  std::lock_guard lock(progress_->mutex);
  if (progress_->with_peer == 0) return std::chrono::milliseconds(0);
  return std::chrono::duration_cast<std::chrono::milliseconds>(clock_.steady() - progress_->since);
}

void Watch::send(connector::Delivery delivery) {
  auto now = clock_.steady();
  {
    std::lock_guard lock(progress_->mutex);
    if (progress_->with_peer++ == 0) progress_->since = now;
  }
  delivery.observe([progress = progress_, &clock = clock_](const Result<void>&) {
    auto then = clock.steady();
    std::lock_guard lock(progress->mutex);
    --progress->with_peer;
    progress->since = then;
  });
  if (tracing_->load(std::memory_order_relaxed)) {
    Trace trace{delivery.message().dev_eui, delivery.message().fcnt_up.value_or(-1), delivery.body().size(), {}, {}};
    delivery.observe([trace, now, tell = tell_, &clock = clock_](const Result<void>& verdict) {
      auto told = trace;
      told.took = std::chrono::duration_cast<std::chrono::milliseconds>(clock.steady() - now);
      if (!verdict) told.error = verdict.error().text;
      tell(told);
    });
  }
  inner_->send(std::move(delivery));
}

}  // namespace sluice::connection
