// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <map>

#include "driver/files.h"
#include "driver/markup.h"
#include "driver/package.h"

namespace {

// One manifest, whatever it is called, beside a script.
class OneFile : public sluice::driver::Files {
 public:
  OneFile(std::string name, std::string text) {
    files_[std::move(name)] = std::move(text);
    files_["index.js"] = "function decodeUplink(input) { return {}; }";
  }
  [[nodiscard]] bool has(const std::string& name) const override { return files_.contains(name); }
  [[nodiscard]] sluice::Result<std::string> read(const std::string& name, std::size_t) const override {
    const auto found = files_.find(name);
    if (found == files_.end()) return sluice::Error{sluice::ErrorKind::permanent, name + ": not there"};
    return found->second;
  }
  [[nodiscard]] std::vector<std::string> list(const std::string&) const override {
    std::vector<std::string> names;
    for (const auto& [name, text] : files_)
      names.push_back(name);
    return names;
  }

 private:
  std::map<std::string, std::string> files_;
};

}  // namespace

// The first byte chooses: an archive, package.json, driver.yaml, a codec's YAML, TOML, a package of the API.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice::driver;  // NOLINT
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 6) {
    case 0: {
      auto files = open_archive(text);
      if (files) (void)read_package(**files, "x.tgz");
      break;
    }
    case 1: {
      auto package = read_package(OneFile("package.json", text), "x");
      if (package && package->application && !package->producer.empty()) (void)package_from_json(to_json(*package));
      break;
    }
    case 2:
      (void)read_package(OneFile("driver.yaml", text), "x");
      break;
    case 3:
      (void)read_ttn_codec(OneFile("x-codec.yaml", text), "x-codec.yaml", "vendor", "x");
      break;
    case 4:
      (void)parse_toml(text);
      break;
    case 5: {
      auto parsed = sluice::json::parse(text);
      if (parsed && parsed->is_object()) (void)package_from_json(parsed->get_object());
      break;
    }
  }
  return 0;
}
