// SPDX-License-Identifier: Apache-2.0
#include "driver/wire.h"

#include <cstring>
#include <gtest/gtest.h>

namespace sluice::driver::wire {
namespace {

void feed(Reader& reader, std::string_view bytes) {
  std::memcpy(reader.space(bytes.size()), bytes.data(), bytes.size());
  reader.filled(bytes.size());
}

TEST(Wire, CallsGoThroughWholeWhateverThePieces) {
  Call call;
  call.job = 0x1122334455667788;
  call.number = 7;
  call.operation = 2;
  call.fport = 224;
  call.time = -5;
  call.bytes = std::string_view("\0\xff", 2);
  call.data = "{}";
  call.rest = "{\"a\":1}";
  call.context = "[1]";
  std::string stream;
  append(stream, call);
  append(stream, Unload{3});
  for (std::size_t piece = 1; piece < stream.size(); ++piece) {
    Reader reader;
    int frames = 0;
    for (std::size_t at = 0; at < stream.size(); at += piece) {
      feed(reader, std::string_view(stream).substr(at, piece));
      while (const auto frame = reader.next()) {
        if (++frames == 2) {
          EXPECT_EQ(read_unload(frame->body)->number, 3u);
          continue;
        }
        ASSERT_EQ(frame->type, Type::call);
        const auto read = read_call(frame->body);
        ASSERT_TRUE(read);
        EXPECT_EQ(read->job, call.job);
        EXPECT_EQ(read->fport, 224);
        EXPECT_EQ(read->time, -5);
        EXPECT_EQ(read->bytes, call.bytes);
        EXPECT_EQ(read->rest, call.rest);
        EXPECT_EQ(read->context, call.context);
      }
    }
    EXPECT_EQ(frames, 2) << piece;
  }
}

TEST(Wire, CutOrLengthenedBodiesAreRefused) {
  std::string stream;
  Answer answer;
  answer.text = "text";
  append(stream, answer);
  const std::string body = stream.substr(5);
  ASSERT_TRUE(read_answer(body));
  for (std::size_t size = 0; size < body.size(); ++size)
    EXPECT_FALSE(read_answer(std::string_view(body).substr(0, size))) << size;
  EXPECT_FALSE(read_answer(body + "x"));
  std::string odd = body;
  odd[8] = 99;  // no status
  EXPECT_FALSE(read_answer(odd));
}

TEST(Wire, AFrameOfImpossibleLengthBreaksTheStream) {
  for (const std::uint32_t length : {0u, static_cast<std::uint32_t>(kMaxFrame + 1), 0xffffffffu}) {
    Reader reader;
    std::string bytes(9, '\1');
    std::memcpy(bytes.data(), &length, 4);
    feed(reader, bytes);
    EXPECT_FALSE(reader.next());
    EXPECT_TRUE(reader.broken());
  }
}

}  // namespace
}  // namespace sluice::driver::wire
