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
#include "base/log.h"
#include "binder/binders.h"
#include "connection/runner.h"
#include "flow/downlinks.h"
#include "flow/router.h"
#include "message/trail_book.h"
#include "store/device_contexts.h"
#include "store/driver_log.h"
#include "store/events.h"

namespace sluice::app {
namespace {

constexpr unsigned kDiskThreads = 2;
constexpr std::chrono::seconds kIntakeLimit{2};
constexpr std::chrono::seconds kConnectionsLimit{5};

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
    if (auto opened = open_data(); !opened) return opened;
    if (auto started = start_engine(); !started) return started;
    server_ = std::make_unique<api::Server>(io_, api::make_context({*store_,
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
                                                                    options_.debug_limit}));
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
    if (queue_) queue_->close();
    engine_.reset();
    sender_.reset();  // answers what still waits, while those who asked are there
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
    options_.queue.directory = options_.data + "/queue";
    auto queue = queue::open_rocks(options_.queue, clock_, metrics_);
    if (!queue) return queue.error();
    queue_ = std::move(*queue);
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
    sender_ = std::make_unique<binder::DownlinkSender>(http_, clock_, metrics_);
    router_ = std::make_unique<flow::Router>(*queue_, *store_, *catalogue_, *engine_, *journal_, *events_, clock_,
                                             metrics_, trail_);
    downlinks_ = std::make_unique<flow::Downlinks>(
        *router_, *catalogue_, *engine_, *journal_, *events_, clock_, metrics_,
        [this](const std::string& account, const std::string& binder, message::Downlink downlink, auto done) {
          send_downlink(account, binder, std::move(downlink), std::move(done));
        });
    auto stored = store_->connections("");
    if (!stored) return stored.error();
    runner_ = std::make_unique<connection::Runner>(connection::Shared{
        io_.get_executor(), disk_, *queue_, *events_, clock_, metrics_, registry_, http_,
        [this](connection::Command command, auto done) { handle_command(std::move(command), std::move(done)); },
        options_.public_url, trail_,
        [this](const std::string& account, std::uint64_t connection, std::vector<message::MessagePtr> messages,
               bool decode) { return router_->route_again(account, connection, std::move(messages), decode); }});
    auto count = options_.io_threads ? options_.io_threads : std::clamp(std::thread::hardware_concurrency(), 2u, 8u);
    for (unsigned i = 0; i < count; ++i)
      threads_.emplace_back([this] { run_io(); });
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

  void send_downlink(const std::string& account, const std::string& binder, message::Downlink downlink,
                     std::function<void(bool, int, std::string)> done) {
    auto settings = binders_->for_downlink(account, binder);
    if (!settings) {
      done(false, 404,
           "no network server is attached that takes downlinks for this device: set downlinkUrl on its binder");
      return;
    }
    sender_->send(settings, std::move(downlink), [done = std::move(done)](binder::DownlinkAnswer answer) {
      done(answer.accepted, answer.status, std::move(answer.text));
    });
  }

  void handle_command(connection::Command command, std::function<void(connection::CommandResult)> done) {
    flow::DownlinkSource source{command.account, command.connection_id, std::move(command.defaults), false};
    downlinks_->handle(std::move(source), std::move(command.body),
                       [done = std::move(done)](flow::DownlinkResult result) {
                         done({result.status == flow::DownlinkResult::Status::accepted, result.is_command,
                               std::move(result.downlink), std::move(result.text)});
                       });
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
  std::unique_ptr<queue::Queue> queue_;
  std::unique_ptr<driver::Catalogue> catalogue_;
  std::unique_ptr<store::DeviceContexts> contexts_;
  std::unique_ptr<driver::Engine> engine_;
  std::unique_ptr<binder::Binders> binders_;
  std::unique_ptr<binder::DownlinkSender> sender_;
  std::unique_ptr<flow::Router> router_;
  std::unique_ptr<flow::Downlinks> downlinks_;
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
