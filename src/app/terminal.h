// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace sluice::app {

// What a word of the command line prints on: colours where they are wanted, the width for what has to fit. Colours are
// on where the stream is a terminal, unless NO_COLOR is set or TERM is dumb; CLICOLOR_FORCE=1 turns them on for a pipe.
class Terminal {
 public:
  enum class Ink { plain, bold, dim, red, green, yellow, blue, cyan };

  explicit Terminal(std::FILE* stream);
  Terminal(bool coloured, unsigned width) : coloured_(coloured), width_(width) {}

  // Whether lines may be drawn over, as a progress bar does.
  [[nodiscard]] bool is_terminal() const { return terminal_; }
  // Columns; 100 where the stream is no terminal.
  [[nodiscard]] unsigned width() const { return width_; }
  // The text in that colour. It goes out as it is: printable() first, where it is anybody's.
  [[nodiscard]] std::string paint(Ink ink, std::string_view text) const;

 private:
  bool terminal_ = false, coloured_ = false;
  unsigned width_ = 100;
};

// Text of unknown origin (a driver's console, a file) without what would steer the terminal: control characters as
// \xNN, tabs as they are, broken UTF-8 as U+FFFD. `lines`: line feeds stay.
std::string printable(std::string_view text, bool lines = false);

// Columns that the text takes, a character counting as one; what was painted must not be in it.
std::size_t columns(std::string_view text);
// At most that many columns, with "…" at the end where something was cut off.
std::string shortened(std::string_view text, std::size_t most);
// Padded with blanks to that many columns.
std::string padded(std::string_view text, std::size_t width);

// "1,234,567"
std::string with_commas(std::uint64_t number);
// "1 driver", "2 drivers"
std::string counted(std::uint64_t number, std::string_view noun);

}  // namespace sluice::app
