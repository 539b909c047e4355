// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace sluice::message {

// Told by the document's root key (spec messages.md 1.1). A join request is an uplink with `Message::join`.
enum class MessageType : std::uint8_t {
  uplink,
  downlink_sent,
  downlink_rejected,
  multicast_summary,
  location,
  notification,
  device_alarm,
  base_station_alarm,
  resolved_position,
  downlink,
  unknown,
};

[[nodiscard]] const char* to_string(MessageType type);

// {pId, mId, ver} of DriverCfg, as written.
struct ModuleRef {
  std::string producer, module, version;
  bool operator==(const ModuleRef&) const = default;
};

// A piece of Message::body.
struct Span {
  std::uint32_t at = 0, size = 0;
};

// One report as it goes through the engine. The body is never parsed into numbers and printed again: `body` is the
// compact form of what came, and what decoding adds is spliced in at the offsets kept here (spec messages.md 1.2).
// Immutable once appended to the log; shared between threads as shared_ptr<const Message>.
struct Message {
  // Given by the engine.
  std::uint64_t seq = 0;  // place in the log, 0 before it is appended
  std::string account;    // who owns it
  std::string binder;     // id of the binder it came by
  UnixMillis arrived = 0;

  // Read from the body.
  MessageType type = MessageType::unknown;
  std::string root;     // "DevEUI_uplink"; empty for a resolved position
  std::string dev_eui;  // upper case, no dashes; empty when the message has no device
  std::string customer_id;
  std::optional<UnixMillis> time;  // radio time; nothing when missing or unparsable
  std::string time_text;           // as written
  std::optional<int> fport;
  std::optional<std::int64_t> fcnt_up, fcnt_dn;
  std::string payload_hex;
  bool join = false;                     // has rawJoinRequest
  bool encrypted = false;                // PayloadEncryption is 1
  std::vector<std::string> tags;         // of ModelCfg (without "<n>:") and CustomerData.tags, as written
  std::vector<std::string> device_tags;  // CustomerData.tags alone: "key=value" ones become a driver's thing.setup
  std::optional<ModuleRef> model, application;  // DriverCfg.mod, DriverCfg.app
  bool has_driver_cfg = false;  // false: model and application may come from the device's earlier message
  bool has_model_cfg = false;

  std::string body;                  // compact JSON, root included
  std::uint32_t root_end = 0;        // offset of the '}' that closes the root's object
  std::uint32_t driver_cfg_end = 0;  // offset of the '}' that closes DriverCfg, 0 when there is none or it is no object
  std::uint32_t root_begin = 0;      // offset of the '{' that opens the root's object
  Span driver_cfg;                   // the value of DriverCfg, whatever it is; size 0 when there is none
  // It came with a key that compose() writes (payload, points, payloadDecodedError, downlinkUrl, DriverCfg.id): that
  // one gives way, so that no key stands twice.
  bool has_added = false;

  // Fields as they are spelled in the body, without quotes (what the tunnel's token is made of); size 0 where missing.
  Span dev_eui_text, fport_text, fcnt_up_text, fcnt_dn_text, lrr_id_text;
  [[nodiscard]] std::string_view spelled(Span span) const { return std::string_view(body).substr(span.at, span.size); }
};

using MessagePtr = std::shared_ptr<const Message>;

// Stands in `Message::binder` of a report of our own that is meant for one connection only (a refused downlink's): it
// is routed there and nowhere else.
inline std::string binder_of_connection(const std::string& connection_id) {
  return "connection/" + connection_id;
}
// The id of that connection; empty for every other binder.
inline std::string connection_of_binder(const std::string& binder) {
  constexpr std::string_view kPrefix = "connection/";
  return binder.starts_with(kPrefix) ? binder.substr(kPrefix.size()) : std::string();
}

// Reads a report (any form of spec messages.md 1 to 6) out of JSON text: compacts it, drops "-xmlns", fills in what is
// read from the body. Takes numbers as numbers or as text alike. Errors are `permanent` and say what is wrong and
// where: no JSON, invalid UTF-8, no recognisable root and no deviceEUI, a DevEUI that is not 16 hex digits, over 1 MiB,
// nested deeper than 64 levels. Where a name stands twice in an object, the last one counts, as in JavaScript.
Result<Message> parse_report(std::string_view json);

// The tunnel's XML as the JSON `jsontyped` would give (spec messages.md 8.5). No DTD, no entities beyond the five of
// XML, depth <= 16.
Result<std::string> xml_to_json(std::string_view xml);

// A message as the log stores it, and back. The form starts with a version byte; decode re-reads what is in the body.
std::string encode_record(const Message& message);
Result<Message> decode_record(std::string_view record);

// What decoding gave for one message and one driver.
struct Decoded {
  std::string driver_id;
  std::string payload;     // JSON text of the driver's data; empty when it failed
  std::string points;      // JSON object text; empty when there are none
  std::string error_code;  // "com-5002"; empty when it succeeded
  std::string error_message;
};
using DecodedPtr = std::shared_ptr<const Decoded>;

// The whole document with what decoding adds spliced in, in the order of spec messages.md 7.1. `decoded` may be null
// (not decoded), `downlink_url` empty (left out). The URL goes into uplinks and resolved positions only. A DriverCfg
// that is a string holding JSON takes its id only as an object, so it is replaced by that object.
std::string compose(const Message& message, const Decoded* decoded, std::string_view downlink_url);

// A connection's formats (spec messages.md 7.2).
struct Format {
  bool send_metadata = false;            // the root's content without the root, uplinks only
  bool send_raw_decoded_format = false;  // `payload` alone
};
// The bytes to send, or nothing where the format does not carry this type of message (counted lost by the caller).
std::optional<std::string> format_for(const Format& format, const Message& message, const Decoded* decoded,
                                      std::string_view downlink_url);

}  // namespace sluice::message
