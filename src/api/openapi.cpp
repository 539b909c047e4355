// SPDX-License-Identifier: Apache-2.0
// The contract itself, as JSON or, where the client asks for it, YAML. What an operation may answer because of the kind
// of its route stands here once and is added to all of them: nobody who adds a route can forget it.
#include "api/openapi.h"

#include <algorithm>
#include <yaml-cpp/yaml.h>

#include "api/router.h"
#include "base/codec.h"

namespace sluice::api {
namespace {

using boost::json::object;

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
    object made;
    for (const auto& entry : node) {
      // YAML's merge key: what the map has itself comes first.
      if (entry.first.Scalar() != "<<") {
        made[entry.first.Scalar()] = to_json(entry.second);
        continue;
      }
      auto merged = to_json(entry.second);
      for (const auto& member : merged.as_object())
        made.emplace(member.key(), member.value());
    }
    return made;
  }
  if (node.IsSequence()) {
    boost::json::array array;
    for (const auto& item : node)
      array.push_back(to_json(item));
    return array;
  }
  return node.IsScalar() ? scalar(node) : boost::json::value();
}

object reference(const char* to) {
  return {{"$ref", to}};
}

// The member, an empty object where it is not there.
object& child(object& parent, std::string_view name) {
  auto& value = parent[name];
  if (!value.is_object()) value.emplace_object();
  return value.get_object();
}

// The response itself where it is not a reference to a shared one; nullptr otherwise.
object* own_response(object& responses, std::string_view status) {
  auto* found = responses.if_contains(status);
  if (found == nullptr || !found->is_object() || found->get_object().contains("$ref")) return nullptr;
  return &found->get_object();
}

const object* json_schema(const object& response) {
  const auto* content = response.if_contains("content");
  const auto* type = content != nullptr ? content->as_object().if_contains("application/json") : nullptr;
  const auto* schema = type != nullptr ? type->as_object().if_contains("schema") : nullptr;
  return schema != nullptr && schema->is_object() ? &schema->get_object() : nullptr;
}

void add_headers(object& response, std::initializer_list<const char*> names) {
  auto& headers = child(response, "headers");
  for (const char* name : names)
    headers.emplace(name, reference((std::string("#/components/headers/") + name).c_str()));
}

void add_paging(object& operation, object& ok) {
  auto& parameters = operation.emplace("parameters", boost::json::array()).first->value().as_array();
  for (const char* name : {"page", "perPage"}) {
    bool there = std::any_of(parameters.begin(), parameters.end(), [&](const auto& parameter) {
      return parameter.is_object() && json::text_or(parameter.get_object(), "name") == name;
    });
    if (!there) parameters.push_back(reference((std::string("#/components/parameters/") + name).c_str()));
  }
  add_headers(ok, {"X-Total", "X-Total-Pages", "X-Per-Page", "X-Page", "X-Next-Page", "X-Prev-Page", "Link"});
}

// Everything that follows from the route's kind and that the operation does not say itself.
void complete(const Route& route, object& operation) {
  auto& responses = child(operation, "responses");
  auto may_fail = [&](const char* status) { responses.emplace(status, reference("#/components/responses/error")); };
  const bool takes_body = route.method == "POST" || route.method == "PUT" || route.method == "PATCH";
  const bool names_one = route.path.find('{') != std::string_view::npos;
  // POST too: start and stop are changes of `active`.
  const bool changes_one = names_one && route.method != "GET";
  if (route.access != Access::open) {
    may_fail("401");
    may_fail("403");
    may_fail("429");
  }
  if (names_one) may_fail("404");
  if (route.produces != "*") may_fail("406");
  if (changes_one) may_fail("412");
  may_fail("413");  // whatever the method: a body that nobody asked for can be too large, too
  if (takes_body) {
    may_fail("400");
    may_fail("409");
  }
  if (route.body == Body::json) may_fail("415");
  may_fail("503");
  for (const char* status : {"200", "201"}) {
    auto* ok = own_response(responses, status);
    if (ok == nullptr) continue;
    add_headers(*ok, {"X-Correlation-Id"});
    const auto* schema = json_schema(*ok);
    const bool list = schema != nullptr && json::text_or(*schema, "type") == "array";
    if (list && route.method == "GET") {
      add_paging(operation, *ok);
      may_fail("400");
    } else if (names_one && route.method == "GET") {
      add_headers(*ok, {"ETag", "Last-Modified"});
      responses.emplace("304", object{{"description", "Unchanged: If-None-Match or If-Modified-Since"}});
    }
    if (std::string_view(status) == "201") add_headers(*ok, {"Location", "ETag"});
  }
}

object completed() {
  auto document = to_json(YAML::Load(std::string(kOpenApiYaml))).as_object();
  auto& paths = document.at("paths").as_object();
  for (const auto& route : routes()) {
    // An operation that is missing is a fault that a test finds; there is nothing to complete then.
    auto* path = paths.if_contains(route.path);
    if (path == nullptr) continue;
    auto* operation = path->as_object().if_contains(to_lower(route.method));
    if (operation != nullptr) complete(route, operation->as_object());
  }
  return document;
}

void emit(YAML::Emitter& out, const boost::json::value& value) {
  if (value.is_object()) {
    out << YAML::BeginMap;
    for (const auto& member : value.get_object()) {
      out << YAML::Key << YAML::DoubleQuoted << std::string(member.key()) << YAML::Value;
      emit(out, member.value());
    }
    out << YAML::EndMap;
  } else if (value.is_array()) {
    out << YAML::BeginSeq;
    for (const auto& item : value.get_array())
      emit(out, item);
    out << YAML::EndSeq;
  } else if (value.is_string()) {
    // Quoted: "200", "true" and "1" stay texts.
    out << YAML::DoubleQuoted << std::string(value.get_string());
  } else if (value.is_null()) {
    out << YAML::Null;
  } else {
    out << json::write(value);
  }
}

const std::string& openapi_yaml() {
  static const std::string text = [] {
    YAML::Emitter out;
    out.SetMapFormat(YAML::Block);
    emit(out, *json::parse(openapi_json()));
    return std::string(out.c_str(), out.size()) + "\n";
  }();
  return text;
}

Response api_docs(Call& call) {
  auto accept = to_lower(call.request.header("accept"));
  Response response;
  if (accept.find("yaml") != std::string::npos) {
    response = {.body = openapi_yaml(), .content_type = "application/yaml"};
  } else {
    response = {.body = openapi_json()};
  }
  response.with("Vary", "Accept").with("Cache-Control", "no-cache");
  response.etag = content_tag(response.body);
  return response;
}

}  // namespace

const std::string& openapi_json() {
  static const std::string text = json::write(completed());
  return text;
}

void add_openapi(std::vector<Route>& routes) {
  routes.push_back({"GET", "/iot-flow/v1/v3/api-docs", Access::open, api_docs, Body::none, "*"});
}

}  // namespace sluice::api
