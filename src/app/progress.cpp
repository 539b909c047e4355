// SPDX-License-Identifier: Apache-2.0
#include "app/progress.h"

#include <algorithm>

namespace sluice::app {
namespace {

constexpr std::chrono::milliseconds kRedraw{80};
constexpr std::chrono::seconds kPlainLine{3};
constexpr std::size_t kBar = 24;

}  // namespace

std::string progress_line(const Terminal& terminal, std::string_view doing, std::size_t done, std::size_t total,
                          double per_second, std::string_view name) {
  std::string plain(doing), line = terminal.paint(Terminal::Ink::bold, doing);
  auto add = [&](const std::string& text, Terminal::Ink ink = Terminal::Ink::plain) {
    plain += text;
    line += terminal.paint(ink, text);
  };
  if (total > 0) {
    const auto filled = std::min(kBar, done * kBar / total);
    add(" [");
    add(std::string(filled, '#'), Terminal::Ink::green);
    add(std::string(kBar - filled, '.'), Terminal::Ink::dim);
    add("] " + with_commas(done) + "/" + with_commas(total));
  } else {
    add("  " + with_commas(done));
  }
  if (per_second >= 1) add("  " + with_commas(static_cast<std::uint64_t>(per_second)) + "/s");
  const auto used = columns(plain) + 2;
  if (used + 8 > terminal.width()) return line;
  // Of a long path the end tells more.
  auto shown = printable(name);
  const auto room = terminal.width() - used - 1;
  if (columns(shown) > room) {
    std::size_t at = shown.size(), count = 0;
    while (at > 0 && count + 1 < room) {
      --at;
      if ((static_cast<unsigned char>(shown[at]) & 0xc0) != 0x80) ++count;
    }
    shown = "\xe2\x80\xa6" + shown.substr(at);
  }
  return line + "  " + terminal.paint(Terminal::Ink::dim, shown);
}

Progress::Progress(const Terminal& terminal, std::string doing, std::size_t total)
    : terminal_(terminal), doing_(std::move(doing)), total_(total) {}

Progress::~Progress() {
  if (drawn_) std::fputs("\r\x1b[K", stderr);
  std::fflush(stderr);
}

void Progress::step(std::string_view name) {
  ++done_;
  const auto now = std::chrono::steady_clock::now();
  const auto wait = terminal_.is_terminal() ? std::chrono::steady_clock::duration(kRedraw) : kPlainLine;
  if (now - shown_ < wait) return;
  shown_ = now;
  draw(name);
}

void Progress::draw(std::string_view name) {
  const std::chrono::duration<double> passed = shown_ - start_;
  const double rate = passed.count() > 0 ? static_cast<double>(done_) / passed.count() : 0;
  const auto line = progress_line(terminal_, doing_, done_, total_, rate, name);
  if (terminal_.is_terminal()) {
    std::fprintf(stderr, "\r\x1b[K%s", line.c_str());
    std::fflush(stderr);
    drawn_ = true;
  } else {
    std::fprintf(stderr, "%s\n", line.c_str());
  }
}

}  // namespace sluice::app
