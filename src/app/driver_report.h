// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "app/driver_check.h"
#include "app/terminal.h"

namespace sluice::app {

// Texts for people about a driver that was tried; each ends with a line feed unless it is empty.

// Everything about one driver: each example (those that passed only where they are few or `verbose`), what is wrong
// with it, the package's warnings, coverage.
std::string report_of(const Terminal& terminal, const Checked& checked, bool verbose);
// One line, for a collection.
std::string line_of(const Terminal& terminal, const Checked& checked);
// What failed alone, for a collection.
std::string failures_of(const Terminal& terminal, const Checked& checked, bool verbose);

// What was thrown: "index.js:3:18", the line with the place marked, and who called. Indented by `indent` blanks.
std::string place_text(const Terminal& terminal, const driver::Package& package, const driver::Where& where,
                       std::size_t indent);
// The line with its number, and what stands at the column marked below it; a long line is cut around the column.
std::string marked_line(const Terminal& terminal, const SourcePlace& place, std::size_t indent);

}  // namespace sluice::app
