// SPDX-License-Identifier: Apache-2.0
// `sluice driver new`: a package to start a driver from.
#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>

#include "app/driver_template.h"
#include "app/driver_word.h"
#include "app/terminal.h"

namespace sluice::app {
namespace {

namespace fs = std::filesystem;
using Ink = Terminal::Ink;

struct Given {
  NewDriver driver;
  std::string signature = "lora-alliance", directory;
};

int refuse(const std::string& why) {
  const Terminal terminal(stderr);
  std::fprintf(stderr, "%s %s\n", terminal.paint(Ink::red, "sluice driver new:").c_str(), printable(why).c_str());
  return 2;
}

const char* purpose(const std::string& file) {
  if (file == "driver.yaml") return "who the driver is, the protocol it speaks, its version";
  if (file == "index.js") return "the code: a decoder and an encoder to change";
  if (file == "examples.json") return "inputs, and what must come out of them";
  if (file == "package.json") return "the same name and version for npm";
  if (file == "README.md") return "what to do next";
  return "inputs that must be refused";
}

int make(Given given) {
  given.driver.signature = given.signature == "actility"
                               ? driver::Signature::actility
                               : driver::signature_of_type(given.signature).value_or(driver::Signature::lora_alliance);
  if (auto fault = fault_of(given.driver); !fault.empty()) return refuse(fault);
  const fs::path folder = given.directory.empty() ? fs::path(given.driver.name) : fs::path(given.directory);
  std::error_code error;
  if (fs::exists(fs::symlink_status(folder, error)))
    return refuse(folder.string() + " is there already: nothing is overwritten; choose another --dir");
  for (const auto& [path, text] : template_files(given.driver)) {
    const auto file = folder / path;
    fs::create_directories(file.parent_path(), error);
    if (error) return refuse("cannot make " + file.parent_path().string() + ": " + error.message());
    std::ofstream out(file, std::ios::binary);
    out << text;
    out.close();
    if (!out) return refuse("cannot write " + file.string() + ": " + std::strerror(errno));
  }
  const Terminal terminal(stdout);
  const std::string place = printable(folder.string());
  std::printf("%s %s\n", terminal.paint(Ink::green, "Made").c_str(), terminal.paint(Ink::bold, place + "/").c_str());
  for (const auto& [path, text] : template_files(given.driver))
    std::printf("  %s %s\n", padded(path, 28).c_str(), terminal.paint(Ink::dim, purpose(path)).c_str());
  if (given.driver.name.size() > 16 || given.driver.producer.size() > 8) {
    std::printf("%s names of over 16 characters, producers of over 8, are refused by some platforms\n",
                terminal.paint(Ink::yellow, "Note:").c_str());
  }
  std::printf("Next: %s\n", terminal.paint(Ink::cyan, "sluice driver test " + place).c_str());
  return 0;
}

}  // namespace

void add_driver_new(CLI::App& driver, std::function<int()>& run) {
  auto given = std::make_shared<Given>();
  auto* word = driver.add_subcommand("new", "Make a package to start a driver from");
  word->add_option("NAME", given->driver.name, "name of the driver: lower-case letters, digits, - _ .")->required();
  word->add_option("--signature", given->signature, "which functions it has")
      ->check(CLI::IsMember({"lora-alliance", "actility", "ttn", "chirpstack"}))
      ->capture_default_str();
  word->add_option("--dir", given->directory, "folder to make; default: NAME");
  word->add_option("--producer", given->driver.producer, "who writes it: lower-case letters and digits")
      ->capture_default_str();
  word->callback([given, &run] { run = [given] { return make(*given); }; });
}

}  // namespace sluice::app
