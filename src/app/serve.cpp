// SPDX-License-Identifier: Apache-2.0
#include "app/serve.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/thread_pool.hpp>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <thread>

#include "api/auth.h"
#include "api/server.h"
#include "app/data_directory.h"
#include "app/key.h"
#include "base/codec.h"
#include "base/crypto.h"
#include "base/log.h"
#include "binder/binders.h"
#include "binder/downlink_sender.h"
#include "connection/runner.h"
#include "flow/downlinks.h"
#include "flow/router.h"
#include "message/trail_book.h"
#include "store/device_contexts.h"
#include "store/downlink_queue.h"
#include "store/driver_log.h"
#include "store/events.h"

namespace sluice::app {
namespace {

constexpr unsigned kDiskThreads = 2;
constexpr std::chrono::seconds kIntakeLimit{2};
constexpr std::chrono::seconds kConnectionsLimit{5};
constexpr std::chrono::seconds kDownlinksLimit{2};

// A core dump would hold secrets. The limit does not hold for systems that pipe dumps to a program, as
// systemd-coredump: there the process must not be dumpable at all, which also keeps others of the same user from
// reading its memory. Thousands of connections need as many file descriptors.
void set_process_limits() {
  rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
}

// The parts of a running server, in the order they are made; they end in the reverse order.
class Sluice {
 public:
  explicit Sluice(ServeOptions options) : options_(std::move(options)) {}

  Result<void> start() {
    if (auto known = registry_.check_server_settings(options_.connectors); !known) return known;
    if (auto opened = open_data(); !opened) return opened;
    if (auto started = start_engine(); !started) return started;
    auto context = api::make_context({*store_,
                                      *events_,
                                      clock_,
                                      metrics_,
                                      registry_,
                                      *runner_,
                                      *catalogue_,
                                      *engine_,
                                      *journal_,
                                      options_.drivers,
                                      *binders_,
                                      *queue_,
                                      *router_,
                                      *downlinks_,
                                      options_.public_url,
                                      [this] { return ready_.load() && !queue_->full(); },
                                      options_.data,
                                      options_.auth,
                                      &trail_,
                                      queue_.get(),
                                      options_.debug_limit});
    context.downlinks_per_second = options_.downlinks_per_second;
    context.queued_downlinks = [this](const std::string& connection, std::size_t offset, std::size_t limit) {
      return sender_->queued(connection, offset, limit);
    };
    context.purge_downlinks = [this](const std::string& connection) { return sender_->purge(connection); };
    server_ = std::make_unique<api::Server>(io_, std::move(context));
    auto listening = server_->start(options_.listen);
    if (!listening) return listening;
    if (auto written = write_url(options_.data, local_url()); !written) return written;
    ready_ = true;
    log::info("serving on {}, data in {}", options_.public_url, options_.data);
    return {};
  }

  void run() {
    boost::asio::signal_set signals(io_, SIGTERM, SIGINT);
    signals.async_wait([this](boost::system::error_code ec, int) {
      if (!ec) stopping_.store(true), stopping_.notify_all();
    });
    stopping_.wait(false);
  }

  // Intake first, then what is on its way, then the connections, then the queue: at most 10 s in all.
  void stop() {
    log::info("stopping");
    ready_ = false;
    if (server_) remove_url(options_.data);
    if (server_) server_->stop(kIntakeLimit);
    if (router_) router_->stop();
    bool clean = !runner_ || runner_->stop(kConnectionsLimit);
    engine_.reset();
    // After the drivers, which hand it what they encode; before the queue, which takes its reports.
    if (sender_) sender_->stop(kDownlinksLimit);
    sender_.reset();
    if (queue_) queue_->close();
    driver_log_.reset();
    events_.reset();
    if (!clean) {
      // Everything that must be kept is on the disk; a coroutine that hangs must not keep the process.
      log::info("stopped");
      std::_Exit(0);
    }
    work_guard_.reset();
    io_.stop();
    for (auto& thread : threads_)
      thread.join();
    disk_.join();
    log::info("stopped");
  }

 private:
  // How words of the command line on this machine reach the server.
  [[nodiscard]] std::string local_url() const {
    auto host = options_.listen.substr(0, options_.listen.rfind(':'));
    if (host.empty() || host == "0.0.0.0" || host == "*") host = "127.0.0.1";
    if (host == "[::]") host = "[::1]";
    return "http://" + host + ":" + std::to_string(server_->port());
  }

  Result<void> open_data() {
    if (auto made = make_directory(options_.data); !made) return made;
    auto lock = DirectoryLock::take(options_.data);
    if (!lock) return lock.error();
    lock_.emplace(std::move(*lock));
    auto key = installation_key(options_.data);
    if (!key) return key.error();
    auto store = store::open_sqlite(options_.data, SecretBox(*key), clock_);
    if (!store) return store.error();
    store_ = std::move(*store);
    events_ = std::make_unique<store::Events>(*store_, clock_, metrics_);
    driver_log_ = std::make_unique<store::DriverLog>(*store_, clock_, metrics_);
    journal_ = std::make_unique<driver::Journal>(*driver_log_, *events_, clock_, metrics_);
    const char* given = std::getenv("SLUICE_ADMIN_SECRET");
    auto secret = api::bootstrap(*store_, given ? given : "", options_.data);
    if (!secret) return secret.error();
    if (!secret->empty()) {
      // The one time it is shown; on standard output, apart from the log.
      std::cout << "client id admin, secret " << *secret << " (kept in " << options_.data << "/admin-secret)\n"
                << std::flush;
    }
    if (auto opened = open_downlink_queue(); !opened) return opened;
    options_.queue.directory = options_.data + "/queue";
    auto queue = queue::open_rocks(options_.queue, clock_, metrics_);
    if (!queue) return queue.error();
    queue_ = std::move(*queue);
    return {};
  }

  // Sealed with a key of its own that the store keeps: rotating the installation's key needs to know one file only.
  Result<void> open_downlink_queue() {
    constexpr const char* kName = "downlink-key";
    auto kept = store_->setting(kName);
    if (!kept) return kept.error();
    auto hex = kept->value_or("");
    if (hex.empty()) {
      hex = to_hex(random_bytes(32));
      if (auto put = store_->put_setting(kName, hex); !put) return put;
    }
    auto bytes = from_hex(hex);
    if (!bytes || bytes->size() != 32) return Error{ErrorKind::bad_config, "the key of downlinks.db is damaged"};
    auto queue = store::open_downlink_queue(options_.data, SecretBox(*bytes));
    if (!queue) return queue.error();
    downlink_queue_ = std::move(*queue);
    return {};
  }

  Result<void> start_engine() {
    catalogue_ = std::make_unique<driver::Catalogue>(*store_);
    if (auto loaded = catalogue_->reload(); !loaded) return loaded;
    auto contexts = store::open_device_contexts(options_.data);
    if (!contexts) return contexts.error();
    contexts_ = std::move(*contexts);
    engine_ = std::make_unique<driver::Engine>(options_.drivers, metrics_, contexts_.get(), clock_);
    if (auto started = engine_->start(); !started) return started;
    binders_ = std::make_unique<binder::Binders>(*store_);
    if (auto loaded = binders_->reload(); !loaded) return loaded;
    sender_ = std::make_unique<binder::DownlinkSender>(
        http_, *downlink_queue_, [this](const std::string& id) { return binders_->find(id); }, options_.downlinks,
        *events_, clock_, metrics_);
    router_ = std::make_unique<flow::Router>(*queue_, *store_, *catalogue_, *engine_, *journal_, *events_, clock_,
                                             metrics_, trail_);
    downlinks_ = std::make_unique<flow::Downlinks>(
        *router_, *catalogue_, *engine_, *journal_, *events_, clock_, metrics_,
        flow::DownlinkWays{
            .send = [this](flow::OutgoingDownlink out, auto stored,
                           auto done) { send_downlink(std::move(out), std::move(stored), std::move(done)); },
            .count = [this](const std::string& connection,
                            flow::DownlinkCount count) { runner_->count(connection, counter_of(count)); },
            .report =
                [this](message::Message report) {
                  // Refused for lack of room: the event of the refusal stands, the report is a courtesy.
                  queue_->append(std::move(report), [](Result<queue::Appended>) {});
                }});
    auto stored = store_->connections("");
    if (!stored) return stored.error();
    auto counters = store::open_counters(options_.data);
    if (!counters) return counters.error();
    counters_ = std::move(*counters);
    connection::Shared shared{
        io_.get_executor(),
        disk_,
        *queue_,
        *events_,
        clock_,
        metrics_,
        registry_,
        http_,
        [this](connection::Command command, auto taken) { handle_command(std::move(command), std::move(taken)); },
        options_.public_url,
        trail_,
        [this](const std::string& account, std::uint64_t connection, std::vector<message::MessagePtr> messages,
               bool decode) { return router_->route_again(account, connection, std::move(messages), decode); }};
    shared.counters = counters_.get();
    shared.connector_settings = options_.connectors;
    runner_ = std::make_unique<connection::Runner>(std::move(shared));
    auto count = options_.io_threads ? options_.io_threads : std::clamp(std::thread::hardware_concurrency(), 2u, 8u);
    for (unsigned i = 0; i < count; ++i)
      threads_.emplace_back([this] { run_io(); });
    auto waiting = sender_->start([this](const binder::OutgoingDownlink& out, const binder::DownlinkAnswer& answer) {
      downlinks_->settled({out.account, out.connection_id, out.binder_id, out.downlink, out.keep}, answer_of(answer));
    });
    if (!waiting) return waiting;
    // A replay that goes on asks the flows at once.
    if (auto loaded = router_->reload(); !loaded) return loaded;
    runner_->start(*stored);
    return router_->start();
  }

  void run_io() {
    for (;;) {
      try {
        io_.run();
        return;
      } catch (const std::exception& e) {
        log::error("an I/O handler failed: {}", e.what());
      }
    }
  }

  static connection::Counter counter_of(flow::DownlinkCount count) {
    switch (count) {
      case flow::DownlinkCount::received:
        return connection::Counter::downlinks;
      case flow::DownlinkCount::failed:
        return connection::Counter::downlinks_failed;
      case flow::DownlinkCount::lost:
        break;
    }
    return connection::Counter::downlinks_lost;
  }

  static flow::NetworkAnswer answer_of(const binder::DownlinkAnswer& answer) {
    using From = binder::DownlinkAnswer::Verdict;
    using To = flow::NetworkAnswer::Kind;
    To kind = To::refused;
    switch (answer.verdict) {
      case From::accepted:
        kind = To::accepted;
        break;
      case From::pending:
        kind = To::pending;
        break;
      case From::refused:
        break;
      case From::no_answer:
        kind = To::no_answer;
        break;
      case From::expired:
        kind = To::expired;
        break;
      case From::full:
        kind = To::busy;
        break;
      case From::not_there:
        kind = To::no_network_server;
        break;
      case From::purged:
        kind = To::purged;
        break;
    }
    return {kind, answer.status, answer.text, answer.expires};
  }

  void send_downlink(flow::OutgoingDownlink out, std::function<void()> stored,
                     std::function<void(flow::NetworkAnswer)> done) {
    auto settings = binders_->for_downlink(out.account, out.binder);
    if (!settings) {
      done({flow::NetworkAnswer::Kind::no_network_server, 404,
            "no network server is attached that takes downlinks for this device: set downlinkUrl on its binder"});
      return;
    }
    sender_->send(
        {std::move(out.account), std::move(out.connection_id), settings->id, std::move(out.downlink), out.keep},
        std::move(stored), [done = std::move(done)](const binder::DownlinkAnswer& answer) { done(answer_of(answer)); });
  }

  void handle_command(connection::Command command, std::function<void()> taken) {
    flow::DownlinkSource source{.account = std::move(command.account),
                                .connection_id = std::move(command.connection_id),
                                .defaults = std::move(command.defaults),
                                .keep = command.keep,
                                .check_device = command.check_device};
    // On the disk or settled, whichever comes first.
    auto once = [told = std::make_shared<std::atomic<bool>>(false), taken = std::move(taken)] {
      if (!told->exchange(true)) taken();
    };
    downlinks_->handle(
        std::move(source), std::move(command.body), [once](const flow::DownlinkResult&) { once(); }, once);
  }

  ServeOptions options_;
  std::optional<DirectoryLock> lock_;
  Clock& clock_ = system_clock();
  Metrics metrics_;
  message::TrailBook trail_{clock_};
  connector::Registry registry_;
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_guard_ =
      boost::asio::make_work_guard(io_);
  boost::asio::thread_pool disk_{kDiskThreads};
  HttpClient http_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<store::Events> events_;
  std::unique_ptr<store::DriverLog> driver_log_;
  std::unique_ptr<driver::Journal> journal_;
  std::unique_ptr<store::DownlinkQueue> downlink_queue_;
  std::unique_ptr<queue::Queue> queue_;
  std::unique_ptr<driver::Catalogue> catalogue_;
  std::unique_ptr<store::DeviceContexts> contexts_;
  std::unique_ptr<driver::Engine> engine_;
  std::unique_ptr<binder::Binders> binders_;
  std::unique_ptr<binder::DownlinkSender> sender_;
  std::unique_ptr<flow::Router> router_;
  std::unique_ptr<flow::Downlinks> downlinks_;
  std::unique_ptr<store::Counters> counters_;
  std::unique_ptr<connection::Runner> runner_;
  std::unique_ptr<api::Server> server_;
  std::vector<std::thread> threads_;
  std::atomic<bool> ready_{false};
  std::atomic<bool> stopping_{false};
};

}  // namespace

int serve(ServeOptions options) {
  log::start();
  if (!log::set_level(options.log_level)) {
    std::cerr << "sluice: log level '" << options.log_level << "': use debug, info, warn, error or off\n";
    return 1;
  }
  if (options.public_url.empty()) options.public_url = "http://" + options.listen;
  while (options.public_url.ends_with('/'))
    options.public_url.pop_back();
  set_process_limits();
  std::signal(SIGPIPE, SIG_IGN);
  Sluice sluice(std::move(options));
  auto started = sluice.start();
  if (!started)
    log::error("cannot start: {}", started.error().text);
  else
    sluice.run();
  sluice.stop();
  return started ? 0 : 1;
}

void add_serve(CLI::App& app, std::function<int()>& run) {
  struct Flags {
    std::string config, data, listen, public_url, log_level;
  };
  auto flags = std::make_shared<Flags>();
  auto* serve_word = app.add_subcommand("serve", "Run the engine and its API");
  serve_word->add_option("--config", flags->config, "Settings as YAML (docs/operations.md)")->check(CLI::ExistingFile);
  serve_word->add_option("--data", flags->data, "Directory for all that is kept (default ./sluice-data)");
  serve_word->add_option("--listen", flags->listen, "HOST:PORT to serve on (default 127.0.0.1:8080)");
  serve_word->add_option("--public-url", flags->public_url,
                         "How others reach this server, for uplink and downlink URLs");
  serve_word->add_option("--log-level", flags->log_level, "debug, info, warn, error or off (default info)");
  serve_word->footer("SLUICE_ADMIN_SECRET sets the secret of the client id 'admin' instead of a random one.");
  serve_word->callback([flags, &run] {
    run = [flags]() -> int {
      ServeOptions options;
      if (!flags->config.empty()) {
        auto read = read_config(flags->config, options);
        if (!read) {
          std::cerr << "sluice: " << read.error().text << "\n";
          return 1;
        }
      }
      if (!flags->data.empty()) options.data = flags->data;
      if (!flags->listen.empty()) options.listen = flags->listen;
      if (!flags->public_url.empty()) options.public_url = flags->public_url;
      if (!flags->log_level.empty()) options.log_level = flags->log_level;
      return serve(std::move(options));
    };
  });
}

}  // namespace sluice::app
