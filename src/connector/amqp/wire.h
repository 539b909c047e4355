// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::connector::amqp {

// Frames and methods of AMQP 0-9-1 (with RabbitMQ's extensions), written and read. Pure functions over bytes; what is
// read is never trusted. Source: the specification amqp0-9-1.pdf, sections 2.3 and 4.2; rabbitmq.com/amqp-0-9-1-errata.

enum class FrameType : std::uint8_t { method = 1, header = 2, body = 3, heartbeat = 8 };

// One frame as read. The view points into the bytes that were parsed.
struct Frame {
  FrameType type = FrameType::method;
  std::uint16_t channel = 0;
  std::string_view payload;
};

// What a frame has beside its payload.
constexpr std::size_t kFrameOverhead = 8;

// Reads the frame at the front of `bytes`. Gives its length, or 0 while it is not complete. Errors (not_connected): it
// is malformed or its payload longer than `max_payload`, or the server speaks another version; nothing after it can be
// read either.
Result<std::size_t> parse_frame(std::string_view bytes, std::size_t max_payload, Frame& out);

// Class and method as one number.
constexpr std::uint32_t method_id(std::uint16_t class_id, std::uint16_t method) {
  return static_cast<std::uint32_t>(class_id) << 16 | method;
}

enum class MethodId : std::uint32_t {
  none = 0,
  connection_start = method_id(10, 10),
  connection_start_ok = method_id(10, 11),
  connection_secure = method_id(10, 20),
  connection_tune = method_id(10, 30),
  connection_tune_ok = method_id(10, 31),
  connection_open = method_id(10, 40),
  connection_open_ok = method_id(10, 41),
  connection_close = method_id(10, 50),
  connection_close_ok = method_id(10, 51),
  connection_blocked = method_id(10, 60),
  connection_unblocked = method_id(10, 61),
  channel_open = method_id(20, 10),
  channel_open_ok = method_id(20, 11),
  channel_flow = method_id(20, 20),
  channel_flow_ok = method_id(20, 21),
  channel_close = method_id(20, 40),
  channel_close_ok = method_id(20, 41),
  exchange_declare = method_id(40, 10),
  exchange_declare_ok = method_id(40, 11),
  exchange_delete = method_id(40, 20),
  queue_declare = method_id(50, 10),
  queue_declare_ok = method_id(50, 11),
  queue_bind = method_id(50, 20),
  queue_bind_ok = method_id(50, 21),
  basic_qos = method_id(60, 10),
  basic_qos_ok = method_id(60, 11),
  basic_consume = method_id(60, 20),
  basic_consume_ok = method_id(60, 21),
  basic_cancel = method_id(60, 30),
  basic_cancel_ok = method_id(60, 31),
  basic_publish = method_id(60, 40),
  basic_return = method_id(60, 50),
  basic_deliver = method_id(60, 60),
  basic_ack = method_id(60, 80),
  basic_reject = method_id(60, 90),
  basic_nack = method_id(60, 120),
  confirm_select = method_id(85, 10),
  confirm_select_ok = method_id(85, 11),
};

// Takes values off the front of a payload. What is not there reads as zero or empty, and ok() is false from then on.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  std::uint8_t u8() { return static_cast<std::uint8_t>(number(1)); }
  std::uint16_t u16() { return static_cast<std::uint16_t>(number(2)); }
  std::uint32_t u32() { return static_cast<std::uint32_t>(number(4)); }
  std::uint64_t u64() { return number(8); }
  std::string_view bytes(std::size_t count);
  std::string_view short_text() { return bytes(u8()); }
  // A long text or a table's content, unread.
  std::string_view long_text() { return bytes(u32()); }
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] std::string_view rest() const { return rest_; }

 private:
  std::uint64_t number(int count);
  std::string_view rest_;
  bool ok_ = true;
};

// A method that a server sends, with the arguments that concern us. The views point into the payload.
struct Method {
  MethodId id = MethodId::none;
  std::uint16_t code = 0;                        // close, return
  std::string_view text;                         // close, return: the server's; blocked: the reason
  MethodId culprit = MethodId::none;             // close: what the client had done
  std::string_view mechanisms;                   // start: separated by blanks
  std::uint16_t channel_max = 0, heartbeat = 0;  // tune
  std::uint32_t frame_max = 0;                   // tune
  bool flag = false;                       // flow: active; deliver: redelivered; ack, nack: multiple; cancel: no wait
  std::uint64_t tag = 0;                   // deliver, ack, nack
  std::string_view consumer_tag;           // consume-ok, cancel, deliver
  std::string_view exchange, routing_key;  // deliver, return
};

// Reads the payload of a method frame. A method that a client does not get is given with its id alone. Errors
// (not_connected): the arguments are cut short.
Result<Method> parse_method(std::string_view payload);

// The header in front of a message's body.
struct ContentHeader {
  std::uint64_t body_size = 0;
  std::string_view message_id;  // empty where there is none
};
Result<ContentHeader> parse_content_header(std::string_view payload);

// Appends one frame to `out`: arguments in the order of the specification, then end().
class FrameWriter {
 public:
  FrameWriter(std::string& out, FrameType type, std::uint16_t channel);
  FrameWriter(std::string& out, MethodId method, std::uint16_t channel) : FrameWriter(out, FrameType::method, channel) {
    u32(static_cast<std::uint32_t>(method));
  }
  FrameWriter& u8(std::uint8_t value) { return number(value, 1); }
  FrameWriter& u16(std::uint16_t value) { return number(value, 2); }
  FrameWriter& u32(std::uint32_t value) { return number(value, 4); }
  FrameWriter& u64(std::uint64_t value) { return number(value, 8); }
  FrameWriter& raw(std::string_view bytes);
  FrameWriter& short_text(std::string_view text);  // at most 255 bytes
  FrameWriter& long_text(std::string_view text);   // or a table's content
  void end();

 private:
  FrameWriter& number(std::uint64_t value, int count);
  std::string& out_;
  std::size_t start_;
};

constexpr std::string_view kProtocolHeader{"AMQP\0\0\x09\x01", 8};
constexpr std::size_t kMaxShortText = 255;

void append_start_ok(std::string& out, std::string_view connection_name, std::string_view mechanism,
                     std::string_view response);
void append_exchange_declare(std::string& out, std::uint16_t channel, std::string_view exchange, bool passive,
                             bool temporary);
void append_queue_declare(std::string& out, std::uint16_t channel, std::string_view queue, bool passive,
                          bool temporary);
// The method, the header and as many body frames as `frame_max` asks for; persistent JSON.
void append_publish(std::string& out, std::uint16_t channel, std::uint32_t frame_max, std::string_view exchange,
                    std::string_view routing_key, bool mandatory, std::string_view message_id, std::string_view body);

// A heartbeat's frame.
void append_heartbeat(std::string& out);

}  // namespace sluice::connector::amqp
