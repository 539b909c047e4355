// SPDX-License-Identifier: Apache-2.0
#include "connector/amqp/wire.h"

#include <algorithm>

namespace sluice::connector::amqp {
namespace {

constexpr char kFrameEnd = '\xCE';
constexpr std::size_t kFrameHead = 7;

// Bits of a content header's property flags, in the order in which the properties follow.
enum Property : std::uint16_t {
  content_type = 1 << 15,
  content_encoding = 1 << 14,
  headers = 1 << 13,
  delivery_mode = 1 << 12,
  priority = 1 << 11,
  correlation_id = 1 << 10,
  reply_to = 1 << 9,
  expiration = 1 << 8,
  message_id = 1 << 7,
};

Error malformed(const char* what) {
  return {ErrorKind::not_connected, std::string("the broker sent a malformed ") + what};
}

}  // namespace

// ---------------------------------------------------------------- reading

Result<std::size_t> parse_frame(std::string_view bytes, std::size_t max_payload, Frame& out) {
  if (bytes.size() < kFrameHead) return std::size_t{0};
  // What a server answers whose version ours is not: its own protocol header.
  if (bytes.substr(0, 4) == "AMQP") {
    if (bytes.size() < kProtocolHeader.size()) return std::size_t{0};
    auto digit = [&](std::size_t at) { return std::to_string(static_cast<unsigned char>(bytes[at])); };
    return Error{ErrorKind::not_connected,
                 "the broker speaks AMQP " + digit(5) + "-" + digit(6) + "-" + digit(7) + ", not 0-9-1"};
  }
  Reader reader(bytes);
  auto type = reader.u8();
  if (type != 1 && type != 2 && type != 3 && type != 8)
    return Error{ErrorKind::not_connected, "what answers at this port does not speak AMQP 0-9-1"};
  out.type = static_cast<FrameType>(type);
  out.channel = reader.u16();
  std::size_t size = reader.u32();
  if (size > max_payload)
    return Error{ErrorKind::not_connected, "the broker sent a frame of " + std::to_string(size) +
                                               " bytes, over the agreed " + std::to_string(max_payload)};
  if (bytes.size() < size + kFrameOverhead) return std::size_t{0};
  out.payload = bytes.substr(kFrameHead, size);
  if (bytes[kFrameHead + size] != kFrameEnd) return malformed("frame: its end is not where it should be");
  return size + kFrameOverhead;
}

std::string_view Reader::bytes(std::size_t count) {
  if (!ok_ || rest_.size() < count) {
    ok_ = false;
    rest_ = {};
    return {};
  }
  auto out = rest_.substr(0, count);
  rest_.remove_prefix(count);
  return out;
}

std::uint64_t Reader::number(int count) {
  std::uint64_t value = 0;
  for (char c : bytes(static_cast<std::size_t>(count)))
    value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

Result<Method> parse_method(std::string_view payload) {
  Reader reader(payload);
  Method out;
  out.id = static_cast<MethodId>(reader.u32());
  switch (out.id) {
    case MethodId::connection_start:
      reader.u16();        // version
      reader.long_text();  // the server's properties
      out.mechanisms = reader.long_text();
      reader.long_text();  // locales
      break;
    case MethodId::connection_tune:
      out.channel_max = reader.u16();
      out.frame_max = reader.u32();
      out.heartbeat = reader.u16();
      break;
    case MethodId::connection_close:
    case MethodId::channel_close:
      out.code = reader.u16();
      out.text = reader.short_text();
      out.culprit = static_cast<MethodId>(reader.u32());
      break;
    case MethodId::connection_blocked:
      out.text = reader.short_text();
      break;
    case MethodId::channel_flow:
      out.flag = (reader.u8() & 1) != 0;
      break;
    case MethodId::basic_consume_ok:
      out.consumer_tag = reader.short_text();
      break;
    case MethodId::basic_cancel:
      out.consumer_tag = reader.short_text();
      out.flag = (reader.u8() & 1) != 0;
      break;
    case MethodId::basic_deliver:
      out.consumer_tag = reader.short_text();
      out.tag = reader.u64();
      out.flag = (reader.u8() & 1) != 0;
      out.exchange = reader.short_text();
      out.routing_key = reader.short_text();
      break;
    case MethodId::basic_return:
      out.code = reader.u16();
      out.text = reader.short_text();
      out.exchange = reader.short_text();
      out.routing_key = reader.short_text();
      break;
    case MethodId::basic_ack:
    case MethodId::basic_nack:
      out.tag = reader.u64();
      out.flag = (reader.u8() & 1) != 0;
      break;
    default:
      break;
  }
  if (!reader.ok()) return malformed("method: it is cut short");
  return out;
}

Result<ContentHeader> parse_content_header(std::string_view payload) {
  Reader reader(payload);
  ContentHeader out;
  auto class_id = reader.u16();
  reader.u16();  // weight, not used
  out.body_size = reader.u64();
  auto flags = reader.u16();
  // The lowest bit announces more flags, for properties behind those that we look at.
  for (auto more = flags; (more & 1) != 0 && reader.ok();)
    more = reader.u16();
  for (auto text : {content_type, content_encoding}) {
    if (flags & text) reader.short_text();
  }
  if (flags & headers) reader.long_text();
  for (auto byte : {delivery_mode, priority}) {
    if (flags & byte) reader.u8();
  }
  for (auto text : {correlation_id, reply_to, expiration}) {
    if (flags & text) reader.short_text();
  }
  if (flags & message_id) out.message_id = reader.short_text();
  if (!reader.ok() || class_id != 60) return malformed("content header");
  return out;
}

// ---------------------------------------------------------------- writing

FrameWriter::FrameWriter(std::string& out, FrameType type, std::uint16_t channel) : out_(out), start_(out.size()) {
  u8(static_cast<std::uint8_t>(type)).u16(channel).u32(0);
}

FrameWriter& FrameWriter::number(std::uint64_t value, int count) {
  for (int i = count - 1; i >= 0; --i)
    out_ += static_cast<char>(value >> (8 * i));
  return *this;
}

FrameWriter& FrameWriter::raw(std::string_view bytes) {
  out_ += bytes;
  return *this;
}

FrameWriter& FrameWriter::short_text(std::string_view text) {
  ENSURE(text.size() <= kMaxShortText);
  return u8(static_cast<std::uint8_t>(text.size())).raw(text);
}

FrameWriter& FrameWriter::long_text(std::string_view text) {
  return u32(static_cast<std::uint32_t>(text.size())).raw(text);
}

void FrameWriter::end() {
  auto size = out_.size() - start_ - kFrameHead;
  for (std::size_t i = 0; i < 4; ++i)
    out_[start_ + 3 + i] = static_cast<char>(size >> (8 * (3 - i)));
  out_ += kFrameEnd;
}

namespace {

void add_entry(std::string& table, std::string_view name, char type, std::string_view value) {
  table += static_cast<char>(name.size());
  table += name;
  table += type;
  if (type == 't') {
    table += value;
    return;
  }
  for (int shift = 24; shift >= 0; shift -= 8)
    table += static_cast<char>(value.size() >> shift);
  table += value;
}

}  // namespace

void append_start_ok(std::string& out, std::string_view connection_name, std::string_view mechanism,
                     std::string_view response) {
  std::string capabilities, properties;
  for (auto name : {"publisher_confirms", "consumer_cancel_notify", "connection.blocked",
                    "authentication_failure_close", "basic.nack"})
    add_entry(capabilities, name, 't', "\x01");
  add_entry(properties, "product", 'S', "Sluice");
  add_entry(properties, "version", 'S', SLUICE_VERSION);
  add_entry(properties, "platform", 'S', "C++");
  add_entry(properties, "connection_name", 'S', connection_name);
  add_entry(properties, "capabilities", 'F', capabilities);
  FrameWriter(out, MethodId::connection_start_ok, 0)
      .long_text(properties)
      .short_text(mechanism)
      .long_text(response)
      .short_text("en_US")
      .end();
}

void append_exchange_declare(std::string& out, std::uint16_t channel, std::string_view exchange, bool passive,
                             bool temporary) {
  // passive, durable, auto-delete, internal, no-wait
  auto bits = static_cast<std::uint8_t>((passive ? 1 : 0) | (temporary ? 4 : 2));
  FrameWriter(out, MethodId::exchange_declare, channel)
      .u16(0)
      .short_text(exchange)
      .short_text("topic")
      .u8(bits)
      .u32(0)
      .end();
}

void append_queue_declare(std::string& out, std::uint16_t channel, std::string_view queue, bool passive,
                          bool temporary) {
  // passive, durable, exclusive, auto-delete, no-wait
  auto bits = static_cast<std::uint8_t>((passive ? 1 : 0) | (temporary ? 4 | 8 : 2));
  FrameWriter(out, MethodId::queue_declare, channel).u16(0).short_text(queue).u8(bits).u32(0).end();
}

void append_publish(std::string& out, std::uint16_t channel, std::uint32_t frame_max, std::string_view exchange,
                    std::string_view routing_key, bool mandatory, std::string_view message_id_text,
                    std::string_view body) {
  FrameWriter(out, MethodId::basic_publish, channel)
      .u16(0)
      .short_text(exchange)
      .short_text(routing_key)
      .u8(mandatory ? 1 : 0)
      .end();
  auto flags = static_cast<std::uint16_t>(content_type | delivery_mode | message_id);
  FrameWriter(out, FrameType::header, channel)
      .u16(60)
      .u16(0)
      .u64(body.size())
      .u16(flags)
      .short_text("application/json")
      .u8(2)
      .short_text(message_id_text)
      .end();
  std::size_t most = frame_max - kFrameOverhead;
  for (std::size_t at = 0; at < body.size(); at += most)
    FrameWriter(out, FrameType::body, channel).raw(body.substr(at, most)).end();
}

void append_heartbeat(std::string& out) {
  FrameWriter(out, FrameType::heartbeat, 0).end();
}

}  // namespace sluice::connector::amqp
