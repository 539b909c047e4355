// SPDX-License-Identifier: Apache-2.0
#include "binder/answer_text.h"

#include <algorithm>

#include "base/codec.h"
#include "message/json_scan.h"

namespace sluice::binder {
namespace {

constexpr std::size_t kMaxAnswer = 500;  // characters of the network server's text that are passed on

struct Entity {
  std::string_view name;
  char c;
};
constexpr Entity kEntities[] = {{"&amp;", '&'},  {"&lt;", '<'},    {"&gt;", '>'},
                                {"&quot;", '"'}, {"&apos;", '\''}, {"&#39;", '\''}};

}  // namespace

std::string text_of_page(std::string_view html) {
  std::string out;
  bool in_tag = false;
  for (std::size_t i = 0; i < html.size() && out.size() < kMaxAnswer; ++i) {
    char c = html[i];
    if (c == '<') in_tag = true;
    bool blank = in_tag || static_cast<unsigned char>(c) <= 0x20 || c == 0x7f;
    if (c == '>') in_tag = false;
    if (blank) {
      if (!out.empty() && out.back() != ' ') out += ' ';
      continue;
    }
    for (const auto& entity : kEntities) {
      if (!html.substr(i).starts_with(entity.name)) continue;
      c = entity.c;
      i += entity.name.size() - 1;
      break;
    }
    out += c;
  }
  // A cut may have halved a character.
  while (!out.empty() && !message::scan::valid_utf8(out)) {
    if ((out.back() & 0x80) == 0) {
      std::replace_if(
          out.begin(), out.end(), [](char c) { return (c & 0x80) != 0; }, '?');
    } else {
      out.pop_back();
    }
  }
  return std::string(trim(out));
}

}  // namespace sluice::binder
