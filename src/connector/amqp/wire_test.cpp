// SPDX-License-Identifier: Apache-2.0
#include "connector/amqp/wire.h"

#include <gtest/gtest.h>

namespace sluice::connector::amqp {
namespace {

std::string bytes(std::initializer_list<int> values) {
  std::string out;
  for (int value : values)
    out += static_cast<char>(value);
  return out;
}

TEST(AmqpWire, AFrameIsReadOnceItIsWhole) {
  std::string whole = bytes({1, 0, 1, 0, 0, 0, 5}) + bytes({0, 20, 0, 41, 7}) + bytes({0xce});
  Frame frame;
  for (std::size_t cut = 0; cut < whole.size(); ++cut) {
    auto length = parse_frame(std::string_view(whole).substr(0, cut), 100, frame);
    ASSERT_TRUE(length) << cut;
    EXPECT_EQ(*length, 0u) << cut;
  }
  std::string with_more = whole + "more";
  auto length = parse_frame(with_more, 100, frame);
  ASSERT_TRUE(length);
  EXPECT_EQ(*length, whole.size());
  EXPECT_EQ(frame.type, FrameType::method);
  EXPECT_EQ(frame.channel, 1);
  EXPECT_EQ(frame.payload, bytes({0, 20, 0, 41, 7}));
}

TEST(AmqpWire, WhatIsNoFrameIsTold) {
  Frame frame;
  auto wrong_end = parse_frame(bytes({8, 0, 0, 0, 0, 0, 0, 0xcd}), 100, frame);
  ASSERT_FALSE(wrong_end);
  EXPECT_EQ(wrong_end.error().kind, ErrorKind::not_connected);
  EXPECT_FALSE(parse_frame(bytes({3, 0, 1, 0, 0, 0, 101}), 100, frame));
  EXPECT_TRUE(parse_frame(bytes({3, 0, 1, 0, 0, 0, 100}), 100, frame));
  EXPECT_FALSE(parse_frame("HTTP/1.1 400 Bad Request\r\n", 100, frame));
  auto other = parse_frame(std::string_view("AMQP\0\1\0\0", 8), 100, frame);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().text, "the broker speaks AMQP 1-0-0, not 0-9-1");
}

TEST(AmqpWire, MethodsThatAreCutShortAreRefused) {
  std::string close;
  FrameWriter(close, MethodId::connection_close, 0).u16(320).short_text("CONNECTION_FORCED").u32(0).end();
  Frame frame;
  ASSERT_TRUE(parse_frame(close, 100, frame));
  auto method = parse_method(frame.payload);
  ASSERT_TRUE(method);
  EXPECT_EQ(method->id, MethodId::connection_close);
  EXPECT_EQ(method->code, 320);
  EXPECT_EQ(method->text, "CONNECTION_FORCED");
  for (std::size_t cut = 0; cut < frame.payload.size(); ++cut)
    EXPECT_FALSE(parse_method(frame.payload.substr(0, cut))) << cut;
}

TEST(AmqpWire, DeliveriesAndConfirmsAreRead) {
  std::string out;
  FrameWriter(out, MethodId::basic_deliver, 2)
      .short_text("c")
      .u64(1ull << 40)
      .u8(1)
      .short_text("x")
      .short_text("a.b")
      .end();
  Frame frame;
  ASSERT_TRUE(parse_frame(out, 100, frame));
  auto deliver = parse_method(frame.payload);
  ASSERT_TRUE(deliver);
  EXPECT_EQ(deliver->tag, 1ull << 40);
  EXPECT_TRUE(deliver->flag);
  EXPECT_EQ(deliver->routing_key, "a.b");
  out.clear();
  FrameWriter(out, MethodId::basic_nack, 1).u64(9).u8(2).end();  // requeue, not multiple
  ASSERT_TRUE(parse_frame(out, 100, frame));
  auto nack = parse_method(frame.payload);
  ASSERT_TRUE(nack);
  EXPECT_EQ(nack->tag, 9u);
  EXPECT_FALSE(nack->flag);
}

TEST(AmqpWire, APublishIsSplitIntoFrames) {
  std::string out, body(10000, 'b');
  append_publish(out, 1, 4096, "exchange", "a.b", true, "17", body);
  std::string_view rest = out;
  Frame frame;
  auto next = [&] {
    auto length = parse_frame(rest, 4096 - kFrameOverhead, frame);
    EXPECT_TRUE(length && *length > 0);
    rest.remove_prefix(*length);
  };
  next();
  EXPECT_EQ(frame.payload, bytes({0, 60, 0, 40, 0, 0, 8}) + "exchange" + bytes({3}) + "a.b" + bytes({1}));
  next();
  EXPECT_EQ(frame.type, FrameType::header);
  auto header = parse_content_header(frame.payload);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->body_size, body.size());
  EXPECT_EQ(header->message_id, "17");
  std::string got;
  while (!rest.empty()) {
    next();
    EXPECT_EQ(frame.type, FrameType::body);
    got += frame.payload;
  }
  EXPECT_EQ(got, body);
  out.clear();
  append_publish(out, 1, 4096, "", "k", false, "", "");  // an empty body has no frame
  rest = out;
  next();
  next();
  EXPECT_TRUE(rest.empty());
}

TEST(AmqpWire, AContentHeaderWithEveryPropertyIsRead) {
  std::string out;
  FrameWriter(out, FrameType::header, 2)
      .u16(60)
      .u16(0)
      .u64(5)
      .u16(0xfffc)
      .short_text("application/json")
      .short_text("utf-8")
      .long_text(bytes({1, 'a', 't', 1}))
      .u8(2)
      .u8(0)
      .short_text("correlation")
      .short_text("reply")
      .short_text("1000")
      .short_text("id")
      .u64(1700000000)
      .short_text("type")
      .short_text("user")
      .short_text("app")
      .short_text("")
      .end();
  Frame frame;
  ASSERT_TRUE(parse_frame(out, 1000, frame));
  auto header = parse_content_header(frame.payload);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->body_size, 5u);
  EXPECT_EQ(header->message_id, "id");
  EXPECT_FALSE(parse_content_header(frame.payload.substr(0, 20)));
}

}  // namespace
}  // namespace sluice::connector::amqp
