// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace sluice::binder {

// The text of an HTML page, as network servers answer with: tags left out, white space folded, always valid UTF-8, at
// most 500 bytes. Thread-safe.
std::string text_of_page(std::string_view html);

}  // namespace sluice::binder
