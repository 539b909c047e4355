// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/json.h"
#include "connector/connector.h"

namespace sluice::connector::testing {

// A connection that only notes what its connector says, on one thread that runs while a test waits.
class FakeHost : public Host {
 public:
  boost::asio::any_io_executor executor() override { return io.get_executor(); }
  Clock& clock() override { return system_clock(); }
  std::string connection_id() override { return "7"; }
  void authenticating() override { ++authenticated; }
  HttpClient& http() override {
    if (!http_) http_ = std::make_unique<HttpClient>();
    return *http_;
  }
  void lost(Error error) override { losses.push_back(std::move(error)); }
  void received(Received command) override { commands.push_back(std::move(command)); }
  void notice(Notice notice) override { notices.push_back(std::move(notice)); }
  std::shared_ptr<void>& kept() override { return kept_; }
  std::string server_setting(std::string_view name) override {
    auto found = server_settings.find(std::string(name));
    return found == server_settings.end() ? "" : found->second;
  }

  // Runs the loop until the condition holds. False after five seconds: a test never hangs.
  bool wait(const std::function<bool()>& condition) {
    auto until = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    auto guard = boost::asio::make_work_guard(io);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > until) return false;
      io.restart();
      io.run_one_until(until);
    }
    return true;
  }

  template <class T>
  T run(boost::asio::awaitable<T> work) {
    std::optional<T> result;
    boost::asio::co_spawn(io, std::move(work), [&](std::exception_ptr failed, T value) {
      if (failed) std::rethrow_exception(failed);
      result.emplace(std::move(value));
    });
    if (!wait([&] { return result.has_value(); })) throw std::runtime_error("the coroutine did not end");
    return std::move(*result);
  }
  void run(boost::asio::awaitable<void> work) {
    bool done = false;
    boost::asio::co_spawn(io, std::move(work), [&](std::exception_ptr failed) {
      if (failed) std::rethrow_exception(failed);
      done = true;
    });
    if (!wait([&] { return done; })) throw std::runtime_error("the coroutine did not end");
  }

  boost::asio::io_context io;
  int authenticated = 0;
  std::vector<Error> losses;
  std::vector<Received> commands;
  std::vector<Notice> notices;
  std::map<std::string, std::string> server_settings;

 private:
  std::shared_ptr<void> kept_;
  std::unique_ptr<HttpClient> http_;  // after io: its thread posts there
};

inline boost::json::object parse(std::string_view text) {
  return json::parse(text)->get_object();
}

inline std::string read_data(const std::string& path) {
  std::ifstream in(std::string(SLUICE_SOURCE_DIR) + "/tests/data/" + path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

// An uplink of that device.
inline message::MessagePtr uplink(const std::string& dev_eui = "20635F0108000496") {
  auto message =
      message::parse_report(R"({"DevEUI_uplink":{"Time":"2024-02-01T10:11:12.333+00:00","DevEUI":")" + dev_eui +
                            R"(","FPort":17,"FCntUp":18,"payload_hex":"0027bd00","CustomerID":"100002167"}})");
  return std::make_shared<const message::Message>(std::move(*message));
}

// What became of messages sent, in order of their verdicts.
struct Verdicts {
  std::vector<std::optional<ErrorKind>> kinds;  // nothing: delivered
  std::vector<std::string> texts;

  Delivery delivery(message::MessagePtr message, std::string body) {
    auto document = std::make_shared<const std::string>(message->body);
    return Delivery(std::move(message), std::move(document), std::move(body), [this](Result<void> result) {
      kinds.push_back(result ? std::nullopt : std::optional(result.error().kind));
      texts.push_back(result ? "" : result.error().text);
    });
  }
  Delivery delivery(message::MessagePtr message = uplink()) {
    auto body = message->body;
    return delivery(std::move(message), std::move(body));
  }
};

}  // namespace sluice::connector::testing
