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

std::string letter_key(std::uint64_t connection, std::uint64_t id) {
  return list_key('D', connection) + key_u64(id);
}

std::uint64_t device_hash(std::string_view dev_eui) {
  if (dev_eui.empty()) return 0;
  std::uint64_t hash = 0xcbf29ce484222325ull;  // FNV-1a
  for (unsigned char c : dev_eui)
    hash = (hash ^ c) * 0x100000001b3ull;
  return hash == 0 ? 1 : hash;
}

namespace {

constexpr std::uint64_t kAgain = 1, kRecord = 2;

void put_decoded(std::string& out, const message::Decoded& decoded) {
  for (const auto* text :
       {&decoded.driver_id, &decoded.payload, &decoded.points, &decoded.error_code, &decoded.error_message}) {
    put_text(out, *text);
  }
}

std::shared_ptr<message::Decoded> get_decoded(std::string_view& in) {
  auto decoded = std::make_shared<message::Decoded>();
  for (auto* text :
       {&decoded->driver_id, &decoded->payload, &decoded->points, &decoded->error_code, &decoded->error_message}) {
    if (!get_text(in, *text)) return nullptr;
  }
  return decoded;
}

}  // namespace

std::string encode_entry(const Entry& entry) {
  std::string out;
  out += '\2';  // version
  put_varint(out, (entry.again ? kAgain : 0) | (entry.record.empty() ? 0 : kRecord));
  put_varint(out, entry.seq);
  put_varint(out, static_cast<std::uint64_t>(entry.arrived));
  put_varint(out, entry.bytes);
  put_varint(out, static_cast<std::uint64_t>(entry.validity_ms));
  out += key_u64(entry.device);
  if (!entry.record.empty()) put_text(out, entry.record);
  if (entry.decoded) put_decoded(out, *entry.decoded);
  return out;
}

std::optional<Entry> decode_entry(std::string_view bytes, bool with_decoded) {
  if (bytes.empty() || (bytes.front() != '\1' && bytes.front() != '\2')) return std::nullopt;
  bool first_form = bytes.front() == '\1';
  bytes.remove_prefix(1);
  Entry entry;
  auto flags = first_form ? std::optional<std::uint64_t>(0) : get_varint(bytes);
  auto seq = get_varint(bytes);
  auto arrived = get_varint(bytes);
  auto size = get_varint(bytes);
  auto validity = get_varint(bytes);
  if (!flags || !seq || !arrived || !size || !validity) return std::nullopt;
  entry.seq = *seq;
  entry.arrived = static_cast<UnixMillis>(*arrived);
  entry.bytes = *size;
  entry.validity_ms = static_cast<std::int64_t>(*validity);
  entry.again = (*flags & kAgain) != 0;
  if (!first_form) {
    if (bytes.size() < 8) return std::nullopt;
    entry.device = read_u64(bytes);
    entry.has_device = true;
    bytes.remove_prefix(8);
  }
  if ((*flags & kRecord) != 0) entry.seq = 0;
  if (!with_decoded) return entry;
  if ((*flags & kRecord) != 0 && !get_text(bytes, entry.record)) return std::nullopt;
  if (!bytes.empty()) {
    entry.decoded = get_decoded(bytes);
    if (!entry.decoded) return std::nullopt;
  }
  return entry;
}

std::string encode_letter(const Letter& letter) {
  std::string out;
  out += '\1';
  put_varint(out, static_cast<std::uint64_t>(letter.time));
  put_varint(out, static_cast<std::uint64_t>(letter.validity_ms));
  put_varint(out, letter.tries);
  put_varint(out, letter.message->seq);
  put_text(out, message::encode_record(*letter.message));
  put_text(out, letter.cause);
  put_text(out, letter.answer);
  put_text(out, letter.sent);
  if (letter.decoded) put_decoded(out, *letter.decoded);
  return out;
}

std::optional<Letter> decode_letter(std::string_view bytes) {
  if (bytes.empty() || bytes.front() != '\1') return std::nullopt;
  Letter letter;
  letter.bytes = bytes.size();
  bytes.remove_prefix(1);
  auto time = get_varint(bytes);
  auto validity = get_varint(bytes);
  auto tries = get_varint(bytes);
  auto seq = get_varint(bytes);
  std::string record;
  if (!time || !validity || !tries || !seq || !get_text(bytes, record) || !get_text(bytes, letter.cause) ||
      !get_text(bytes, letter.answer) || !get_text(bytes, letter.sent)) {
    return std::nullopt;
  }
  if (!bytes.empty()) {
    letter.decoded = get_decoded(bytes);
    if (!letter.decoded) return std::nullopt;
  }
  auto message = message::decode_record(record);
  if (!message) return std::nullopt;
  message->seq = *seq;
  letter.message = std::make_shared<const message::Message>(std::move(*message));
  letter.time = static_cast<UnixMillis>(*time);
  letter.validity_ms = static_cast<std::int64_t>(*validity);
  letter.tries = static_cast<unsigned>(*tries);
  return letter;
}

std::string encode_totals(const Totals& totals) {
  std::string out;
  out += '\1';
  put_varint(out, totals.accepted);
  for (auto fate : totals.fates)
    put_varint(out, fate);
  return out;
}

std::optional<Totals> decode_totals(std::string_view bytes) {
  if (bytes.empty() || bytes.front() != '\1') return std::nullopt;
  bytes.remove_prefix(1);
  Totals totals;
  auto accepted = get_varint(bytes);
  if (!accepted) return std::nullopt;
  totals.accepted = *accepted;
  for (auto& fate : totals.fates) {
    auto n = get_varint(bytes);
    if (!n) return std::nullopt;
    fate = *n;
  }
  return totals;
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
