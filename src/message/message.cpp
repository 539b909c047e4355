// SPDX-License-Identifier: Apache-2.0
#include "message/message.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/codec.h"
#include "message/json_scan.h"

namespace sluice::message {
namespace {

using scan::Kind;

// What is read from a report. The first group is read as text, the second as JSON.
enum class Field : std::uint8_t {
  dev_eui,
  time,
  fport,
  fcnt_up,
  fcnt_dn,
  payload_hex,
  raw_join_request,
  payload_encryption,
  customer_id,
  model_cfg,
  lrr_id,
  customer_data,
  driver_cfg,
  xmlns,
  added,
  none,
};
constexpr std::size_t kFields = static_cast<std::size_t>(Field::none);

Field root_field(std::string_view name) {
  switch (name.size()) {
    case 4:
      return name == "Time" ? Field::time : Field::none;
    case 5:
      return name == "FPort" ? Field::fport : name == "LrrID" ? Field::lrr_id : Field::none;
    case 6:
      if (name == "DevEUI") return Field::dev_eui;
      if (name == "FCntUp") return Field::fcnt_up;
      if (name == "FCntDn") return Field::fcnt_dn;
      if (name == "-xmlns") return Field::xmlns;
      return name == "points" ? Field::added : Field::none;
    case 7:
      return name == "payload" ? Field::added : Field::none;
    case 8:
      return name == "ModelCfg" ? Field::model_cfg : Field::none;
    case 9:
      return name == "DriverCfg" ? Field::driver_cfg : Field::none;
    case 10:
      return name == "CustomerID" ? Field::customer_id : Field::none;
    case 11:
      if (name == "payload_hex") return Field::payload_hex;
      return name == "downlinkUrl" ? Field::added : Field::none;
    case 12:
      return name == "CustomerData" ? Field::customer_data : Field::none;
    case 14:
      return name == "rawJoinRequest" ? Field::raw_join_request : Field::none;
    case 17:
      return name == "PayloadEncryption" ? Field::payload_encryption : Field::none;
    case 19:
      return name == "payloadDecodedError" ? Field::added : Field::none;
    default:
      return Field::none;
  }
}

// The names of a resolved position, which has no root.
Field position_field(std::string_view name) {
  if (name == "deviceEUI") return Field::dev_eui;
  if (name == "time") return Field::time;
  if (name == "customerId") return Field::customer_id;
  if (name == "modelCfg") return Field::model_cfg;
  if (name == "customerData") return Field::customer_data;
  return name == "downlinkUrl" ? Field::added : Field::none;
}

struct RootName {
  std::string_view name;
  MessageType type;
};
constexpr RootName kRoots[] = {
    {"DevEUI_uplink", MessageType::uplink},
    {"DevEUI_downlink_Sent", MessageType::downlink_sent},
    {"DevEUI_downlink_Rejected", MessageType::downlink_rejected},
    {"DevEUI_multicast_summary", MessageType::multicast_summary},
    {"DevEUI_location", MessageType::location},
    {"DevEUI_notification", MessageType::notification},
    {"DevEUI_alarm", MessageType::device_alarm},
    {"BS_alarm", MessageType::base_station_alarm},
    {"DevEUI_downlink", MessageType::downlink},
};

MessageType type_of(std::string_view root) {
  for (const auto& known : kRoots) {
    if (known.name == root) return known.type;
  }
  return MessageType::unknown;
}

// Where a field's value lies in the compact body.
struct Place {
  std::uint32_t at = 0, end = 0;
  Kind kind = Kind::literal;
  bool escaped = false;
  [[nodiscard]] bool found() const { return end != 0; }
};
using Places = std::array<Place, kFields>;

// Compacts the document and notes where the fields lie, all in one pass.
class Reader {
 public:
  explicit Reader(std::string_view text) : begin_(text.data()), run_(text.data()) { body.reserve(text.size()); }

  std::string body;
  Places fields;          // of the chosen root
  Places position;        // of a document without a root
  std::string_view root;  // the name as written, in the input
  bool root_escaped = false;
  MessageType type = MessageType::unknown;
  std::uint32_t root_begin = 0, root_end = 0, document_end = 0;
  int roots = 0;  // top-level names whose value is an object
  bool is_object = false;

  void finish(const char* end) { body.append(run_, end); }

  void space(const char* from, const char* to) {
    body.append(run_, from);
    run_ = to;
    dropped_ += static_cast<std::size_t>(to - from);
  }
  void key(const char* from, const char* to, bool escaped) {
    if (depth_ > 2) return;
    std::string_view name(from + 1, static_cast<std::size_t>(to - from - 2));
    if (depth_ == 1) {
      top_name_ = name;
      top_escaped_ = escaped;
    } else if (!in_root_) {
      return;
    }
    if (escaped) {
      auto plain = scan::unescape(name);
      field_ = depth_ == 1 ? position_field(plain) : root_field(plain);
    } else {
      field_ = depth_ == 1 ? position_field(name) : root_field(name);
    }
  }
  void scalar(Kind kind, const char* from, const char* to, bool escaped) {
    if (depth_ > 2 || field_ == Field::none) return;
    // null counts as absent.
    if (kind == Kind::literal && *from == 'n') {
      if (field_ != Field::driver_cfg && field_ != Field::added) return;
    }
    note({offset(from), offset(to), kind, escaped});
  }
  void open(Kind kind, const char* at) {
    if (depth_ == 0) {
      is_object = kind == Kind::object;
    } else if (depth_ == 1 && kind == Kind::object && is_object) {
      open_root(at);
      if (field_ != Field::none) opened_ = offset(at);
    } else if (depth_ <= 2 && field_ != Field::none) {
      opened_ = offset(at);
    }
    if (depth_ < 3) pending_[depth_] = field_;
    ++depth_;
    field_ = Field::none;
  }
  void close(Kind kind, const char* at) {
    --depth_;
    if (depth_ == 0) {
      document_end = offset(at);
    } else if (depth_ <= 2) {
      if (depth_ == 1 && in_root_) {
        root_end = offset(at);
        in_root_ = false;
      }
      field_ = pending_[depth_];
      if (field_ != Field::none) note({opened_, offset(at) + 1, kind, false});
      field_ = Field::none;
    }
  }

 private:
  [[nodiscard]] std::uint32_t offset(const char* at) const {
    return static_cast<std::uint32_t>(static_cast<std::size_t>(at - begin_) - dropped_);
  }
  // A known root wins over an unknown one beside it (old builds put `tracerInfo` there); the first of a kind is taken.
  void open_root(const char* at) {
    auto name = top_escaped_ ? scan::unescape(top_name_) : std::string();
    auto found = type_of(top_escaped_ ? std::string_view(name) : top_name_);
    bool better = found != MessageType::unknown && type == MessageType::unknown;
    if (found == MessageType::unknown && top_name_ != "tracerInfo") ++roots;
    if (!better && (roots != 1 || found != MessageType::unknown || type != MessageType::unknown)) return;
    if (top_name_ == "tracerInfo") return;
    fields = {};
    in_root_ = true;
    root = top_name_;
    root_escaped = top_escaped_;
    type = found;
    root_begin = offset(at);
  }
  void note(Place place) { (depth_ == 2 ? fields : position)[static_cast<std::size_t>(field_)] = place; }

  const char* begin_;
  const char* run_;
  std::size_t dropped_ = 0;
  int depth_ = 0;
  bool in_root_ = false;
  Field field_ = Field::none;
  Field pending_[3] = {Field::none, Field::none, Field::none};
  std::uint32_t opened_ = 0;
  std::string_view top_name_;
  bool top_escaped_ = false;
};

Error unreadable(std::string text) {
  return {ErrorKind::permanent, std::move(text), "com-4000"};
}

template <class Int>
std::optional<Int> integer(std::string_view text) {
  Int n = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return n;
}

bool all_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), scan::detail::digit);
}

// "1:TemperatureService, 2:SwissPostDevice": the tag is what follows the first ':'; a bare number stands for none.
void read_model_cfg(std::string_view text, std::vector<std::string>& tags) {
  while (!text.empty()) {
    auto comma = text.find(',');
    auto entry = trim(text.substr(0, comma));
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
    auto colon = entry.find(':');
    if (colon != std::string_view::npos) {
      entry = trim(entry.substr(colon + 1));
    } else if (all_digits(entry)) {
      continue;
    }
    if (!entry.empty()) tags.emplace_back(entry);
  }
}

void read_tags(std::string_view customer_data, std::vector<std::string>& tags) {
  // Most CustomerData has no tags, and a look is cheaper than a walk.
  if (customer_data.find("tags") == std::string_view::npos) return;
  for (const auto& member : scan::items(customer_data)) {
    if (member.key != "tags") continue;
    tags.clear();
    if (member.kind == Kind::string) tags.push_back(member.text());
    if (member.kind != Kind::array) continue;
    for (const auto& item : scan::items(member.value)) {
      if (item.kind == Kind::string || item.kind == Kind::number) tags.push_back(item.text());
    }
  }
}

std::optional<ModuleRef> read_module(std::string_view json) {
  ModuleRef module;
  for (const auto& member : scan::items(json)) {
    if (member.kind != Kind::string && member.kind != Kind::number) continue;
    if (member.key == "pId") module.producer = member.text();
    if (member.key == "mId") module.module = member.text();
    if (member.key == "ver") module.version = member.text();
  }
  if (module.producer.empty() && module.module.empty()) return std::nullopt;
  return module;
}

void read_driver_cfg(std::string_view json, Message& message) {
  for (const auto& member : scan::items(json)) {
    if (member.key == "id") message.has_added = true;
    if (member.kind != Kind::object) continue;
    if (member.key == "mod") message.model = read_module(member.value);
    if (member.key == "app") message.application = read_module(member.value);
  }
  message.has_driver_cfg = message.model || message.application;
}

// Takes what the reader found over into the message, whose body is set.
class Filler {
 public:
  Filler(Message& message, const Places& places) : message_(message), places_(places) {}

  Result<void> fill() {
    if (auto done = dev_eui(); !done) return done;
    auto& m = message_;
    m.customer_id = text(Field::customer_id);
    m.time_text = text(Field::time);
    m.time = parse_time(m.time_text);
    m.payload_hex = text(Field::payload_hex);
    m.dev_eui_text = span(Field::dev_eui);
    m.fport_text = span(Field::fport);
    m.fcnt_up_text = span(Field::fcnt_up);
    m.fcnt_dn_text = span(Field::fcnt_dn);
    m.lrr_id_text = span(Field::lrr_id);
    if (auto port = integer<int>(m.spelled(m.fport_text)); port && *port >= 0 && *port <= 255) m.fport = port;
    m.fcnt_up = integer<std::int64_t>(m.spelled(m.fcnt_up_text));
    m.fcnt_dn = integer<std::int64_t>(m.spelled(m.fcnt_dn_text));
    m.encrypted = m.spelled(span(Field::payload_encryption)) == "1";
    m.join = m.type == MessageType::uplink && at(Field::raw_join_request).found();
    m.has_added = at(Field::added).found();
    configurations();
    return {};
  }

 private:
  [[nodiscard]] const Place& at(Field field) const { return places_[static_cast<std::size_t>(field)]; }
  [[nodiscard]] std::string_view token(Field field) const {
    return std::string_view(message_.body).substr(at(field).at, at(field).end - at(field).at);
  }
  // A scalar's spelling without quotes.
  [[nodiscard]] Span span(Field field) const {
    const auto& place = at(field);
    if (!place.found() || place.kind == Kind::object || place.kind == Kind::array) return {};
    if (place.kind == Kind::string) return {place.at + 1, place.end - place.at - 2};
    return {place.at, place.end - place.at};
  }
  [[nodiscard]] std::string text(Field field) const {
    auto raw = message_.spelled(span(field));
    return at(field).escaped ? scan::unescape(raw) : std::string(raw);
  }
  Result<void> dev_eui() {
    if (!at(Field::dev_eui).found()) return {};
    auto written = text(Field::dev_eui);
    auto& eui = message_.dev_eui;
    eui.reserve(16);
    for (char c : written) {
      if (c != '-') eui += c >= 'a' && c <= 'f' ? static_cast<char>(c - 32) : c;
    }
    if (eui.size() == 16 && is_hex(eui)) return {};
    if (written.empty()) return {};
    return unreadable("the DevEUI of a report must be 16 hex digits");
  }
  void configurations() {
    auto& m = message_;
    if (at(Field::model_cfg).found()) {
      m.has_model_cfg = true;
      read_model_cfg(text(Field::model_cfg), m.tags);
    }
    if (at(Field::customer_data).found()) {
      // A string holds JSON in the XML form and in old samples.
      bool is_text = at(Field::customer_data).kind == Kind::string;
      read_tags(is_text ? text(Field::customer_data) : token(Field::customer_data), m.device_tags);
      m.tags.insert(m.tags.end(), m.device_tags.begin(), m.device_tags.end());
    }
    const auto& driver = at(Field::driver_cfg);
    if (!driver.found()) return;
    m.driver_cfg = {driver.at, driver.end - driver.at};
    if (driver.kind == Kind::object) m.driver_cfg_end = driver.end - 1;
    if (driver.kind == Kind::object) {
      read_driver_cfg(token(Field::driver_cfg), m);
    } else if (driver.kind == Kind::string) {
      read_driver_cfg(text(Field::driver_cfg), m);
    }
  }

  Message& message_;
  const Places& places_;
};

Result<Message> read(std::string_view json, bool checked);

// The namespace that one form of the tunnel writes as a field (spec messages.md 8.5) goes, and the rest is read anew.
Result<Message> read_without_namespace(const Reader& reader) {
  auto root = std::string_view(reader.body).substr(reader.root_begin, reader.root_end + 1 - reader.root_begin);
  auto members = scan::items(root);
  std::erase_if(members, [](const auto& member) { return member.name() != "-xmlns"; });
  std::string body = reader.body.substr(0, reader.root_begin);
  body += scan::without(root, members);
  body += std::string_view(reader.body).substr(reader.root_end + 1);
  return read(body, true);
}

Result<Message> read(std::string_view json, bool checked) {
  if (json.size() > scan::kMaxSize) return unreadable("the report is over 1 MiB");
  if (!checked && !scan::valid_utf8(json)) return unreadable("the report is not valid UTF-8");
  Reader reader(json);
  scan::Walker<Reader> walker(json, reader);
  if (!walker.walk()) {
    return unreadable("the report is not valid JSON at byte " + std::to_string(walker.at()) + ": " + walker.what());
  }
  reader.finish(json.data() + json.size());
  bool has_position = reader.position[static_cast<std::size_t>(Field::dev_eui)].found();
  bool is_position = reader.type == MessageType::unknown && has_position;
  bool has_root = reader.type != MessageType::unknown || reader.roots == 1;
  if (!reader.is_object || (!is_position && !has_root)) {
    return unreadable("the report has neither a root such as DevEUI_uplink nor a deviceEUI");
  }
  if (!is_position && reader.fields[static_cast<std::size_t>(Field::xmlns)].found()) {
    return read_without_namespace(reader);
  }
  Result<Message> result{Message{}};
  Message& message = *result;
  message.body = std::move(reader.body);
  if (is_position) {
    message.type = MessageType::resolved_position;
    message.root_end = reader.document_end;
  } else {
    message.type = reader.type;
    message.root = reader.root_escaped ? scan::unescape(reader.root) : std::string(reader.root);
    message.root_begin = reader.root_begin;
    message.root_end = reader.root_end;
  }
  auto filled = Filler(message, is_position ? reader.position : reader.fields).fill();
  if (!filled) return filled.error();
  return result;
}

}  // namespace

const char* to_string(MessageType type) {
  switch (type) {
    case MessageType::uplink:
      return "deviceUplink";
    case MessageType::downlink_sent:
      return "deviceDownlinkSent";
    case MessageType::downlink_rejected:
      return "deviceDownlinkRejected";
    case MessageType::multicast_summary:
      return "deviceMulticastSummary";
    case MessageType::location:
      return "deviceLocation";
    case MessageType::notification:
      return "deviceNotification";
    case MessageType::device_alarm:
      return "deviceAlarm";
    case MessageType::base_station_alarm:
      return "baseStationAlarm";
    case MessageType::resolved_position:
      return "resolvedPosition";
    case MessageType::downlink:
      return "deviceDownlink";
    case MessageType::unknown:
      return "unknown";
  }
  return "unknown";
}

Result<Message> parse_report(std::string_view json) {
  return read(json, false);
}

// A record is: version 1 (1 byte), arrived (8, little endian), length of account (2), account, length of binder (2),
// binder, body to the end. `seq` is the record's key in the log; everything else is read from the body again, so that a
// newer version may read more from old records.
namespace {

constexpr char kRecordVersion = 1;

template <class Int>
void append_number(std::string& out, Int n) {
  for (std::size_t i = 0; i < sizeof n; ++i)
    out += static_cast<char>(static_cast<std::uint64_t>(n) >> (8 * i) & 255);
}

class Unpacker {
 public:
  explicit Unpacker(std::string_view bytes) : rest_(bytes) {}
  template <class Int>
  Int number() {
    auto bytes = take(sizeof(Int));
    std::uint64_t n = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i)
      n |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
    return static_cast<Int>(n);
  }
  std::string_view take(std::size_t count) {
    if (count > rest_.size()) {
      broken_ = true;
      return {};
    }
    auto taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }
  [[nodiscard]] bool broken() const { return broken_; }
  [[nodiscard]] std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
  bool broken_ = false;
};

}  // namespace

std::string encode_record(const Message& message) {
  std::string out;
  out.reserve(1 + 8 + 2 + 2 + message.account.size() + message.binder.size() + message.body.size());
  out += kRecordVersion;
  append_number<std::int64_t>(out, message.arrived);
  append_number<std::uint16_t>(out, static_cast<std::uint16_t>(message.account.size()));
  out += message.account;
  append_number<std::uint16_t>(out, static_cast<std::uint16_t>(message.binder.size()));
  out += message.binder;
  out += message.body;
  return out;
}

Result<Message> decode_record(std::string_view record) {
  Unpacker in(record);
  if (in.number<char>() != kRecordVersion || in.broken())
    return unreadable("a record of the log has an unknown version");
  auto arrived = in.number<std::int64_t>();
  auto account = in.take(in.number<std::uint16_t>());
  auto binder = in.take(in.number<std::uint16_t>());
  if (in.broken()) return unreadable("a record of the log is cut short");
  // What was valid UTF-8 when it was appended still is.
  auto message = read(in.rest(), true);
  if (!message) return message.error().wrap("reading a record of the log");
  message->arrived = arrived;
  message->account = account;
  message->binder = binder;
  return message;
}

}  // namespace sluice::message
