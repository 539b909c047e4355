// SPDX-License-Identifier: Apache-2.0
#include "connector/kafka/group.h"

#include <algorithm>
#include <thread>

#include "base/codec.h"
#include "connector/kafka/verdict.h"

namespace sluice::connector::kafka {
namespace {

using std::chrono::milliseconds;

// Handed on and not acknowledged, of one member: beyond it the rest waits at the broker.
constexpr std::size_t kMostUnacknowledged = 500;
constexpr std::size_t kMostHeld = 20000;  // with those that only wait for one before them
constexpr std::size_t kMostAtOnce = 100;  // events, before others on the strand have their turn
constexpr std::size_t kLargestCommand = 1024 * 1024;
constexpr milliseconds kPrepareTimeout{2000};               // for each of the questions before joining
constexpr milliseconds kShortPause{100}, kLongPause{2000};  // between two tries to learn where to begin

using Partitions = std::unique_ptr<rd_kafka_topic_partition_list_t, void (*)(rd_kafka_topic_partition_list_t*)>;

Partitions partitions(int size) {
  return {rd_kafka_topic_partition_list_new(size), rd_kafka_topic_partition_list_destroy};
}

// Commits where the group begins in the partitions it has not committed anything for. Blocks. Where it does not
// succeed, the group begins at the end as of when it has joined. With other members in the group the broker does not
// take it, and they have begun already. Gives what the cluster says of the topic.
rd_kafka_resp_err_t prepare(const Handle& handle, const std::string& topic, const std::atomic<bool>& stop) {
  auto asked = ask(handle, topic.c_str(), kPrepareTimeout, stop);
  if (asked.topic_error || asked.error || stop) return asked.topic_error;
  auto* kafka = handle.get();
  auto all = partitions(asked.partitions);
  rd_kafka_topic_partition_list_add_range(all.get(), topic.c_str(), 0, asked.partitions - 1);
  constexpr int kTimeout = kPrepareTimeout.count();
  if (rd_kafka_committed(kafka, all.get(), kTimeout) != RD_KAFKA_RESP_ERR_NO_ERROR) return {};
  auto begin = partitions(asked.partitions);
  for (int i = 0; i < all->cnt && !stop; ++i) {
    const auto& partition = all->elems[i];
    if (partition.err || partition.offset != RD_KAFKA_OFFSET_INVALID) continue;
    std::int64_t low = 0, high = 0;
    if (rd_kafka_query_watermark_offsets(kafka, topic.c_str(), partition.partition, &low, &high, kTimeout)) return {};
    rd_kafka_topic_partition_list_add(begin.get(), topic.c_str(), partition.partition)->offset = high;
  }
  if (begin->cnt > 0 && !stop) rd_kafka_commit(kafka, begin.get(), 0);
  return {};
}

// Takes the partitions that the group gives this member, each from where the group has come to. Blocks, for as long as
// no broker tells that. The library would ask by itself, but it ends the process where the broker refuses the login
// before it has answered (confluentinc/librdkafka issue 4789).
void assign(const Handle& handle, rd_kafka_topic_partition_list_t* given, const std::atomic<bool>& stop) {
  auto known = [&] {
    constexpr int kTimeout = kPrepareTimeout.count();
    if (rd_kafka_committed(handle.get(), given, kTimeout) != RD_KAFKA_RESP_ERR_NO_ERROR) return false;
    return std::all_of(given->elems, given->elems + given->cnt, [](const auto& partition) { return !partition.err; });
  };
  auto pause = kShortPause;
  while (!stop && !known()) {
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, kLongPause);
  }
  for (auto* partition = given->elems; partition != given->elems + given->cnt; ++partition) {
    if (partition->offset < 0) partition->offset = RD_KAFKA_OFFSET_END;
  }
  // At the end, too, it wants its answer.
  rd_kafka_assign(handle.get(), stop ? nullptr : given);
}

// A key that is a DevEUI, in its upper-case form.
std::string dev_eui_of(const void* key, std::size_t size) {
  std::string text(static_cast<const char*>(key), key ? size : 0);
  std::erase(text, '-');
  bool fits = text.size() == 16 && std::all_of(text.begin(), text.end(), [](char c) {
                return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
              });
  if (!fits) return "";
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'a' ? static_cast<char>(c - 'a' + 'A') : c; });
  return text;
}

}  // namespace

Group::Group(std::shared_ptr<Outlet> outlet, Settings settings, std::function<void(Received)> received,
             std::function<void(std::string)> notice)
    : outlet_(std::move(outlet)),
      settings_(std::move(settings)),
      received_(std::move(received)),
      notice_(std::move(notice)) {}

void Group::start(std::function<void()> joined) {
  joined_ = std::move(joined);
  in_background([this, outlet = outlet_, settings = settings_, stop = stop_] {
    std::vector<std::shared_ptr<Handle>> handles;
    std::vector<std::string> faults;
    rd_kafka_resp_err_t topic_error{};
    Partitions topic = partitions(1);
    rd_kafka_topic_partition_list_add(topic.get(), settings.topic.c_str(), RD_KAFKA_PARTITION_UA);
    for (std::size_t i = 0; i < settings.members && !*stop; ++i) {
      auto made = Handle::make(Role::consumer, settings.options);
      if (!made) {
        faults.push_back(made.error().text);
        break;
      }
      if (i == 0) topic_error = prepare(**made, settings.topic, *stop);
      if (auto error = rd_kafka_subscribe((*made)->get(), topic.get())) {
        faults.push_back(verdict_of(error, "topic " + settings.topic).text);
        break;
      }
      handles.push_back(std::move(*made));
    }
    outlet->post([this, handles = std::move(handles), faults = std::move(faults), topic_error] {
      if (topic_error) failed(topic_error, rd_kafka_err2str(topic_error));
      this->joined(handles, faults);
    });
  });
}

void Group::joined(std::vector<std::shared_ptr<Handle>> handles, const std::vector<std::string>& faults) {
  if (*stop_) return;
  for (const auto& fault : faults)
    notice_("commands are not received: " + fault);
  for (auto& handle : handles) {
    auto number = members_.size();
    members_.push_back({std::move(handle), {}, 0, 0});
    members_.back().handle->wake_by(outlet_, [this, number] { drain(number); });
  }
  if (auto done = std::exchange(joined_, nullptr)) done();
}

void Group::tick() {
  for (std::size_t i = 0; i < members_.size(); ++i)
    drain(i);
}

void Group::stop(const std::shared_ptr<void>& token) {
  *stop_ = true;
  for (auto& member : members_)
    member.handle->keep_until_ended(token);
  members_.clear();
}

bool Group::is_full(const Member& member) {
  return member.unacknowledged >= kMostUnacknowledged || member.held >= kMostHeld;
}

void Group::drain(std::size_t number) {
  auto outlet = outlet_;
  for (std::size_t i = 0; i < kMostAtOnce; ++i) {
    // Handing on may end the connector, and us with it.
    if (!outlet->is_open() || number >= members_.size()) return;
    if (is_full(members_[number])) return;
    auto* event = members_[number].handle->next();
    if (!event) return;
    std::unique_ptr<rd_kafka_event_t, void (*)(rd_kafka_event_t*)> owned(event, rd_kafka_event_destroy);
    if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR) {
      failed(rd_kafka_event_error(event), rd_kafka_event_error_string(event));
    } else if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_REBALANCE) {
      rebalance(members_[number], event);
    } else if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_FETCH) {
      if (const auto* message = rd_kafka_event_message_next(event)) take(number, *message);
    }
  }
  outlet->post([this, number] { drain(number); });
}

// The next of these comes only when this one is answered.
void Group::rebalance(const Member& member, rd_kafka_event_t* event) {
  std::shared_ptr<rd_kafka_topic_partition_list_t> given;
  if (rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
    given.reset(rd_kafka_topic_partition_list_copy(rd_kafka_event_topic_partition_list(event)),
                rd_kafka_topic_partition_list_destroy);
  }
  in_background([handle = member.handle, given, stop = stop_] {
    if (given) {
      assign(*handle, given.get(), *stop);
    } else {
      rd_kafka_assign(handle->get(), nullptr);
    }
  });
}

void Group::take(std::size_t number, const rd_kafka_message_t& message) {
  if (message.err) return failed(message.err, rd_kafka_message_errstr(&message));
  auto& member = members_[number];
  auto& open = member.open[message.partition];
  if (!open.empty() && message.offset <= open.rbegin()->first) {
    // The partition went and came back: it begins again at what was committed.
    member.unacknowledged -=
        static_cast<std::size_t>(std::count_if(open.begin(), open.end(), [](const auto& one) { return !one.second; }));
    member.held -= open.size();
    open.clear();
  }
  open.emplace(message.offset, false);
  ++member.unacknowledged;
  ++member.held;
  if (message.len > kLargestCommand) {
    notice_("a command of " + std::to_string(message.len) + " bytes in topic " + settings_.topic +
            " is skipped: at most 1 MiB is taken");
    return acknowledged(number, message.partition, message.offset);
  }
  Received command;
  command.body.assign(static_cast<const char*>(message.payload), message.payload ? message.len : 0);
  command.dev_eui = dev_eui_of(message.key, message.key_len);
  command.acknowledge = [this, outlet = outlet_, number, partition = message.partition, offset = message.offset] {
    outlet->post([this, number, partition, offset] { acknowledged(number, partition, offset); });
  };
  received_(std::move(command));
}

void Group::acknowledged(std::size_t number, std::int32_t partition, std::int64_t offset) {
  if (number >= members_.size()) return;
  auto& member = members_[number];
  auto& open = member.open[partition];
  auto found = open.find(offset);
  if (found == open.end() || found->second) return;
  found->second = true;
  bool was_full = is_full(member);
  --member.unacknowledged;
  std::int64_t next = -1;
  while (!open.empty() && open.begin()->second) {
    next = open.begin()->first + 1;
    open.erase(open.begin());
    --member.held;
  }
  if (next >= 0) {
    // librdkafka commits what is stored, a moment later and before the partition goes to another member. One that has
    // gone already is refused here, which is right: it begins again elsewhere.
    auto stored = partitions(1);
    rd_kafka_topic_partition_list_add(stored.get(), settings_.topic.c_str(), partition)->offset = next;
    static_cast<void>(rd_kafka_offsets_store(member.handle->get(), stored.get()));
  }
  if (was_full) outlet_->post([this, number] { drain(number); });
}

void Group::failed(rd_kafka_resp_err_t code, const std::string& text) {
  if (*stop_) return;
  // The producer sees these, too, and it is the one that tells whether the connection stands.
  if (kind_of(code) == ErrorKind::not_connected || code == RD_KAFKA_RESP_ERR__AUTHENTICATION ||
      code == RD_KAFKA_RESP_ERR__TIMED_OUT)
    return;
  // A missing topic is told at opening, and again by librdkafka whenever it looks.
  if (!told_.insert(code).second) return;
  notice_("commands are not received: " + settings_.name + " '" + settings_.topic +
          "': " + fault_of(code, text, "").text);
}

}  // namespace sluice::connector::kafka
