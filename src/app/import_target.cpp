// SPDX-License-Identifier: Apache-2.0
#include "app/import_target.h"

#include "api/driver_calls.h"
#include "app/data_directory.h"
#include "app/key.h"
#include "app/rest_client.h"
#include "base/crypto.h"
#include "base/json.h"
#include "base/metrics.h"

namespace sluice::app {
namespace {

using driver::Installed;
using driver::Package;

constexpr std::size_t kBatchBytes = 4u << 20;  // a server takes 5 MiB
constexpr std::size_t kLargest = 4'900'000;    // bytes of one driver
constexpr std::size_t kBatchDrivers = 25;      // few enough for the progress to move
constexpr const char* kApi = "/iot-flow/v1";

Error config_error(const std::string& text) {
  return {ErrorKind::bad_config, text};
}

// Writes into the database itself, with an engine of its own to look at the code.
class LocalImporter : public Importer {
 public:
  static Result<std::unique_ptr<Importer>> open(const ImportTarget& target, DirectoryLock lock) {
    std::unique_ptr<LocalImporter> made(new LocalImporter(target.data, std::move(lock)));
    auto key = installation_key(target.data);
    if (!key) return key.error();
    auto store = store::open_sqlite(target.data, SecretBox(*key), system_clock());
    if (!store) return store.error();
    made->store_ = std::move(*store);
    if (!target.account.empty()) {
      auto account = made->store_->account(target.account);
      if (!account) return account.error();
      if (!*account) return config_error("there is no account " + target.account + " in " + target.data);
    }
    made->engine_ = std::make_unique<driver::Engine>(driver::EngineOptions(), made->metrics_);
    if (auto started = made->engine_->start(); !started) return started.error();
    made->dry_run_ = target.dry_run;
    made->installer_ = std::make_unique<driver::Installer>(
        *made->store_, driver::InstallOptions{
                           .account = target.account,
                           .force = target.force,
                           .trust = target.trust,
                           .inspect = [engine = made->engine_.get()](
                                          driver::Engine::Inspected what) { return engine->inspect(std::move(what)); },
                           .point_fault = api::point_fault});
    if (auto loaded = made->installer_->load(); !loaded) return loaded.error();
    return std::unique_ptr<Importer>(std::move(made));
  }

  [[nodiscard]] std::string name() const override { return "the data directory " + data_; }

  Result<void> install(std::vector<Package> packages, const std::function<void(const Installed&)>& done) override {
    for (const auto& package : packages)
      done(installer_->put(installer_->prepare(package), dry_run_));
    return {};
  }

 private:
  LocalImporter(std::string data, DirectoryLock lock) : data_(std::move(data)), lock_(std::move(lock)) {}

  std::string data_;
  DirectoryLock lock_;
  Metrics metrics_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<driver::Engine> engine_;
  std::unique_ptr<driver::Installer> installer_;
  bool dry_run_ = false;
};

// Sends batches to a server.
class RemoteImporter : public Importer {
 public:
  RemoteImporter(std::string url, const ImportTarget& target, std::unique_ptr<RestClient> client)
      : url_(std::move(url)), target_(target), client_(std::move(client)) {}

  [[nodiscard]] std::string name() const override { return "the server " + url_; }

  Result<void> install(std::vector<Package> packages, const std::function<void(const Installed&)>& done) override {
    json::array batch;
    std::size_t bytes = 0;
    for (auto& package : packages) {
      auto one = driver::to_json(package);
      const auto size = json::write(one).size();
      if (size > kLargest) {
        done({.path = package.path,
              .id = package.id(),
              .reason = "with its examples and schemas it is over what a server takes at once, 5 MiB",
              .own_fault = true});
        continue;
      }
      if (!batch.empty() && (bytes + size > kBatchBytes || batch.size() >= kBatchDrivers)) {
        if (auto sent = send_batch(std::exchange(batch, {}), done); !sent) return sent;
        bytes = 0;
      }
      bytes += size;
      one.stable_erase("warnings");
      warnings_.push_back(std::move(package.warnings));
      batch.push_back(std::move(one));
    }
    return batch.empty() ? Result<void>() : send_batch(std::move(batch), done);
  }

 private:
  Result<void> send_batch(json::array batch, const std::function<void(const Installed&)>& done) {
    const auto count = batch.size();
    auto answer = client_->call("POST", "/drivers/import",
                                json::object{{"system", target_.account.empty()},
                                             {"force", target_.force},
                                             {"trust", target_.trust},
                                             {"dryRun", target_.dry_run},
                                             {"drivers", std::move(batch)}});
    if (!answer) return answer.error();
    if (answer->status != 200 || !answer->body.is_array() || answer->body.get_array().size() != count) {
      const auto* body = answer->body.if_object();
      const auto text = body != nullptr ? json::text_or(*body, "message") : std::string();
      return config_error(name() + " answers HTTP status " + std::to_string(answer->status) +
                          (text.empty() ? "" : ": " + text));
    }
    std::size_t i = 0;
    for (const auto& value : answer->body.get_array()) {
      auto installed = installed_from(value);
      // The reader's warnings are not sent along.
      auto& read = warnings_[i++];
      installed.warnings.insert(installed.warnings.begin(), read.begin(), read.end());
      done(installed);
    }
    warnings_.clear();
    return {};
  }

  static Installed installed_from(const json::value& value) {
    Installed installed;
    if (!value.is_object()) return installed;
    const auto& o = value.get_object();
    installed.path = json::text_or(o, "path");
    installed.id = json::text_or(o, "id");
    installed.reason = json::text_or(o, "reason");
    installed.own_fault = json::bool_or(o, "ownFault", false);
    const auto outcome = json::text_or(o, "outcome");
    for (auto known : {Installed::Outcome::created, Installed::Outcome::replaced, Installed::Outcome::unchanged}) {
      if (outcome == driver::to_text(known)) installed.outcome = known;
    }
    if (const auto* warnings = json::find(o, "warnings"); warnings != nullptr && warnings->is_array()) {
      for (const auto& text : warnings->get_array()) {
        if (text.is_string()) installed.warnings.emplace_back(text.get_string());
      }
    }
    return installed;
  }

  std::string url_;
  ImportTarget target_;
  std::unique_ptr<RestClient> client_;
  std::vector<std::vector<std::string>> warnings_;  // of the batch
};

Result<std::unique_ptr<Importer>> open_remote(std::string url, const ImportTarget& target) {
  while (url.ends_with('/'))
    url.pop_back();
  if (url.ends_with(kApi)) url.resize(url.size() - std::string_view(kApi).size());
  auto secret = target.client_secret.empty() ? admin_secret(target.data) : std::optional(target.client_secret);
  if (!secret) return config_error("no secret for " + url + ": give --client-secret-file, or set SLUICE_ADMIN_SECRET");
  auto client =
      RestClient::open({.url = url, .data = target.data, .client_id = target.client_id, .secret = std::move(*secret)});
  if (!client) return client.error();
  return std::unique_ptr<Importer>(std::make_unique<RemoteImporter>(std::move(url), target, std::move(*client)));
}

}  // namespace

Result<std::unique_ptr<Importer>> open_importer(const ImportTarget& target) {
  if (!target.url.empty()) return open_remote(target.url, target);
  if (auto made = make_directory(target.data); !made) return made.error();
  auto lock = DirectoryLock::take(target.data);
  if (lock) return LocalImporter::open(target, std::move(*lock));
  if (lock.error().code != kInUse) return lock.error();
  const auto url = read_url(target.data);
  if (!url)
    return config_error(lock.error().text + ", which has not told where it serves: wait until it does, or give --url");
  return open_remote(*url, target);
}

}  // namespace sluice::app
