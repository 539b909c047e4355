// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::app {

// Takes Server-Sent Events apart as their bytes come, in pieces of any size. What is longer than 4 MiB without an end
// is dropped.
class EventReader {
 public:
  using Look = std::function<void(const std::string& name, const std::string& data)>;
  explicit EventReader(Look look) : look_(std::move(look)) {}
  void feed(std::string_view bytes);

 private:
  void line(std::string_view text);
  Look look_;
  std::string rest_, name_, data_;
  bool has_data_ = false;
};

// Reads a stream of events until it ends. `look` is called with each, and first with one
// of the name "open", when the server has let it in. Blocks. Errors:
// not_connected where it breaks off or cannot be opened, permanent with what the server says where it refuses.
Result<void> read_events(const std::string& url, const std::string& token, const EventReader::Look& look);

}  // namespace sluice::app
