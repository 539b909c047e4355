// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "queue/queue.h"

// Keys and values of the embedded queue. Two databases:
//
//   log/    seq (8, big-endian)                     -> message::encode_record
//   lists/  'P' connection (8) place (8)            -> an entry, encode_entry
//           'L' connection (8)                      -> low (8): every entry below it is settled
//           'C'                                     -> progress, encode_progress, and the next place
//           'F' key                                 -> a fact
//           'D' connection (8) id (8)               -> a dead letter, encode_letter
//           'T' connection (8)                      -> the list's totals, encode_totals
//
// The newest message is never trimmed, so a seq is never given twice.
namespace sluice::queue {

std::string key_u64(std::uint64_t n);
std::uint64_t read_u64(std::string_view bytes);
std::string entry_key(std::uint64_t connection, std::uint64_t place);
std::string list_key(char kind, std::uint64_t connection);

void put_varint(std::string& out, std::uint64_t n);
std::optional<std::uint64_t> get_varint(std::string_view& in);

struct Entry {
  std::uint64_t seq = 0;
  UnixMillis arrived = 0;
  std::uint64_t bytes = 0;
  std::int64_t validity_ms = 0;
  message::DecodedPtr decoded;
  bool again = false;
  std::uint64_t device = 0;  // device_hash; 0 too where an older version wrote the entry
  bool has_device = false;   // `device` was written
  std::string record;        // the message itself, where the entry does not lean on the log; `seq` then pins nothing
};
std::string encode_entry(const Entry& entry);
// Nothing where the bytes are damaged. `with_decoded` false skips what decoding gave (for counting at start).
std::optional<Entry> decode_entry(std::string_view bytes, bool with_decoded = true);

std::string letter_key(std::uint64_t connection, std::uint64_t id);
std::string encode_letter(const Letter& letter);
// Nothing where the bytes are damaged. The id comes from the key.
std::optional<Letter> decode_letter(std::string_view bytes);

std::string encode_totals(const Totals& totals);
std::optional<Totals> decode_totals(std::string_view bytes);

struct Cursor {
  Progress progress;
  std::uint64_t next_place = 1;
};
std::string encode_cursor(const Cursor& cursor);
std::optional<Cursor> decode_cursor(std::string_view bytes);

}  // namespace sluice::queue
