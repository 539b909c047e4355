// SPDX-License-Identifier: Apache-2.0
#include "processor/filter.h"

#include <algorithm>
#include <charconv>

#include "base/codec.h"
#include "base/json.h"

namespace sluice::processor {
namespace {

const std::string kPlace = "upOperations/";

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

Result<Operations::Step> Operations::read_step(const boost::json::object& operation) {
  Step step;
  auto id = json::text_or(operation, "id");
  const auto* configuration = json::find(operation, "configuration");
  if (configuration != nullptr && !configuration->is_object()) return wrong("configuration: must be an object");
  const boost::json::object none;
  const auto& settings = configuration != nullptr ? configuration->get_object() : none;
  if (json::find(operation, "condition") != nullptr)
    return wrong("condition: this version runs operations without condition only");
  if (const auto* on_error = json::find(settings, "onError")) {
    if (!on_error->is_string() || on_error->get_string() != "pass")
      return wrong("configuration/onError: must be pass, or absent");
    step.pass_on_error = true;
  }
  if (id == "MESSAGE_SIMPLIFIER") return step;
  if (id != "MESSAGE_FLATTENER") {
    return wrong("id: \"" + id.substr(0, 64) +
                 "\" is no processor of this version: MESSAGE_FLATTENER and MESSAGE_SIMPLIFIER are");
  }
  auto flattener = Flattener::read(settings);
  if (!flattener) return flattener.error();
  step.flattener = std::move(*flattener);
  return step;
}

Result<Operations> Operations::read(const boost::json::array& operations) {
  Operations out;
  for (std::size_t i = 0; i < operations.size(); ++i) {
    auto place = kPlace + std::to_string(i);
    if (!operations[i].is_object()) return wrong(place + ": must be an object");
    const auto& operation = operations[i].get_object();
    auto type = json::text_or(operation, "type");
    if (type == "callProcessor") {
      auto step = read_step(operation);
      if (!step) return wrong(place + "/" + step.error().text);
      step->index = i;
      out.steps_.push_back(std::move(*step));
      continue;
    }
    bool by_expression = json::find(operation, "expression") || json::find(operation, "filter") ||
                         json::text_or(operation, "id") == "JSONATA_FILTER";
    if (type != "filter" || by_expression || json::find(operation, "condition")) {
      return wrong(place +
                   ": this version runs operations of type \"filter\" with the keepDevice... flags and of type "
                   "\"callProcessor\" only");
    }
    auto filter = TypeFilter::read(operation);
    if (!filter) return filter.error().wrap(place);
    out.filters_.push_back(std::move(*filter));
  }
  return out;
}

Result<std::string> Operations::apply(const message::Message& message, std::string document) const {
  for (const auto& step : steps_) {
    auto made =
        step.flattener ? step.flattener->apply(message.root, document) : simplify(message.type, message.root, document);
    if (made) {
      document = std::move(*made);
    } else if (!step.pass_on_error) {
      return made.error().wrap(kPlace + std::to_string(step.index));
    }
  }
  return document;
}

std::optional<std::size_t> Operations::failed_index(const Error& error) {
  const std::string_view text = error.text;
  const auto at = text.find(kPlace);
  if (at == std::string_view::npos) return {};
  std::size_t index = 0;
  const char* from = text.data() + at + kPlace.size();
  if (std::from_chars(from, text.data() + text.size(), index).ec != std::errc()) return {};
  return index;
}

bool Operations::keeps(const message::Message& message) const {
  return std::all_of(filters_.begin(), filters_.end(), [&](const auto& filter) { return filter.keeps(message); });
}

}  // namespace sluice::processor
