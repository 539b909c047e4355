// SPDX-License-Identifier: Apache-2.0
#include "flow/devices.h"

#include "base/json.h"

namespace sluice::flow {
namespace {

constexpr std::size_t kGeneration = 100'000;

std::string key_of(const std::string& account, const std::string& dev_eui) {
  return account + "/" + dev_eui;
}

void write_module(json::object& out, std::string_view name, const std::optional<message::ModuleRef>& module) {
  if (module) out[name] = json::array{module->producer, module->module, module->version};
}

std::optional<message::ModuleRef> read_module(const json::object& o, std::string_view name) {
  const auto* value = json::find(o, name);
  if (!value || !value->is_array() || value->get_array().size() != 3) return std::nullopt;
  std::string parts[3];
  for (std::size_t i = 0; i < 3; ++i) {
    const auto& part = value->get_array()[i];
    if (!part.is_string()) return std::nullopt;
    parts[i] = part.get_string();
  }
  return message::ModuleRef{parts[0], parts[1], parts[2]};
}

std::string write(const DeviceFacts& facts) {
  json::object out;
  out["b"] = facts.binder;
  json::array tags;
  for (const auto& tag : facts.tags)
    tags.emplace_back(tag);
  out["t"] = std::move(tags);
  write_module(out, "a", facts.application);
  write_module(out, "m", facts.model);
  return json::write(out);
}

std::optional<DeviceFacts> read(const std::string& text) {
  auto parsed = json::parse(text);
  if (!parsed || !parsed->is_object()) return std::nullopt;
  const auto& o = parsed->get_object();
  DeviceFacts facts;
  facts.binder = json::text_or(o, "b");
  if (const auto* tags = json::find(o, "t"); tags && tags->is_array()) {
    for (const auto& tag : tags->get_array()) {
      if (tag.is_string()) facts.tags.emplace_back(tag.get_string());
    }
  }
  facts.application = read_module(o, "a");
  facts.model = read_module(o, "m");
  return facts;
}

}  // namespace

DeviceFacts* Devices::lookup(const std::string& key) {
  if (auto found = recent_.find(key); found != recent_.end()) return &found->second;
  if (recent_.size() >= kGeneration) {
    older_ = std::move(recent_);
    recent_.clear();
  }
  if (auto found = older_.find(key); found != older_.end()) {
    auto moved = recent_.insert(older_.extract(found));
    return &moved.position->second;
  }
  auto stored = queue_.fact(key);
  auto facts = stored ? read(*stored) : std::nullopt;
  if (!facts) return nullptr;
  return &recent_.emplace(key, std::move(*facts)).first->second;
}

DeviceFacts Devices::learn(const message::Message& message) {
  auto key = key_of(message.account, message.dev_eui);
  std::lock_guard lock(mutex_);
  auto* known = lookup(key);
  DeviceFacts facts = known ? *known : DeviceFacts{};
  facts.binder = message.binder;
  if (message.has_model_cfg || !message.tags.empty()) facts.tags = message.tags;
  if (message.has_driver_cfg) {
    facts.application = message.application;
    facts.model = message.model;
  }
  if (!known || *known != facts) {
    queue_.put_fact(key, write(facts));
    if (known)
      *known = facts;
    else
      recent_.emplace(key, facts);
  }
  return facts;
}

std::optional<DeviceFacts> Devices::find(const std::string& account, const std::string& dev_eui) {
  std::lock_guard lock(mutex_);
  auto* known = lookup(key_of(account, dev_eui));
  if (!known) return std::nullopt;
  return *known;
}

}  // namespace sluice::flow
