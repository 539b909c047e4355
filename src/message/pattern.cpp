// SPDX-License-Identifier: Apache-2.0
#include "message/pattern.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/codec.h"
#include "message/json_tree.h"
#include "message/jsonpath.h"

namespace sluice::message {

struct Document::Parsed {
  JsonTree tree;
  JsonTree::Index root = 0;  // the object the simple names are looked up in
  bool valid = false;
};

Document::Document(const Message& message, std::string_view composed) : message_(message), composed_(composed) {}
Document::~Document() = default;

const Document::Parsed* Document::parsed() const {
  if (!parsed_) {
    parsed_ = std::make_unique<Parsed>();
    if (auto tree = JsonTree::parse(composed_)) {
      parsed_->tree = std::move(*tree);
      parsed_->valid = true;
      if (!message_.root.empty()) parsed_->root = parsed_->tree.member(0, message_.root).value_or(0);
    }
  }
  return parsed_->valid ? parsed_.get() : nullptr;
}

namespace {

using scan::Kind;

constexpr std::size_t kMaxPattern = 16 * 1024;

// Fields that the message holds ready, so that most topics need no parsing of the document.
enum class Known { none, dev_eui, fport, fcnt_up, customer_id, time };
constexpr std::pair<std::string_view, Known> kKnown[] = {{"DevEUI", Known::dev_eui},
                                                         {"FPort", Known::fport},
                                                         {"FCntUp", Known::fcnt_up},
                                                         {"CustomerID", Known::customer_id},
                                                         {"Time", Known::time}};

struct Hop {
  std::string name;
  std::optional<std::int64_t> index;
};

struct Alternative {
  enum class Type { text, simple, path, event };
  Type type = Type::text;
  std::string text;       // of a quoted literal
  std::vector<Hop> hops;  // of a simple name or path
  Known known = Known::none;
  std::optional<JsonPath> path;

  [[nodiscard]] bool is_name() const { return type == Type::simple && hops.size() == 1 && !hops.front().index; }
};

struct Piece {
  std::string literal;
  std::vector<Alternative> alternatives;  // empty: a literal
  std::string source;                     // the expression as written, with braces
};

Error fault(std::size_t at, std::string_view what) {
  return {ErrorKind::bad_config, "pattern, character " + std::to_string(at + 1) + ": " + std::string(what), "com-4000"};
}

// Goes over an expression's text and knows where quotes, brackets and regular expressions enclose.
class Nesting {
 public:
  // Takes the character at `i`, and moves on past an escaped one; true where it stands outside of everything.
  bool outside(std::string_view text, std::size_t& i) {
    char c = text[i];
    if (quote_ != '\0') {
      if (c == '\\') ++i;
      if (c == quote_) quote_ = '\0';
      return false;
    }
    if (c == '\'' || c == '"') {
      quote_ = c;
    } else if (c == '/' && depth_ > 0 && after_match(text.substr(0, i))) {
      quote_ = '/';
    } else if (c == '[' || c == '(' || c == '{') {
      ++depth_;
    } else if ((c == ']' || c == ')' || c == '}') && depth_ > 0) {
      --depth_;
      return false;
    }
    return depth_ == 0 && quote_ == '\0';
  }
  [[nodiscard]] bool open_quote() const { return quote_ == '\'' || quote_ == '"'; }

 private:
  static bool after_match(std::string_view before) { return trim(before).ends_with("=~"); }
  char quote_ = '\0';
  int depth_ = 0;
};

// The offset of the '}' that closes the expression beginning at `from` (after its '{').
std::optional<std::size_t> closing(std::string_view text, std::size_t from) {
  Nesting nesting;
  auto rest = text.substr(from);
  for (std::size_t i = 0; i < rest.size(); ++i) {
    if (nesting.outside(rest, i) && rest[i] == '}') return from + i;
  }
  return std::nullopt;
}

std::vector<std::string_view> split_alternatives(std::string_view text) {
  std::vector<std::string_view> parts;
  Nesting nesting;
  std::size_t from = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!nesting.outside(text, i) || text[i] != '|') continue;
    parts.push_back(text.substr(from, i - from));
    from = i + 1;
  }
  parts.push_back(text.substr(from));
  return parts;
}

// The content of a text in quotes; nothing where it is none as a whole.
std::optional<std::string> quoted(std::string_view text) {
  if (text.size() < 2 || (text.front() != '\'' && text.front() != '"') || text.back() != text.front())
    return std::nullopt;
  std::string out;
  for (std::size_t i = 1; i + 1 < text.size(); ++i) {
    if (text[i] == text.front()) return std::nullopt;
    if (text[i] == '\\' && i + 2 < text.size() && (text[i + 1] == text.front() || text[i + 1] == '\\')) ++i;
    out += text[i];
  }
  return out;
}

// "CustomerData.tags[0]", "a['b c']"; nothing where the brackets hold something else.
std::optional<std::vector<Hop>> hops_of(std::string_view text) {
  std::vector<Hop> hops;
  if (text.starts_with('.')) text.remove_prefix(1);
  bool name_due = true;
  while (!text.empty()) {
    if (text.front() == '[') {
      auto end = text.find(']');
      if (end == std::string_view::npos) return std::nullopt;
      auto inner = trim(text.substr(1, end - 1));
      Hop hop;
      if (auto name = quoted(inner)) {
        hop.name = *name;
      } else {
        std::int64_t n = 0;
        auto [last, error] = std::from_chars(inner.data(), inner.data() + inner.size(), n);
        if (inner.empty() || error != std::errc{} || last != inner.data() + inner.size()) return std::nullopt;
        hop.index = n;
      }
      hops.push_back(std::move(hop));
      text.remove_prefix(end + 1);
      name_due = false;
      if (text.starts_with('.')) {
        text.remove_prefix(1);
        name_due = true;
      } else if (!text.empty() && text.front() != '[') {
        return std::nullopt;
      }
      continue;
    }
    auto end = std::min(text.find_first_of(".["), text.size());
    if (end == 0) return std::nullopt;
    hops.push_back({std::string(text.substr(0, end)), std::nullopt});
    name_due = end < text.size() && text[end] == '.';
    text.remove_prefix(end + (name_due ? 1 : 0));
  }
  if (name_due) return std::nullopt;
  return hops;
}

Result<Alternative> alternative_of(std::string_view text, std::size_t at) {
  Alternative out;
  text = trim(text);
  if (text.empty()) return fault(at, "expected a field name, a JSONPath or a text in quotes");
  if (auto literal = quoted(text)) {
    out.text = std::move(*literal);
    return out;
  }
  if (text == "$event") {
    out.type = Alternative::Type::event;
    return out;
  }
  if (text.front() == '$') {
    out.type = Alternative::Type::path;
    auto path = JsonPath::parse(text);
    if (!path) return fault(at, path.error().text);
    out.path = std::move(*path);
    return out;
  }
  // Anything else is taken as a name: complex expressions of other languages must not keep a connection from being
  // saved (spec connectors.md 1.6); they have no value.
  out.type = Alternative::Type::simple;
  out.hops = hops_of(text).value_or(std::vector<Hop>{{std::string(text), std::nullopt}});
  if (out.is_name()) {
    for (const auto& [name, known] : kKnown) {
      if (name == out.hops.front().name) out.known = known;
    }
  }
  return out;
}

Result<Piece> expression_of(std::string_view text, std::size_t at) {
  Piece piece;
  piece.source = "{" + std::string(text) + "}";
  for (auto part : split_alternatives(text)) {
    auto alternative = alternative_of(part, at + static_cast<std::size_t>(part.data() - text.data()));
    if (!alternative) return alternative.error();
    piece.alternatives.push_back(std::move(*alternative));
  }
  return piece;
}

// ---- values

std::optional<std::string> text_of(const JsonTree::Node& node) {
  if (node.is_null()) return std::nullopt;
  if (node.is_container()) return scan::compact(node.value);
  return node.text();
}

std::string_view spelled_plain(const Message& message, Span span) {
  auto text = message.spelled(span);
  return text.find('\\') == std::string_view::npos ? text : std::string_view();
}

std::string_view known_value(Known known, const Message& message) {
  bool position = message.type == MessageType::resolved_position;
  switch (known) {
    // A field keeps the spelling it came with; only deviceEUI is given in upper case.
    case Known::dev_eui:
      return position ? std::string_view(message.dev_eui) : spelled_plain(message, message.dev_eui_text);
    case Known::fport:
      return spelled_plain(message, message.fport_text);
    case Known::fcnt_up:
      return spelled_plain(message, message.fcnt_up_text);
    case Known::customer_id:
      return position ? std::string_view() : std::string_view(message.customer_id);
    case Known::time:
      return position ? std::string_view() : std::string_view(message.time_text);
    case Known::none:
      return {};
  }
  return {};
}

std::optional<JsonTree::Index> follow(const JsonTree& tree, JsonTree::Index from, const std::vector<Hop>& hops) {
  std::optional<JsonTree::Index> at = from;
  for (const auto& hop : hops) {
    at = hop.index ? tree.item(*at, *hop.index) : tree.member(*at, hop.name);
    if (!at) return std::nullopt;
  }
  return at;
}

std::optional<std::string> simple_value(const Alternative& simple, const Document& document) {
  if (auto ready = known_value(simple.known, document.message()); !ready.empty()) return std::string(ready);
  const auto* parsed = document.parsed();
  if (!parsed) return std::nullopt;
  auto found = follow(parsed->tree, parsed->root, simple.hops);
  if (!found && parsed->root != 0) found = follow(parsed->tree, 0, simple.hops);
  if (!found && simple.known == Known::dev_eui) {
    if (auto position = parsed->tree.member(0, "deviceEUI")) return to_upper(parsed->tree.nodes[*position].text());
  }
  return found ? text_of(parsed->tree.nodes[*found]) : std::nullopt;
}

std::optional<std::string> path_value(const JsonPath& path, const Document& document) {
  const auto* parsed = document.parsed();
  if (!parsed) return std::nullopt;
  for (const auto& value : path.find(parsed->tree)) {
    auto text = value.node ? text_of(parsed->tree.nodes[*value.node]) : value.computed;
    if (text) return text;
  }
  return std::nullopt;
}

// The name of the ChirpStack event a message becomes (spec processors.md 9.1); nothing where it becomes none.
std::optional<std::string> event_name(const Document& document) {
  const auto& message = document.message();
  auto root_member = [&](std::string_view name) -> const JsonTree::Node* {
    const auto* parsed = document.parsed();
    auto found = parsed ? parsed->tree.member(parsed->root, name) : std::nullopt;
    return found ? &parsed->tree.nodes[*found] : nullptr;
  };
  switch (message.type) {
    case MessageType::uplink:
      if (message.join) return "join";
      return root_member("payloadDecodedError") ? "error" : "up";
    case MessageType::downlink_sent:
      return "ack";
    case MessageType::location:
      return "location";
    case MessageType::notification: {
      const auto* type = root_member("Type");
      return type && type->text() == "devstatusans" ? std::optional<std::string>("status") : std::nullopt;
    }
    default:
      return std::nullopt;
  }
}

std::optional<std::string> value_of(const Piece& piece, const Document& document) {
  for (const auto& alternative : piece.alternatives) {
    std::optional<std::string> value;
    switch (alternative.type) {
      case Alternative::Type::text:
        return alternative.text;
      case Alternative::Type::simple:
        value = simple_value(alternative, document);
        break;
      case Alternative::Type::path:
        value = path_value(*alternative.path, document);
        break;
      case Alternative::Type::event:
        value = event_name(document);
        break;
    }
    // An empty value would make an empty level: the next alternative is asked.
    if (value && !value->empty()) return value;
  }
  return std::nullopt;
}

// ---- places

bool control(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

// U+0080 to U+009F are control characters, too, which MQTT brokers refuse.
bool second_control(std::string_view text, std::size_t i) {
  return text[i] == '\xC2' && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0;
}

void append_replaced(std::string& out, std::string_view value, std::string_view unwanted) {
  for (std::size_t i = 0; i < value.size(); ++i) {
    bool two = second_control(value, i);
    bool bad = two || control(value[i]) || unwanted.find(value[i]) != std::string_view::npos;
    out += bad ? '_' : value[i];
    if (two) ++i;
  }
}

void append_without_controls(std::string& out, std::string_view value) {
  std::copy_if(value.begin(), value.end(), std::back_inserter(out), [](char c) { return !control(c); });
}

// A "." or ".." for a path segment is resolved, and so left, by whoever reads the URL, encoded or not (RFC 3986 5.2.4,
// 6.2.2.2).
bool is_dot_segment(std::string_view path, std::string_view value) {
  return (value == "." || value == "..") && path.find_first_of("?#") == std::string_view::npos;
}

void append_value(std::string& out, std::string_view value, Place place, bool alone) {
  switch (place) {
    case Place::mqtt_topic:
      return append_replaced(out, value, "+#/");
    case Place::amqp_routing_key:
      return append_replaced(out, value, ".*#");
    case Place::header:
      return append_without_controls(out, value);
    case Place::url:
      if (alone) return append_without_controls(out, value);
      out += is_dot_segment(out, value) ? std::string(value.size(), '_') : url_encode(value);
      return;
    case Place::plain:
      out += value;
      return;
  }
}

const char* place_name(Place place) {
  switch (place) {
    case Place::mqtt_topic:
    case Place::amqp_routing_key:
      return "uplink topic pattern";
    case Place::url:
      return "URL pattern";
    case Place::header:
      return "header pattern";
    case Place::plain:
      return "pattern";
  }
  return "pattern";
}

}  // namespace

struct Pattern::Impl {
  std::vector<Piece> pieces;

  // One level between separators: the pieces it is made of.
  struct Level {
    std::vector<Piece> pieces;
    [[nodiscard]] std::size_t expressions() const {
      return static_cast<std::size_t>(
          std::count_if(pieces.begin(), pieces.end(), [](const Piece& p) { return !p.alternatives.empty(); }));
    }
    [[nodiscard]] std::string literal() const { return pieces.empty() ? std::string() : pieces.front().literal; }
  };
  [[nodiscard]] std::vector<Level> levels(char separator) const;
};

std::vector<Pattern::Impl::Level> Pattern::Impl::levels(char separator) const {
  std::vector<Level> levels(1);
  for (const auto& piece : pieces) {
    if (!piece.alternatives.empty()) {
      levels.back().pieces.push_back(piece);
      continue;
    }
    std::string_view rest = piece.literal;
    for (;;) {
      auto end = rest.find(separator);
      if (auto part = rest.substr(0, end); !part.empty()) levels.back().pieces.push_back({std::string(part), {}, {}});
      if (end == std::string_view::npos) break;
      levels.emplace_back();
      rest.remove_prefix(end + 1);
    }
  }
  return levels;
}

Result<Pattern> Pattern::parse(std::string_view text) {
  if (text.size() > kMaxPattern) return fault(kMaxPattern, "a pattern is at most 16,384 characters long");
  auto impl = std::make_shared<Impl>();
  std::string literal;
  auto flush = [&] {
    if (!literal.empty()) impl->pieces.push_back({std::move(literal), {}, {}});
    literal.clear();
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    bool doubled = i + 1 < text.size() && text[i + 1] == text[i];
    if (text[i] == '}' || (text[i] == '{' && doubled)) {
      literal += text[i];
      if (doubled) ++i;
    } else if (text[i] == '{') {
      auto end = closing(text, i + 1);
      if (!end) return fault(i, "this '{' has no closing '}'");
      auto piece = expression_of(text.substr(i + 1, *end - i - 1), i + 1);
      if (!piece) return piece.error();
      flush();
      impl->pieces.push_back(std::move(*piece));
      i = *end;
    } else {
      literal += text[i];
    }
  }
  flush();
  Pattern pattern;
  pattern.text_ = text;
  pattern.impl_ = std::move(impl);
  return pattern;
}

Result<std::string> Pattern::render(const Document& document, Place place) const {
  std::string out;
  if (!impl_) return out;
  out.reserve(text_.size() + 32);
  for (const auto& piece : impl_->pieces) {
    if (piece.alternatives.empty()) {
      out += piece.literal;
      continue;
    }
    auto value = value_of(piece, document);
    if (value) {
      append_value(out, *value, place, impl_->pieces.size() == 1);
    } else if (place != Place::header) {
      return Error{ErrorKind::permanent,
                   std::string("unable to solve the ") + place_name(place) + ": " + piece.source + " has no value"};
    }
  }
  return out;
}

bool Pattern::is_literal() const {
  return !impl_ || std::all_of(impl_->pieces.begin(), impl_->pieces.end(),
                               [](const Piece& piece) { return piece.alternatives.empty(); });
}

std::string Pattern::subscription(char separator, std::string_view wildcard) const {
  std::string out;
  if (!impl_) return out;
  bool first = true;
  for (const auto& level : impl_->levels(separator)) {
    if (!first) out += separator;
    first = false;
    out += level.expressions() > 0 ? std::string(wildcard) : level.literal();
  }
  return out;
}

namespace {

// The part of a topic's level that the level's only expression stands for; nothing where the literals do not fit.
std::optional<std::string_view> picked(const std::vector<Piece>& pieces, std::string_view value) {
  if (pieces.front().alternatives.empty()) {
    if (!value.starts_with(pieces.front().literal)) return std::nullopt;
    value.remove_prefix(pieces.front().literal.size());
  }
  if (pieces.back().alternatives.empty()) {
    if (!value.ends_with(pieces.back().literal)) return std::nullopt;
    value.remove_suffix(pieces.back().literal.size());
  }
  return value;
}

std::string_view next_level(std::string_view& topic, char separator, bool& more) {
  auto end = topic.find(separator);
  auto level = topic.substr(0, end);
  more = end != std::string_view::npos;
  topic = more ? topic.substr(end + 1) : std::string_view();
  return level;
}

}  // namespace

std::optional<std::map<std::string, std::string>> Pattern::capture(std::string_view topic, char separator) const {
  std::map<std::string, std::string> values;
  if (!impl_) return std::nullopt;
  bool more = true;
  for (const auto& level : impl_->levels(separator)) {
    // A wildcard the user wrote himself.
    if (level.expressions() == 0 && level.literal() == "#") return values;
    if (!more) return std::nullopt;
    auto value = next_level(topic, separator, more);
    if (level.expressions() == 0) {
      auto literal = level.literal();
      if (literal != value && literal != (separator == '/' ? "+" : "*")) return std::nullopt;
      continue;
    }
    if (level.expressions() > 1) continue;
    auto part = picked(level.pieces, value);
    if (!part) return std::nullopt;
    for (const auto& piece : level.pieces) {
      if (piece.alternatives.size() != 1 || !piece.alternatives.front().is_name()) continue;
      auto [at, fresh] = values.emplace(piece.alternatives.front().hops.front().name, std::string(*part));
      if (!fresh && at->second != *part) return std::nullopt;
    }
  }
  if (more) return std::nullopt;
  return values;
}

}  // namespace sluice::message
