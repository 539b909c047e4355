// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <unistd.h>

#include "app/data_directory.h"
#include "app/key.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "store/store.h"

namespace sluice::app {
namespace {

std::string key_path(const std::string& directory) {
  return directory + "/key";
}
std::string fresh_path(const std::string& directory) {
  return directory + "/key.new";
}

bool exists(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

}  // namespace

Result<std::string> installation_key(const std::string& directory) {
  const auto path = key_path(directory), fresh = fresh_path(directory);
  if (!exists(fresh)) return load_or_make_key(path);
  // Both keys lie there: which one the database is sealed with tells whether its transaction had been committed.
  auto old = read_key(path);
  if (!old) return old.error();
  auto sealed_with_old = store::sealed_with(directory, SecretBox(*old));
  if (!sealed_with_old) return sealed_with_old.error();
  if (sealed_with_old->value_or(true)) {
    if (::unlink(fresh.c_str()) != 0) return Error{ErrorKind::bad_config, "cannot remove " + fresh};
    return old;
  }
  auto key = read_key(fresh);
  if (!key) return key.error();
  auto sealed_with_fresh = store::sealed_with(directory, SecretBox(*key));
  if (!sealed_with_fresh) return sealed_with_fresh.error();
  if (!sealed_with_fresh->value_or(false)) {
    return Error{ErrorKind::bad_config, "the secrets in " + directory + " are sealed with neither key nor key.new"};
  }
  if (auto replaced = replace_key(fresh, path); !replaced) return replaced.error();
  return key;
}

Result<std::size_t> rotate_key(const std::string& directory) {
  if (!exists(key_path(directory)))
    return Error{ErrorKind::bad_config, "there is no key in " + directory + ": is it a data directory?"};
  auto lock = DirectoryLock::take(directory);
  if (!lock) return lock.error();
  auto old = installation_key(directory);
  if (!old) return old.error();
  {
    // Brings an older schema up to date, and tells a wrong key before anything is changed.
    auto store = store::open_sqlite(directory, SecretBox(*old), system_clock());
    if (!store) return store.error();
  }
  if (auto made = make_key(fresh_path(directory)); !made) return made.error();
  auto key = read_key(fresh_path(directory));
  if (!key) return key.error();
  auto sealed = store::seal_anew(directory, SecretBox(*old), SecretBox(*key));
  if (!sealed) {
    // The transaction was not committed, or it was and the disk failed after it: both are sorted out here.
    if (auto sorted = installation_key(directory); !sorted) return sorted.error();
    return sealed.error();
  }
  if (auto replaced = replace_key(fresh_path(directory), key_path(directory)); !replaced) return replaced.error();
  return *sealed;
}

void add_key(CLI::App& app, std::function<int()>& run) {
  auto* word = app.add_subcommand("key", "The key that seals stored secrets");
  word->require_subcommand(1);
  auto* rotate = word->add_subcommand("rotate", "Seal all stored secrets with a fresh key; the server must be stopped");
  auto directory = std::make_shared<std::string>("./sluice-data");
  rotate->add_option("--data", *directory, "The data directory (default ./sluice-data)");
  rotate->footer("Interrupted at any moment, it loses nothing: the next start or rotation goes on from there.");
  rotate->callback([directory, &run] {
    run = [directory]() -> int {
      auto count = rotate_key(*directory);
      if (!count) {
        std::cerr << "sluice: " << count.error().text << "\n";
        return 1;
      }
      std::cout << "sealed " << *count << " values with a fresh key in " << *directory << "/key\n";
      return 0;
    };
  });
}

}  // namespace sluice::app
