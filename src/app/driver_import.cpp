// SPDX-License-Identifier: Apache-2.0
#include "app/driver_import.h"

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <fstream>
#include <iostream>

#include "app/import_report.h"
#include "app/import_target.h"
#include "app/progress.h"
#include "base/codec.h"
#include "base/json.h"
#include "base/log.h"
#include "driver/collection.h"
#include "driver/trial.h"

namespace sluice::app {
namespace {

struct Flags {
  std::vector<std::string> paths;
  ImportTarget target;
  std::string secret_file, secret_environment, producer, application, report;
  bool check = false, verbose = false;
};

int fail(const std::string& text) {
  std::cerr << "sluice: " << printable(text) << "\n";
  return 1;
}

Result<std::string> secret_of(const Flags& flags) {
  if (!flags.secret_environment.empty()) {
    const char* given = std::getenv(flags.secret_environment.c_str());
    if (given == nullptr || *given == '\0')
      return Error{ErrorKind::bad_config, "the environment variable " + flags.secret_environment + " is not set"};
    return std::string(given);
  }
  if (flags.secret_file.empty()) return std::string();
  std::ifstream file(flags.secret_file);
  std::string line;
  if (!std::getline(file, line) || trim(line).empty())
    return Error{ErrorKind::bad_config, "no secret in " + flags.secret_file};
  return std::string(trim(line));
}

// What a driver does not say of itself and the command line does.
Result<void> complete(std::vector<driver::Package>& packages, const Flags& flags) {
  std::optional<driver::ModuleName> application;
  if (!flags.application.empty()) {
    application = driver::parse_module(flags.application);
    if (!application)
      return Error{ErrorKind::bad_config, "--application is PRODUCER:MODULE:VERSION, each of A-Z a-z 0-9 . _ -"};
    if (packages.size() > 1)
      return Error{ErrorKind::bad_config,
                   "--application is for one driver, and there are " + std::to_string(packages.size())};
  }
  for (auto& package : packages) {
    if (!flags.producer.empty()) package.producer = driver::id_part(flags.producer);
    if (package.producer.empty()) package.producer = "custom";
    if (application) package.application = application;
    if (!package.application)
      package.application =
          driver::ModuleName{package.producer, package.name, package.version.substr(0, package.version.find('.'))};
  }
  return {};
}

std::string failure_text(const driver::Example& example, const driver::Tried& tried) {
  auto text = example.description + ": ";
  if (!tried.problem.empty()) return text + tried.problem;
  if (tried.differences.empty()) return text + "differs";
  const auto& first = tried.differences.front();
  auto shown = [](const std::optional<json::value>& v) { return v ? json::write(*v) : std::string("nothing"); };
  return text + first.path + ": expected " + shown(first.expected) + ", got " + shown(first.got);
}

CheckedExamples check_examples(driver::Engine& engine, const driver::Package& package) {
  CheckedExamples checked;
  const auto found = engine.inspect({.source = package.code,
                                     .declared = package.signature,
                                     .extract_points_source = package.extract_points,
                                     .use_context = package.use_context,
                                     .trusted = package.trusted_crc_matches});
  if (!found) return checked;  // refused, with this reason, where it is installed
  const auto tried = driver::try_examples(driver::calls_of(engine), driver::code_of(package, found->signature), *found,
                                          package.examples);
  for (std::size_t i = 0; i < tried.size(); ++i) {
    if (tried[i].verdict == driver::Tried::Verdict::skipped) {
      ++checked.skipped;
    } else if (tried[i].good()) {
      ++checked.passed;
    } else {
      ++checked.failed;
      checked.failures.push_back(failure_text(package.examples[i], tried[i]));
    }
  }
  return checked;
}

Result<void> check_all(ImportReport& report, const Terminal& terminal) {
  Metrics metrics;
  driver::Engine engine(driver::EngineOptions(), metrics);
  if (auto started = engine.start(); !started) return started;
  report.checked = true;
  Progress progress(terminal, "checking", report.found.packages.size());
  for (const auto& package : report.found.packages) {
    if (!package.code.empty() && !package.examples.empty())
      report.examples.emplace_back(package.path, check_examples(engine, package));
    progress.step(package.path);
  }
  return {};
}

Result<void> write_report(const std::string& path, const ImportReport& report) {
  const auto text = json::write_pretty(to_json(report)) + "\n";
  if (path == "-") {
    std::cout << text;
    return {};
  }
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) return Error{ErrorKind::bad_config, "cannot write the report " + path};
  return {};
}

int import_drivers(Flags flags) {
  log::start();
  (void)log::set_level("warn");
  const auto start = std::chrono::steady_clock::now();
  const Terminal errors(stderr), output(stdout);
  auto secret = secret_of(flags);
  if (!secret) return fail(secret.error().text);
  flags.target.client_secret = *secret;

  ImportReport report;
  report.dry_run = flags.target.dry_run;
  {
    Progress progress(errors, "reading", 0);
    report.found = driver::scan(flags.paths, [&](const std::string& path) { progress.step(path); });
  }
  if (auto completed = complete(report.found.packages, flags); !completed) return fail(completed.error().text);
  if (flags.check) {
    if (auto checked = check_all(report, errors); !checked) return fail(checked.error().text);
  }
  std::optional<Error> stopped;
  if (!report.found.packages.empty()) {
    auto importer = open_importer(flags.target);
    if (!importer) return fail(importer.error().text);
    report.target = (*importer)->name();
    Progress progress(errors, "importing", report.found.packages.size());
    auto done = (*importer)->install(std::move(report.found.packages), [&](const driver::Installed& one) {
      progress.step(one.path);
      report.installed.push_back(one);
    });
    if (!done) stopped = done.error();
  }
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (!flags.report.empty()) {
    if (auto written = write_report(flags.report, report); !written) return fail(written.error().text);
  }
  if (flags.report != "-") std::cout << to_text(report, output, flags.verbose) << std::flush;
  if (stopped) return fail("stopped before the end: " + stopped->text);
  return report.has_faults() ? 1 : 0;
}

}  // namespace

void add_driver_import(CLI::App& word, std::function<int()>& run) {
  auto flags = std::make_shared<Flags>();
  auto* import_word = word.add_subcommand("import", "Bring drivers in: one, or a whole checkout of a collection");
  import_word->add_option("PATH", flags->paths, "A .tgz, a .js file, a driver's folder, or a collection of drivers")
      ->required();
  auto& target = flags->target;
  import_word->add_option("--data", target.data, "The server's data directory (default ./sluice-data)");
  import_word->add_option("--account", target.account,
                          "For this account alone (default: system drivers, for all accounts)");
  import_word->add_option("--url", target.url, "A running server (default: the one that serves the data directory)");
  import_word->add_option("--client-id", target.client_id, "Who signs in there (default admin)");
  auto* file = import_word->add_option("--client-secret-file", flags->secret_file, "Its secret, in a file");
  import_word->add_option("--client-secret-env", flags->secret_environment, "Its secret, in this environment variable")
      ->excludes(file);
  import_word->add_option("--producer", flags->producer, "Who writes the drivers, instead of what they say themselves");
  import_word->add_option("--application", flags->application,
                          "What devices of one driver speak: PRODUCER:MODULE:VERSION");
  import_word->add_flag("--force", target.force, "Let an older version replace a newer one");
  import_word->add_flag("--trust", target.trust, "Let drivers with a matching trustedCRC use the crypto library");
  import_word->add_flag("--check", flags->check, "Run the drivers' examples first and report what differs");
  import_word->add_flag("--dry-run", target.dry_run, "Say what would be done, change nothing");
  import_word->add_option("--report", flags->report, "Write the report as JSON to this file, - for standard output");
  import_word->add_flag("-v,--verbose", flags->verbose, "List every warning and everything that was passed over");
  import_word->footer(
      "Collections: the reference catalogue's folders, The Things Network's, ChirpStack's, folders with a decoder and "
      "an\n"
      "encoder, folders of archives. Exit code 1 where a driver was refused for a fault of its own.");
  import_word->callback([flags, &run] { run = [flags] { return import_drivers(*flags); }; });
}

}  // namespace sluice::app
