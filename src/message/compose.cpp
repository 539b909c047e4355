// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "base/json.h"
#include "message/json_scan.h"
#include "message/message.h"

namespace sluice::message {
namespace {

using scan::Kind;

// Pieces of a document, joined with one allocation.
class Pieces {
 public:
  void add(std::string_view piece) {
    if (piece.empty()) return;
    pieces_[count_++] = piece;
    size_ += piece.size();
  }
  [[nodiscard]] std::string join() const {
    std::string out;
    out.reserve(size_);
    for (std::size_t i = 0; i < count_; ++i)
      out += pieces_[i];
    return out;
  }

 private:
  std::array<std::string_view, 32> pieces_;
  std::size_t count_ = 0;
  std::size_t size_ = 0;
};

bool takes_url(MessageType type) {
  return type == MessageType::uplink || type == MessageType::resolved_position;
}

std::string_view root_of(const Message& message) {
  return std::string_view(message.body).substr(message.root_begin, message.root_end + 1 - message.root_begin);
}

// The message without the keys that come anew: that of a report which another engine has decoded already.
Result<Message> without_added(const Message& message, bool decoded, bool url) {
  auto members = scan::items(root_of(message));
  std::vector<scan::Item> gone, id;
  for (const auto& member : members) {
    auto name = member.name();
    bool of_decoding = name == "payload" || name == "points" || name == "payloadDecodedError";
    if ((decoded && of_decoding) || (url && name == "downlinkUrl")) gone.push_back(member);
  }
  std::string body = message.body.substr(0, message.root_begin);
  body += scan::without(root_of(message), gone);
  body += std::string_view(message.body).substr(message.root_end + 1);
  auto read = parse_report(body);
  if (!read || !decoded || read->driver_cfg_end == 0) return read;
  auto driver = read->spelled(read->driver_cfg);
  for (const auto& member : scan::items(driver)) {
    if (member.name() == "id") id.push_back(member);
  }
  if (id.empty()) return read;
  body = read->body.substr(0, read->driver_cfg.at);
  body += scan::without(driver, id);
  body += std::string_view(read->body).substr(read->driver_cfg.at + read->driver_cfg.size);
  return parse_report(body);
}

// The text of an object that DriverCfg holds as a string; nothing where it is none.
std::string object_in_string(std::string_view token) {
  if (token.size() < 4 || token.front() != '"') return {};
  auto text = scan::compact(scan::unescape(token.substr(1, token.size() - 2)));
  return text && text->front() == '{' ? *text : std::string();
}

// Splices what decoding adds into the text between `from` and `to`, which hold the root's object.
std::string splice(const Message& message, const Decoded* decoded, std::string_view url, std::size_t from,
                   std::size_t to) {
  std::string_view body = message.body;
  Pieces out;
  std::string id, replaced, code, text, quoted_url;
  std::size_t done = from;
  bool empty = message.root_end == message.root_begin + 1;
  auto comma = [&] {
    if (!empty) out.add(",");
    empty = false;
  };
  if (decoded) {
    id = json::quote(decoded->driver_id);
    if (message.driver_cfg.size != 0) {
      std::size_t end = message.driver_cfg.at + message.driver_cfg.size;
      std::string_view object = message.spelled(message.driver_cfg);
      if (message.driver_cfg_end == 0) {
        replaced = object_in_string(object);
        object = replaced.empty() ? std::string_view("{}") : std::string_view(replaced);
      }
      out.add(body.substr(done, message.driver_cfg.at - done));
      out.add(object.substr(0, object.size() - 1));
      out.add(object.size() > 2 ? R"(,"id":)" : R"("id":)");
      out.add(id);
      out.add("}");
      done = end;
    }
  }
  out.add(body.substr(done, message.root_end - done));
  if (decoded) {
    if (message.driver_cfg.size == 0) {
      comma();
      out.add(R"("DriverCfg":{"id":)");
      out.add(id);
      out.add("}");
    }
    if (!decoded->error_code.empty()) {
      comma();
      code = json::quote(decoded->error_code);
      text = json::quote(decoded->error_message);
      out.add(R"("payloadDecodedError":{"code":)");
      out.add(code);
      out.add(R"(,"message":)");
      out.add(text);
      out.add("}");
    } else {
      if (!decoded->payload.empty()) {
        comma();
        out.add(R"("payload":)");
        out.add(decoded->payload);
      }
      if (!decoded->points.empty()) {
        comma();
        out.add(R"("points":)");
        out.add(decoded->points);
      }
    }
  }
  if (!url.empty()) {
    comma();
    quoted_url = json::quote(url);
    out.add(R"("downlinkUrl":)");
    out.add(quoted_url);
  }
  out.add(body.substr(message.root_end, to - message.root_end));
  return out.join();
}

std::string build(const Message& message, const Decoded* decoded, std::string_view url, bool root_only) {
  if (!takes_url(message.type)) url = {};
  if (message.type != MessageType::uplink) decoded = nullptr;
  if (message.has_added && (decoded || !url.empty())) {
    auto plain = without_added(message, decoded != nullptr, !url.empty());
    if (plain) {
      plain->has_added = false;
      return build(*plain, decoded, url, root_only);
    }
  }
  std::size_t from = root_only ? message.root_begin : 0;
  std::size_t to = root_only ? message.root_end + 1 : message.body.size();
  return splice(message, decoded, url, from, to);
}

// The payload of a report that came decoded.
std::string payload_within(const Message& message) {
  for (const auto& member : scan::items(root_of(message))) {
    if (member.key == "payload" && !member.is_null()) return std::string(member.value);
  }
  return {};
}

}  // namespace

std::string compose(const Message& message, const Decoded* decoded, std::string_view downlink_url) {
  return build(message, decoded, downlink_url, false);
}

std::optional<std::string> format_for(const Format& format, const Message& message, const Decoded* decoded,
                                      std::string_view downlink_url) {
  if (format.send_metadata) {
    if (message.type != MessageType::uplink) return std::nullopt;
    return build(message, decoded, downlink_url, true);
  }
  if (format.send_raw_decoded_format && message.type == MessageType::uplink) {
    if (decoded && !decoded->payload.empty()) return decoded->payload;
    if (!decoded && message.has_added) {
      if (auto payload = payload_within(message); !payload.empty()) return payload;
    }
  }
  return compose(message, decoded, downlink_url);
}

}  // namespace sluice::message
