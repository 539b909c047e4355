// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <pugixml.hpp>
#include <unordered_map>

#include "base/codec.h"
#include "base/json.h"
#include "message/json_scan.h"
#include "message/message.h"

namespace sluice::message {
namespace {

using scan::Kind;

constexpr int kMaxDepth = 16;
constexpr unsigned kParse = pugi::parse_cdata | pugi::parse_escapes | pugi::parse_eol | pugi::parse_doctype;

// Fields that are numbers in spec messages.md 2 to 6, in order.
constexpr auto kNumbers = std::to_array<std::string_view>({
    "ACKbit",
    "ADRbit",
    "AckRequested",
    "Acked",
    "BatteryLevel",
    "Chain",
    "ClassBPeriodicity",
    "Confirmed",
    "DR",
    "DeliveryStatus",
    "DevAlt",
    "DevAltDilution",
    "DevAltRadius",
    "DevEastVel",
    "DevLAT",
    "DevLON",
    "DevLocDilution",
    "DevLocRadius",
    "DevLrrCnt",
    "DevNorthVel",
    "DevUlFCntUpUsed",
    "AFCntDn",
    "FCntDn",
    "FCntUp",
    "FPort",
    "FlushDownlinkQueue",
    "Frequency",
    "ID",
    "InstantPER",
    "Late",
    "LostUplinksAS",
    "LrrCnt",
    "LrrESP",
    "LrrFailedCnt",
    "LrrLAT",
    "LrrLON",
    "LrrRSSI",
    "LrrSNR",
    "LrrSuccessCnt",
    "MType",
    "Margin",
    "MaxWaitASResps",
    "MeanPER",
    "NbTrans",
    "NwGeolocAlgo",
    "NwGeolocAlgoUsed",
    "Occurrence",
    "PayloadEncryption",
    "RetryIneligibleGateways",
    "SpFact",
    "Spfact",
    "State",
    "TransmissionSlot",
    "TxPower",
    "UplinkDC",
    "UplinkDCSubBand",
    "airtime",
});

bool is_number_field(std::string_view name) {
  return std::find(kNumbers.begin(), kNumbers.end(), name) != kNumbers.end();
}

bool holds_json(std::string_view name) {
  return name == "CustomerData" || name == "DriverCfg" || name == "BaseStationData";
}

std::string_view local_name(const pugi::xml_node& node) {
  std::string_view name = node.name();
  auto colon = name.rfind(':');
  return colon == std::string_view::npos ? name : name.substr(colon + 1);
}

Error unreadable(std::string text) {
  return {ErrorKind::permanent, std::move(text), "com-4000"};
}

// The parsed object of a field that holds JSON as text, with `doms` and `tags` as arrays; empty where it is no object.
std::string object_in(const std::string& text) {
  auto object = scan::compact(text);
  if (!object || object->front() != '{') return {};
  std::string out;
  std::size_t done = 0;
  for (const auto& member : scan::items(*object)) {
    bool list = member.key == "doms" || member.key == "tags";
    if (!list || member.kind == Kind::array || member.is_null()) continue;
    auto from = static_cast<std::size_t>(member.value.data() - object->data());
    out.append(*object, done, from - done);
    (out += '[').append(member.value) += ']';
    done = from + member.value.size();
  }
  return out.append(*object, done, std::string::npos);
}

class Converter {
 public:
  Result<std::string> convert(const pugi::xml_node& root) {
    out_ = '{';
    json::append_quoted(out_, local_name(root));
    out_ += ':';
    object(root, 1);
    out_ += '}';
    if (too_deep_) return unreadable("the XML report is nested deeper than 16 levels");
    return std::move(out_);
  }

 private:
  // One member a name; where a name stands several times, it is an array, and `Lrr` always is one.
  void object(const pugi::xml_node& node, int depth) {
    std::vector<std::string_view> order;
    std::unordered_map<std::string_view, std::vector<pugi::xml_node>> members;
    for (const auto& child : node.children()) {
      if (child.type() != pugi::node_element) continue;
      auto& same = members[local_name(child)];
      if (same.empty()) order.push_back(local_name(child));
      same.push_back(child);
    }
    out_ += '{';
    for (auto name : order) {
      const auto& same = members[name];
      if (out_.back() != '{') out_ += ',';
      json::append_quoted(out_, name);
      out_ += ':';
      bool list = same.size() > 1 || name == "Lrr";
      if (list) out_ += '[';
      for (std::size_t i = 0; i < same.size(); ++i) {
        if (i > 0) out_ += ',';
        value(same[i], name, depth);
      }
      if (list) out_ += ']';
    }
    out_ += '}';
  }
  void value(const pugi::xml_node& node, std::string_view name, int depth) {
    if (depth == kMaxDepth) {
      too_deep_ = true;
      return;
    }
    bool nested = name == "Lrrs" || name == "Lrr";
    for (const auto& child : node.children())
      nested = nested || child.type() == pugi::node_element;
    if (nested) return object(node, depth + 1);
    std::string text;
    for (const auto& child : node.children())
      text += child.value();
    if (holds_json(name)) {
      if (auto parsed = object_in(text); !parsed.empty()) {
        out_ += parsed;
        return;
      }
    }
    if (is_number_field(name) && scan::is_number(text)) {
      out_ += text;
    } else {
      json::append_quoted(out_, text);
    }
  }

  std::string out_;
  bool too_deep_ = false;
};

}  // namespace

Result<std::string> xml_to_json(std::string_view xml) {
  if (xml.size() > scan::kMaxSize) return unreadable("the report is over 1 MiB");
  pugi::xml_document document;
  auto parsed = document.load_buffer(xml.data(), xml.size(), kParse);
  if (!parsed) {
    return unreadable("the report is not valid XML at byte " + std::to_string(parsed.offset) + ": " +
                      parsed.description());
  }
  pugi::xml_node root;
  for (const auto& child : document.children()) {
    if (child.type() == pugi::node_doctype) return unreadable("the XML report has a DOCTYPE, which is not allowed");
    if (child.type() != pugi::node_element) continue;
    if (root) return unreadable("the XML report has more than one root element");
    root = child;
  }
  if (!root) return unreadable("the XML report has no root element");
  return Converter().convert(root);
}

}  // namespace sluice::message
