// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::connector {

// Certificates and keys come inside JSON text with real newlines, with the two characters \n, or with nothing between
// the markers (spec connectors.md 1.14); markers of two dashes, as a page prints them, count as well. Gives PEM with
// lines of 64 columns, every block of a bundle kept; empty for empty text. Errors are bad_config and never hold the
// value.
Result<std::string> normalise_pem(std::string_view text);

// True where every block has fewer than 100 characters between its markers: a placeholder out of an example, which may
// be saved and fails at opening.
bool is_placeholder_pem(std::string_view text);

// Whether the text (already normalised) holds one or more X.509 certificates that can be read.
Result<void> check_certificates(const std::string& pem);
// Whether the text (already normalised) is a private key that can be read without a passphrase.
Result<void> check_key(const std::string& pem);
// Whether the key belongs to the first certificate (both normalised).
Result<void> check_key_fits(const std::string& certificate_pem, const std::string& key_pem);

}  // namespace sluice::connector
