// SPDX-License-Identifier: Apache-2.0
#include "message/trail.h"

namespace sluice::message {

const char* to_string(Stage stage) {
  switch (stage) {
    case Stage::stored:
      return "stored";
    case Stage::unmatched:
      return "unmatched";
    case Stage::routed:
      return "routed";
    case Stage::decoded:
      return "decoded";
    case Stage::filtered:
      return "filtered";
    case Stage::expired:
      return "expired";
    case Stage::sent:
      return "sent";
    case Stage::delivered:
      return "delivered";
    case Stage::retried:
      return "retried";
    case Stage::refused:
      return "refused";
    case Stage::dropped:
      return "dropped";
  }
  return "stored";
}

Trail& no_trail() {
  struct Nothing final : Trail {
    void note(const Message&, const TrailNote&) override {}
    [[nodiscard]] bool watched(const std::string&) const override { return false; }
  };
  static Nothing nothing;
  return nothing;
}

}  // namespace sluice::message
