// SPDX-License-Identifier: Apache-2.0
#include "processor/filter.h"

#include <algorithm>

#include "base/codec.h"
#include "base/json.h"

namespace sluice::processor {
namespace {

Error wrong(const std::string& text) {
  return {ErrorKind::bad_config, text, "com-4000"};
}

// The text of the notification's Type, lower case. It is near the start of a short document: no parse is needed.
std::string notification_type(const message::Message& message) {
  constexpr std::string_view kName = "\"Type\":\"";
  auto at = message.body.find(kName);
  if (at == std::string::npos) return {};
  auto from = at + kName.size();
  return to_lower(std::string_view(message.body).substr(from, message.body.find('"', from) - from));
}

}  // namespace

Result<TypeFilter> TypeFilter::read(const boost::json::object& operation) {
  TypeFilter filter;
  std::pair<const char*, bool*> flags[] = {{"keepDeviceUplink", &filter.uplink_},
                                           {"keepDeviceDownlinkSent", &filter.downlink_sent_},
                                           {"keepDeviceLocation", &filter.location_},
                                           {"keepDeviceNotification", &filter.notification_}};
  for (auto& [name, flag] : flags) {
    const auto* value = json::find(operation, name);
    if (!value) continue;
    if (!value->is_bool()) return wrong(std::string(name) + ": must be true or false");
    *flag = value->get_bool();
  }
  if (const auto* types = json::find(operation, "keepDeviceNotificationSubTypes")) {
    if (!types->is_array()) return wrong("keepDeviceNotificationSubTypes: must be an array of texts");
    filter.notification_types_.emplace();
    for (const auto& type : types->get_array()) {
      if (!type.is_string()) return wrong("keepDeviceNotificationSubTypes: must be an array of texts");
      filter.notification_types_->push_back(to_lower(type.get_string()));
    }
  }
  return filter;
}

bool TypeFilter::keeps(const message::Message& message) const {
  using message::MessageType;
  switch (message.type) {
    case MessageType::uplink:
      return uplink_;
    case MessageType::downlink_sent:
    case MessageType::downlink_rejected:
      return downlink_sent_;
    case MessageType::location:
    case MessageType::resolved_position:
      return location_;
    case MessageType::notification: {
      if (!notification_ || !notification_types_) return notification_;
      const auto& types = *notification_types_;
      return std::find(types.begin(), types.end(), notification_type(message)) != types.end();
    }
    default:
      return true;
  }
}

Result<Operations> Operations::read(const boost::json::array& operations) {
  Operations out;
  for (std::size_t i = 0; i < operations.size(); ++i) {
    auto place = "upOperations/" + std::to_string(i);
    if (!operations[i].is_object()) return wrong(place + ": must be an object");
    const auto& operation = operations[i].get_object();
    auto type = json::text_or(operation, "type");
    bool by_expression = json::find(operation, "expression") || json::find(operation, "filter") ||
                         json::text_or(operation, "id") == "JSONATA_FILTER";
    if (type != "filter" || by_expression || json::find(operation, "condition")) {
      return wrong(place + ": this version runs operations of type \"filter\" with the keepDevice... flags only");
    }
    auto filter = TypeFilter::read(operation);
    if (!filter) return filter.error().wrap(place);
    out.filters_.push_back(std::move(*filter));
  }
  return out;
}

bool Operations::keeps(const message::Message& message) const {
  return std::all_of(filters_.begin(), filters_.end(), [&](const auto& filter) { return filter.keeps(message); });
}

}  // namespace sluice::processor
