// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "message/message.h"

namespace sluice::message {

// A command for a device (spec messages.md 4), after reading: numbers are numbers, defaults are in.
struct Downlink {
  std::string dev_eui;                          // upper case, no dashes
  std::optional<int> fport;                     // 1..224
  std::optional<std::string> payload_hex;       // even number of hex digits
  std::optional<std::string> payload;           // JSON text of the object a driver encodes
  std::optional<ModuleRef> application, model;  // DriverCfg of the downlink
  std::string time;                             // as given; empty: set when it is sent
  std::optional<std::uint32_t> fcnt_dn, afcnt_dn;
  bool confirmed = false;
  bool flush_queue = false;
  bool retry_ineligible_gateways = true;
  std::string validity_time;  // as given
  std::optional<UnixMillis> valid_until;
  std::string as_id, as_key;   // as_key is a secret
  std::string token;           // made by the caller; used only together with its `time`
  std::string correlation_id;  // 16 hex digits
};

// What a downlink takes from its connection where it has none itself.
struct DownlinkDefaults {
  std::string as_id, as_key;
  std::optional<int> fport;
  std::string dev_eui;  // out of the topic
};

// One fault of an input: JSON Pointer and what was wrong and would be right.
struct Fault {
  std::string path, message;
};

struct ParsedDownlink {
  Downlink downlink;          // meaningful when there are no faults
  std::vector<Fault> faults;  // all at once
  bool is_downlink = true;    // false: JSON without DevEUI_downlink (where the root is required), not a command at all
};

// Reads and validates {"DevEUI_downlink": {...}}, or the bare object when `bare_allowed`. Not JSON: one fault at ""
// when `bare_allowed` (an endpoint was called), else no downlink (a topic carries what it likes, spec
// connectors.md 1.10). FPort may still be missing when there is a `payload` (the driver may give it). Sets
// correlation_id when missing.
ParsedDownlink parse_downlink(std::string_view json, const DownlinkDefaults& defaults, bool bare_allowed,
                              UnixMillis now);

// The query string of spec messages.md 8.4, percent-encoded, with Time (now, when missing) and Token.
// Needs payload_hex or flush_queue; as_key empty: no AS_ID, Time, Token. A ValidityTime in seconds is what is left of
// it `now`, unless the caller has signed it: waiting here makes no command live longer.
std::string downlink_query(const Downlink& downlink, UnixMillis now);

// The same command as the JSON body that parse_downlink() takes, from the query of spec messages.md 8.4 (a customer who
// talks to us as to his network server). Nothing where the query has no DevEUI or a broken escape.
std::optional<std::string> downlink_of_query(std::string_view query);

// A downlink that is ready to be sent, as text that outlives this process, and back. Holds `as_key`: to be sealed.
// Errors: permanent, for a text that is none of ours.
std::string write_downlink(const Downlink& downlink);
Result<Downlink> read_downlink(std::string_view text);

// The report for the cloud about a refused downlink (spec messages.md 5.2): {"DevEUI_downlink_Rejected": {...}}.
std::string rejected_report(const Downlink& downlink, int status, std::string_view cause, UnixMillis now);

}  // namespace sluice::message
