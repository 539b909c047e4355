// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::connection {

// The texts that must not be told: every string in a connection's secrets, at any depth, and the parts of those that
// are several words ("Bearer xyz"); none shorter than 4 characters, the longest first. Thread-safe.
std::vector<std::string> texts_of_secrets(const boost::json::object& secrets);
// The text with every secret in it replaced by "*****". Thread-safe.
std::string cut_secrets(std::string_view text, const std::vector<std::string>& secrets);
// Valid UTF-8 without control characters other than line ends and tabs; each byte that is neither becomes '?'.
std::string clean_text(std::string_view text);

}  // namespace sluice::connection
