// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "api/http.h"

namespace sluice::api {

// Reads the members of a request body into the resource to be stored, and collects all faults. Members that are null
// count as absent; those nobody asks for (unknown and read-only ones) are left behind (spec api.md 1.1).
class Fields {
 public:
  Fields(const boost::json::object& body, boost::json::object& into, std::vector<FieldFault>& faults,
         std::string path = "")
      : body_(body), into_(into), faults_(faults), path_(std::move(path)) {}

  // Copies the member where it is there and of that kind; returns it, or nullptr.
  const boost::json::value* text(std::string_view name, std::size_t least, std::size_t most, bool required = false);
  const boost::json::value* flag(std::string_view name);
  const boost::json::value* array(std::string_view name, bool required = false);
  const boost::json::value* object(std::string_view name, bool required = false);
  void fault(std::string_view name, std::string message);

 private:
  const boost::json::value* member(std::string_view name, bool required);
  const boost::json::value* keep(std::string_view name, const boost::json::value* value);

  const boost::json::object& body_;
  boost::json::object& into_;
  std::vector<FieldFault>& faults_;
  std::string path_;
};

// The value without members that are null, at any depth of objects (array elements stay).
void drop_nulls(boost::json::object& object);

// Low rate alarms (spec api.md 5.6), in shape and sense.
void check_alarms(const boost::json::array& alarms, const std::string& path, std::vector<FieldFault>& faults);
// Operations on messages (spec processors.md 4, 5): what this version runs.
void check_up_operations(const boost::json::array& operations, const std::string& path,
                         std::vector<FieldFault>& faults);
void check_down_operations(const boost::json::array& operations, const std::string& path,
                           std::vector<FieldFault>& faults);

}  // namespace sluice::api
