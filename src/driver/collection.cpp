// SPDX-License-Identifier: Apache-2.0
#include "driver/collection.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "base/codec.h"
#include "base/json.h"
#include "driver/files.h"
#include "driver/markup.h"

namespace sluice::driver {
namespace {

namespace fs = std::filesystem;

// What one folder holds, in name order; nothing hidden.
struct Listing {
  std::vector<std::string> folders, files;
};

Listing list(const std::string& path) {
  Listing listing;
  std::error_code ec;
  for (auto it = fs::directory_iterator(path, ec); !ec && it != fs::directory_iterator(); it.increment(ec)) {
    auto name = it->path().filename().string();
    if (name.starts_with('.') || name == "node_modules") continue;
    std::error_code type;
    (it->is_directory(type) ? listing.folders : listing.files).push_back(std::move(name));
  }
  std::sort(listing.folders.begin(), listing.folders.end());
  std::sort(listing.files.begin(), listing.files.end());
  return listing;
}

bool is_file(const std::string& path) {
  std::error_code ec;
  return fs::is_regular_file(path, ec);
}
bool is_folder(const std::string& path) {
  std::error_code ec;
  return fs::is_directory(path, ec);
}

std::string name_of(const std::string& path) {
  auto plain = fs::path(path).lexically_normal();
  if (!plain.has_filename()) plain = plain.parent_path();
  return plain.filename().string();
}

bool any_ends(const std::vector<std::string>& names, std::string_view ending) {
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) { return name.ends_with(ending); });
}

bool is_npm_driver(const std::string& folder) {
  if (!is_file(folder + "/package.json")) return false;
  const auto text = read_file(folder + "/package.json", kTextLimit);
  return text && text->find("\"driver\"") != std::string::npos;
}

bool is_driver_folder(const std::string& path) {
  if (is_file(path + "/driver.yaml") || is_npm_driver(path)) return true;
  return is_file(path + "/metadata.json") && is_file(path + "/index.js");
}

std::string without_path(const std::string& path, const std::string& text) {
  return text.starts_with(path + ": ") ? text.substr(path.size() + 2) : text;
}

class Scanner {
 public:
  Scanner(Collection& found, const std::function<void(const std::string&)>& progress)
      : found_(found), progress_(progress) {}

  Layout scan(const std::string& path) {
    if (!is_folder(path)) {
      add(path, read(path, [&] { return read_package(path); }));
      return Layout::single;
    }
    const auto here = list(path);
    if (is_driver_folder(path)) {
      add(path, read(path, [&] { return read_package(path); }));
      return Layout::single;
    }
    if (is_folder(path + "/vendors")) return vendors(path + "/vendors");
    if (is_folder(path + "/vendor")) return ttn(path + "/vendor");
    const auto name = name_of(path);
    if (name == "vendors") return vendors(path);
    if (name == "vendor") return ttn(path);
    if (is_file(path + "/vendor.toml")) return chirpstack_vendor(path), Layout::chirpstack;
    if (is_folder(path + "/drivers")) return catalogue({path}), Layout::catalogue;
    if (has_codec(path, here)) return ttn_vendor(path), Layout::ttn;
    if (any_ends(here.files, "-decoder.js")) return coder_folder(path), Layout::coder_pairs;
    return deeper(path, here);
  }

 private:
  // What is told by the folders one or two levels below.
  Layout deeper(const std::string& path, const Listing& here) {
    for (const auto& first : here.folders) {
      const auto below = list(path + "/" + first);
      if (is_npm_driver(path + "/" + first)) return older(path);
      if (any_ends(below.files, "-decoder.js")) return coder_series(path), Layout::coder_pairs;
      for (const auto& second : below.folders) {
        const auto folder = path + "/" + first + "/" + second;
        if (is_npm_driver(folder)) return older(path);
        if (any_ends(list(folder).files, "-decoder.js")) {
          for (const auto& series : here.folders)
            coder_series(path + "/" + series);
          return Layout::coder_pairs;
        }
      }
    }
    const bool drivers = std::any_of(here.folders.begin(), here.folders.end(),
                                     [&](const auto& folder) { return is_driver_folder(path + "/" + folder); });
    const bool script = is_file(path + "/index.js") || is_file(path + "/main.js");
    if (script || (!drivers && !any_ends(here.files, ".tgz") && !any_ends(here.files, ".js"))) {
      add(path, read(path, [&] { return read_package(path); }));
      return script ? Layout::single : Layout::none;
    }
    for (const auto& file : here.files) {
      const auto full = path + "/" + file;
      if (file.ends_with(".tgz") || file.ends_with(".tar.gz") || file.ends_with(".js"))
        add(full, read(full, [&] { return read_package(full); }));
    }
    for (const auto& folder : here.folders) {
      const auto full = path + "/" + folder;
      if (is_driver_folder(full)) add(full, read(full, [&] { return read_package(full); }));
    }
    keep_newest();
    return Layout::loose;
  }

  template <class Read>
  Result<Package> read(const std::string& path, Read&& how) {
    if (progress_) progress_(path);
    return how();
  }

  // True where it was taken.
  bool add(const std::string& path, Result<Package> package) {
    if (!package) {
      found_.refused.push_back({path, without_path(path, package.error().text)});
      return false;
    }
    package->path = path;
    found_.packages.push_back(std::move(*package));
    return true;
  }

  void pass_over(const std::string& path, const std::string& why) { found_.passed_over.push_back({path, why}); }

  Layout vendors(const std::string& path) {
    const auto here = list(path);
    const bool toml = std::any_of(here.folders.begin(), here.folders.end(),
                                  [&](const auto& vendor) { return is_file(path + "/" + vendor + "/vendor.toml"); });
    for (const auto& file : here.files)
      pass_over(path + "/" + file, "no vendor's folder");
    if (toml) {
      for (const auto& vendor : here.folders)
        chirpstack_vendor(path + "/" + vendor);
      return Layout::chirpstack;
    }
    std::vector<std::string> folders;
    for (const auto& vendor : here.folders)
      folders.push_back(path + "/" + vendor);
    catalogue(folders);
    return Layout::catalogue;
  }

  // The reference product's catalogue.
  void catalogue(const std::vector<std::string>& vendor_folders) {
    const auto first = found_.packages.size();
    std::map<std::string, std::vector<ModuleName>> models;  // by protocolId
    std::map<std::string, std::string> specifications;
    for (const auto& vendor : vendor_folders) {
      for (const auto& model : list(vendor + "/models").folders)
        read_model(vendor + "/models/" + model, models, specifications);
      const auto logo = vendor_logo(vendor);
      const auto drivers = list(vendor + "/drivers");
      for (const auto& file : drivers.files)
        pass_over(vendor + "/drivers/" + file, "a file among the drivers' folders");
      for (const auto& driver : drivers.folders) {
        const auto path = vendor + "/drivers/" + driver;
        if (!is_file(path + "/driver.yaml") && !is_npm_driver(path)) {
          pass_over(path, "no driver.yaml");
          continue;
        }
        if (!add(path, read(path, [&] { return read_package(path); }))) continue;
        auto& package = found_.packages.back();
        if (!logo.empty() && !package.links.contains("manufacturerLogoUrl"))
          package.links["manufacturerLogoUrl"] = logo;
      }
    }
    for (auto i = first; i < found_.packages.size(); ++i) {
      auto& package = found_.packages[i];
      const auto protocol = to_lower(package.application->text());
      package.models = models[protocol];
      if (auto found = specifications.find(protocol);
          found != specifications.end() && !package.links.contains("specification"))
        package.links["specification"] = found->second;
    }
    settle_ids(first);
  }

  void read_model(const std::string& path, std::map<std::string, std::vector<ModuleName>>& models,
                  std::map<std::string, std::string>& specifications) {
    if (!is_file(path + "/model.yaml")) return pass_over(path, "no model.yaml");
    auto text = read_file(path + "/model.yaml", kTextLimit);
    auto parsed = text ? parse_yaml(*text, Scalars::text) : Result<json::value>(text.error());
    if (!parsed || !parsed->is_object())
      return pass_over(path, "model.yaml: " + (parsed ? "no keys" : without_path(path, parsed.error().text)));
    const auto& keys = parsed->get_object();
    const auto model = parse_module(json::text_or(keys, "modelId"));
    if (!model) return pass_over(path, "model.yaml: modelId is not producer:module:version");
    std::vector<std::string> protocols;
    if (const auto* named = json::find(keys, "protocolId"); named != nullptr && named->is_array()) {
      for (const auto& item : named->get_array()) {
        if (item.is_string()) protocols.emplace_back(item.get_string());
      }
    } else {
      protocols.push_back(json::text_or(keys, "protocolId"));
    }
    for (const auto& text_id : protocols) {
      const auto protocol = parse_module(text_id);
      if (!protocol) continue;
      models[to_lower(protocol->text())].push_back(*model);
      if (auto url = json::text_or(keys, "specificationURL"); !url.empty())
        specifications.emplace(to_lower(protocol->text()), url);
    }
  }

  static std::string vendor_logo(const std::string& vendor) {
    auto text = read_file(vendor + "/vendor.yaml", kTextLimit);
    auto parsed = text ? parse_yaml(*text, Scalars::text) : Result<json::value>(text.error());
    if (!parsed || !parsed->is_object()) return "";
    auto logo = json::text_or(parsed->get_object(), "logo");
    return logo.starts_with("https://") || logo.starts_with("http://") ? logo : "";
  }

  // A protocolId stands for one driver; of two folders with one id the later is called by its protocolId (section 1).
  void settle_ids(std::size_t first) {
    std::map<std::string, std::string> protocols, ids;
    std::vector<Package> kept;
    for (auto i = first; i < found_.packages.size(); ++i) {
      auto& package = found_.packages[i];
      const auto [other, is_new] = protocols.emplace(to_lower(package.application->text()), package.path);
      if (!is_new) {
        found_.refused.push_back(
            {package.path, "protocolId " + package.application->text() + " is already that of " + other->second});
        continue;
      }
      if (!ids.emplace(to_lower(package.id()), package.path).second) {
        const auto before = package.id();
        package.name = package.application->module;
        if (package.id() != package.producer + ":" + package.name + ":" + package.application->version)
          package.version = plain_version(package.application->version).value_or(package.version);
        package.warnings.push_back("the id " + before + " is already another's: " + package.id() + " instead");
        if (const auto [one, free] = ids.emplace(to_lower(package.id()), package.path); !free) {
          found_.refused.push_back({package.path, "the id " + package.id() + " is already that of " + one->second});
          continue;
        }
      }
      kept.push_back(std::move(package));
    }
    found_.packages.resize(first);
    std::move(kept.begin(), kept.end(), std::back_inserter(found_.packages));
  }

  // <producer>/<module>/package.json, or <module>/package.json.
  Layout older(const std::string& path) {
    const auto here = list(path);
    for (const auto& file : here.files) {
      if (file.ends_with(".tgz")) add(path + "/" + file, read(path, [&] { return read_package(path + "/" + file); }));
    }
    for (const auto& first : here.folders) {
      const auto folder = path + "/" + first;
      if (is_npm_driver(folder)) {
        add(folder, read(folder, [&] { return read_package(folder); }));
        continue;
      }
      for (const auto& second : list(folder).folders) {
        const auto full = folder + "/" + second;
        if (is_npm_driver(full))
          add(full, read(full, [&] { return read_package(full); }));
        else if (is_file(full + "/package.json"))
          pass_over(full, "package.json has no object driver");
      }
    }
    keep_newest();
    return Layout::older_catalogue;
  }

  Layout ttn(const std::string& path) {
    for (const auto& vendor : list(path).folders)
      ttn_vendor(path + "/" + vendor);
    return Layout::ttn;
  }

  static bool has_codec(const std::string& path, const Listing& here) {
    return std::any_of(here.files.begin(), here.files.end(), [&](const std::string& file) {
      return file.ends_with("-codec.yaml") && is_file(path + "/" + file);
    });
  }

  // The Things Network's: devices and codecs are files of one folder; a device names the codec of each of its profiles.
  void ttn_vendor(const std::string& path) {
    const auto vendor = name_of(path);
    std::map<std::string, std::vector<ModuleName>> models;  // by the codec file's stem
    struct Device {
      std::string label, description, url;
    };
    std::map<std::string, Device> devices;
    std::vector<std::string> codecs;
    for (const auto& file : list(path).files) {
      if (!file.ends_with(".yaml")) continue;
      auto text = read_file(path + "/" + file, kTextLimit);
      if (!text) {
        pass_over(path + "/" + file, without_path(path + "/" + file, text.error().text));
        continue;
      }
      const bool codec_like =
          text->find("Decoder:") != std::string::npos || text->find("Encoder:") != std::string::npos;
      if (!codec_like && text->find("codec:") == std::string::npos) continue;
      auto parsed = parse_yaml(*text, Scalars::text);
      if (!parsed) {
        // Without its keys nobody can say what it is; a codec's name makes it a driver that is at fault.
        if (codec_like)
          found_.refused.push_back({path + "/" + file, parsed.error().text});
        else
          pass_over(path + "/" + file, parsed.error().text);
        continue;
      }
      if (is_ttn_codec(*parsed)) {
        codecs.push_back(file);
      } else if (parsed->is_object()) {
        const auto& keys = parsed->get_object();
        const auto device = file.substr(0, file.size() - 5);
        for (const auto& codec : codecs_of(keys)) {
          models[codec].push_back({id_part(vendor), id_part(device), "1"});
          devices.emplace(codec, Device{json::text_or(keys, "name"), json::text_or(keys, "description"),
                                        json::text_or(keys, "datasheetURL")});
        }
      }
    }
    const auto files = open_folder(path);
    std::set<std::string> ids;
    for (const auto& file : codecs) {
      const auto full = path + "/" + file;
      auto package = read(full, [&] { return read_ttn_codec(*files, file, vendor, full); });
      if (!add(full, std::move(package))) continue;
      auto& added = found_.packages.back();
      const auto stem = file.substr(0, file.size() - 5);
      added.models = models[stem];
      if (auto device = devices.find(stem); device != devices.end()) {
        added.label = device->second.label;
        added.description = device->second.description;
        if (device->second.url.starts_with("http")) added.links["specification"] = device->second.url;
      }
      // "x-codec" and "codec-x" would be one.
      if (!ids.insert(to_lower(added.name)).second) {
        added.name = id_part(stem);
        added.application->module = added.name;
      }
    }
  }

  // The codecs of all profiles of all firmware versions.
  static std::set<std::string> codecs_of(const json::object& device) {
    std::set<std::string> codecs;
    const auto* versions = json::find(device, "firmwareVersions");
    if (versions == nullptr || !versions->is_array()) return codecs;
    for (const auto& version : versions->get_array()) {
      const auto* profiles = version.is_object() ? json::find(version.get_object(), "profiles") : nullptr;
      if (profiles == nullptr || !profiles->is_object()) continue;
      for (const auto& profile : profiles->get_object()) {
        if (!profile.value().is_object()) continue;
        if (auto codec = json::text_or(profile.value().get_object(), "codec"); !codec.empty()) codecs.insert(codec);
      }
    }
    return codecs;
  }

  void chirpstack_vendor(const std::string& path) {
    if (!is_file(path + "/vendor.toml")) return pass_over(path, "no vendor.toml");
    const auto vendor = id_part(name_of(path));
    struct Device {
      std::vector<ModuleName> models;
      std::string label, description, url;
    };
    std::map<std::string, Device> devices;  // by codec
    for (const auto& file : list(path + "/devices").files) {
      if (!file.ends_with(".toml")) continue;
      const auto full = path + "/devices/" + file;
      auto text = read_file(full, kTextLimit);
      auto parsed = text ? parse_toml(*text) : Result<json::value>(text.error());
      if (!parsed) {
        pass_over(full, without_path(full, parsed.error().text));
        continue;
      }
      read_chirpstack_device(parsed->get_object(),
                             [&](const std::string& codec, const json::object& device, const std::string& url) {
                               auto& known = devices[codec];
                               const ModuleName model{vendor, id_part(file.substr(0, file.size() - 5)), "1"};
                               if (std::find(known.models.begin(), known.models.end(), model) == known.models.end())
                                 known.models.push_back(model);
                               if (known.label.empty()) {
                                 known.label = json::text_or(device, "name");
                                 known.description = json::text_or(device, "description");
                                 known.url = url;
                               }
                             });
    }
    const auto files = open_folder(path + "/codecs");
    for (const auto& file : list(path + "/codecs").files) {
      if (!file.ends_with(".js")) continue;
      const auto full = path + "/codecs/" + file;
      auto package = read(full, [&] { return read_script(*files, file, full); });
      if (package) {
        package->producer = vendor;
        package->application = ModuleName{vendor, package->name, "1"};
        auto& device = devices[file];
        package->models = device.models;
        package->label = device.label;
        package->description = device.description;
        if (device.url.starts_with("http")) package->links["specification"] = device.url;
        if (device.models.empty()) package->warnings.push_back("no device names this codec");
      }
      add(full, std::move(package));
    }
  }

  template <class Use>
  static void read_chirpstack_device(const json::object& root, Use&& use) {
    const auto* device = json::find(root, "device");
    if (device == nullptr || !device->is_object()) return;
    const auto& keys = device->get_object();
    std::string url;
    if (const auto* metadata = json::find(keys, "metadata"); metadata != nullptr && metadata->is_object())
      url = json::text_or(metadata->get_object(), "documentation_url");
    const auto* firmware = json::find(keys, "firmware");
    if (firmware == nullptr || !firmware->is_array()) return;
    for (const auto& version : firmware->get_array()) {
      if (!version.is_object()) continue;
      if (auto codec = json::text_or(version.get_object(), "codec"); !codec.empty()) use(codec, keys, url);
    }
  }

  void coder_series(const std::string& path) {
    for (const auto& device : list(path).folders)
      coder_folder(path + "/" + device);
  }

  // A decoder and an encoder in a folder; further scripts are other drivers' or no drivers at all.
  void coder_folder(const std::string& path) {
    const auto files = open_folder(path);
    const auto decoder = find_coder(*files, name_of(path));
    if (!decoder.empty()) add(path, read(path, [&] { return read_coder_pair(*files, decoder, path); }));
    const auto encoder = decoder.substr(0, decoder.size() - std::min<std::size_t>(decoder.size(), 11)) + "-encoder.js";
    for (const auto& file : list(path).files) {
      if (!file.ends_with(".js") || file == decoder || (!decoder.empty() && file == encoder)) continue;
      const auto full = path + "/" + file;
      if (file.ends_with("-cellular.js"))
        pass_over(full, "for the cellular variant: it has no LoRaWAN functions");
      else if (file.ends_with("-decoder.js") && decoder.empty())
        pass_over(full, "one of several decoders, none called as the folder");
      else
        pass_over(full, decoder.empty() ? "no decoder" : "beside " + decoder);
    }
  }

  // Of several releases under one id in a folder only the newest is of use.
  void keep_newest() {
    std::map<std::string, std::size_t> newest;
    std::vector<bool> drop(found_.packages.size(), false);
    for (std::size_t i = 0; i < found_.packages.size(); ++i) {
      const auto& package = found_.packages[i];
      if (package.producer.empty()) continue;
      const auto [at, is_new] = newest.emplace(to_lower(package.id()), i);
      if (is_new) continue;
      const auto older_one = older_than(found_.packages[at->second].version, package.version) ? at->second : i;
      drop[older_one] = true;
      at->second = at->second == older_one ? i : at->second;
      pass_over(found_.packages[older_one].path, "version " + found_.packages[older_one].version + ": a newer one is " +
                                                     found_.packages[at->second].path);
    }
    std::size_t kept = 0;
    for (std::size_t i = 0; i < found_.packages.size(); ++i) {
      if (drop[i]) continue;
      if (kept != i) found_.packages[kept] = std::move(found_.packages[i]);
      ++kept;
    }
    found_.packages.resize(kept);
  }

  Collection& found_;
  const std::function<void(const std::string&)>& progress_;
};

}  // namespace

const char* to_text(Layout layout) {
  switch (layout) {
    case Layout::none:
      return "no driver";
    case Layout::single:
      return "one driver";
    case Layout::catalogue:
      return "a catalogue";
    case Layout::older_catalogue:
      return "a catalogue of packages";
    case Layout::ttn:
      return "The Things Network's layout";
    case Layout::chirpstack:
      return "ChirpStack's layout";
    case Layout::coder_pairs:
      return "decoders beside encoders";
    case Layout::loose:
      return "a folder of drivers";
  }
  return "";
}

Collection scan(const std::vector<std::string>& paths, const std::function<void(const std::string&)>& progress) {
  Collection found;
  for (auto path : paths) {
    while (path.size() > 1 && path.ends_with('/'))
      path.pop_back();
    Scanner scanner(found, progress);
    found.layouts.push_back(scanner.scan(path));
  }
  return found;
}

}  // namespace sluice::driver
