// SPDX-License-Identifier: Apache-2.0
// Both work on the text and not on parsed values, so that numbers keep their spelling and fields their order.
#include "processor/standard.h"

#include <algorithm>
#include <array>
#include <vector>

#include "base/json.h"
#include "message/json_scan.h"

namespace sluice::processor {
namespace {

using message::scan::Kind;

Error wrong(std::string text) {
  return {ErrorKind::bad_config, std::move(text), "com-4000"};
}
Error failed(std::string text) {
  return {ErrorKind::permanent, std::move(text), kOperationFailed};
}

// The object within the root; the document itself where it has none (an earlier operation has removed it).
std::string_view within_root(std::string_view root, std::string_view document) {
  if (root.empty()) return document;
  auto members = message::scan::items(document);
  bool rooted = members.size() == 1 && members[0].kind == Kind::object && members[0].name() == root;
  return rooted ? members[0].value : document;
}

// Walks once, keeping the path of where it is.
class FlattenSink {
 public:
  FlattenSink(std::string_view separator, bool dots) : separator_(separator), dots_(dots) { out_ = "{"; }

  void space(const char*, const char*) {}
  void key(const char* from, const char* to, bool escaped) {
    auto& level = levels_.back();
    ++level.count;
    path_.resize(level.base);
    std::string_view raw(from + 1, static_cast<std::size_t>(to - from) - 2);
    add_name(raw, escaped);
  }
  void scalar(Kind, const char* from, const char* to, bool) {
    enter();
    emit({from, static_cast<std::size_t>(to - from)});
  }
  void open(Kind kind, const char*) {
    if (!levels_.empty()) enter();
    top_is_object_ = top_is_object_ || (levels_.empty() && kind == Kind::object);
    levels_.push_back({kind, path_.size(), 0});
  }
  void close(Kind kind, const char*) {
    auto level = levels_.back();
    levels_.pop_back();
    if (level.count != 0 || levels_.empty()) return;
    path_.resize(level.base);
    emit(kind == Kind::object ? "{}" : "[]");
  }

  [[nodiscard]] bool sound() const { return top_is_object_; }
  [[nodiscard]] bool too_large() const { return too_large_; }
  std::string result() { return std::move(out_) + "}"; }

 private:
  struct Level {
    Kind kind;
    std::size_t base;  // of the path
    std::size_t count;
  };

  // An item of an array: its number is its name.
  void enter() {
    if (levels_.empty() || levels_.back().kind != Kind::array) return;
    auto& level = levels_.back();
    path_.resize(level.base);
    auto number = std::to_string(level.count++);
    path_ += dots_ ? std::string(separator_escaped()) + number : '[' + number + ']';
  }
  void add_name(std::string_view raw, bool escaped) {
    std::string name = escaped ? message::scan::unescape(raw) : std::string(raw);
    bool plain = !name.empty() && name.find('.') == std::string::npos && name.find('[') == std::string::npos &&
                 name.find(separator_) == std::string::npos;
    if (plain) {
      if (!path_.empty()) path_ += separator_escaped();
      path_ += raw;
      return;
    }
    auto quoted = json::quote("[" + json::quote(name) + "]");
    path_ += std::string_view(quoted).substr(1, quoted.size() - 2);
  }
  std::string_view separator_escaped() {
    if (separator_text_.empty()) {
      auto quoted = json::quote(separator_);
      separator_text_ = quoted.substr(1, quoted.size() - 2);
    }
    return separator_text_;
  }
  void emit(std::string_view value) {
    // Long names above many values: the result may be much longer than the document.
    if (out_.size() + path_.size() + value.size() + 4 > kMaxResult) too_large_ = true;
    if (too_large_) return;
    if (out_.size() > 1) out_ += ',';
    out_ += '"';
    out_ += path_;
    out_ += "\":";
    out_ += value;
  }

  std::string_view separator_;
  bool dots_;
  std::string separator_text_, out_, path_;  // the path as it stands within quotes
  std::vector<Level> levels_;
  bool top_is_object_ = false, too_large_ = false;
};

constexpr std::array<std::string_view, 12> kRadio = {"Time",   "DevEUI",      "FPort",        "FCntUp",
                                                     "FCntDn", "payload_hex", "LrrRSSI",      "LrrSNR",
                                                     "LrrESP", "SpFact",      "BatteryLevel", "BatteryTime"};
constexpr std::string_view kError = "payloadDecodedError";
constexpr std::array<std::string_view, 6> kLeftOut = {"CustomerID", "CustomerData", "ModelCfg",
                                                      "DriverCfg",  "Lrrs",         "Lrcid"};

template <class List>
bool has(const List& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

class Object {
 public:
  void add(std::string_view name, std::string_view value) {
    text_ += text_.empty() ? "{" : ",";
    json::append_quoted(text_, name);
    text_ += ':';
    text_ += value;
  }
  std::string text() { return text_.empty() ? "{}" : std::move(text_) + "}"; }

 private:
  std::string text_;
};

}  // namespace

Result<Flattener> Flattener::read(const boost::json::object& configuration) {
  Flattener made;
  if (const auto* separator = json::find(configuration, "separator")) {
    bool sound = separator->is_string() && !separator->get_string().empty() && separator->get_string().size() <= 16 &&
                 std::all_of(separator->get_string().begin(), separator->get_string().end(),
                             [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; });
    if (!sound) return wrong("configuration/separator: must be a text of 1 to 16 characters");
    made.separator_ = separator->get_string();
  }
  if (const auto* arrays = json::find(configuration, "arrays")) {
    bool sound = arrays->is_string() && (arrays->get_string() == "brackets" || arrays->get_string() == "dots");
    if (!sound) return wrong("configuration/arrays: must be brackets or dots");
    made.dots_ = arrays->get_string() == "dots";
  }
  return made;
}

Result<std::string> Flattener::apply(std::string_view root, std::string_view document) const {
  FlattenSink sink(separator_, dots_);
  message::scan::Walker walker(within_root(root, document), sink);
  if (!walker.walk() || !sink.sound()) return failed("the document is no JSON object");
  if (sink.too_large()) return failed("the flat document is over 1 MiB");
  return sink.result();
}

Result<std::string> simplify(message::MessageType type, std::string_view root, std::string_view document) {
  auto inner = within_root(root, document);
  if (inner.empty() || inner.front() != '{') return failed("the document is no JSON object");
  auto members = message::scan::items(inner);
  auto find = [&](std::string_view name) -> const message::scan::Item* {
    const message::scan::Item* found = nullptr;  // where a name stands twice the last one counts
    for (const auto& member : members) {
      if (member.name() == name) found = &member;
    }
    return found;
  };
  Object out;
  if (type != message::MessageType::uplink) {
    for (std::string_view first : {"DevEUI", "Time"}) {
      if (const auto* member = find(first)) out.add(first, member->value);
    }
    for (const auto& member : members) {
      auto name = member.name();
      if (name != "DevEUI" && name != "Time" && !has(kLeftOut, name)) out.add(name, member.value);
    }
    return out.text();
  }
  for (auto name : kRadio) {
    if (const auto* member = find(name)) out.add(name, member->value);
  }
  const auto* payload = find("payload");
  if (payload != nullptr && payload->kind == Kind::object) {
    for (const auto& member : message::scan::items(payload->value)) {
      auto name = member.name();
      out.add(has(kRadio, name) || name == kError ? "payload_" + name : name, member.value);
    }
  } else if (payload != nullptr) {
    out.add("payload", payload->value);  // a driver may give a list or a number
  }
  if (const auto* error = find(kError)) out.add(kError, error->value);
  return out.text();
}

}  // namespace sluice::processor
