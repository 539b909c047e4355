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

// Splices what decoding adds into a piece of the body that holds the root's object.
class Splicer {
 public:
  Splicer(const Message& message, const Decoded* decoded, std::string_view url)
      : message_(message), body_(message.body), empty_(message.root_end == message.root_begin + 1) {
    if (decoded) {
      id_ = json::quote(decoded->driver_id);
      code_ = json::quote(decoded->error_code);
      text_ = json::quote(decoded->error_message);
    }
    if (!url.empty()) url_ = json::quote(url);
    decoded_ = decoded;
  }
  std::string splice(std::size_t from, std::size_t to) {
    done_ = from;
    if (decoded_ && message_.driver_cfg.size != 0) extend_driver_cfg();
    out_.add(body_.substr(done_, message_.root_end - done_));
    if (decoded_) add_decoded();
    if (!url_.empty()) member(R"("downlinkUrl":)", url_);
    out_.add(body_.substr(message_.root_end, to - message_.root_end));
    return out_.join();
  }

 private:
  void member(std::string_view name, std::string_view value, std::string_view after = {}) {
    if (!empty_) out_.add(",");
    empty_ = false;
    out_.add(name);
    out_.add(value);
    out_.add(after);
  }
  void extend_driver_cfg() {
    std::string_view object = message_.spelled(message_.driver_cfg);
    if (message_.driver_cfg_end == 0) {
      replaced_ = object_in_string(object);
      object = replaced_.empty() ? std::string_view("{}") : std::string_view(replaced_);
    }
    out_.add(body_.substr(done_, message_.driver_cfg.at - done_));
    out_.add(object.substr(0, object.size() - 1));
    out_.add(object.size() > 2 ? R"(,"id":)" : R"("id":)");
    out_.add(id_);
    out_.add("}");
    done_ = message_.driver_cfg.at + message_.driver_cfg.size;
  }
  void add_decoded() {
    if (message_.driver_cfg.size == 0) member(R"("DriverCfg":{"id":)", id_, "}");
    if (!decoded_->error_code.empty()) {
      member(R"("payloadDecodedError":{"code":)", code_, R"(,"message":)");
      out_.add(text_);
      out_.add("}");
      return;
    }
    if (!decoded_->payload.empty()) member(R"("payload":)", decoded_->payload);
    if (!decoded_->points.empty()) member(R"("points":)", decoded_->points);
  }

  const Message& message_;
  std::string_view body_;
  const Decoded* decoded_ = nullptr;
  bool empty_;  // no member stands in the root yet
  std::size_t done_ = 0;
  std::string id_, code_, text_, url_, replaced_;
  Pieces out_;
};

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
  return Splicer(message, decoded, url).splice(from, to);
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
