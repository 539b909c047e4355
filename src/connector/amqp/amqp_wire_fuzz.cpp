// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "connector/amqp/wire.h"

// A stream of frames as a client reads them.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice::connector::amqp;
  constexpr std::size_t kMaxPayload = 1 << 16;
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  while (!bytes.empty()) {
    Frame frame;
    auto length = parse_frame(bytes, kMaxPayload, frame);
    if (!length || *length == 0) break;
    if (*length > bytes.size() || frame.payload.size() + kFrameOverhead != *length) std::abort();
    std::string again;
    FrameWriter(again, frame.type, frame.channel).raw(frame.payload).end();
    if (again != bytes.substr(0, *length)) std::abort();
    if (frame.type == FrameType::method) {
      auto method = parse_method(frame.payload);
      if (method && method->text.size() > kMaxShortText) std::abort();
    } else if (frame.type == FrameType::header) {
      auto header = parse_content_header(frame.payload);
      if (header) {
        // What was read can be published and read again.
        std::string out;
        append_publish(out, 1, 4096, "x", "k", false, header->message_id, "body");
        Frame publish, content;
        auto first = parse_frame(out, kMaxPayload, publish);
        auto second = parse_frame(std::string_view(out).substr(*first), kMaxPayload, content);
        auto read = parse_content_header(content.payload);
        if (!second || !read || read->message_id != header->message_id || read->body_size != 4) std::abort();
      }
    }
    bytes.remove_prefix(*length);
  }
  return 0;
}
