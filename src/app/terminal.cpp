// SPDX-License-Identifier: Apache-2.0
#include "app/terminal.h"

#include <cstdlib>
#include <sys/ioctl.h>
#include <unistd.h>

namespace sluice::app {
namespace {

std::string_view environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string_view() : std::string_view(value);
}

// Bytes of the UTF-8 sequence at the front, 0 where it is broken.
std::size_t sequence(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text.front());
  const std::size_t length = lead < 0x80                    ? 1
                             : lead >= 0xc2 && lead <= 0xdf ? 2
                             : (lead & 0xf0) == 0xe0        ? 3
                             : lead >= 0xf0 && lead <= 0xf4 ? 4
                                                            : 0;
  if (length == 0 || length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) return 0;
  }
  return length;
}

const char* code_of(Terminal::Ink ink) {
  switch (ink) {
    case Terminal::Ink::plain:
      return "";
    case Terminal::Ink::bold:
      return "1";
    case Terminal::Ink::dim:
      return "2";
    case Terminal::Ink::red:
      return "31";
    case Terminal::Ink::green:
      return "32";
    case Terminal::Ink::yellow:
      return "33";
    case Terminal::Ink::blue:
      return "34";
    case Terminal::Ink::cyan:
      return "36";
  }
  return "";
}

}  // namespace

Terminal::Terminal(std::FILE* stream) {
  const int fd = ::fileno(stream);
  terminal_ = ::isatty(fd) == 1;
  coloured_ = (terminal_ && environment("TERM") != "dumb") || environment("CLICOLOR_FORCE") == "1";
  if (!environment("NO_COLOR").empty()) coloured_ = false;
  winsize size{};
  if (terminal_ && ::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20) width_ = size.ws_col;
}

std::string Terminal::paint(Ink ink, std::string_view text) const {
  if (!coloured_ || ink == Ink::plain || text.empty()) return std::string(text);
  return "\x1b[" + std::string(code_of(ink)) + "m" + std::string(text) + "\x1b[0m";
}

std::string printable(std::string_view text, bool lines) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  while (!text.empty()) {
    const auto c = static_cast<unsigned char>(text.front());
    const std::size_t length = sequence(text);
    // C1 control characters (U+0080 to U+009F) steer some terminals as ESC does.
    const bool c1 = length == 2 && c == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0;
    if (length == 0) {
      out += "\xef\xbf\xbd";
    } else if (c == '\t' || (lines && c == '\n')) {
      out += static_cast<char>(c);
    } else if (c < 0x20 || c == 0x7f || c1) {
      const unsigned char shown = c1 ? static_cast<unsigned char>(text[1]) : c;
      out += "\\x";
      out += kDigits[shown >> 4];
      out += kDigits[shown & 15];
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

std::size_t columns(std::string_view text) {
  std::size_t count = 0;
  for (const char c : text)
    count += (static_cast<unsigned char>(c) & 0xc0) != 0x80 ? 1 : 0;
  return count;
}

std::string shortened(std::string_view text, std::size_t most) {
  if (columns(text) <= most) return std::string(text);
  std::string out;
  std::size_t count = 0;
  for (const char c : text) {
    if ((static_cast<unsigned char>(c) & 0xc0) != 0x80 && ++count >= most) break;
    out += c;
  }
  return out + "\xe2\x80\xa6";
}

std::string padded(std::string_view text, std::size_t width) {
  const auto have = columns(text);
  return std::string(text) + std::string(width > have ? width - have : 0, ' ');
}

std::string with_commas(std::uint64_t number) {
  std::string digits = std::to_string(number);
  for (std::size_t at = digits.size(); at > 3;) {
    at -= 3;
    digits.insert(at, ",");
  }
  return digits;
}

std::string counted(std::uint64_t number, std::string_view noun) {
  return with_commas(number) + " " + std::string(noun) + (number == 1 ? "" : "s");
}

}  // namespace sluice::app
