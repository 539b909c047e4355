// SPDX-License-Identifier: Apache-2.0
#include "connector/aws/things.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <deque>
#include <random>
#include <unordered_map>

#include "base/codec.h"
#include "base/crypto.h"
#include "base/json.h"
#include "connector/aws/calls.h"

namespace sluice::connector::aws {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using std::chrono::milliseconds;
using Time = std::chrono::steady_clock::time_point;

constexpr std::size_t kMaxJobs = 8;
constexpr std::size_t kMaxWaiting = 1024;
constexpr std::size_t kMaxKnown = 200000;
constexpr int kMaxPages = 400;            // of 250 things
constexpr milliseconds kAbsent{60000};    // a thing that is missing is looked for again
constexpr milliseconds kGivenUp{600000};  // and one that could not be made
constexpr milliseconds kFirstPause{1000}, kLongestPause{60000};
constexpr std::size_t kMaxAnswer = 1u << 20;

double random_share() {
  thread_local std::minstd_rand engine{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(engine);
}

milliseconds with_jitter(milliseconds time) {
  return milliseconds(static_cast<std::int64_t>(static_cast<double>(time.count()) * (0.5 + random_share())));
}

enum class Standing {
  present,
  listed,    // present, whether attached to our certificate or not
  absent,    // and none is to be made
  given_up,  // could not be made: messages pass all the same
};

struct Entry {
  Standing standing = Standing::present;
  Time until;  // of what we know
};

// What lasts from opening to opening.
struct Known {
  std::unordered_map<std::string, Entry> entries;
  bool type_made = false;
  Time listed_until{};

  void put(const std::string& name, Standing standing, Time until) {
    // Rather forgotten, which costs a call, than kept without limit.
    if (entries.size() >= kMaxKnown && !entries.contains(name)) entries.erase(entries.begin());
    entries[name] = {standing, until};
  }
};

std::shared_ptr<Known> known_of(std::shared_ptr<void>& kept) {
  if (!kept) kept = std::make_shared<Known>();
  return std::static_pointer_cast<Known>(kept);
}

bool is_fine(const HttpResponse& response) {
  return response.status >= 200 && response.status < 300;
}

}  // namespace

struct Things::Impl : std::enable_shared_from_this<Impl> {
  Impl(Host& owner, std::shared_ptr<void>& kept, ThingsOptions given)
      : host(owner),
        options(std::move(given)),
        calls(owner.executor(), owner.http()),
        signer(options.credentials, options.region, "iot"),
        known(known_of(kept)) {}

  // ---- one call

  HttpRequest make_request(std::string method, const std::string& path, SignedRequest::Pairs query,
                           SignedRequest::Pairs headers, std::string body) {
    SignedRequest to_sign{std::move(method), path, std::move(query), std::move(headers), {}};
    auto request = options.base;
    request.method = to_sign.method;
    request.url = "https://" + options.registry.authority() + path;
    if (!to_sign.query.empty()) request.url += "?" + query_text(to_sign.query);
    request.max_response = kMaxAnswer;
    request.headers = to_sign.headers;
    if (!body.empty()) {
      request.headers.emplace_back("Content-Type", "application/json");
      to_sign.body_sha256 = to_hex(sha256(body));
    }
    request.body = std::move(body);
    to_sign.headers.emplace_back("Host", options.registry.authority());
    for (auto& header : signer.sign(std::move(to_sign), host.clock().now()))
      request.headers.push_back(std::move(header));
    return request;
  }

  awaitable<Result<HttpResponse>> call(HttpRequest request) { return calls.run(std::move(request)); }

  HttpRequest list_request(const std::string& next) {
    SignedRequest::Pairs query{{"thingTypeName", options.thing_type}, {"maxResults", "250"}};
    if (!next.empty()) query.emplace_back("nextToken", next);
    return make_request("GET", "/things", std::move(query), {}, "");
  }

  // ---- the list of what there is

  // The token of the next page, empty where this was the last.
  std::string take_page(const std::string& body) {
    auto parsed = json::parse(body);
    if (!parsed || !parsed->is_object()) return "";
    const auto* things = json::find(parsed->get_object(), "things");
    if (things && things->is_array()) {
      for (const auto& thing : things->get_array()) {
        auto name = thing.is_object() ? json::text_or(thing.get_object(), "thingName") : "";
        if (!name.empty()) put_listed(name);
      }
    }
    return json::text_or(parsed->get_object(), "nextToken");
  }

  // `self` keeps it alive: it may begin when its owner is gone.
  static awaitable<Result<void>> begin(std::shared_ptr<Impl> self, milliseconds limit) {
    if (self->stopped) co_return Error{ErrorKind::cancelled, "closed before it was opened"};
    // What the last opening has learnt is young enough; a trial has none.
    if (self->known->listed_until > self->host.clock().steady()) co_return Result<void>();
    co_return co_await self->list_first(limit);
  }

  awaitable<Result<void>> list_first(milliseconds limit) {
    auto self = shared_from_this();
    auto request = list_request("");
    request.timeout = std::min(request.timeout, limit);
    request.connect_timeout = std::min(request.connect_timeout, limit);
    auto answer = co_await call(std::move(request));
    if (stopped) co_return Error{ErrorKind::cancelled, "closed before it was opened"};
    if (!answer) {
      tell_unusable("looking for the devices there are: " + answer.error().text);
      co_return Result<void>();
    }
    if (is_credential_fault(*answer)) {
      co_return Error{ErrorKind::bad_config, "the device registry " + options.registry.host +
                                                 " does not accept the access key: " + answer_text(*answer) +
                                                 ": check accessKeyId, secretAccessKey and this machine's clock"};
    }
    // Without the right to list, each device is looked up by itself.
    if (!is_fine(*answer)) co_return Result<void>();
    auto next = take_page(answer->body);
    known->listed_until = host.clock().steady() + options.max_age;
    if (!next.empty() && !host.trial()) {
      auto others = list_others(std::move(next));
      // Kept alive by what is called at its end: it begins later, when its owner may be gone.
      asio::co_spawn(host.executor(), std::move(others), [self](std::exception_ptr) {});
    }
    co_return Result<void>();
  }

  awaitable<void> list_others(std::string next) {
    auto self = shared_from_this();
    for (int page = 1; page < kMaxPages && !next.empty() && !stopped; ++page) {
      auto request = list_request(next);
      auto answer = co_await call(std::move(request));
      // It only spares calls: whatever is wrong shows where a device is looked up.
      if (stopped || !answer || !is_fine(*answer)) co_return;
      auto following = take_page(answer->body);
      if (following == next) co_return;
      next = std::move(following);
    }
  }

  // ---- one device

  void ensure(const std::string& name, Done done) {
    if (stopped) return done(Error{ErrorKind::cancelled, "the connection is being closed"});
    if (auto verdict = settled(name)) return done(std::move(*verdict));
    if (auto verdict = while_paused()) return done(std::move(*verdict));
    auto found = jobs.find(name);
    if (found != jobs.end()) return found->second.push_back(std::move(done));
    if (jobs.size() >= kMaxWaiting)
      return done(Error{ErrorKind::transient, "too many devices wait for the device registry"});
    jobs[name].push_back(std::move(done));
    queue.push_back(name);
    start_jobs();
  }

  // What is known of it; nothing where it has to be asked.
  std::optional<Result<void>> settled(const std::string& name) {
    auto found = known->entries.find(name);
    if (found == known->entries.end() || found->second.until <= host.clock().steady()) return std::nullopt;
    if (found->second.standing == Standing::absent) return absent(name);
    if (found->second.standing == Standing::listed) return std::nullopt;
    return Result<void>();
  }

  // What becomes of a message of a device that can't be asked for now.
  std::optional<Result<void>> while_paused() {
    auto now = host.clock().steady();
    if (paused_until <= now) return std::nullopt;
    if (!throttled) return Result<void>();
    Error error{ErrorKind::transient, "the device registry is throttled: " + pause_text};
    error.wait = std::chrono::ceil<milliseconds>(paused_until - now);
    return error;
  }

  static Error absent(const std::string& name) {
    return {ErrorKind::permanent,
            "AWS knows no thing " + name + ", and createDevices is off: create the thing, or switch createDevices on"};
  }

  void start_jobs() {
    while (running < kMaxJobs && !queue.empty()) {
      ++running;
      auto name = std::move(queue.front());
      queue.pop_front();
      auto work = work_on(name);
      asio::co_spawn(host.executor(), std::move(work), [self = shared_from_this()](std::exception_ptr) {});
    }
  }

  awaitable<void> work_on(std::string name) {
    auto self = shared_from_this();
    if (stopped) co_return;
    auto verdict = while_paused();
    if (!verdict) verdict = co_await provide(name);
    if (stopped) co_return;  // stop() has told them
    --running;
    auto waiting = std::move(jobs[name]);
    jobs.erase(name);
    for (auto& done : waiting)
      done(*verdict);
    if (!stopped) start_jobs();
  }

  awaitable<Result<void>> provide(const std::string& name) {
    auto entry = known->entries.find(name);
    bool was_known = entry != known->entries.end() && entry->second.standing == Standing::present;
    bool is_listed = entry != known->entries.end() && entry->second.standing == Standing::listed &&
                     entry->second.until > host.clock().steady();
    if (is_listed) {
      auto request = attach_request(name);
      auto answer = co_await call(std::move(request));
      if (auto verdict = unusable(answer, "attaching the certificate to the thing " + name)) co_return *verdict;
      if (answer->status != 404) co_return attached(name, *answer);
      // Deleted since.
    }
    auto path = "/things/" + url_encode(name);
    auto request = make_request("GET", path, {}, {}, "");
    auto described = co_await call(std::move(request));
    if (auto verdict = unusable(described, "looking up the thing " + name)) co_return *verdict;
    if (is_fine(*described)) {
      // One that somebody else has made is adopted.
      if (!was_known && options.creates) co_return co_await attach(name);
      put_present(name);
      co_return Result<void>();
    }
    bool may_not_look = described->status == 401 || described->status == 403;
    if (described->status != 404 && !may_not_look) co_return give_up(name, "looking up the thing " + name, *described);
    if (!options.creates) {
      if (may_not_look) co_return give_up(name, "looking up the thing " + name, *described);
      known->put(name, Standing::absent, host.clock().steady() + kAbsent);
      host.notice({Notice::Kind::device_unknown, absent(name).text, name});
      co_return absent(name);
    }
    for (bool last = false;; last = true) {
      bool type_was_made = known->type_made;
      if (!type_was_made) {
        if (auto verdict = co_await make_type()) co_return *verdict;
      }
      auto body = json::write(json::object{{"thingTypeName", options.thing_type}});
      request = make_request("POST", path, {}, {}, std::move(body));
      auto created = co_await call(std::move(request));
      if (auto verdict = unusable(created, "creating the thing " + name)) co_return *verdict;
      if (is_fine(*created) || created->status == 409) break;
      known->type_made = false;
      // The type that we knew may have been deleted since: once more with a new one.
      if (created->status != 404 || !type_was_made || last)
        co_return give_up(name, "creating the thing " + name, *created);
    }
    co_return co_await attach(name);
  }

  // Whoever set the connection up has usually made the type: 409. Without the right to make one it must be there, which
  // shows when a thing is created.
  awaitable<std::optional<Result<void>>> make_type() {
    auto request = make_request("POST", "/thing-types/" + url_encode(options.thing_type), {}, {}, "{}");
    auto answer = co_await call(std::move(request));
    if (auto verdict = unusable(answer, "creating the thing type " + options.thing_type)) co_return verdict;
    known->type_made = true;
    co_return std::nullopt;
  }

  HttpRequest attach_request(const std::string& name) {
    return make_request("PUT", "/things/" + url_encode(name) + "/principals", {},
                        {{"x-amzn-principal", options.certificate_arn}}, "");
  }

  Result<void> attached(const std::string& name, const HttpResponse& answer) {
    if (!is_fine(answer)) return give_up(name, "attaching the certificate to the thing " + name, answer);
    put_present(name);
    return {};
  }

  awaitable<Result<void>> attach(const std::string& name) {
    if (options.certificate_arn.empty()) {
      put_present(name);
      co_return Result<void>();
    }
    auto request = attach_request(name);
    auto answer = co_await call(std::move(request));
    if (auto verdict = unusable(answer, "attaching the certificate to the thing " + name)) co_return *verdict;
    co_return attached(name, *answer);
  }

  // ---- what went wrong

  // Nothing where the registry works; else what becomes of the message, and of those to come for a while.
  std::optional<Result<void>> unusable(const Result<HttpResponse>& answer, const std::string& doing) {
    if (stopped) return Result<void>(Error{ErrorKind::cancelled, "the connection is being closed"});
    auto now = host.clock().steady();
    if (answer && !is_passing(*answer)) {
      if (paused_until <= now) pauses = 0;
      unusable_told = false;
      return std::nullopt;
    }
    throttled = answer.has_value();
    pause_text = doing + ": " + (answer ? answer_text(*answer) : answer.error().text);
    // Those that were on the way with it are no further failure.
    if (paused_until <= now) {
      auto pause = with_jitter(std::min(kFirstPause * (1 << std::min(pauses++, 6)), kLongestPause));
      if (answer) pause = std::max(pause, retry_after(*answer).value_or(milliseconds(0)));
      paused_until = now + pause;
    }
    if (!throttled) tell_unusable(pause_text);
    return while_paused();
  }

  void tell_unusable(const std::string& why) {
    if (std::exchange(unusable_told, true)) return;
    host.notice(
        {Notice::Kind::other,
         "The device registry can't be used; messages are delivered, their devices are registered later: " + why, ""});
  }

  Result<void> give_up(const std::string& name, const std::string& doing, const HttpResponse& response) {
    known->put(name, Standing::given_up, host.clock().steady() + kGivenUp);
    std::string hint;
    if (is_credential_fault(response)) {
      hint = ": check accessKeyId and secretAccessKey";
    } else if (response.status == 401 || response.status == 403) {
      hint = ": give the access key the right to do so";
    } else if (response.status == 404) {
      hint = ": check deviceType and certificateId";
    }
    host.notice({Notice::Kind::device_failed,
                 doing + ": " + answer_text(response) + hint + "; its messages are delivered all the same", name});
    return {};
  }

  // Of those that were there before us the list does not say what they are attached to.
  void put_listed(const std::string& name) {
    auto entry = known->entries.find(name);
    bool is_attached = entry != known->entries.end() && entry->second.standing == Standing::present;
    put_present(name);
    bool wants_attaching = options.creates && !options.certificate_arn.empty() && !is_attached;
    if (wants_attaching) known->entries[name].standing = Standing::listed;
  }

  void put_present(const std::string& name) {
    // Spread, so that what was listed at once is not asked for at once.
    known->put(
        name, Standing::present,
        host.clock().steady() + options.max_age * 3 / 4 +
            milliseconds(static_cast<std::int64_t>(static_cast<double>(options.max_age.count()) / 4 * random_share())));
  }

  void stop() {
    if (std::exchange(stopped, true)) return;
    calls.stop();
    auto ended = std::exchange(jobs, {});
    queue.clear();
    for (auto& [name, waiting] : ended) {
      for (auto& done : waiting)
        done(Error{ErrorKind::cancelled, "the connection is being closed"});
    }
  }

  Host& host;
  ThingsOptions options;
  Calls calls;
  Signer signer;
  std::shared_ptr<Known> known;
  bool stopped = false;
  std::unordered_map<std::string, std::vector<Done>> jobs;
  std::deque<std::string> queue;  // of jobs, those not begun
  std::size_t running = 0;
  Time paused_until{};
  bool throttled = false, unusable_told = false;
  int pauses = 0;
  std::string pause_text;
};

Things::Things(Host& host, std::shared_ptr<void>& kept, ThingsOptions options)
    : impl_(std::make_shared<Impl>(host, kept, std::move(options))) {}

Things::~Things() {
  stop();
}

awaitable<Result<void>> Things::begin(milliseconds limit) {
  return Impl::begin(impl_, limit);
}

bool Things::is_ready(const std::string& dev_eui) const {
  auto found = impl_->known->entries.find(dev_eui);
  return found != impl_->known->entries.end() && found->second.standing != Standing::absent &&
         found->second.standing != Standing::listed && found->second.until > impl_->host.clock().steady();
}

void Things::ensure(const std::string& dev_eui, Done done) {
  impl_->ensure(dev_eui, std::move(done));
}

void Things::stop() {
  impl_->stop();
}

}  // namespace sluice::connector::aws
