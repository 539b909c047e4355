// SPDX-License-Identifier: Apache-2.0
#include "driver/files.h"

#include <algorithm>
#include <archive.h>
#include <archive_entry.h>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>

namespace sluice::driver {
namespace {

namespace fs = std::filesystem;

constexpr int kLevels = 4;

Error fault(const std::string& text) {
  return {ErrorKind::permanent, text, "com-4000"};
}

// "./a//b" is "a/b"; nothing for an absolute name, one with "..", or none at all.
std::optional<std::string> plain_name(std::string_view name) {
  if (name.starts_with('/') || name.find('\0') != std::string_view::npos) return {};
  std::string plain;
  while (!name.empty()) {
    const auto slash = name.find('/');
    const auto part = name.substr(0, slash);
    if (part == "..") return {};
    if (!part.empty() && part != ".") plain += (plain.empty() ? "" : "/") + std::string(part);
    name = slash == std::string_view::npos ? std::string_view() : name.substr(slash + 1);
  }
  return plain.empty() ? std::nullopt : std::optional(plain);
}

class FolderFiles : public Files {
 public:
  explicit FolderFiles(const std::string& path) : path_(path) {
    std::error_code ec;
    canonical_ = fs::canonical(path_, ec);
  }

  [[nodiscard]] bool has(const std::string& name) const override {
    const auto path = inside(name);
    std::error_code ec;
    return path && fs::is_regular_file(*path, ec);
  }

  [[nodiscard]] Result<std::string> read(const std::string& name, std::size_t limit) const override {
    const auto path = inside(name);
    if (!path) return fault(name + ": not there");
    auto bytes = read_file(*path, limit);
    if (!bytes) return fault(name + bytes.error().text.substr(std::min(path->size(), bytes.error().text.size())));
    return bytes;
  }

  [[nodiscard]] std::vector<std::string> list(const std::string& folder) const override {
    std::vector<std::string> names;
    std::error_code ec;
    const auto root = folder.empty() ? path_ : path_ + "/" + folder;
    for (auto it = fs::recursive_directory_iterator(root, fs::directory_options::skip_permission_denied, ec);
         !ec && it != fs::recursive_directory_iterator() && names.size() < kFileCountLimit; it.increment(ec)) {
      const auto name = it->path().filename().string();
      if (it->is_directory(ec) && (it.depth() >= kLevels || name == "node_modules" || name.starts_with('.')))
        it.disable_recursion_pending();
      if (!it->is_regular_file(ec)) continue;
      auto relative = it->path().lexically_relative(path_).generic_string();
      names.push_back(std::move(relative));
    }
    std::sort(names.begin(), names.end());
    return names;
  }

 private:
  [[nodiscard]] std::optional<std::string> inside(const std::string& name) const {
    const auto plain = plain_name(name);
    if (!plain) return {};
    std::error_code ec;
    const auto path = fs::canonical(path_ + "/" + *plain, ec);
    if (ec) return {};
    const auto end = std::mismatch(canonical_.begin(), canonical_.end(), path.begin(), path.end()).first;
    if (end != canonical_.end()) return {};
    return path.string();
  }

  std::string path_;
  fs::path canonical_;
};

class MemoryFiles : public Files {
 public:
  explicit MemoryFiles(std::map<std::string, std::string> files) : files_(std::move(files)) {}

  [[nodiscard]] bool has(const std::string& name) const override {
    const auto plain = plain_name(name);
    return plain && files_.contains(*plain);
  }

  [[nodiscard]] Result<std::string> read(const std::string& name, std::size_t limit) const override {
    const auto plain = plain_name(name);
    const auto found = plain ? files_.find(*plain) : files_.end();
    if (found == files_.end()) return fault(name + ": not there");
    if (found->second.size() > limit) return fault(name + ": over " + std::to_string(limit >> 10) + " KiB");
    return found->second;
  }

  [[nodiscard]] std::vector<std::string> list(const std::string& folder) const override {
    std::vector<std::string> names;
    for (const auto& [name, text] : files_) {
      const bool below = folder.empty() || name.starts_with(folder + "/");
      const auto levels =
          std::count(name.begin() + static_cast<std::ptrdiff_t>(below ? folder.size() : 0), name.end(), '/');
      if (below && levels <= kLevels + 1) names.push_back(name);
    }
    return names;
  }

 private:
  std::map<std::string, std::string> files_;
};

struct ArchiveEnd {
  void operator()(archive* a) const { archive_read_free(a); }
};

std::string archive_fault(archive* a) {
  const char* text = archive_error_string(a);
  return text != nullptr ? text : "unknown format";
}

Result<std::string> read_entry(archive* a, const std::string& name, std::size_t& left) {
  std::string bytes;
  std::array<char, 64 << 10> block{};
  for (;;) {
    const auto got = archive_read_data(a, block.data(), block.size());
    if (got < 0) return fault("archive: " + name + ": " + archive_fault(a));
    if (got == 0) return bytes;
    if (static_cast<std::size_t>(got) > left) return fault("archive: over 16 MiB unpacked");
    left -= static_cast<std::size_t>(got);
    bytes.append(block.data(), static_cast<std::size_t>(got));
  }
}

// Without the first folder, where all names have the same one.
std::map<std::string, std::string> without_first_folder(std::map<std::string, std::string> files) {
  if (files.empty()) return files;
  const auto& first = files.begin()->first;
  const auto slash = first.find('/');
  if (slash == std::string::npos) return files;
  const auto prefix = first.substr(0, slash + 1);
  if (!std::all_of(files.begin(), files.end(), [&](const auto& file) { return file.first.starts_with(prefix); }))
    return files;
  std::map<std::string, std::string> stripped;
  for (auto& [name, text] : files)
    stripped.emplace(name.substr(prefix.size()), std::move(text));
  return stripped;
}

}  // namespace

std::unique_ptr<Files> open_folder(const std::string& path) {
  return std::make_unique<FolderFiles>(path);
}

Result<std::unique_ptr<Files>> open_archive(std::string_view bytes) {
  const std::unique_ptr<archive, ArchiveEnd> a(archive_read_new());
  if (!a) return fault("archive: no memory");
  archive_read_support_filter_gzip(a.get());
  archive_read_support_format_tar(a.get());
  if (archive_read_open_memory(a.get(), bytes.data(), bytes.size()) != ARCHIVE_OK)
    return fault("archive: " + archive_fault(a.get()));
  std::map<std::string, std::string> files;
  std::size_t left = kUnpackedLimit, entries = 0;
  for (;;) {
    archive_entry* entry = nullptr;
    const int got = archive_read_next_header(a.get(), &entry);
    if (got == ARCHIVE_EOF) break;
    if (got != ARCHIVE_OK && got != ARCHIVE_WARN) return fault("archive: " + archive_fault(a.get()));
    if (++entries > kFileCountLimit) return fault("archive: more than 4,096 files");
    const char* given = archive_entry_pathname_utf8(entry);
    if (given == nullptr) given = archive_entry_pathname(entry);
    const std::string raw = given != nullptr ? given : "";
    const auto name = plain_name(raw);
    const auto type = archive_entry_filetype(entry);
    if (archive_entry_hardlink(entry) != nullptr || archive_entry_symlink(entry) != nullptr)
      return fault("archive: " + raw + " is a link");
    if (type == AE_IFDIR) continue;
    if (!name) return fault("archive: the name " + raw + " leads out of the package");
    if (type != AE_IFREG) return fault("archive: " + raw + " is no plain file");
    auto text = read_entry(a.get(), raw, left);
    if (!text) return text.error();
    files[*name] = std::move(*text);
  }
  if (files.empty()) return fault("archive: no files in it");
  return std::unique_ptr<Files>(std::make_unique<MemoryFiles>(without_first_folder(std::move(files))));
}

Result<std::string> read_file(const std::string& path, std::size_t limit) {
  std::error_code ec;
  if (!fs::exists(path, ec)) return fault(path + ": not there");
  if (!fs::is_regular_file(path, ec)) return fault(path + ": no plain file");
  std::ifstream file(path, std::ios::binary);
  std::string bytes;
  std::array<char, 64 << 10> block{};
  while (file.read(block.data(), block.size()) || file.gcount() > 0) {
    bytes.append(block.data(), static_cast<std::size_t>(file.gcount()));
    if (bytes.size() > limit) return fault(path + ": over " + std::to_string(limit >> 10) + " KiB");
  }
  if (!file.eof()) return fault(path + ": cannot be read: " + std::strerror(errno));
  return bytes;
}

std::string crc32(std::string_view bytes) {
  static const auto kTable = [] {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      auto value = i;
      for (int bit = 0; bit < 8; ++bit)
        value = (value >> 1) ^ ((value & 1) != 0 ? 0xedb88320u : 0);
      table[i] = value;
    }
    return table;
  }();
  std::uint32_t crc = 0xffffffff;
  for (unsigned char c : bytes)
    crc = kTable[(crc ^ c) & 0xff] ^ (crc >> 8);
  crc = ~crc;
  std::string hex;
  for (int shift = 28; shift >= 0; shift -= 4)
    hex += "0123456789abcdef"[(crc >> shift) & 0xf];
  return hex;
}

}  // namespace sluice::driver
