// SPDX-License-Identifier: Apache-2.0
#include "connection/runner.h"

namespace sluice::connection {

Result<void> Runner::pause(const std::string&) {
  return {};
}
Result<void> Runner::resume(const std::string&) {
  return {};
}
DeadLetterPage Runner::dead_letters(const std::string&, std::size_t, std::size_t) {
  return {};
}
std::optional<DeadLetter> Runner::dead_letter(const std::string&, std::uint64_t) {
  return std::nullopt;
}
std::uint64_t Runner::resend(const std::string&, std::vector<std::uint64_t>) {
  return 0;
}
std::uint64_t Runner::discard(const std::string&, std::vector<std::uint64_t>) {
  return 0;
}
Result<ReplayReport> Runner::replay(const std::string&, const ReplayRequest&) {
  return ReplayReport{};
}

}  // namespace sluice::connection
