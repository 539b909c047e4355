// SPDX-License-Identifier: Apache-2.0
#include "driver/package.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <filesystem>

#include "base/codec.h"
#include "base/json.h"
#include "driver/bundle.h"
#include "driver/files.h"
#include "driver/lenient.h"
#include "driver/markup.h"
#include "message/json_scan.h"

namespace sluice::driver {
namespace {

namespace fs = std::filesystem;

constexpr std::array<const char*, 4> kLinks = {"specification", "deviceImageUrl", "manufacturerLogoUrl",
                                               "providerLogoUrl"};

Error fault(const std::string& text) {
  return {ErrorKind::permanent, text, "com-4000"};
}

bool is_id_character(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_' || c == '-';
}

// The last part of a path that ends in no slash.
std::string last_part(const std::string& path) {
  auto plain = fs::path(path).lexically_normal();
  if (!plain.has_filename()) plain = plain.parent_path();
  auto name = plain.filename().string();
  if (name == "." || name == "..") {
    std::error_code ec;
    name = fs::canonical(path, ec).filename().string();
  }
  return name;
}

std::string without_scope(std::string name) {
  const auto slash = name.rfind('/');
  return name.starts_with('@') && slash != std::string::npos ? name.substr(slash + 1) : name;
}

// A text, or a number as text.
std::string scalar(const json::object& o, std::string_view key) {
  const auto* found = json::find(o, key);
  if (found == nullptr) return "";
  if (found->is_string()) return std::string(trim(found->get_string()));
  return found->is_number() ? json::write(*found) : "";
}

Result<std::string> read_source(const Files& files, const std::string& name) {
  auto text = files.read(name, kSourceLimit);
  if (text && !message::scan::valid_utf8(*text)) return fault(name + ": not UTF-8");
  return text;
}

Result<json::object> read_object(const Files& files, const std::string& name) {
  auto text = files.read(name);
  if (!text) return text.error();
  auto parsed = parse_lenient(*text);
  if (!parsed) return fault(name + ": " + parsed.error().text);
  if (!parsed->is_object()) return fault(name + ": no JSON object");
  return std::move(parsed->get_object());
}

// The entry file (spec drivers.md 2); "" where there is none.
Result<std::string> entry_of(const Files& files, const json::object* manifest) {
  auto named = manifest != nullptr ? json::text_or(*manifest, "main") : std::string();
  std::replace(named.begin(), named.end(), '\\', '/');
  while (named.starts_with("./"))
    named.erase(0, 2);
  if (!named.empty()) {
    // As Node's resolution has it.
    for (const char* ending : {"", ".js", "/index.js"}) {
      if (files.has(named + ending)) return named + ending;
    }
    return fault("package.json: main names " + named + ", which is not in the package");
  }
  for (const char* name : {"index.js", "main.js"}) {
    if (files.has(name)) return std::string(name);
  }
  return std::string();
}

void warn(Package& package, const std::string& text) {
  if (package.warnings.size() < 200) package.warnings.push_back(text);
}

void warn_length(Package& package, const char* what, const std::string& text, std::size_t most) {
  if (text.size() > most)
    warn(package, std::string(what) + " " + text + " has more than " + std::to_string(most) + " characters");
}

// Section 1's lengths: published drivers break them.
void warn_lengths(Package& package) {
  warn_length(package, "the name", package.name, 16);
  warn_length(package, "the producer", package.producer, 8);
  if (!package.application) return;
  warn_length(package, "the application's producer", package.application->producer, 8);
  warn_length(package, "the application's module", package.application->module, 16);
  const auto& version = package.application->version;
  if (!std::all_of(version.begin(), version.end(), [](unsigned char c) { return std::isdigit(c) != 0; }))
    warn(package, "the application's version " + version + " is not of digits alone");
}

// A part of an id as it may be stored.
std::string cleaned(Package& package, const char* what, const std::string& text) {
  auto part = id_part(text);
  if (part != text) warn(package, std::string(what) + " '" + text + "' is taken as " + part);
  return part;
}

void take(Package& package, ExamplesRead read) {
  for (auto& example : read.examples)
    package.examples.push_back(std::move(example));
  for (auto& text : read.faults)
    warn(package, text);
}

void read_example_file(Package& package, const Files& files, const std::string& name, ExampleForm form) {
  auto text = files.read(name);
  if (!text) return warn(package, text.error().text);
  take(package, read_examples(*text, name, form, package.signature));
}

void read_example_folder(Package& package, const Files& files, const char* folder, std::string_view ending,
                         ExampleForm form) {
  for (const auto& name : files.list(folder)) {
    if (name.ends_with(ending)) read_example_file(package, files, name, form);
  }
}

void read_all_examples(Package& package, const Files& files) {
  if (files.has("examples.json"))
    read_example_file(package, files, "examples.json", ExampleForm::current);
  else
    read_example_folder(package, files, "examples", ".examples.json", ExampleForm::legacy);
  read_example_folder(package, files, "errors", ".errors.json", ExampleForm::errors);
  for (const char* name : {"nonRegressionSamples.json", "non-regression.json"}) {
    if (!files.has(name)) continue;
    read_example_file(package, files, name, ExampleForm::samples);
    break;
  }
}

void read_schema(Package& package, const Files& files, const std::string& name, json::object& into) {
  if (!files.has(name)) return;
  auto schema = read_object(files, name);
  if (schema)
    into = std::move(*schema);
  else
    warn(package, schema.error().text);
}

// The code, with its entry file's name; none at all is fine for a private driver.
Result<void> read_code(Package& package, const Files& files, const json::object* manifest) {
  auto entry = entry_of(files, manifest);
  if (!entry) {
    if (package.is_private) return {};
    return entry.error();
  }
  if (entry->empty()) {
    if (package.is_private) return {};
    return fault("no entry file: neither index.js nor main.js, and no main in package.json");
  }
  auto code = read_source(files, *entry);
  if (!code) return code.error();
  package.entry = *entry;
  package.code = std::move(*code);
  return {};
}

Result<void> read_version(Package& package, const std::string& given, const char* where) {
  auto version = plain_version(given);
  if (!version) return fault(std::string(where) + " is no version: " + (given.empty() ? "absent" : given));
  if (*version != given) warn(package, std::string(where) + " " + given + " is taken as " + *version);
  package.version = *version;
  return {};
}

// An npm package: package.json with an object `driver` (spec drivers.md 2.1).
Result<Package> read_npm(const Files& files, const json::object& manifest, const std::string& path) {
  Package package{.path = path};
  const auto& driver = json::find(manifest, "driver")->get_object();
  const auto type = json::text_or(driver, "type");
  if (type == "thingpark-x-java") return fault("package.json: driver.type thingpark-x-java cannot be run");
  const auto signature = json::text_or(driver, "signature");
  const auto name = without_scope(json::text_or(manifest, "name"));
  const auto* found = json::find(driver, "application");
  const auto application = found != nullptr && found->is_object() ? found->get_object() : json::object();
  std::string missing;
  auto required = [&](const std::string& key, bool there) {
    if (!there) missing += (missing.empty() ? "" : ", ") + key;
  };
  required("name", !name.empty());
  required("version", !json::text_or(manifest, "version").empty());
  required("driver.producerId", !scalar(driver, "producerId").empty());
  required("driver.type", !type.empty());
  for (const char* key : {"producerId", "moduleId", "version"})
    required(std::string("driver.application.") + key, !scalar(application, key).empty());
  if (!missing.empty()) return fault("package.json: missing: " + missing);

  package.signature = signature_of_type(signature.empty() ? type : signature);
  if (signature == "actility") package.signature = Signature::actility;
  if (!package.signature)
    return fault("package.json: unknown driver." + (signature.empty() ? "type " + type : "signature " + signature));
  package.name = cleaned(package, "the name", name);
  if (auto read = read_version(package, json::text_or(manifest, "version"), "package.json: version"); !read)
    return read.error();
  package.producer = cleaned(package, "driver.producerId", scalar(driver, "producerId"));
  package.label = json::text_or(manifest, "description");
  package.description = json::text_or(driver, "description");
  package.application = ModuleName{cleaned(package, "driver.application.producerId", scalar(application, "producerId")),
                                   cleaned(package, "driver.application.moduleId", scalar(application, "moduleId")),
                                   cleaned(package, "driver.application.version", scalar(application, "version"))};
  package.is_private = json::bool_or(driver, "private", false);
  package.use_context = json::bool_or(driver, "useContext", false);
  if (const auto* points = json::find(driver, "points"); points != nullptr && points->is_object())
    package.points_schema = points->get_object();
  for (const char* link : kLinks) {
    if (auto text = json::text_or(manifest, link); !text.empty()) package.links[link] = text;
  }
  if (auto read = read_code(package, files, &manifest); !read) return read.error();
  read_all_examples(package, files);
  read_schema(package, files, "json-schemas/uplink.schema.json", package.uplink_schema);
  read_schema(package, files, "json-schemas/downlink.schema.json", package.downlink_schema);
  warn_lengths(package);
  return package;
}

// A catalogue folder: driver.yaml (spec drivers.md 2.2).
Result<Package> read_catalogue(const Files& files, const std::string& path) {
  auto text = files.read("driver.yaml");
  if (!text) return text.error();
  auto parsed = parse_yaml(*text, Scalars::text);
  if (!parsed) return fault("driver.yaml: " + parsed.error().text);
  if (!parsed->is_object()) return fault("driver.yaml: no keys");
  const auto& keys = parsed->get_object();
  Package package{.path = path, .by_protocol = true};
  const auto signature = json::text_or(keys, "signature");
  package.signature = signature.empty()         ? Signature::lora_alliance
                      : signature == "actility" ? Signature::actility
                                                : signature_of_type(signature);
  if (!package.signature)
    return fault("driver.yaml: signature " + signature + " is none of lora-alliance, actility, ttn, chirpstack");
  package.application = parse_module(json::text_or(keys, "protocolId"));
  if (!package.application) {
    const auto given = json::text_or(keys, "protocolId");
    return fault("driver.yaml: protocolId " +
                 (given.empty() ? "is missing" : given + " is not producer:module:version"));
  }
  package.producer = cleaned(package, "producerId", json::text_or(keys, "producerId"));
  if (package.producer.empty()) return fault("driver.yaml: missing: producerId");
  const auto name = without_scope(json::text_or(keys, "packageName"));
  package.name = id_part(name.empty() ? last_part(path) : name);
  const auto version = json::text_or(keys, "packageVersion");
  if (auto plain = plain_version(version)) {
    package.version = *plain;
  } else {
    if (!version.empty()) warn(package, "driver.yaml: packageVersion " + version + " is no version");
    package.version = plain_version(package.application->version).value_or("1.0.0");
  }
  package.label = json::text_or(keys, "name");
  package.description = json::text_or(keys, "description");
  package.use_context = json::text_or(keys, "useContext") == "true";
  json::object manifest;
  if (files.has("package.json")) {
    if (auto read = read_object(files, "package.json"))
      manifest = std::move(*read);
    else
      warn(package, read.error().text);
  }
  for (const char* link : kLinks) {
    if (auto url = json::text_or(manifest, link); !url.empty()) package.links[link] = url;
  }
  auto entry = entry_of(files, &manifest);
  // Private drivers are listed without their code (spec drivers.md 16.4).
  package.is_private = entry && entry->empty();
  if (auto read = read_code(package, files, &manifest); !read) return read.error();
  package.trusted_crc = to_lower(json::text_or(keys, "trustedCRC"));
  if (!package.trusted_crc.empty()) {
    package.trusted_crc_matches = !package.code.empty() && crc32(package.code) == package.trusted_crc;
    if (!package.trusted_crc_matches)
      warn(package, "driver.yaml: trustedCRC is not that of " + (package.entry.empty() ? "the code" : package.entry));
  }
  if (files.has("extractPoints.js")) {
    auto extra = read_source(files, "extractPoints.js");
    if (!extra) return extra.error();
    package.extract_points = std::move(*extra);
  }
  read_all_examples(package, files);
  read_schema(package, files, "json-schemas/uplink.schema.json", package.uplink_schema);
  read_schema(package, files, "json-schemas/downlink.schema.json", package.downlink_schema);
  warn_lengths(package);
  return package;
}

// The LoRa Alliance's package (spec drivers.md 18), or code with a package.json that makes it no driver: neither says
// producer and application.
Result<Package> read_plain(const Files& files, const json::object& manifest, const std::string& path) {
  Package package{.path = path};
  json::object metadata;
  const bool ts013 = files.has("metadata.json");
  if (ts013) {
    auto read = read_object(files, "metadata.json");
    if (!read) return read.error();
    metadata = std::move(*read);
    package.signature = Signature::lora_alliance;
  }
  auto said = [&](const char* key) {
    auto text = scalar(metadata, key);
    return text.empty() ? scalar(manifest, key) : text;
  };
  const auto name = without_scope(said("name"));
  package.name = id_part(name.empty() ? last_part(path) : name);
  package.version = plain_version(said("version")).value_or("1.0.0");
  package.label = name;
  package.description = said("description");
  if (auto read = read_code(package, files, &manifest); !read) return read.error();
  read_all_examples(package, files);
  read_schema(package, files, "uplink.schema.json", package.uplink_schema);
  read_schema(package, files, "downlink.schema.json", package.downlink_schema);
  return package;
}

std::string code_ending(const std::string& name, std::string_view ending) {
  return name.substr(0, name.size() - ending.size());
}

}  // namespace

std::string Package::id() const {
  return producer + ":" + name + ":" + version.substr(0, version.find('.'));
}

std::string id_part(std::string_view text) {
  std::string part;
  for (char c : text) {
    const char next = is_id_character(c) ? c : '-';
    // One dash for what was several characters or one of several bytes.
    if (next == '-' && c != '-' && part.ends_with('-')) continue;
    part += next;
  }
  part.resize(std::min<std::size_t>(part.size(), 64));
  return part;
}

std::optional<ModuleName> parse_module(std::string_view text) {
  text = trim(text);
  std::array<std::string, 3> parts;
  for (std::size_t i = 0; i < 3; ++i) {
    const auto colon = text.find(':');
    if ((colon == std::string_view::npos) != (i == 2)) return {};
    const auto part = trim(text.substr(0, colon));
    if (part.empty() || part.size() > 64 || !std::all_of(part.begin(), part.end(), is_id_character)) return {};
    parts[i] = part;
    if (i < 2) text.remove_prefix(colon + 1);
  }
  return ModuleName{parts[0], parts[1], parts[2]};
}

std::optional<std::string> plain_version(std::string_view text) {
  text = trim(text);
  if (text.starts_with('v')) text.remove_prefix(1);
  const auto end = std::min(text.find_first_of("-+"), text.size());
  auto release = text.substr(0, end);
  std::string plain;
  for (int i = 0; i < 3; ++i) {
    auto part = release.substr(0, release.find('.'));
    if (release.empty() && i > 0) part = "0";
    int number = 0;
    const auto read = std::from_chars(part.data(), part.data() + part.size(), number);
    if (part.empty() || read.ec != std::errc() || read.ptr != part.data() + part.size() || number < 0) return {};
    plain += (i > 0 ? "." : "") + std::to_string(number);
    release.remove_prefix(std::min(release.size(), part.size() + 1));
  }
  const auto rest = text.substr(end);
  if (!release.empty() || rest.size() > 40) return {};
  if (!std::all_of(rest.begin(), rest.end(), [](char c) { return is_id_character(c) || c == '+'; })) return {};
  return plain + std::string(rest);
}

bool older_than(std::string_view a, std::string_view b) {
  // What stands before the point, and what comes behind it; numbers are below words.
  const auto next = [](std::string_view& text) {
    const auto part = text.substr(0, text.find('.'));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    return part;
  };
  const auto compare = [](std::string_view x, std::string_view y) {
    const auto number = [](std::string_view t) {
      return !t.empty() && t.find_first_not_of("0123456789") == std::string_view::npos;
    };
    if (number(x) != number(y)) return number(x) ? -1 : 1;
    if (number(x) && x.size() != y.size()) return x.size() < y.size() ? -1 : 1;
    return x.compare(y) < 0 ? -1 : x == y ? 0 : 1;
  };
  const auto split = [](std::string_view text) {
    text = text.substr(0, text.find('+'));
    const auto dash = std::min(text.find('-'), text.size());
    return std::pair(text.substr(0, dash), text.substr(std::min(text.size(), dash + 1)));
  };
  auto [a_release, a_more] = split(a);
  auto [b_release, b_more] = split(b);
  for (int i = 0; i < 3; ++i) {
    if (const int order = compare(next(a_release), next(b_release)); order != 0) return order < 0;
  }
  if (a_more.empty() || b_more.empty()) return !a_more.empty() && b_more.empty();
  while (!a_more.empty() && !b_more.empty()) {
    if (const int order = compare(next(a_more), next(b_more)); order != 0) return order < 0;
  }
  return a_more.empty() && !b_more.empty();
}

bool is_ttn_codec(const json::value& yaml) {
  const auto* keys = yaml.if_object();
  if (keys == nullptr) return false;
  for (const char* key : {"uplinkDecoder", "downlinkEncoder", "downlinkDecoder"}) {
    const auto* found = json::find(*keys, key);
    if (found != nullptr && found->is_object() && !json::text_or(found->get_object(), "fileName").empty()) return true;
  }
  return false;
}

Result<Package> read_ttn_codec(const Files& files, const std::string& file, const std::string& vendor,
                               const std::string& path) {
  auto text = files.read(file);
  if (!text) return text.error();
  auto parsed = parse_yaml(*text, Scalars::typed);
  if (!parsed) return fault(file + ": " + parsed.error().text);
  if (!is_ttn_codec(*parsed)) return fault(file + ": neither uplinkDecoder nor downlinkEncoder nor downlinkDecoder");
  const auto& keys = parsed->get_object();
  Package package{.path = path};
  package.signature = Signature::lora_alliance;
  auto name = code_ending(file, ".yaml");
  if (name.ends_with("-codec")) name = code_ending(name, "-codec");
  if (name.starts_with("codec-")) name = name.substr(6);
  package.name = id_part(name);
  package.version = "1.0.0";
  package.producer = id_part(vendor);
  package.application = ModuleName{package.producer, package.name, "1"};
  struct Role {
    const char* key;
    Example::Kind kind;
    std::vector<std::string> functions;
  };
  const std::array<Role, 3> roles = {
      {{"uplinkDecoder", Example::Kind::uplink, {"decodeUplink", "Decoder"}},
       {"downlinkEncoder", Example::Kind::downlink_encode, {"encodeDownlink", "Encoder"}},
       {"downlinkDecoder", Example::Kind::downlink_decode, {"decodeDownlink"}}}};
  std::vector<Part> parts;
  for (const auto& role : roles) {
    const auto* found = json::find(keys, role.key);
    if (found == nullptr || !found->is_object()) continue;
    const auto& says = found->get_object();
    const auto script = json::text_or(says, "fileName");
    if (script.empty()) continue;
    auto part = std::find_if(parts.begin(), parts.end(), [&](const Part& p) { return p.file == script; });
    if (part == parts.end()) {
      auto source = read_source(files, script);
      if (!source) return fault(file + ": " + role.key + ".fileName: " + source.error().text);
      part = parts.insert(parts.end(), Part{script, std::move(*source)});
    }
    part->offers.insert(part->offers.end(), role.functions.begin(), role.functions.end());
    if (const auto* examples = json::find(says, "examples"))
      take(package, read_ttn_examples(*examples, file, role.kind));
  }
  package.entry = parts.front().file;
  package.code = parts.size() == 1 ? std::move(parts.front().text) : bundle(parts);
  if (package.code.size() > kSourceLimit) return fault(file + ": the scripts together are over 1 MiB");
  // The platform runs the old names as well as the new ones.
  if (package.code.find("decodeUplink") == std::string::npos && package.code.find("Decoder") != std::string::npos)
    package.signature.reset();
  return package;
}

std::string find_coder(const Files& files, const std::string& folder_name) {
  std::vector<std::string> decoders;
  for (const auto& name : files.list("")) {
    if (name.ends_with("-decoder.js") && name.find('/') == std::string::npos) decoders.push_back(name);
  }
  const auto own = std::find(decoders.begin(), decoders.end(), folder_name + "-decoder.js");
  if (own != decoders.end()) return *own;
  return decoders.size() == 1 ? decoders.front() : "";
}

Result<Package> read_coder_pair(const Files& files, const std::string& decoder, const std::string& path) {
  Package package{.path = path};
  const auto name = code_ending(decoder, "-decoder.js");
  // A folder's name is its own; a decoder's may be another device's, too.
  package.name = id_part(last_part(path));
  package.version = "1.0.0";
  package.producer = "milesight";
  package.application = ModuleName{package.producer, package.name, "1"};
  package.models = {*package.application};
  package.entry = decoder;
  std::vector<Part> parts;
  for (const auto& file : {decoder, name + "-encoder.js"}) {
    if (!files.has(file)) continue;
    auto text = read_source(files, file);
    if (!text) return text.error();
    parts.push_back({file, std::move(*text)});
  }
  if (parts.empty()) return fault(decoder + ": not there");
  package.code = parts.size() == 1 ? std::move(parts.front().text) : bundle(parts);
  if (package.code.size() > kSourceLimit) return fault(decoder + ": the scripts together are over 1 MiB");
  if (files.has("README.md")) {
    auto readme = files.read("README.md");
    if (!readme) {
      warn(package, readme.error().text);
      return package;
    }
    const auto heading = trim(std::string_view(*readme).substr(0, readme->find('\n')));
    if (heading.starts_with("# ") && message::scan::valid_utf8(heading)) package.label = trim(heading.substr(2));
    take(package, read_examples(*readme, "README.md", ExampleForm::readme));
  }
  return package;
}

Result<Package> read_script(const Files& files, const std::string& file, const std::string& path) {
  Package package{.path = path};
  auto code = read_source(files, file);
  if (!code) return code.error();
  package.code = std::move(*code);
  package.entry = file;
  const auto slash = file.rfind('/');
  const auto stem = code_ending(file.substr(slash == std::string::npos ? 0 : slash + 1), ".js");
  package.name = id_part(stem);
  package.version = "1.0.0";
  const auto folder = slash == std::string::npos ? std::string() : file.substr(0, slash + 1);
  for (const auto& [prefix, form] : {std::pair("test_decode_", ExampleForm::chirpstack_decode),
                                     std::pair("test_encode_", ExampleForm::chirpstack_encode)}) {
    const auto name = folder + prefix + stem + ".json";
    if (files.has(name)) read_example_file(package, files, name, form);
  }
  return package;
}

Result<Package> read_package(const Files& files, const std::string& path) {
  if (files.has("driver.yaml")) return read_catalogue(files, path);
  json::object manifest;
  if (files.has("package.json")) {
    auto read = read_object(files, "package.json");
    if (!read) return read.error();
    manifest = std::move(*read);
  }
  if (const auto* driver = json::find(manifest, "driver"); driver != nullptr && driver->is_object())
    return read_npm(files, manifest, path);
  if (!files.has("index.js") && !files.has("main.js") && !manifest.contains("main")) {
    if (auto decoder = find_coder(files, last_part(path)); !decoder.empty())
      return read_coder_pair(files, decoder, path);
    return fault("no driver here: neither driver.yaml, package.json with an object driver, index.js nor x-decoder.js");
  }
  return read_plain(files, manifest, path);
}

Result<Package> read_package(const std::string& path) {
  std::error_code ec;
  const bool is_folder = fs::is_directory(path, ec);
  if (!is_folder && !fs::exists(path, ec)) return fault(path + ": not there");
  Result<Package> package = fault("neither a folder nor a file of .tgz, .js or .yaml");
  const auto folder = fs::path(path).parent_path().empty() ? std::string(".") : fs::path(path).parent_path().string();
  if (is_folder) {
    package = read_package(*open_folder(path), path);
  } else if (path.ends_with(".tgz") || path.ends_with(".tar.gz")) {
    auto bytes = read_file(path, kUnpackedLimit);
    if (!bytes) return bytes.error();
    auto files = open_archive(*bytes);
    package = files ? read_package(**files, path) : Result<Package>(files.error());
  } else if (path.ends_with(".js")) {
    package = read_script(*open_folder(folder), last_part(path), path);
  } else if (path.ends_with(".yaml")) {
    package = read_ttn_codec(*open_folder(folder), last_part(path), last_part(folder), path);
  }
  if (!package) return fault(path + ": " + package.error().text);
  return package;
}

}  // namespace sluice::driver
