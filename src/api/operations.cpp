// SPDX-License-Identifier: Apache-2.0
// Operations in request bodies: what this version runs is accepted, everything else is refused with what would be
// right, so that no message ever passes an operation that was silently left out.
#include <array>

#include "api/fields.h"
#include "base/codec.h"
#include "processor/filter.h"

namespace sluice::api {
namespace {

constexpr std::array<std::string_view, 4> kKeepFlags = {"keepDeviceUplink", "keepDeviceDownlinkSent",
                                                        "keepDeviceLocation", "keepDeviceNotification"};
constexpr std::string_view kSubTypes = "keepDeviceNotificationSubTypes";

void check_filter(const boost::json::object& operation, const std::string& path, std::vector<FieldFault>& faults) {
  for (std::string_view language : {"id", "expression", "filter", "configuration", "condition"}) {
    if (json::find(operation, language) != nullptr) {
      faults.push_back({path + "/" + std::string(language),
                        "is not supported by this version: a filter takes the keepDevice... flags only"});
    }
  }
  for (auto name : kKeepFlags) {
    const auto* value = json::find(operation, name);
    if (value != nullptr && !value->is_bool())
      faults.push_back({path + "/" + std::string(name), "must be true or false"});
  }
  const auto* types = json::find(operation, kSubTypes);
  if (types == nullptr) return;
  bool sound = types->is_array();
  if (sound) {
    for (const auto& type : types->get_array()) {
      auto text = type.is_string() ? to_lower(type.get_string()) : std::string();
      sound = sound && (text == "reset" || text == "join" || text == "devstatusans");
    }
  }
  if (!sound) faults.push_back({path + "/" + std::string(kSubTypes), "must list reset, join, devstatusans"});
}

// Walks the list; `other` sees the operations that are no filter by type.
template <class Other>
void check_operations(const boost::json::array& operations, const std::string& path, std::vector<FieldFault>& faults,
                      const Other& other) {
  for (std::size_t i = 0; i < operations.size() && !enough(faults); ++i) {
    auto at = path + "/" + std::to_string(i);
    if (!operations[i].is_object()) {
      faults.push_back({at, "must be an object"});
      continue;
    }
    const auto& operation = operations[i].get_object();
    auto type = json::text_or(operation, "type");
    if (type == "filter")
      check_filter(operation, at, faults);
    else
      other(operation, type, at);
  }
}

}  // namespace

void check_up_operations(const boost::json::array& operations, const std::string& path,
                         std::vector<FieldFault>& faults) {
  check_operations(
      operations, path, faults, [&](const auto& operation, const std::string& type, const std::string& at) {
        if (type != "callProcessor") {
          faults.push_back({at + "/type", "\"" + type.substr(0, 64) +
                                              "\" is not supported by this version: only operations of type \"filter\" "
                                              "with keepDevice... flags and of type \"callProcessor\" are"});
          return;
        }
        auto read = processor::Operations::read({operation});
        if (read) return;
        // "upOperations/0/id: what is wrong": the place is ours to give.
        constexpr std::string_view kPlace = "upOperations/0";
        auto text = read.error().text.substr(kPlace.size());
        auto colon = text.find(": ");
        faults.push_back({at + text.substr(0, colon), text.substr(colon + 2)});
      });
}

// The same shapes as on uplinks. A filter by type drops what else comes over the transport, never a command: no flag
// names it. No processor is defined for downlinks (spec processors.md 4.5).
void check_down_operations(const boost::json::array& operations, const std::string& path,
                           std::vector<FieldFault>& faults) {
  check_operations(operations, path, faults, [&](const auto&, const std::string& type, const std::string& at) {
    if (type == "callProcessor") {
      faults.push_back({at + "/type", "no processor is defined for downlinks"});
    } else {
      faults.push_back({at + "/type", "\"" + type.substr(0, 64) +
                                          "\" is not supported on downlinks by this version: only operations of type "
                                          "\"filter\" with keepDevice... flags are"});
    }
  });
}

}  // namespace sluice::api
