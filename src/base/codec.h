// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace sluice {

// Lower-case hex of the bytes.
std::string to_hex(std::string_view bytes);
// The bytes, or nothing where a character is no hex digit or their number is odd.
std::optional<std::string> from_hex(std::string_view hex);
bool is_hex(std::string_view text);

// RFC 4648 base64 with padding; reading takes the URL alphabet and missing padding too, and skips line breaks.
std::string to_base64(std::string_view bytes);
std::optional<std::string> from_base64(std::string_view text);
// RFC 4648 section 5, without padding (JWT).
std::string to_base64url(std::string_view bytes);

// Percent-encodes everything but RFC 3986 unreserved characters.
std::string url_encode(std::string_view text);
// Percent-decodes; `plus_is_space` for form bodies. Nothing where an escape is broken.
std::optional<std::string> url_decode(std::string_view text, bool plus_is_space = false);

// ASCII case folding.
std::string to_lower(std::string_view text);
std::string to_upper(std::string_view text);
std::string_view trim(std::string_view text);
bool equals_ignoring_case(std::string_view a, std::string_view b);

}  // namespace sluice
