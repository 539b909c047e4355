// SPDX-License-Identifier: Apache-2.0
#include "queue/layout.h"

namespace sluice::queue {
namespace {

void put_text(std::string& out, std::string_view text) {
  put_varint(out, text.size());
  out += text;
}

bool get_text(std::string_view& in, std::string& text) {
  auto size = get_varint(in);
  if (!size || *size > in.size()) return false;
  text = in.substr(0, *size);
  in.remove_prefix(*size);
  return true;
}

}  // namespace

std::string key_u64(std::uint64_t n) {
  std::string out(8, '\0');
  for (int i = 7; i >= 0; --i) {
    out[static_cast<std::size_t>(i)] = static_cast<char>(n & 255);
    n >>= 8;
  }
  return out;
}

std::uint64_t read_u64(std::string_view bytes) {
  std::uint64_t n = 0;
  for (std::size_t i = 0; i < 8 && i < bytes.size(); ++i)
    n = n << 8 | static_cast<unsigned char>(bytes[i]);
  return n;
}

std::string list_key(char kind, std::uint64_t connection) {
  return kind + key_u64(connection);
}
std::string entry_key(std::uint64_t connection, std::uint64_t place) {
  return list_key('P', connection) + key_u64(place);
}

void put_varint(std::string& out, std::uint64_t n) {
  while (n >= 128) {
    out += static_cast<char>(n | 128);
    n >>= 7;
  }
  out += static_cast<char>(n);
}

std::optional<std::uint64_t> get_varint(std::string_view& in) {
  std::uint64_t n = 0;
  for (int shift = 0; shift < 64 && !in.empty(); shift += 7) {
    auto byte = static_cast<unsigned char>(in.front());
    in.remove_prefix(1);
    n |= static_cast<std::uint64_t>(byte & 127) << shift;
    if (byte < 128) return n;
  }
  return std::nullopt;
}

std::string encode_entry(const Entry& entry) {
  std::string out;
  out += '\1';  // version
  put_varint(out, entry.seq);
  put_varint(out, static_cast<std::uint64_t>(entry.arrived));
  put_varint(out, entry.bytes);
  put_varint(out, static_cast<std::uint64_t>(entry.validity_ms));
  if (entry.decoded) {
    for (const auto* text : {&entry.decoded->driver_id, &entry.decoded->payload, &entry.decoded->points,
                             &entry.decoded->error_code, &entry.decoded->error_message}) {
      put_text(out, *text);
    }
  }
  return out;
}

std::optional<Entry> decode_entry(std::string_view bytes, bool with_decoded) {
  if (bytes.empty() || bytes.front() != '\1') return std::nullopt;
  bytes.remove_prefix(1);
  Entry entry;
  auto seq = get_varint(bytes);
  auto arrived = get_varint(bytes);
  auto size = get_varint(bytes);
  auto validity = get_varint(bytes);
  if (!seq || !arrived || !size || !validity) return std::nullopt;
  entry.seq = *seq;
  entry.arrived = static_cast<UnixMillis>(*arrived);
  entry.bytes = *size;
  entry.validity_ms = static_cast<std::int64_t>(*validity);
  if (with_decoded && !bytes.empty()) {
    auto decoded = std::make_shared<message::Decoded>();
    for (auto* text :
         {&decoded->driver_id, &decoded->payload, &decoded->points, &decoded->error_code, &decoded->error_message}) {
      if (!get_text(bytes, *text)) return std::nullopt;
    }
    entry.decoded = std::move(decoded);
  }
  return entry;
}

std::string encode_cursor(const Cursor& cursor) {
  std::string out;
  out += '\1';
  put_varint(out, cursor.next_place);
  put_varint(out, cursor.progress.watermark);
  put_varint(out, cursor.progress.beyond.size());
  auto last = cursor.progress.watermark;
  for (auto seq : cursor.progress.beyond) {
    put_varint(out, seq - last);
    last = seq;
  }
  return out;
}

std::optional<Cursor> decode_cursor(std::string_view bytes) {
  if (bytes.empty() || bytes.front() != '\1') return std::nullopt;
  bytes.remove_prefix(1);
  Cursor cursor;
  auto next = get_varint(bytes);
  auto watermark = get_varint(bytes);
  auto count = get_varint(bytes);
  if (!next || !watermark || !count || *count > bytes.size()) return std::nullopt;
  cursor.next_place = *next;
  cursor.progress.watermark = *watermark;
  auto last = *watermark;
  for (std::uint64_t i = 0; i < *count; ++i) {
    auto step = get_varint(bytes);
    if (!step) return std::nullopt;
    last += *step;
    cursor.progress.beyond.push_back(last);
  }
  return cursor;
}

}  // namespace sluice::queue
