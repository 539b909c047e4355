// SPDX-License-Identifier: Apache-2.0
// The contract itself, as JSON or, where the client asks for it, YAML.
#include "api/openapi.h"

#include <yaml-cpp/yaml.h>

#include "api/router.h"
#include "base/codec.h"

namespace sluice::api {
namespace {

boost::json::value scalar(const YAML::Node& node) {
  const auto& text = node.Scalar();
  // A quoted scalar has the tag "!": a text, whatever it looks like.
  if (node.Tag() == "!") return boost::json::string(text);
  if (text == "true") return true;
  if (text == "false") return false;
  bool number = !text.empty() && text.find_first_not_of("-.0123456789") == std::string::npos;
  if (auto parsed = json::parse(text); number && parsed) return *parsed;
  return boost::json::string(text);
}

boost::json::value to_json(const YAML::Node& node) {
  if (node.IsMap()) {
    boost::json::object object;
    for (const auto& entry : node) {
      // YAML's merge key: what the map has itself comes first.
      if (entry.first.Scalar() != "<<") {
        object[entry.first.Scalar()] = to_json(entry.second);
        continue;
      }
      auto merged = to_json(entry.second);
      for (const auto& member : merged.as_object())
        object.emplace(member.key(), member.value());
    }
    return object;
  }
  if (node.IsSequence()) {
    boost::json::array array;
    for (const auto& item : node)
      array.push_back(to_json(item));
    return array;
  }
  return node.IsScalar() ? scalar(node) : boost::json::value();
}

Response api_docs(Call& call) {
  auto accept = to_lower(call.request.header("accept"));
  if (accept.find("yaml") != std::string::npos) return {.body = kOpenApiYaml, .content_type = "application/yaml"};
  return {.body = openapi_json()};
}

}  // namespace

const std::string& openapi_json() {
  static const std::string text = json::write(to_json(YAML::Load(kOpenApiYaml)));
  return text;
}

void add_openapi(std::vector<Route>& routes) {
  routes.push_back({"GET", "/iot-flow/v1/v3/api-docs", Access::open, api_docs, Body::none, "*"});
}

}  // namespace sluice::api
