// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sluice::driver {

// A device whose decoder and encoder are two scripts that declare the same names. They become one script in which each
// has a scope of its own; what they offer, as functions, as their own `driver` or as exports, is gathered in a
// top-level variable `driver`, the first part to offer a name being the one that serves it.
struct Part {
  std::string file, text;
  std::vector<std::string> offers = {};  // the functions to take from it; empty: all that it has
};
std::string bundle(const std::vector<Part>& parts);

// Where a line (from 1) of a stored driver stands in its author's files. `file` is empty where the text is no bundle:
// then it is the driver's entry file, and the line is the same. A line of what holds a bundle together is {"", 0}.
struct Place {
  std::string file;
  int line = 0;

  friend bool operator==(const Place&, const Place&) = default;
};
Place place_of(std::string_view code, int line);

}  // namespace sluice::driver
