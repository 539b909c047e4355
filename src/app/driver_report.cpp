// SPDX-License-Identifier: Apache-2.0
#include "app/driver_report.h"

#include <algorithm>
#include <cstdio>
#include <set>

#include "base/json.h"

namespace sluice::app {
namespace {

using driver::Example;
using driver::Tried;
using Ink = Terminal::Ink;

constexpr std::size_t kFewExamples = 30;     // all are listed, those that passed too
constexpr std::size_t kMaxDifferences = 12;  // of one example, unless all are asked for
constexpr std::size_t kMaxConsole = 10;
constexpr std::size_t kMaxFrames = 5;
constexpr std::size_t kMaxRanges = 40;
constexpr const char* kGood = "\xe2\x9c\x93";  // a tick
constexpr const char* kBad = "\xe2\x9c\x97";   // a cross

std::string blanks(std::size_t count) {
  return std::string(count, ' ');
}

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$' ||
         static_cast<unsigned char>(c) >= 0x80;
}

std::string value_text(const std::optional<boost::json::value>& value) {
  return value ? printable(json::write(*value)) : "nothing";
}

// The input as the author knows it: "bytes 01081f, fPort 2, time 2024-..., thing {...}".
std::string input_text(const Example& example) {
  std::string out;
  for (const char* key : {"bytes", "data", "message", "fPort", "time", "recvTime"}) {
    const auto* value = json::find(example.input, key);
    if (value == nullptr) continue;
    const auto text = value->is_string() ? std::string(value->get_string()) : json::write(*value);
    out += (out.empty() ? "" : ", ") + std::string(key) + " " + printable(text);
  }
  for (const auto& member : example.input) {
    static constexpr std::string_view kShown[] = {"bytes", "data", "message", "fPort", "time", "recvTime"};
    if (std::find(std::begin(kShown), std::end(kShown), member.key()) != std::end(kShown)) continue;
    out += (out.empty() ? "" : ", ") + printable(member.key()) + " " + printable(json::write(member.value()));
  }
  return out;
}

class Writer {
 public:
  Writer(const Terminal& terminal, const Checked& checked, bool verbose)
      : terminal_(terminal), checked_(checked), verbose_(verbose) {}

  std::string take() { return std::move(out_); }

  void head() {
    const auto& p = checked_.package;
    out_ += terminal_.paint(Ink::bold, printable(p.name.empty() ? p.path : p.name));
    if (!p.version.empty()) out_ += " " + printable(p.version);
    if (p.application) out_ += terminal_.paint(Ink::dim, "  for " + printable(p.application->text()));
    out_ += terminal_.paint(Ink::dim, std::string("  ") + driver::type_of_signature(checked_.signature)) + "\n";
    out_ += terminal_.paint(Ink::dim, printable(p.path)) + "\n";
  }

  void unusable() {
    if (checked_.unusable.empty()) return;
    out_ += "  " + terminal_.paint(Ink::red, std::string(kBad) + " the code cannot be run") + "\n";
    out_ += "      " + terminal_.paint(Ink::red, printable(checked_.unusable)) + "\n";
    if (checked_.where) out_ += place_text(terminal_, checked_.package, *checked_.where, 6);
  }

  void examples(bool with_good) {
    std::size_t width = 0;
    for (const auto& example : checked_.examples)
      width = std::max(width, columns(title(example)));
    width = std::min<std::size_t>(width, terminal_.width() > 50 ? terminal_.width() - 22 : 28);
    for (std::size_t i = 0; i < checked_.tried.size(); ++i) {
      const auto& example = checked_.examples[i];
      const auto& tried = checked_.tried[i];
      if (tried.good() && !with_good) continue;
      one(example, tried, width);
    }
  }

  void warnings() {
    std::set<std::string> told(checked_.package.warnings.begin(), checked_.package.warnings.end());
    for (const auto& warning : checked_.package.warnings)
      out_ += warning_line(warning);
    // What the engine found at run time; of the driver's own warnings the examples speak.
    static constexpr std::string_view kOfPoints = "warn: point ";
    for (const auto& tried : checked_.tried) {
      std::vector<std::string> found;
      for (const auto& line : tried.log) {
        if (line.starts_with(kOfPoints)) found.push_back(line.substr(6));
      }
      for (const auto& warning : tried.warnings) {
        if (driver::is_engines_own(warning)) found.push_back(warning);
      }
      for (const auto& warning : found) {
        if (told.size() < 50 && told.insert(warning).second) out_ += warning_line(warning);
      }
    }
  }

  void coverage() {
    if (!checked_.no_coverage.empty()) {
      out_ += "  line coverage is not available: " + printable(checked_.no_coverage) + "\n";
      return;
    }
    if (!checked_.coverage) return;
    const auto& lines = *checked_.coverage;
    char percent[16];
    std::snprintf(percent, sizeof(percent), "%.1f %%", lines.percent());
    const auto ink = lines.reached == lines.all ? Ink::green : lines.percent() >= 80 ? Ink::plain : Ink::yellow;
    out_ += "  line coverage " + terminal_.paint(ink, percent) + " (" + with_commas(lines.reached) + " of " +
            with_commas(lines.all) + ")";
    missed(ranges_of(checked_.package, lines.missed));
  }

 private:
  static std::string title(const Example& example) {
    return printable(example.description.empty() ? "(no description)" : example.description);
  }

  [[nodiscard]] std::string warning_line(const std::string& text) const {
    return "  " + terminal_.paint(Ink::yellow, "warning") + " " + printable(text) + "\n";
  }

  // Behind the percentage where they fit; else below it, a file's ranges together.
  void missed(const std::vector<std::string>& ranges) {
    std::string all;
    for (const auto& range : ranges)
      all += (all.empty() ? "" : ", ") + range;
    if (ranges.empty() || columns(all) + 55 <= terminal_.width()) {
      out_ += (all.empty() ? "" : "; never reached: " + terminal_.paint(Ink::yellow, all)) + "\n";
      return;
    }
    out_ += "; never reached:\n";
    std::string file, line;
    std::size_t count = 0;
    const auto end_line = [&] {
      if (!line.empty()) out_ += "    " + terminal_.paint(Ink::yellow, line) + "\n";
      line.clear();
    };
    for (const auto& range : ranges) {
      if (++count > kMaxRanges && !verbose_) break;
      const auto colon = range.rfind(':');
      const auto own = colon == std::string::npos ? std::string() : printable(range.substr(0, colon));
      const auto numbers = colon == std::string::npos ? range : range.substr(colon + 1);
      if (own != file) {
        end_line();
        file = own;
        out_ += "    " + terminal_.paint(Ink::dim, file) + "\n";
      }
      if (!line.empty() && columns(line) + columns(numbers) + 6 > terminal_.width()) end_line();
      line += (line.empty() ? "" : ", ") + numbers;
    }
    end_line();
    if (ranges.size() > kMaxRanges && !verbose_) {
      out_ += "    " +
              terminal_.paint(Ink::dim,
                              "and " + std::to_string(ranges.size() - kMaxRanges) + " more (--verbose shows all)") +
              "\n";
    }
  }

  void one(const Example& example, const Tried& tried, std::size_t width) {
    const bool skipped = tried.verdict == Tried::Verdict::skipped;
    const auto ink = skipped ? Ink::dim : tried.good() ? Ink::green : Ink::red;
    const auto name = padded(shortened(title(example), width), width);
    out_ += "  " +
            terminal_.paint(ink, skipped        ? "-"
                                 : tried.good() ? kGood
                                                : kBad) +
            " " + (tried.good() ? name : terminal_.paint(Ink::bold, name)) + "  " +
            terminal_.paint(Ink::dim, driver::to_string(example.kind));
    if (skipped) out_ += terminal_.paint(Ink::dim, "  skipped: " + tried.problem);
    out_ += "\n";
    if (tried.good() && !verbose_) return;
    if (skipped) return;
    if (!tried.good() && columns(title(example)) > width) out_ += label("name") + title(example) + "\n";
    out_ += label("input") + fitting(input_text(example)) + "\n";
    if (!tried.good() && !example.file.empty()) out_ += label("in") + printable(example.file) + "\n";
    differences(tried);
    if (tried.verdict == Tried::Verdict::error) {
      out_ += label("error") + terminal_.paint(Ink::red, printable(tried.problem)) + "\n";
    }
    if (!tried.good() && tried.where) out_ += place_text(terminal_, checked_.package, *tried.where, 6);
    if (verbose_ && tried.output) out_ += label("output") + printable(json::write(*tried.output)) + "\n";
    if (verbose_ && tried.points) out_ += label("points") + printable(json::write(*tried.points)) + "\n";
    console(tried);
    if (tried.verdict == Tried::Verdict::error || verbose_) {
      for (const auto& warning : tried.warnings)
        out_ += label("warning") + fitting(printable(warning)) + "\n";
    }
  }

  void differences(const Tried& tried) {
    const std::size_t most = verbose_ ? tried.differences.size() : kMaxDifferences;
    for (std::size_t i = 0; i < tried.differences.size() && i < most; ++i)
      difference(tried.differences[i]);
    if (tried.differences.size() > most) {
      out_ += "      " +
              terminal_.paint(Ink::dim, "and " + counted(tried.differences.size() - most, "more difference") +
                                            " (--verbose shows all)") +
              "\n";
    }
  }

  void difference(const driver::Difference& difference) {
    const auto path = difference.path.empty() ? std::string("the result") : printable(difference.path);
    out_ += "      " + terminal_.paint(Ink::cyan, path);
    if (!difference.note.empty()) out_ += "  " + terminal_.paint(Ink::yellow, difference.note);
    out_ += "\n";
    out_ += "        expected  " + terminal_.paint(Ink::green, fitting(value_text(difference.expected))) + "\n";
    out_ += "        got       " + terminal_.paint(Ink::red, fitting(value_text(difference.got))) + "\n";
  }

  void console(const Tried& tried) {
    std::vector<std::string_view> lines;
    for (const std::string_view line : tried.log) {
      // What was thrown stands above.
      if (tried.where && !tried.problem.empty() && line.starts_with("error: " + tried.problem + " (line ")) continue;
      lines.push_back(line);
    }
    const std::size_t most = verbose_ ? lines.size() : kMaxConsole;
    for (std::size_t i = 0; i < lines.size() && i < most; ++i)
      out_ += label("console") + terminal_.paint(Ink::dim, fitting(printable(lines[i]))) + "\n";
    if (lines.size() > most)
      out_ += label("console") + terminal_.paint(Ink::dim, "and " + counted(lines.size() - most, "more line")) + "\n";
  }

  [[nodiscard]] std::string label(std::string_view name) const {
    return "      " + terminal_.paint(Ink::dim, padded(name, 8)) + " ";
  }

  [[nodiscard]] std::string fitting(const std::string& text) const {
    return verbose_ ? text : shortened(text, std::max(40u, terminal_.width() - 19));
  }

  const Terminal& terminal_;
  const Checked& checked_;
  bool verbose_;
  std::string out_;
};

}  // namespace

std::string marked_line(const Terminal& terminal, const SourcePlace& place, std::size_t indent) {
  if (place.text.empty() || place.line <= 0) return {};
  std::string text = place.text;
  std::replace(text.begin(), text.end(), '\t', ' ');
  // The engine's columns are those of UTF-16; what stands before it in a line is plain as a rule.
  std::size_t at = place.column > 0 ? static_cast<std::size_t>(place.column) - 1 : 0;
  at = std::min(at, text.size());
  // It points behind the name that it is about: "new Error(", "input.nothing.more", "missing;".
  std::size_t from = at, to = at;
  if (place.column > 0) {
    if (at < text.size() && is_word(text[at]) && (at == 0 || !is_word(text[at - 1]))) {
      while (to < text.size() && is_word(text[to]))
        ++to;
    } else {
      while (from > 0 && (is_word(text[from - 1]) || text[from - 1] == '.'))
        --from;
      while (to < text.size() && from == to)
        ++to;
      if (from < at) to = at;
    }
  }
  const std::string number = std::to_string(place.line);
  const std::size_t room = std::max<std::size_t>(
      30, terminal.width() > indent + number.size() + 8 ? terminal.width() - indent - number.size() - 8 : 30);
  if (text.size() > room) {
    const std::size_t start = from > room / 2 ? from - room / 2 : 0;
    text = text.substr(start, room);
    from -= start;
    to = std::min(to - start, text.size());
  } else {
    // Not deeper than what is around it needs to be.
    const auto first = text.find_first_not_of(' ');
    const std::size_t drop = first == std::string::npos || first < 2 ? 0 : std::min(first - 2, from);
    text.erase(0, drop);
    from -= drop;
    to -= drop;
  }
  const std::string pad = blanks(indent);
  std::string out = pad + terminal.paint(Ink::dim, number + " |") + " " + printable(text) + "\n";
  if (place.column > 0) {
    out += pad + blanks(number.size()) + terminal.paint(Ink::dim, " |") + " " + blanks(columns(text.substr(0, from))) +
           terminal.paint(Ink::red, std::string(std::max<std::size_t>(1, columns(text.substr(from, to - from))), '^')) +
           "\n";
  }
  return out;
}

std::string place_text(const Terminal& terminal, const driver::Package& package, const driver::Where& where,
                       std::size_t indent) {
  const auto frames = frames_of(package, where);
  if (frames.empty()) return {};
  const auto text = [](const SourcePlace& place) {
    std::string out = printable(place.file) + ":" + std::to_string(place.line);
    if (place.column > 0) out += ":" + std::to_string(place.column);
    return out;
  };
  const auto& first = frames.front();
  std::string out = blanks(indent) + terminal.paint(Ink::cyan, text(first.place));
  if (!first.function.empty()) out += terminal.paint(Ink::dim, " in " + printable(first.function));
  out += "\n" + marked_line(terminal, first.place, indent + 2);
  for (std::size_t i = 1; i < frames.size() && i <= kMaxFrames; ++i) {
    std::string line = "called at " + text(frames[i].place);
    if (!frames[i].function.empty()) line += " in " + printable(frames[i].function);
    out += blanks(indent) + terminal.paint(Ink::dim, line) + "\n";
  }
  return out;
}

std::string report_of(const Terminal& terminal, const Checked& checked, bool verbose) {
  Writer writer(terminal, checked, verbose);
  writer.head();
  writer.unusable();
  writer.examples(verbose || checked.examples.size() <= kFewExamples);
  writer.warnings();
  writer.coverage();
  return writer.take();
}

std::string line_of(const Terminal& terminal, const Checked& checked) {
  const auto& p = checked.package;
  const bool nothing = checked.good() && checked.passed == 0;
  const auto ink = !checked.good() ? Ink::red : nothing ? Ink::yellow : Ink::green;
  const std::size_t width = std::min<std::size_t>(56, std::max<std::size_t>(24, terminal.width() / 2));
  std::string out = terminal.paint(ink, !checked.good() ? kBad
                                        : nothing       ? "-"
                                                        : kGood) +
                    " " + padded(shortened(printable(p.path), width), width) + " ";
  if (!checked.unusable.empty()) {
    out += terminal.paint(Ink::red, shortened(printable(checked.unusable), 60));
  } else if (p.code.empty()) {
    out += terminal.paint(Ink::dim, "no code");
  } else if (nothing) {
    out += terminal.paint(Ink::yellow, "no examples");
  } else {
    out += std::to_string(checked.passed) + " passed";
    if (checked.failed > 0) out += ", " + terminal.paint(Ink::red, std::to_string(checked.failed) + " failed");
    if (checked.coverage) {
      char percent[24];
      std::snprintf(percent, sizeof(percent), "  %.0f %% of lines", checked.coverage->percent());
      out += terminal.paint(Ink::dim, percent);
    }
  }
  return out + "\n";
}

std::string failures_of(const Terminal& terminal, const Checked& checked, bool verbose) {
  if (checked.good()) return {};
  Writer writer(terminal, checked, verbose);
  writer.unusable();
  writer.examples(false);
  return writer.take();
}

}  // namespace sluice::app
