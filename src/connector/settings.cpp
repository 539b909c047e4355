// SPDX-License-Identifier: Apache-2.0
#include <charconv>

#include "base/json.h"
#include "connector/connector.h"

namespace sluice::connector {
namespace {

const boost::json::object kNothing;

}  // namespace

const boost::json::object& Settings::property(std::string_view name) const {
  const auto* properties = schema_->if_contains("properties");
  ENSURE(properties && properties->is_object());
  const auto* property = properties->get_object().if_contains(name);
  ENSURE(property && property->is_object());  // the connector asked for a property that its schema lacks
  return property->get_object();
}

const boost::json::value* Settings::value(std::string_view name) const {
  const auto& described = property(name);
  if (const auto* given = json::find(configuration_, name)) return given;
  return json::find(described, "x-default");
}

std::string Settings::text(std::string_view name) const {
  const auto* v = value(name);
  if (!v) return {};
  return v->is_string() ? std::string(v->get_string()) : json::write(*v);
}

bool Settings::flag(std::string_view name) const {
  const auto* v = value(name);
  if (!v) return false;
  if (v->is_bool()) return v->get_bool();
  return v->is_string() && v->get_string() == "true";
}

std::int64_t Settings::integer(std::string_view name) const {
  const auto* v = value(name);
  if (!v) return 0;
  if (v->is_int64()) return v->get_int64();
  if (v->is_uint64()) return static_cast<std::int64_t>(v->get_uint64());
  if (v->is_double()) return static_cast<std::int64_t>(v->get_double());
  std::int64_t number = 0;
  if (v->is_string()) {
    const auto& text = v->get_string();
    std::from_chars(text.data(), text.data() + text.size(), number);
  }
  return number;
}

bool Settings::has(std::string_view name) const {
  static_cast<void>(property(name));
  return json::find(configuration_, name) != nullptr;
}

const boost::json::object& Settings::object(std::string_view name) const {
  const auto* v = value(name);
  return v && v->is_object() ? v->get_object() : kNothing;
}

}  // namespace sluice::connector
