// SPDX-License-Identifier: Apache-2.0
#include <filesystem>

#include "base/log.h"
#include "queue/rocks_lists.h"
#include "queue/rocks_log.h"

namespace sluice::queue {
namespace {

// Joins the two halves and looks after their bounds.
class RocksQueue final : public Queue {
 public:
  RocksQueue(std::unique_ptr<RocksLog> log, std::unique_ptr<RocksLists> lists, std::chrono::milliseconds every)
      : log_(std::move(log)), lists_(std::move(lists)), every_(every) {
    auto progress = lists_->progress();
    log_->start_after(progress.beyond.empty() ? progress.watermark : progress.beyond.back());
    log_->start();
    lists_->start();
    maintenance_ = std::thread([this] { maintain(); });
  }
  ~RocksQueue() override { close(); }

  void append(message::Message message, AppendDone done) override { log_->append(std::move(message), std::move(done)); }
  std::vector<message::MessagePtr> next(std::uint64_t after, std::size_t max,
                                        std::chrono::milliseconds timeout) override {
    return log_->next(after, max, timeout);
  }
  void wake() override { log_->wake(); }
  void read_back(std::size_t max_count, std::uint64_t max_bytes,
                 const std::function<bool(const message::MessagePtr&)>& look) override {
    log_->read_back(max_count, max_bytes, look);
  }
  std::vector<message::MessagePtr> stored_after(std::uint64_t after, std::size_t max) override {
    return log_->read_after(after, max);
  }
  std::uint64_t seq_before(UnixMillis time) override { return log_->seq_before(time); }
  std::uint64_t newest() override { return log_->last(); }
  Progress progress() override { return lists_->progress(); }
  void put(std::vector<Routed> routed, Progress progress) override {
    lists_->put(std::move(routed), std::move(progress));
  }
  std::optional<std::string> fact(const std::string& key) override { return lists_->fact(key); }
  void put_fact(std::string key, std::string value) override { lists_->put_fact(std::move(key), std::move(value)); }
  Result<void> keep_fact(const std::string& key, const std::string& value) override {
    return lists_->keep_fact(key, value);
  }
  void subscribe(Subscriber* subscriber) override { lists_->subscribe(subscriber); }
  std::vector<Pending> read(std::uint64_t connection, std::uint64_t place, std::size_t max) override {
    return lists_->read_some(connection, place, max, {}).entries;
  }
  Batch read_some(std::uint64_t connection, std::uint64_t place, std::size_t max, const ReadFilter& filter) override {
    return lists_->read_some(connection, place, max, filter);
  }
  void settle(std::uint64_t connection, std::vector<Settled> entries, std::uint64_t low) override {
    lists_->settle(connection, std::move(entries), low);
  }
  std::uint64_t purge(std::uint64_t connection, std::uint64_t* end) override { return lists_->purge(connection, end); }
  void forget(std::uint64_t connection) override { lists_->forget(connection); }
  void set_bounds(std::uint64_t connection, Bounds bounds) override { lists_->set_bounds(connection, bounds); }
  bool put_again(std::uint64_t connection, std::vector<Again> messages) override {
    return lists_->put_again(connection, std::move(messages), {});
  }
  LetterPage letters(std::uint64_t connection, const LetterQuery& query) override {
    return lists_->letters(connection, query);
  }
  std::optional<Letter> letter(std::uint64_t connection, std::uint64_t id) override {
    return lists_->letter(connection, id);
  }
  std::uint64_t resend(std::uint64_t connection, std::vector<std::uint64_t> ids) override {
    return lists_->take_letters(connection, std::move(ids), true);
  }
  std::uint64_t discard(std::uint64_t connection, std::vector<std::uint64_t> ids) override {
    return lists_->take_letters(connection, std::move(ids), false);
  }
  ListState state(std::uint64_t connection) override { return lists_->state(connection); }
  [[nodiscard]] std::uint64_t count(std::uint64_t connection) override { return lists_->count(connection); }
  std::vector<std::uint64_t> lists() override { return lists_->lists(); }
  [[nodiscard]] bool full() const override { return log_->full(); }

  void close() override {
    {
      std::lock_guard lock(mutex_);
      if (closing_) return;
      closing_ = true;
    }
    stop_.notify_all();
    maintenance_.join();
    lists_->subscribe(nullptr);
    log_->close();
    lists_->close();
  }

 private:
  void maintain() {
    std::unique_lock lock(mutex_);
    while (!stop_.wait_for(lock, every_, [this] { return closing_; })) {
      lock.unlock();
      lists_->enforce_bounds();
      lists_->check_totals();
      log_->trim(lists_->needed());
      lock.lock();
    }
  }

  std::unique_ptr<RocksLog> log_;
  std::unique_ptr<RocksLists> lists_;
  const std::chrono::milliseconds every_;
  std::mutex mutex_;
  std::condition_variable stop_;
  bool closing_ = false;
  std::thread maintenance_;
};

}  // namespace

Result<std::unique_ptr<Queue>> open_rocks(Options options, Clock& clock, Metrics& metrics) {
  std::error_code ec;
  std::filesystem::create_directories(options.directory, ec);
  if (ec) return Error{ErrorKind::bad_config, "cannot make the directory " + options.directory + ": " + ec.message()};
  auto log = RocksLog::open(options, clock, metrics);
  if (!log) return log.error();
  auto lists = RocksLists::open(options, **log, clock, metrics);
  if (!lists) return lists.error();
  return std::unique_ptr<Queue>(std::make_unique<RocksQueue>(std::move(*log), std::move(*lists), options.maintenance));
}

}  // namespace sluice::queue
