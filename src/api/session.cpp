// SPDX-License-Identifier: Apache-2.0
#include "api/session.h"

#include <boost/asio/post.hpp>

namespace sluice::api {

void Wakeups::wake(std::weak_ptr<Session> session, std::uint64_t wait, Wakeup wakeup) {
  std::lock_guard lock(mutex_);
  if (closed_) return;
  items_.push_back({std::move(session), wait, std::move(wakeup)});
  // Posting under the lock: close() may be followed by the end of the io_context.
  if (!posted_) boost::asio::post(io_, [self = shared_from_this()] { self->drain(); });
  posted_ = true;
}

void Wakeups::close() {
  std::lock_guard lock(mutex_);
  closed_ = true;
}

void Wakeups::drain() {
  std::vector<Item> batch;
  {
    std::lock_guard lock(mutex_);
    batch.swap(items_);
    items_.swap(spare_);
    posted_ = false;
  }
  for (auto& item : batch) {
    auto session = item.session.lock();
    if (!session) continue;
    std::unique_ptr<Resumer> resumer;
    {
      std::lock_guard lock(session->mutex);
      if (session->wait != item.wait || !session->resumer) continue;
      resumer = std::move(session->resumer);
      session->wakeup = std::move(item.wakeup);
    }
    resumer->run();
  }
  batch.clear();
  std::lock_guard lock(mutex_);
  if (spare_.capacity() < batch.capacity()) spare_.swap(batch);
}

}  // namespace sluice::api
