// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>

#include "app/terminal.h"

namespace sluice::app {

// How far something has come, on standard error: one line that is drawn over on a terminal, a plain line every few
// seconds elsewhere. Not thread-safe.
class Progress {
 public:
  // `doing`: "reading", "importing". `total` 0: not known.
  Progress(const Terminal& terminal, std::string doing, std::size_t total);
  ~Progress();  // takes the line away
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  // The next of them is `name`.
  void step(std::string_view name);
  [[nodiscard]] std::size_t done() const { return done_; }

 private:
  void draw(std::string_view name);

  const Terminal& terminal_;
  std::string doing_;
  std::size_t total_, done_ = 0;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now(), shown_ = start_;
  bool drawn_ = false;
};

// The line itself, at most `width` columns: "importing [######......] 12/25  80/s  name".
std::string progress_line(const Terminal& terminal, std::string_view doing, std::size_t done, std::size_t total,
                          double per_second, std::string_view name);

}  // namespace sluice::app
