// SPDX-License-Identifier: Apache-2.0
#include "api/event_sink.h"

namespace sluice::api {
namespace {

void append_field(std::string& out, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  out += name;
  out += ": ";
  for (char c : value) {
    if (c != '\r' && c != '\n' && c != '\0') out += c;
  }
  out += '\n';
}

}  // namespace

std::string event_text(std::string_view name, std::string_view id, std::string_view data) {
  std::string out;
  out.reserve(name.size() + id.size() + data.size() + 32);
  append_field(out, "event", name);
  append_field(out, "id", id);
  out += "data: ";
  for (std::size_t i = 0; i < data.size(); ++i) {
    if (data[i] != '\r' && data[i] != '\n') {
      out += data[i];
      continue;
    }
    if (data[i] == '\r' && i + 1 < data.size() && data[i + 1] == '\n') ++i;
    out += "\ndata: ";
  }
  out += "\n\n";
  return out;
}

bool EventSink::event(std::string_view name, std::string_view id, std::string_view data) {
  auto text = event_text(name, id, data);
  std::function<void()> wake;
  {
    std::lock_guard lock(mutex_);
    if (closed_) return false;
    bytes_ += text.size();
    waiting_.push_back(std::move(text));
    while (waiting_.size() > 1 && (waiting_.size() > kMaxEvents || bytes_ > kMaxBytes)) {
      bytes_ -= waiting_.front().size();
      waiting_.pop_front();
      ++dropped_;
    }
    wake.swap(wake_);
  }
  if (wake) wake();
  return true;
}

std::string EventSink::take() {
  std::lock_guard lock(mutex_);
  std::string out;
  if (waiting_.empty()) return out;
  if (dropped_ > 0) {
    out = event_text("dropped", "", "{\"count\":" + std::to_string(dropped_) + "}");
    dropped_ = 0;
  }
  while (!waiting_.empty() && (out.empty() || out.size() + waiting_.front().size() <= kBatchBytes)) {
    bytes_ -= waiting_.front().size();
    out += waiting_.front();
    waiting_.pop_front();
  }
  return out;
}

void EventSink::when_ready(std::function<void()> wake) {
  {
    std::lock_guard lock(mutex_);
    if (waiting_.empty() && !closed_) {
      wake_ = std::move(wake);
      return;
    }
    wake_ = nullptr;
  }
  wake();
}

void EventSink::close() {
  std::function<void()> wake;
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
    waiting_.clear();
    bytes_ = 0;
    wake.swap(wake_);
  }
  if (wake) wake();
}

bool EventSink::closed() const {
  std::lock_guard lock(mutex_);
  return closed_;
}

}  // namespace sluice::api
