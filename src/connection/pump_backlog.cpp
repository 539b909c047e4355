// SPDX-License-Identifier: Apache-2.0
// What a pump has in memory of its list: what it reads from the disk, what it leaves there, and what is new and goes
// before that. How messages are sent and settled is in pump.cpp.
#include <algorithm>
#include <boost/asio/post.hpp>

#include "connection/pump.h"

namespace sluice::connection {
namespace {

constexpr std::size_t kLoad = 4096;  // entries in memory
constexpr std::size_t kReadAtOnce = 1024;
// What a device that is refused again and again keeps in memory.
constexpr std::size_t kKeepOfRefused = 16;
// Devices being refused whose one message comes on top of kLoad.
constexpr std::size_t kMostRefused = 8192;
constexpr std::size_t kRefill = 256;
constexpr std::size_t kMostLive = 2048;    // live ones in memory, on top of kLoad
constexpr std::size_t kMostAhead = 65536;  // places

}  // namespace

// The list has lost its entries below `end`. What is with the connector keeps its place: its verdict finds the entry
// gone and settles nothing.
void Pump::forget_before(std::uint64_t end) {
  purged_to_ = std::max(purged_to_, end);
  for (auto item = items_.begin(); item != items_.end() && item->first < end;) {
    if (!item->second.in_flight && item->second.live) --live_items_;
    item = item->second.in_flight ? std::next(item) : items_.erase(item);
  }
  ahead_.erase(ahead_.begin(), ahead_.lower_bound(end));
  auto gone = [end](std::uint64_t place) { return place < end; };
  std::erase_if(ready_, gone);
  std::vector<std::string> moved;
  for (auto& [name, device] : devices_) {
    std::erase_if(device.waiting, gone);
    if (device.skipped_from != 0 && device.skipped_from < end) device.skipped_from = end;
    if (device.head < end && !items_.contains(device.head)) moved.push_back(name);
  }
  std::erase_if(urgent_, gone);
  std::erase_if(live_, gone);
  if (loaded_to_ < end - 1) loaded_to_ = end - 1;
  for (const auto& name : moved)
    next_of_device(name);
  feed();
}

// The connection is not active and keeps nothing meanwhile, but for what its user asked for once more.
void Pump::drop_new(std::vector<queue::Pending>& entries) {
  std::vector<queue::Settled> dropped;
  std::erase_if(entries, [&](const queue::Pending& entry) {
    if (entry.again) return false;
    note(*entry.message, message::Stage::dropped, "the connection is not active");
    dropped.push_back({entry.place, entry.bytes, queue::Fate::dropped});
    return true;
  });
  if (dropped.empty()) return;
  count_lost(Counter::uplinks_dropped, dropped.size());
  deps_.events.add(account_, "warn", "connection-1305", "Messages dropped: the connection is not active",
                   {{"connectionId", connection_text_}, {"count", dropped.size()}, {"cause", "not active"}});
  deps_.queue.settle(connection_, std::move(dropped), 0);
}

void Pump::add(std::vector<queue::Pending> entries) {
  if (!connector_ && settings_->drop_new) drop_new(entries);
  if (entries.empty()) return;
  if (!connector_ || behind_ || items_.size() + entries.size() > kLoad + std::min(refused_.size(), kMostRefused)) {
    behind_ = true;
    for (auto& entry : entries) {
      if (entry.place <= loaded_to_ || take_live(entry)) continue;
      missed_ = true;
      leave(entry);
    }
    if (connector_) load();
    if (!live_.empty()) feed();
    return;
  }
  for (auto& entry : entries) {
    if (entry.place <= loaded_to_) continue;
    loaded_to_ = entry.place;
    if (!skipping_.empty()) {
      auto device = devices_.find(entry.message->dev_eui);
      if (device != devices_.end() && device->second.skipped_from != 0) {
        device->second.skipped_more = true;
        continue;
      }
    }
    keep(std::move(entry));
  }
  ahead_.erase(ahead_.begin(), ahead_.upper_bound(loaded_to_));
  feed();
}

void Pump::keep(queue::Pending entry) {
  auto place = entry.place;
  if (items_.try_emplace(place, Item{std::move(entry)}).second) ready_.push_back(place);
}

// A new message, while others wait on the disk: goes out now where none of its device does. Of a device under way it
// goes behind what is.
bool Pump::take_live(queue::Pending& entry) {
  if (!connector_ || !catching_up_ || entry.again || live_items_ >= kMostLive || ahead_.size() >= kMostAhead)
    return false;
  const auto name = entry.message->dev_eui;
  const auto place = entry.place;
  const auto looked_to = ready_.empty() ? loaded_to_ : ready_.front() - 1;
  if (!name.empty()) {
    if (!unseen_.none_of(queue::device_hash(name), looked_to)) return false;
    if (auto found = devices_.find(name); found != devices_.end() && found->second.skipped_from != 0) return false;
  }
  auto [item, fresh] = items_.try_emplace(place, Item{std::move(entry)});
  if (!fresh) return true;
  item->second.live = true;
  ++live_items_;
  ahead_.insert(place);
  if (name.empty()) {
    live_.push_back(place);
    return true;
  }
  auto& device = devices_[name];
  if (device.head == 0) {
    device.head = place;
    live_.push_back(place);
  } else {
    device.waiting.push_back(place);
  }
  return true;
}

// The entry is read from the disk when its turn comes.
void Pump::leave(const queue::Pending& entry) {
  if (!entry.message->dev_eui.empty()) unseen_.note(queue::device_hash(entry.message->dev_eui), entry.place);
}

bool Pump::has_room() const {
  return items_.size() - live_items_ <= kLoad / 2 + std::min(refused_.size(), kMostRefused);
}

void Pump::load() {
  if (reading_ || !behind_ || !connector_) return feed();
  if (!has_room()) leave_on_disk();
  if (!has_room()) {
    catching_up_ = true;
    return feed();
  }
  reading_ = true;
  missed_ = false;
  queue::ReadFilter filter;
  std::vector<std::string> without(skipping_.begin(), skipping_.end());
  for (const auto& name : without)
    filter.without.insert(queue::device_hash(name));
  boost::asio::post(deps_.disk, [self = shared_from_this(), from = loaded_to_, generation = generation_,
                                 filter = std::move(filter), without = std::move(without)]() mutable {
    auto batch = self->deps_.queue.read_some(self->connection_, from, kReadAtOnce, filter);
    boost::asio::post(self->deps_.strand,
                      [self, generation, from, batch = std::move(batch), without = std::move(without)]() mutable {
                        self->reading_ = false;
                        if (generation == self->generation_) self->loaded(std::move(batch), from, without);
                        self->load();
                      });
  });
}

void Pump::loaded(queue::Batch batch, std::uint64_t from, const std::vector<std::string>& without) {
  // Entries of these devices may have been passed over.
  for (const auto& name : without) {
    auto& device = devices_[name];
    if (device.skipped_from == 0) {
      device.skipped_from = std::max(from + 1, purged_to_);
      skipping_.insert(name);
      if (device.head == 0) refills_.push_back(name);
    } else {
      device.skipped_more = true;
    }
  }
  for (auto& entry : batch.entries) {
    if (entry.place >= purged_to_ && !ahead_.contains(entry.place)) keep(std::move(entry));
  }
  loaded_to_ = std::max(loaded_to_, batch.last);
  ahead_.erase(ahead_.begin(), ahead_.upper_bound(loaded_to_));
  if (batch.end && !missed_) {
    behind_ = catching_up_ = false;
    unseen_.clear();
  }
  if (!refills_.empty()) refill();
}

// Makes room: of devices that are refused again and again, most of what waits stays on the disk alone.
void Pump::leave_on_disk() {
  if (refused_.empty()) return;
  auto most = std::min(kKeepOfRefused, kLoad / 4 / refused_.size());
  for (const auto& name : refused_) {
    auto& device = devices_.at(name);
    while (device.waiting.size() > most) {
      auto item = items_.find(device.waiting.back());
      if (item->first > loaded_to_) {
        // A live one: it is read with all the others there.
        leave(item->second.pending);
        ahead_.erase(item->first);
        missed_ = true;
      } else {
        device.skipped_from = item->first;
        skipping_.insert(name);
      }
      if (item->second.live) --live_items_;
      items_.erase(item);
      device.waiting.pop_back();
    }
  }
  if (skipping_.empty() || ready_.empty()) return;
  // What has not been looked at yet may be of these devices, too: behind what was left, nothing of them may stay.
  std::erase_if(ready_, [this](std::uint64_t place) {
    auto item = items_.find(place);
    if (item == items_.end()) return true;
    auto device = devices_.find(item->second.pending.message->dev_eui);
    if (device == devices_.end() || device->second.skipped_from == 0 || place < device->second.skipped_from)
      return false;
    items_.erase(item);
    return true;
  });
}

// Reads on for the first device that has nothing left in memory.
void Pump::refill() {
  if (refilling_ || !connector_) return;
  while (!refills_.empty()) {
    auto name = std::move(refills_.front());
    refills_.pop_front();
    auto device = devices_.find(name);
    if (device == devices_.end() || device->second.skipped_from == 0 || !device->second.waiting.empty()) continue;
    refilling_ = true;
    device->second.skipped_more = false;
    queue::ReadFilter filter;
    filter.only = queue::device_hash(name);
    filter.up_to = loaded_to_;
    boost::asio::post(deps_.disk, [self = shared_from_this(), name, from = device->second.skipped_from - 1, filter,
                                   generation = generation_] {
      auto batch = self->deps_.queue.read_some(self->connection_, from, kRefill, filter);
      boost::asio::post(self->deps_.strand,
                        [self, name, generation, up_to = filter.up_to, batch = std::move(batch)]() mutable {
                          self->refilling_ = false;
                          if (generation == self->generation_) self->refilled(name, std::move(batch), up_to);
                          self->refill();
                        });
    });
    return;
  }
}

void Pump::refilled(const std::string& name, queue::Batch batch, std::uint64_t up_to) {
  auto found = devices_.find(name);
  if (found == devices_.end()) return;
  auto& device = found->second;
  for (auto& entry : batch.entries) {
    auto place = entry.place;
    if (place < purged_to_ || entry.message->dev_eui != name) continue;
    if (items_.try_emplace(place, Item{std::move(entry)}).second) device.waiting.push_back(place);
  }
  if (!batch.end) {
    device.skipped_from = batch.last + 1;
  } else if (device.skipped_more) {
    device.skipped_from = up_to + 1;
  } else {
    device.skipped_from = 0;
    skipping_.erase(name);
  }
  if (device.head == 0) {
    next_of_device(name);
  }
}

}  // namespace sluice::connection
