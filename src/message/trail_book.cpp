// SPDX-License-Identifier: Apache-2.0
#include "message/trail_book.h"

#include <algorithm>
#include <cstring>

namespace sluice::message {
namespace {

// A message that is tried again for days must not fill the book: over it, steps from the middle give way.
constexpr std::size_t kMaxSteps = 8 * 1024;
constexpr std::size_t kKeepFirst = 2 * 1024, kKeepLast = 4 * 1024;
constexpr std::size_t kMaxText = 300;
constexpr std::size_t kMaxName = 255;
// What maps, the order and a device of its own take beside the entry itself, about.
constexpr std::size_t kOverhead = 200;
// How many of a device's messages are looked at for its newest ones.
constexpr std::size_t kMaxChain = 1000;

template <class Number>
void append_number(std::string& out, Number number) {
  char bytes[sizeof number];
  std::memcpy(bytes, &number, sizeof number);
  out.append(bytes, sizeof bytes);
}

template <class Number>
Number take_number(std::string_view& in) {
  Number number{};
  std::memcpy(&number, in.data(), sizeof number);
  in.remove_prefix(sizeof number);
  return number;
}

// A piece of at most so many bytes that ends between two characters of UTF-8.
std::string_view cut(std::string_view text, std::size_t most) {
  if (text.size() <= most) return text;
  auto end = most;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80)
    --end;
  return text.substr(0, end);
}

// Size of the whole step, stage, time, connection, then flow, driver and text with their lengths.
void append_step(std::string& out, const TrailNote& note, UnixMillis time) {
  auto flow = cut(note.flow, kMaxName), driver = cut(note.driver, kMaxName), text = cut(note.text, kMaxText);
  auto size = 2 + 1 + 8 + 8 + 3 * 2 + flow.size() + driver.size() + text.size();
  append_number(out, static_cast<std::uint16_t>(size));
  append_number(out, static_cast<std::uint8_t>(note.stage));
  append_number(out, time);
  append_number(out, note.connection);
  for (auto part : {flow, driver, text}) {
    append_number(out, static_cast<std::uint16_t>(part.size()));
    out += part;
  }
}

TrailStep take_step(std::string_view& in) {
  TrailStep step;
  in.remove_prefix(2);
  step.stage = static_cast<Stage>(take_number<std::uint8_t>(in));
  step.time = take_number<UnixMillis>(in);
  step.connection = take_number<std::uint64_t>(in);
  for (auto* part : {&step.flow, &step.driver, &step.text}) {
    auto size = take_number<std::uint16_t>(in);
    part->assign(in.substr(0, size));
    in.remove_prefix(size);
  }
  return step;
}

// Takes whole steps out of the middle; gives their number.
std::uint64_t thin_out(std::string& steps) {
  auto step_size = [&](std::size_t at) {
    std::string_view rest = std::string_view(steps).substr(at);
    return static_cast<std::size_t>(take_number<std::uint16_t>(rest));
  };
  std::size_t from = 0;
  while (from < kKeepFirst)
    from += step_size(from);
  auto to = from;
  std::uint64_t count = 0;
  while (steps.size() - to > kKeepLast) {
    to += step_size(to);
    ++count;
  }
  steps.erase(from, to - from);
  return count;
}

std::vector<TrailStep> routed_steps(std::string_view steps) {
  std::vector<TrailStep> routed;
  while (!steps.empty()) {
    auto step = take_step(steps);
    if (step.stage == Stage::routed) routed.push_back(std::move(step));
  }
  return routed;
}

}  // namespace

TrailBook::TrailBook(Clock& clock, std::size_t max_bytes) : clock_(clock), shard_bytes_(max_bytes / kShards) {}

TrailBook::Shard& TrailBook::shard_of(const std::string& dev_eui) {
  return shards_[std::hash<std::string>{}(dev_eui) % kShards];
}

const TrailBook::Shard& TrailBook::shard_of(const std::string& dev_eui) const {
  return shards_[std::hash<std::string>{}(dev_eui) % kShards];
}

TrailBook::Entry& TrailBook::entry_of(Shard& shard, const Message& message, bool first) {
  auto [place, fresh] = shard.entries.try_emplace(message.seq);
  auto& entry = place->second;
  if (!fresh) return entry;
  std::string key;
  key.reserve(message.account.size() + 1 + message.dev_eui.size());
  key += message.account;
  key += '/';
  key += message.dev_eui;
  auto device = shard.devices.try_emplace(std::move(key)).first;
  entry.device = &*device;
  entry.older = device->second.newest;
  (entry.older == 0 ? device->second.oldest : shard.entries.at(entry.older).newer) = message.seq;
  device->second.newest = message.seq;
  entry.account_size = message.account.size();
  entry.type = message.type;
  entry.join = message.join;
  entry.whole = first;
  entry.fport = message.fport;
  entry.fcnt_up = message.fcnt_up;
  entry.fcnt_dn = message.fcnt_dn;
  entry.time = message.time;
  entry.arrived = message.arrived;
  entry.steps.reserve(224);  // stored, routed, decoded, sent, delivered of a plain message: one allocation
  shard.order.push_back(message.seq);
  return entry;
}

void TrailBook::drop_oldest(Shard& shard) {
  auto found = shard.entries.find(shard.order.front());
  shard.order.pop_front();
  auto* device = found->second.device;
  auto newer = found->second.newer;
  shard.bytes -= found->second.counted;
  shard.entries.erase(found);
  if (newer == 0) {
    shard.devices.erase(shard.devices.find(device->first));
    return;
  }
  device->second.oldest = newer;
  shard.entries.at(newer).older = 0;
}

void TrailBook::note(const Message& message, const TrailNote& note) {
  // What has no number has not been stored: there is nothing to find it by.
  if (message.seq == 0) return;
  // The report's own time of arrival: the step is noted when the log hands it on.
  auto time = note.stage == Stage::stored ? message.arrived : clock_.now();
  bool watch = watching_->load(std::memory_order_relaxed) > 0 && watched(message.account);
  std::vector<TrailStep> routed;
  {
    auto& shard = shard_of(message.dev_eui);
    std::lock_guard lock(shard.mutex);
    auto& entry = entry_of(shard, message, note.stage == Stage::stored);
    append_step(entry.steps, note, time);
    if (entry.steps.size() > kMaxSteps) entry.left_out += thin_out(entry.steps);
    auto counts = sizeof(Entry) + kOverhead + entry.steps.capacity();
    shard.bytes += counts - entry.counted;
    entry.counted = counts;
    if (watch) routed = routed_steps(entry.steps);
    while (shard.bytes > shard_bytes_ && shard.order.size() > 1)
      drop_oldest(shard);
  }
  if (watch) tell(message, note, time, routed);
}

bool TrailBook::watched(const std::string& account) const {
  if (watching_->load(std::memory_order_relaxed) == 0) return false;
  std::shared_lock lock(watch_mutex_);
  return std::any_of(watchers_.begin(), watchers_.end(), [&](const auto& weak) {
    auto watcher = weak.lock();
    return watcher && watcher->account == account;
  });
}

void TrailBook::tell(const Message& message, const TrailNote& note, UnixMillis time,
                     const std::vector<TrailStep>& routed) const {
  std::vector<std::shared_ptr<Watcher>> interested;
  {
    std::shared_lock lock(watch_mutex_);
    for (const auto& weak : watchers_) {
      auto watcher = weak.lock();
      if (watcher && watcher->account == message.account) interested.push_back(std::move(watcher));
    }
  }
  Seen seen{message, note, time, routed};
  for (const auto& watcher : interested)
    watcher->look(seen);
}

std::shared_ptr<void> TrailBook::watch(std::string account, Look look) {
  auto* made = new Watcher{std::move(account), std::move(look)};
  std::shared_ptr<Watcher> watcher(made, [watching = watching_](Watcher* gone) {
    watching->fetch_sub(1);
    delete gone;
  });
  watching_->fetch_add(1);
  std::unique_lock lock(watch_mutex_);
  std::erase_if(watchers_, [](const auto& weak) { return weak.expired(); });
  watchers_.push_back(watcher);
  return watcher;
}

MessageTrail TrailBook::read(std::uint64_t seq, const Entry& entry) {
  std::string_view key = entry.device->first;
  MessageTrail trail{.seq = seq,
                     .account = std::string(key.substr(0, entry.account_size)),
                     .dev_eui = std::string(key.substr(entry.account_size + 1)),
                     .type = entry.type,
                     .join = entry.join,
                     .fport = entry.fport,
                     .fcnt_up = entry.fcnt_up,
                     .fcnt_dn = entry.fcnt_dn,
                     .time = entry.time,
                     .arrived = entry.arrived,
                     .left_out = entry.left_out,
                     .whole = entry.whole};
  for (std::string_view rest = entry.steps; !rest.empty();)
    trail.steps.push_back(take_step(rest));
  return trail;
}

std::vector<MessageTrail> TrailBook::of_device(const std::string& account, const std::string& dev_eui,
                                               std::size_t limit) const {
  std::vector<MessageTrail> found;
  const auto& shard = shard_of(dev_eui);
  std::lock_guard lock(shard.mutex);
  auto device = shard.devices.find(account + "/" + dev_eui);
  if (device == shard.devices.end()) return found;
  // By number, not by when the book met them: one that had been pending before a restart may have come late.
  std::vector<std::uint64_t> seqs;
  for (auto seq = device->second.newest; seq != 0 && seqs.size() < kMaxChain; seq = shard.entries.at(seq).older)
    seqs.push_back(seq);
  std::sort(seqs.rbegin(), seqs.rend());
  if (seqs.size() > limit) seqs.resize(limit);
  for (auto seq : seqs)
    found.push_back(read(seq, shard.entries.at(seq)));
  return found;
}

std::optional<MessageTrail> TrailBook::of_message(const std::string& account, std::uint64_t seq) const {
  for (const auto& shard : shards_) {
    std::lock_guard lock(shard.mutex);
    auto found = shard.entries.find(seq);
    if (found == shard.entries.end()) continue;
    auto trail = read(seq, found->second);
    if (trail.account == account) return trail;
  }
  return std::nullopt;
}

std::size_t TrailBook::bytes() const {
  std::size_t all = 0;
  for (const auto& shard : shards_) {
    std::lock_guard lock(shard.mutex);
    all += shard.bytes;
  }
  return all;
}

}  // namespace sluice::message
