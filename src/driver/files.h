// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sluice::driver {

inline constexpr std::size_t kSourceLimit = 1u << 20;     // of JavaScript (spec drivers.md 14)
inline constexpr std::size_t kUnpackedLimit = 16u << 20;  // of an archive, all files
inline constexpr std::size_t kFileCountLimit = 4096;      // of an archive or a folder
inline constexpr std::size_t kTextLimit = 4u << 20;       // of any other file that is read

// The files of one package, by name with slashes ("examples/a.examples.json"), wherever they lie. Names that lead out
// of the package do not exist.
class Files {
 public:
  virtual ~Files() = default;
  [[nodiscard]] virtual bool has(const std::string& name) const = 0;
  // The bytes. Errors: permanent, naming the file: none of that name, over `limit`, not to be read.
  [[nodiscard]] virtual Result<std::string> read(const std::string& name, std::size_t limit = kTextLimit) const = 0;
  // The names of the files below a folder ("": all), in order, at most 4 levels deep and kFileCountLimit of them.
  [[nodiscard]] virtual std::vector<std::string> list(const std::string& folder) const = 0;
};

// A folder. Links are followed as long as they stay within it.
std::unique_ptr<Files> open_folder(const std::string& path);

// A gzipped tar archive, unpacked into memory. A first folder that all files share, as npm's "package/", is left out.
// Errors: permanent: no such archive, links or other things that are no files, names that lead out, over the bounds.
Result<std::unique_ptr<Files>> open_archive(std::string_view bytes);

// A file on the disk. Errors: permanent, naming it: cannot be read, no plain file, over `limit`.
Result<std::string> read_file(const std::string& path, std::size_t limit);

// CRC-32 (IEEE 802.3), eight lower-case hex digits.
std::string crc32(std::string_view bytes);

}  // namespace sluice::driver
