// SPDX-License-Identifier: Apache-2.0
#include "app/driver_check.h"

#include <boost/json/array.hpp>
#include <charconv>
#include <memory>
#include <utility>

#include "base/codec.h"
#include "driver/bundle.h"

namespace sluice::app {
namespace {

using driver::Tried;

bool holds(std::string_view text, const std::string& lower_part) {
  return to_lower(text).find(lower_part) != std::string::npos;
}

std::vector<driver::Example> chosen(const std::vector<driver::Example>& all, const std::string& filter) {
  if (filter.empty()) return all;
  const auto part = to_lower(filter);
  std::vector<driver::Example> out;
  for (const auto& example : all) {
    if (holds(example.description, part) || holds(example.file, part) || holds(driver::to_string(example.kind), part))
      out.push_back(example);
  }
  return out;
}

// Why the code cannot be evaluated, and where: a call tells the place, which an inspection does not.
void explain_unusable(driver::Engine& engine, const driver::DriverCode& code, const Error& error, Checked& checked) {
  checked.unusable = error.text;
  auto outcome = engine.run(std::make_shared<driver::DriverCode>(code), driver::Operation::decode_uplink, {});
  if (!outcome.ok && outcome.where) checked.where = outcome.where;
  const std::string_view prefix = "driver internal error: ";
  if (checked.unusable.starts_with(prefix)) checked.unusable.erase(0, prefix.size());
}

void measure(driver::Engine& engine, const driver::DriverCode& code, const driver::RunCalls& run, Checked& checked) {
  auto coverage = driver::Coverage::of(engine, code.source);
  if (!coverage) {
    checked.no_coverage = coverage.error().text;
    return;
  }
  const auto rewritten = coverage->instrumented(code);
  std::vector<driver::Call> calls;
  for (std::size_t i = 0; i < checked.examples.size(); ++i) {
    if (checked.tried[i].verdict == Tried::Verdict::skipped) continue;
    if (auto call = driver::call_of(rewritten, checked.examples[i])) calls.push_back(std::move(*call));
  }
  if (!calls.empty()) {
    for (const auto& outcome : run(std::move(calls)))
      coverage->add(outcome);
  }
  checked.coverage = coverage->lines();
}

std::string_view line_of(std::string_view text, int line) {
  for (int i = 1; i < line && !text.empty(); ++i) {
    const auto end = text.find('\n');
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  text = text.substr(0, text.find('\n'));
  if (text.ends_with('\r')) text.remove_suffix(1);
  return text;
}

constexpr std::string_view kPointsFile = "extractPoints.js";

SourcePlace place_in(const driver::Package& package, bool points_file, int line, int column) {
  SourcePlace place{.line = line, .column = column};
  if (points_file) {
    place.file = kPointsFile;
    place.text = line_of(package.extract_points, line);
    return place;
  }
  place.text = line_of(package.code, line);
  const auto found = driver::place_of(package.code, line);
  place.file = found.file.empty() ? package.entry : found.file;
  if (found.line > 0) place.line = found.line;
  return place;
}

// "name@driver.js:3:9"
std::optional<Frame> read_frame(const driver::Package& package, std::string_view text) {
  Frame frame;
  const auto at = text.rfind('@');
  if (at != std::string_view::npos) {
    frame.function = text.substr(0, at);
    text.remove_prefix(at + 1);
  }
  const auto column_at = text.rfind(':');
  if (column_at == std::string_view::npos || column_at == 0) return {};
  const auto line_at = text.rfind(':', column_at - 1);
  if (line_at == std::string_view::npos) return {};
  int line = 0, column = 0;
  const auto number = [&](std::size_t from, std::size_t to, int& into) {
    return std::from_chars(text.data() + from, text.data() + to, into).ec == std::errc{};
  };
  if (!number(line_at + 1, column_at, line) || !number(column_at + 1, text.size(), column)) return {};
  frame.place = place_in(package, text.substr(0, line_at) == kPointsFile, line, column);
  return frame;
}

boost::json::object place_json(const SourcePlace& place) {
  return {{"file", place.file}, {"line", place.line}, {"column", place.column}};
}

}  // namespace

std::vector<Frame> frames_of(const driver::Package& package, const driver::Where& where) {
  std::vector<Frame> frames;
  std::string_view rest = where.stack;
  while (!rest.empty()) {
    const auto end = rest.find('\n');
    if (auto frame = read_frame(package, rest.substr(0, end))) frames.push_back(std::move(*frame));
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  }
  if (frames.empty() && where.line > 0) frames.push_back({"", place_in(package, false, where.line, where.column)});
  return frames;
}

std::vector<std::string> ranges_of(const driver::Package& package, const std::vector<std::pair<int, int>>& ranges) {
  std::vector<std::string> out;
  for (const auto& [first, last] : ranges) {
    const auto from = driver::place_of(package.code, first), to = driver::place_of(package.code, last);
    std::string text = from.file.empty() ? "" : from.file + ":";
    const auto number = [](const driver::Place& place, int line) {
      return std::to_string(place.line > 0 ? place.line : line);
    };
    text += number(from, first);
    if (last != first && from.file == to.file) text += "-" + number(to, last);
    if (from.file != to.file) text += " to " + to.file + ":" + number(to, last);
    out.push_back(std::move(text));
  }
  return out;
}

Checked check(driver::Engine& engine, driver::Package package, const CheckOptions& options) {
  Checked checked;
  checked.package = std::move(package);
  const auto& p = checked.package;
  auto code = driver::code_of(p);
  code.limits = options.limits;
  const auto offers = engine.inspect({.source = p.code,
                                      .declared = p.signature,
                                      .extract_points_source = p.extract_points,
                                      .use_context = p.use_context,
                                      .trusted = p.trusted_crc_matches});
  if (!offers) {
    explain_unusable(engine, code, offers.error(), checked);
    checked.failed = 1;
    return checked;
  }
  checked.signature = code.signature = p.signature.value_or(offers->signature);
  checked.examples = chosen(p.examples, options.filter);
  const auto run = driver::calls_of(engine);
  checked.tried = driver::try_examples(run, code, *offers, checked.examples);
  for (const auto& tried : checked.tried) {
    if (tried.verdict == Tried::Verdict::skipped)
      ++checked.skipped;
    else if (tried.good())
      ++checked.passed;
    else
      ++checked.failed;
  }
  if (options.coverage && !checked.examples.empty()) measure(engine, code, run, checked);
  return checked;
}

boost::json::object Checked::to_json() const {
  static constexpr const char* kVerdicts[] = {"passed", "failed", "error", "skipped"};
  boost::json::object out{
      {"id", package.id()}, {"path", package.path}, {"signature", driver::type_of_signature(signature)},
      {"passed", passed},   {"failed", failed},     {"skipped", skipped}};
  const auto add_place = [&](boost::json::object& into, const std::optional<driver::Where>& where) {
    if (!where) return;
    const auto frames = frames_of(package, *where);
    if (!frames.empty()) into["where"] = place_json(frames.front().place);
  };
  if (!unusable.empty()) {
    out["error"] = unusable;
    add_place(out, where);
  }
  if (!package.warnings.empty()) out["warnings"] = boost::json::array(package.warnings.begin(), package.warnings.end());
  boost::json::array list;
  for (std::size_t i = 0; i < tried.size(); ++i) {
    const auto& it = tried[i];
    boost::json::object one{{"description", examples[i].description},
                            {"type", driver::to_string(examples[i].kind)},
                            {"file", examples[i].file},
                            {"verdict", kVerdicts[static_cast<std::size_t>(it.verdict)]},
                            {"timeUs", it.time_us}};
    if (!it.problem.empty()) one["problem"] = it.problem;
    add_place(one, it.where);
    if (!it.differences.empty()) {
      boost::json::array differences;
      for (const auto& difference : it.differences)
        differences.emplace_back(difference.to_json());
      one["differences"] = std::move(differences);
    }
    if (!it.good()) {
      one["input"] = examples[i].input;
      if (it.output) one["output"] = *it.output;
    }
    if (!it.log.empty()) one["console"] = boost::json::array(it.log.begin(), it.log.end());
    if (!it.warnings.empty()) one["warnings"] = boost::json::array(it.warnings.begin(), it.warnings.end());
    list.emplace_back(std::move(one));
  }
  out["examples"] = std::move(list);
  if (coverage) {
    boost::json::array missed;
    for (auto& range : ranges_of(package, coverage->missed))
      missed.emplace_back(std::move(range));
    out["coverage"] = boost::json::object{{"lines", coverage->all},
                                          {"reached", coverage->reached},
                                          {"percent", coverage->percent()},
                                          {"missed", std::move(missed)}};
  } else if (!no_coverage.empty()) {
    out["coverage"] = boost::json::object{{"notAvailable", no_coverage}};
  }
  return out;
}

}  // namespace sluice::app
