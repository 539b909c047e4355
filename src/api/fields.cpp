// SPDX-License-Identifier: Apache-2.0
#include "api/fields.h"

namespace sluice::api {

const boost::json::value* Fields::member(std::string_view name, bool required) {
  const auto* value = json::find(body_, name);
  if (value == nullptr && required) fault(name, "is required");
  return value;
}

const boost::json::value* Fields::keep(std::string_view name, const boost::json::value* value) {
  into_[name] = *value;
  return value;
}

void Fields::fault(std::string_view name, std::string message) {
  faults_.push_back({path_ + "/" + std::string(name), std::move(message)});
}

const boost::json::value* Fields::text(std::string_view name, std::size_t least, std::size_t most, bool required) {
  const auto* value = member(name, required);
  if (value == nullptr) return nullptr;
  if (!value->is_string() || value->get_string().size() < least || value->get_string().size() > most) {
    fault(name, "must be a text of " + std::to_string(least) + " to " + std::to_string(most) + " characters");
    return nullptr;
  }
  return keep(name, value);
}

const boost::json::value* Fields::flag(std::string_view name) {
  const auto* value = member(name, false);
  if (value == nullptr) return nullptr;
  if (!value->is_bool()) {
    fault(name, "must be true or false");
    return nullptr;
  }
  return keep(name, value);
}

const boost::json::value* Fields::array(std::string_view name, bool required) {
  const auto* value = member(name, required);
  if (value == nullptr) return nullptr;
  if (!value->is_array()) {
    fault(name, "must be an array");
    return nullptr;
  }
  return keep(name, value);
}

const boost::json::value* Fields::object(std::string_view name, bool required) {
  const auto* value = member(name, required);
  if (value == nullptr) return nullptr;
  if (!value->is_object()) {
    fault(name, "must be an object");
    return nullptr;
  }
  return keep(name, value);
}

void drop_nulls(boost::json::object& object) {
  for (auto entry = object.begin(); entry != object.end();) {
    if (entry->value().is_null()) {
      entry = object.stable_erase(entry);
      continue;
    }
    if (entry->value().is_object()) drop_nulls(entry->value().get_object());
    ++entry;
  }
}

}  // namespace sluice::api
