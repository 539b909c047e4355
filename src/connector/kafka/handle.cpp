// SPDX-License-Identifier: Apache-2.0
#include "connector/kafka/handle.h"

#include <algorithm>
#include <array>
#include <boost/asio/post.hpp>
#include <condition_variable>
#include <openssl/x509_vfy.h>
#include <thread>

namespace sluice::connector::kafka {
namespace {

using std::chrono::milliseconds;

// Asked anew after so long without an answer: the broker that was asked may be the one that is gone. Each time longer,
// so that one that is only slow gets to answer.
constexpr milliseconds kFirstAsking{1000}, kLongestAsking{4000};
constexpr milliseconds kWaitAtEnd{3000};
// Topics made of messages' values may be any number; those the library holds on to by itself are its own affair.
constexpr std::size_t kMostTopics = 1000;

struct Background {
  std::mutex mutex;
  std::condition_variable done;
  std::size_t running = 0;
};

// Never destroyed: threads that outlast the process' wait for them still use it.
Background& background() {
  static auto* const all = new Background;
  return *all;
}

struct WaitAtEnd {
  ~WaitAtEnd() {
    auto& all = background();
    std::unique_lock lock(all.mutex);
    all.done.wait_for(lock, kWaitAtEnd, [&] { return all.running == 0; });
  }
};

void no_log(const rd_kafka_t*, int, const char*, const char*) {}

const char* words_of(int fault) {
  switch (fault) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CRL_HAS_EXPIRED:
      return "the broker's certificate has expired";
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return "the broker's certificate is not valid yet";
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return "the broker's certificate is for another host";
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      return "the broker's certificate is of an unknown CA: set trustedCaCertificate";
    case X509_V_ERR_CERT_REVOKED:
      return "the broker's certificate was revoked";
    default:
      return nullptr;
  }
}

}  // namespace

void in_background(std::function<void()> work) {
  static WaitAtEnd wait_at_end;
  auto& all = background();
  {
    std::lock_guard lock(all.mutex);
    ++all.running;
  }
  std::thread([work = std::move(work)]() mutable {
    work();
    work = nullptr;  // what it holds goes before it counts as done
    auto& all = background();
    std::lock_guard lock(all.mutex);
    --all.running;
    all.done.notify_all();
  }).detach();
}

void Outlet::post(std::function<void()> work) {
  std::lock_guard lock(mutex_);
  if (!strand_) return;
  boost::asio::post(*strand_, [self = shared_from_this(), work = std::move(work)] {
    if (self->open_) work();
  });
}

void Outlet::shut() {
  open_ = false;
  std::lock_guard lock(mutex_);
  strand_.reset();
}

int Handle::verify(rd_kafka_t*, const char*, std::int32_t, int* fault, int, const char*, std::size_t, char*,
                   std::size_t, void* opaque) {
  if (*fault == X509_V_OK) return 1;
  auto* shared = static_cast<Shared*>(opaque);
  const char* words = words_of(*fault);
  std::lock_guard lock(shared->mutex);
  shared->certificate_fault =
      words ? words : std::string("the broker's certificate is refused: ") + X509_verify_cert_error_string(*fault);
  return 0;
}

Result<std::shared_ptr<Handle>> Handle::make(Role role, const Options& options) {
  std::array<char, 512> text{};
  auto shared = std::make_shared<Shared>();
  std::unique_ptr<rd_kafka_conf_t, void (*)(rd_kafka_conf_t*)> conf(rd_kafka_conf_new(), rd_kafka_conf_destroy);
  for (const auto& [name, value] : options) {
    // The library's own text would hold the value.
    if (rd_kafka_conf_set(conf.get(), name.c_str(), value.c_str(), text.data(), text.size()) != RD_KAFKA_CONF_OK)
      return Error{ErrorKind::bad_config, "the client of Kafka does not take the setting " + name};
  }
  rd_kafka_conf_set_log_cb(conf.get(), no_log);
  rd_kafka_conf_set_opaque(conf.get(), shared.get());
  rd_kafka_conf_set_ssl_cert_verify_cb(conf.get(), verify);
  rd_kafka_conf_set_events(
      conf.get(), RD_KAFKA_EVENT_ERROR |
                      (role == Role::producer ? RD_KAFKA_EVENT_DR : RD_KAFKA_EVENT_FETCH | RD_KAFKA_EVENT_REBALANCE));
  std::shared_ptr<Handle> out(new Handle(role, shared));
  out->kafka_ = rd_kafka_new(role == Role::producer ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER, conf.get(), text.data(),
                             text.size());
  if (!out->kafka_) return Error{ErrorKind::bad_config, std::string("the client of Kafka can't start: ") + text.data()};
  conf.release();  // the client's now
  if (role == Role::consumer) {
    rd_kafka_poll_set_consumer(out->kafka_);
    out->queue_ = rd_kafka_queue_get_consumer(out->kafka_);
  } else {
    out->queue_ = rd_kafka_queue_get_main(out->kafka_);
  }
  return out;
}

Handle::~Handle() {
  if (!kafka_) return;
  // The library calls back with the queue's lock held: after this it does not.
  rd_kafka_queue_cb_event_enable(queue_, nullptr, nullptr);
  rd_kafka_queue_destroy(queue_);
  for (const auto& [name, topic] : topics_)
    rd_kafka_topic_destroy(topic);
  in_background([kafka = kafka_, role = role_, shared = shared_, token = std::move(token_)]() mutable {
    // A consumer commits what was acknowledged and leaves its group, so that the others need not wait for it.
    if (role == Role::consumer) rd_kafka_consumer_close(kafka);
    if (role == Role::producer)
      rd_kafka_purge(kafka, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
    rd_kafka_destroy(kafka);
    token.reset();
  });
}

void Handle::wake_by(std::shared_ptr<Outlet> outlet, std::function<void()> ready) {
  wake_ = std::make_unique<Wake>(Wake{std::move(outlet), std::move(ready)});
  rd_kafka_queue_cb_event_enable(
      queue_,
      [](rd_kafka_t*, void* opaque) {
        auto* wake = static_cast<Wake*>(opaque);
        wake->outlet->post(wake->ready);
      },
      wake_.get());
  wake_->outlet->post(wake_->ready);  // for what was there before
}

rd_kafka_topic_t* Handle::topic(const std::string& name) {
  if (auto found = topics_.find(name); found != topics_.end()) return found->second;
  if (topics_.size() >= kMostTopics) {
    for (const auto& [old, topic] : topics_)
      rd_kafka_topic_destroy(topic);
    topics_.clear();
  }
  auto* made = rd_kafka_topic_new(kafka_, name.c_str(), nullptr);
  if (made) topics_.emplace(name, made);
  return made;
}

std::string Handle::certificate_fault() const {
  std::lock_guard lock(shared_->mutex);
  return shared_->certificate_fault;
}

Asked ask(const Handle& handle, const char* topic, milliseconds limit, const std::atomic<bool>& stop) {
  Asked out;
  std::unique_ptr<rd_kafka_topic_t, void (*)(rd_kafka_topic_t*)> one(
      topic ? rd_kafka_topic_new(handle.get(), topic, nullptr) : nullptr, [](rd_kafka_topic_t* t) {
        if (t) rd_kafka_topic_destroy(t);
      });
  auto until = std::chrono::steady_clock::now() + limit;
  auto slice = kFirstAsking;
  while (!stop) {
    auto now = std::chrono::steady_clock::now();
    if (now >= until) break;
    auto wait = std::min(slice, std::chrono::duration_cast<milliseconds>(until - now) + milliseconds(1));
    const struct rd_kafka_metadata* found = nullptr;
    out.error = rd_kafka_metadata(handle.get(), 0, one.get(), &found, static_cast<int>(wait.count()));
    if (out.error == RD_KAFKA_RESP_ERR_NO_ERROR) {
      out.topic_error = found->topic_cnt > 0 ? found->topics[0].err : RD_KAFKA_RESP_ERR_NO_ERROR;
      out.partitions = found->topic_cnt > 0 ? found->topics[0].partition_cnt : 0;
      rd_kafka_metadata_destroy(found);
      // A topic just made has no leader for a moment.
      if (out.topic_error != RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE) break;
    }
    slice = std::min(slice * 2, kLongestAsking);
    // An error that comes at once must not be asked for without a pause.
    std::this_thread::sleep_until(std::min(until, now + milliseconds(50)));
  }
  return out;
}

}  // namespace sluice::connector::kafka
