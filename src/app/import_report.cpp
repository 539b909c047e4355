// SPDX-License-Identifier: Apache-2.0
#include "app/import_report.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/json.h"

namespace sluice::app {
namespace {

using driver::Installed;
using Ink = Terminal::Ink;

constexpr std::size_t kPathsShown = 5;  // of one reason

// A reason with all that it was given for, the most frequent first.
using Groups = std::vector<std::pair<std::string, std::vector<std::string>>>;
Groups grouped(const std::vector<driver::Refusal>& refusals) {
  std::map<std::string, std::vector<std::string>> by_reason;
  for (const auto& one : refusals)
    by_reason[one.reason].push_back(one.path);
  Groups groups(by_reason.begin(), by_reason.end());
  std::stable_sort(groups.begin(), groups.end(),
                   [](const auto& a, const auto& b) { return a.second.size() > b.second.size(); });
  return groups;
}

void add_groups(std::string& out, const Groups& groups, const Terminal& terminal, Ink ink, bool all) {
  for (const auto& [reason, paths] : groups) {
    out += "  " + terminal.paint(ink, printable(reason));
    if (paths.size() > 1) out += terminal.paint(Ink::dim, " (" + with_commas(paths.size()) + ")");
    out += '\n';
    const auto shown = all ? paths.size() : std::min(paths.size(), kPathsShown);
    for (std::size_t i = 0; i < shown; ++i)
      out += "    " + printable(paths[i]) + '\n';
    if (shown < paths.size())
      out += terminal.paint(Ink::dim, "    and " + with_commas(paths.size() - shown) + " more (--verbose lists them)") +
             '\n';
  }
}

struct Sorted {
  std::vector<driver::Refusal> faults, stays_out;  // refused for what they are; for what is already there
};
Sorted refusals(const ImportReport& report) {
  Sorted sorted{report.found.refused, {}};
  for (const auto& one : report.installed) {
    if (one.outcome != Installed::Outcome::refused) continue;
    (one.own_fault ? sorted.faults : sorted.stays_out).push_back({one.path, one.reason});
  }
  return sorted;
}

std::string found_line(const ImportReport& report, std::size_t total) {
  std::vector<std::string> layouts;
  for (auto layout : report.found.layouts) {
    std::string text = driver::to_text(layout);
    if (layout != driver::Layout::none && std::find(layouts.begin(), layouts.end(), text) == layouts.end())
      layouts.push_back(std::move(text));
  }
  std::string line = counted(total, "driver");
  for (std::size_t i = 0; i < layouts.size(); ++i)
    line += (i == 0 ? " (" : ", ") + layouts[i];
  if (!layouts.empty()) line += ")";
  const auto tenths = static_cast<long>(std::lround(report.seconds * 10));
  return line + " in " + std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " s";
}

json::array strings(const std::vector<std::string>& list) {
  return json::array(list.begin(), list.end());
}

}  // namespace

std::size_t ImportReport::count(Installed::Outcome outcome) const {
  const auto counted =
      std::count_if(installed.begin(), installed.end(), [&](const Installed& one) { return one.outcome == outcome; });
  return static_cast<std::size_t>(counted) + (outcome == Installed::Outcome::refused ? found.refused.size() : 0);
}

bool ImportReport::has_faults() const {
  return !found.refused.empty() || std::any_of(installed.begin(), installed.end(), [](const Installed& one) {
    return one.outcome == Installed::Outcome::refused && one.own_fault;
  });
}

std::string to_text(const ImportReport& report, const Terminal& terminal, bool verbose) {
  const auto total = report.installed.size() + report.found.refused.size();
  std::string out = terminal.paint(Ink::bold, found_line(report, total)) + "\n";
  if (!report.target.empty())
    out += (report.dry_run ? "what an import into " + report.target + " would do\n" : "into " + report.target + "\n");
  out += '\n';
  const std::pair<const char*, std::pair<Installed::Outcome, Ink>> rows[] = {
      {"imported", {Installed::Outcome::created, Ink::green}},
      {"replaced", {Installed::Outcome::replaced, Ink::green}},
      {"unchanged", {Installed::Outcome::unchanged, Ink::plain}},
      {"refused", {Installed::Outcome::refused, Ink::red}},
  };
  std::size_t width = 0;
  for (const auto& [name, row] : rows)
    width = std::max(width, with_commas(report.count(row.first)).size());
  for (const auto& [name, row] : rows) {
    const auto count = report.count(row.first);
    const auto number = with_commas(count);
    out += "  " + padded(name, 10) + std::string(width - number.size(), ' ') +
           terminal.paint(count > 0 ? row.second : Ink::dim, number) + "\n";
  }
  if (report.checked) {
    CheckedExamples all;
    for (const auto& [path, one] : report.examples) {
      all.passed += one.passed;
      all.failed += one.failed;
      all.skipped += one.skipped;
    }
    out += "\n  examples: " + with_commas(all.passed) + " passed, " +
           terminal.paint(all.failed > 0 ? Ink::red : Ink::plain, with_commas(all.failed) + " failed") +
           (all.skipped > 0 ? ", " + with_commas(all.skipped) + " skipped" : "") + "\n";
    for (const auto& [path, one] : report.examples) {
      if (one.failures.empty()) continue;
      out += "  " + printable(path) + "\n";
      const auto shown = verbose ? one.failures.size() : std::min<std::size_t>(one.failures.size(), 2);
      for (std::size_t i = 0; i < shown; ++i)
        out += "    " + shortened(printable(one.failures[i]), verbose ? 1000 : terminal.width() - 5) + "\n";
      if (shown < one.failures.size())
        out += terminal.paint(Ink::dim, "    and " + with_commas(one.failures.size() - shown) + " more") + "\n";
    }
  }
  const auto sorted = refusals(report);
  if (!sorted.faults.empty()) {
    out += "\n" + terminal.paint(Ink::bold, "refused") + "\n";
    add_groups(out, grouped(sorted.faults), terminal, Ink::red, verbose);
  }
  if (!sorted.stays_out.empty()) {
    out += "\n" + terminal.paint(Ink::bold, "left as it is") + "\n";
    add_groups(out, grouped(sorted.stays_out), terminal, Ink::yellow, verbose);
  }
  std::size_t warnings = 0, with_warnings = 0;
  for (const auto& one : report.installed) {
    warnings += one.warnings.size();
    with_warnings += one.warnings.empty() ? 0 : 1;
  }
  std::string notes;
  if (verbose) {
    for (const auto& one : report.installed) {
      if (one.warnings.empty()) continue;
      notes += "  " + printable(one.path) + "\n";
      for (const auto& text : one.warnings)
        notes += "    " + terminal.paint(Ink::yellow, printable(text)) + "\n";
    }
    if (!notes.empty()) out += "\n" + terminal.paint(Ink::bold, "warnings") + "\n" + notes;
    if (!report.found.passed_over.empty()) {
      out += "\n" + terminal.paint(Ink::bold, "passed over") + "\n";
      add_groups(out, grouped(report.found.passed_over), terminal, Ink::plain, true);
    }
    return out;
  }
  if (warnings > 0) notes += counted(warnings, "warning") + " about " + counted(with_warnings, "driver");
  if (!report.found.passed_over.empty())
    notes += (notes.empty() ? "" : "; ") + with_commas(report.found.passed_over.size()) + " passed over";
  if (!notes.empty()) out += "\n" + terminal.paint(Ink::dim, notes + " (--verbose lists them)") + "\n";
  return out;
}

boost::json::object to_json(const ImportReport& report) {
  json::array layouts, drivers, passed_over;
  std::map<std::string, const CheckedExamples*> examples;
  for (const auto& [path, checked] : report.examples)
    examples[path] = &checked;
  for (auto layout : report.found.layouts)
    layouts.emplace_back(driver::to_text(layout));
  for (const auto& one : report.found.refused)
    drivers.push_back(
        json::object{{"path", one.path}, {"outcome", "refused"}, {"reason", one.reason}, {"ownFault", true}});
  for (const auto& one : report.installed) {
    json::object o{{"path", one.path}, {"id", one.id}, {"outcome", driver::to_text(one.outcome)}};
    if (!one.reason.empty()) o["reason"] = one.reason;
    if (one.outcome == Installed::Outcome::refused) o["ownFault"] = one.own_fault;
    if (!one.warnings.empty()) o["warnings"] = strings(one.warnings);
    if (const auto found = examples.find(one.path); found != examples.end()) {
      const auto& checked = *found->second;
      o["examples"] = json::object{{"passed", checked.passed},
                                   {"failed", checked.failed},
                                   {"skipped", checked.skipped},
                                   {"failures", strings(checked.failures)}};
    }
    drivers.push_back(std::move(o));
  }
  for (const auto& one : report.found.passed_over)
    passed_over.push_back(json::object{{"path", one.path}, {"reason", one.reason}});
  return {{"target", report.target},
          {"dryRun", report.dry_run},
          {"seconds", report.seconds},
          {"layouts", std::move(layouts)},
          {"created", report.count(Installed::Outcome::created)},
          {"replaced", report.count(Installed::Outcome::replaced)},
          {"unchanged", report.count(Installed::Outcome::unchanged)},
          {"refused", report.count(Installed::Outcome::refused)},
          {"drivers", std::move(drivers)},
          {"passedOver", std::move(passed_over)}};
}

}  // namespace sluice::app
