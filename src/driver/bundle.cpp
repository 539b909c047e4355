// SPDX-License-Identifier: Apache-2.0
#include "driver/bundle.h"

#include <algorithm>
#include <array>

namespace sluice::driver {
namespace {

constexpr std::string_view kFirstLine = "//# bundle";
constexpr std::string_view kMarker = "//# file";

constexpr std::array<std::string_view, 8> kOffered = {
    "decodeUplink", "decodeDownlink", "encodeDownlink", "extractPoints", "Decoder", "Encoder", "Decode", "Encode"};

}  // namespace

std::string bundle(const std::vector<Part>& parts) {
  std::string out(kFirstLine);
  // Three functions around a part: the outer two give it `module` and `exports` as parameters, so that in the innermost
  // it may declare these and any other name, by var, let or const.
  out += R"(
var driver = {};
(function ($root, $driver) {
var $names = [)";
  for (auto name : kOffered)
    out += "\"" + std::string(name) + "\", ";
  out += R"(];
function $part($only, $run) {
  var module = { exports: {} };
  $run(module, module.exports, function ($functions, $own) {
    $names.forEach(function ($name, $i) {
      if ($only.length && $only.indexOf($name) < 0) return;
      [$own, { [$name]: $functions[$i] }, module.exports].forEach(function ($from) {
        if (!$driver[$name] && $from && $from !== $driver && typeof $from[$name] === "function")
          $driver[$name] = $from[$name];
      });
    });
  });
}
)";
  for (const auto& part : parts) {
    out += "$part([";
    for (const auto& name : part.offers)
      out += "\"" + name + "\", ";
    out += "], function (module, exports, $offer) { (function () {\n";
    out += std::string(kMarker) + " " + part.file + "\n" + part.text;
    if (!part.text.ends_with('\n')) out += '\n';
    out += std::string(kMarker) + "\n;$offer([";
    for (auto name : kOffered)
      out += "typeof " + std::string(name) + " === \"function\" ? " + std::string(name) + " : null, ";
    out += "], typeof driver === \"object\" ? driver : null);\n}).call($root); });\n";
  }
  out += "})(this, driver);\n";
  return out;
}

Place place_of(std::string_view code, int line) {
  if (!code.starts_with(kFirstLine)) return {"", line};
  Place place{"", 0};
  int number = 1;
  for (std::size_t at = 0; at < code.size() && number <= line; ++number) {
    const auto end = std::min(code.find('\n', at), code.size());
    const auto text = code.substr(at, end - at);
    if (text == kMarker || text.starts_with("//# file ")) {
      place.file = text.substr(std::min(text.size(), kMarker.size() + 1));
      place.line = number;
    }
    at = end + 1;
  }
  if (place.file.empty()) return {"", 0};
  return {place.file, line - place.line};
}

}  // namespace sluice::driver
