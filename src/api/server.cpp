// SPDX-License-Identifier: Apache-2.0
//
// One coroutine a connection, on whichever thread runs the io_context. It reads a request, has it answered, writes the
// answer, and begins again; it is suspended in one of four phases (Session::Phase).
//
//   idle --bytes--> reading --request--> waiting --wake-up--> writing --done--> idle
//
// 1. The tunnel is handled on the I/O thread itself: no hop to a worker. It waits for the log, whose completions come
// in batches
//    from another thread and are handed over with one post a batch (Wakeups).
// 2. Everything else blocks on the store and runs on the workers, whose queue is bounded.
// 3. An endless answer (Server-Sent Events) stays in its coroutine: it waits for its sink (EventSink), writes what is
//    there and waits again, with no thread of its own. A stop ends it as it ends idle connections.
// 4. Deadlines are kept by one sweep a second over all sessions instead of a timer each: it shuts sockets down, which
// ends
//    their reads and writes, or wakes those that wait.
#include "api/server.h"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <charconv>
#include <condition_variable>
#include <sys/socket.h>
#include <unordered_set>

#include "api/event_sink.h"
#include "api/router.h"
#include "api/session.h"
#include "api/tunnel.h"
#include "base/codec.h"
#include "base/log.h"

namespace sluice::api {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;
template <class T>
using awaitable = asio::awaitable<T, Executor>;
constexpr asio::use_awaitable_t<Executor> use_awaitable;
using Parser = http::request_parser<http::string_body>;

constexpr std::size_t kMaxSessions = 10'000;
// Room for what comes at once from many clients; a request whose client has given up costs nothing any more.
constexpr std::size_t kMaxWorkerQueue = 4096;
constexpr unsigned kWorkers = 4;
constexpr std::uint32_t kHeaderLimit = 16 * 1024;
constexpr std::size_t kReadSize = 16 * 1024;
constexpr std::uint64_t kBodyLimit = 5u << 20;
// Bodies over kSmallBody share a budget from the header to the answer: what many clients send together stays bounded.
constexpr std::uint64_t kSmallBody = 64u << 10;
constexpr std::uint64_t kBodyBudget = 256u << 20;
constexpr std::uint64_t kTunnelLimit = 1u << 20;
constexpr std::uint64_t kDownlinkLimit = 64u << 10;
constexpr std::int64_t kIdleMs = 60'000, kHeaderMs = 10'000, kBodyMs = 60'000, kWriteMs = 60'000, kWaitMs = 30'000;
// A worker may wait for a driver (at most 10 x its CPU limit and a second) for each of several calls.
constexpr std::int64_t kWorkMs = 120'000;
// Of endless answers: how often they are looked at, how long they may be silent, how often their token is looked at.
constexpr std::int64_t kTickMs = 1000, kSilentMs = 15'000, kTokenMs = 60'000;
constexpr std::string_view kStored = "HTTP/1.1 204 No Content\r\n\r\n";
constexpr std::string_view kStoredClose = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";

template <class T>
std::string_view view(const T& text) {
  return {text.data(), text.size()};
}

// A share of the budget for large bodies, given back at the end. Small bodies need none.
class Share {
 public:
  explicit Share(std::atomic<std::uint64_t>& used) : used_(used) {}
  ~Share() {
    if (size_ != 0) used_.fetch_sub(size_);
  }
  Share(const Share&) = delete;
  Share& operator=(const Share&) = delete;
  // Where the body is (or has become) larger than a small one, once. False: the budget is used up.
  [[nodiscard]] bool take(std::uint64_t size, std::uint64_t most) {
    if (size <= kSmallBody || size_ != 0) return true;
    size_ = most;
    return used_.fetch_add(size_) + size_ <= kBodyBudget;
  }

 private:
  std::atomic<std::uint64_t>& used_;
  std::uint64_t size_ = 0;
};

// "http://host/path", as a proxy's client sends it, is the same as "/path".
std::string_view origin_form(std::string_view target) {
  for (std::string_view scheme : {"http://", "https://"}) {
    if (!equals_ignoring_case(target.substr(0, scheme.size()), scheme)) continue;
    auto path = target.find_first_of("/?", scheme.size());
    return path == std::string_view::npos || target[path] != '/' ? std::string_view("/") : target.substr(path);
  }
  return target;
}

std::uint64_t body_limit(std::string_view method, std::string_view path) {
  if (!tunnel_binder(method, path).empty()) return kTunnelLimit;
  if (path.starts_with("/iot-flow/downlinkMessages/")) return kDownlinkLimit;
  return kBodyLimit;
}

template <class Handler>
struct HandlerResumer final : Resumer {
  explicit HandlerResumer(Handler handler) : handler(std::move(handler)) {}
  void run() override { std::move(handler)(); }
  Handler handler;
};

void append_header(std::string& out, std::string_view name, std::string_view value) {
  out += name;
  out += ": ";
  // Values may carry what a client sent: no line break gets out.
  for (char c : value)
    out += c == '\r' || c == '\n' ? ' ' : c;
  out += "\r\n";
}

void write_response(std::string& out, const Response& response, bool head, bool keep_alive) {
  out.clear();
  out += "HTTP/1.1 ";
  out += std::to_string(response.status);
  out += ' ';
  out += view(http::obsolete_reason(http::int_to_status(static_cast<unsigned>(response.status))));
  out += "\r\n";
  bool bodiless = response.status == 204 || response.status == 304;
  if (!bodiless) {
    append_header(out, "Content-Length", std::to_string(response.body.size()));
    if (!response.content_type.empty() && !response.body.empty())
      append_header(out, "Content-Type", response.content_type);
  }
  for (const auto& [name, value] : response.headers)
    append_header(out, name, value);
  if (!keep_alive) append_header(out, "Connection", "close");
  out += "\r\n";
  if (!bodiless && !head) out += response.body;
}

}  // namespace

struct Server::Impl : std::enable_shared_from_this<Server::Impl> {
  Impl(asio::io_context& io, Context context)
      : io(io),
        clock(context.clock),
        metrics(context.metrics),
        api(std::move(context)),
        acceptor(io),
        sweep_timer(io),
        accept_timer(io),
        wakeups(std::make_shared<Wakeups>(io)),
        pool(kWorkers),
        stored(tunnel_counter("204")),
        unauthorized(tunnel_counter("401")),
        full(tunnel_counter("503")),
        refused(tunnel_counter("4xx")) {}

  std::shared_ptr<Metrics::Value> tunnel_counter(const char* status) {
    return metrics.counter("sluice_tunnel_requests_total", "Reports that network servers sent, by answer",
                           {{"status", status}});
  }

  [[nodiscard]] std::int64_t now_ms() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(clock.steady().time_since_epoch()).count();
  }
  void enter(Session& session, Session::Phase phase, std::int64_t limit_ms) const {
    session.deadline.store(now_ms() + limit_ms, std::memory_order_relaxed);
    session.phase.store(phase, std::memory_order_relaxed);
  }

  // --- life of the sessions

  // Registers a session for the coroutine's life, however it ends.
  struct Registered {
    Registered(std::shared_ptr<Impl> impl, std::shared_ptr<Session> session)
        : impl(std::move(impl)), session(std::move(session)) {
      std::lock_guard lock(this->impl->mutex);
      this->impl->sessions.insert(this->session);
    }
    ~Registered() {
      // Out of the list before the socket closes: a sweep never shuts down a descriptor that is somebody else's by now.
      std::lock_guard lock(impl->mutex);
      impl->sessions.erase(session);
      if (impl->sessions.empty()) impl->empty.notify_all();
    }
    Registered(const Registered&) = delete;
    Registered& operator=(const Registered&) = delete;
    std::shared_ptr<Impl> impl;
    std::shared_ptr<Session> session;
  };

  awaitable<void> listen(std::shared_ptr<Impl> self) {
    while (!stopping) {
      error_code ec;
      auto socket = co_await acceptor.async_accept(io.get_executor(), asio::redirect_error(use_awaitable, ec));
      if (stopping || ec == asio::error::operation_aborted) break;
      if (ec) {
        // Out of descriptors or memory: taking the next one at once would only spin.
        accept_timer.expires_after(std::chrono::milliseconds(100));
        co_await accept_timer.async_wait(asio::redirect_error(use_awaitable, ec));
        continue;
      }
      {
        std::lock_guard lock(mutex);
        if (sessions.size() >= kMaxSessions) continue;  // closes it
      }
      auto session = std::make_shared<Session>(std::move(socket));
      session->socket.set_option(tcp::no_delay(true), ec);
      session->socket.non_blocking(true, ec);
      auto remote = session->socket.remote_endpoint(ec);
      if (ec) continue;
      session->peer = remote.address().to_string();
      asio::co_spawn(io.get_executor(), serve(self, std::move(session)), asio::detached);
    }
  }

  awaitable<void> sweep([[maybe_unused]] std::shared_ptr<Impl> self) {
    for (error_code ec; !stopping;) {
      sweep_timer.expires_after(std::chrono::seconds(1));
      co_await sweep_timer.async_wait(asio::redirect_error(use_awaitable, ec));
      if (!ec) end_overdue(now_ms());
    }
  }

  void end_overdue(std::int64_t now) {
    std::lock_guard lock(mutex);
    for (const auto& session : sessions) {
      if (session->deadline.load(std::memory_order_relaxed) > now) continue;
      if (session->phase.load(std::memory_order_relaxed) == Session::Phase::waiting) {
        std::lock_guard session_lock(session->mutex);
        wakeups->wake(session, session->wait, {.kind = Wakeup::Kind::timed_out});
      } else {
        ::shutdown(session->descriptor, SHUT_RDWR);
      }
    }
  }

  void shut_down(bool only_idle) {
    std::lock_guard lock(mutex);
    for (const auto& session : sessions) {
      bool streaming = session->streaming.load();
      if (only_idle && !streaming && session->phase.load() != Session::Phase::idle) continue;
      ::shutdown(session->descriptor, SHUT_RDWR);
      if (only_idle && !streaming) continue;
      std::lock_guard session_lock(session->mutex);
      wakeups->wake(session, session->wait, {.kind = Wakeup::Kind::timed_out});
    }
  }

  // --- one connection

  awaitable<void> serve(std::shared_ptr<Impl> self, std::shared_ptr<Session> session) {
    Registered registered(std::move(self), session);
    try {
      while (!stopping && co_await exchange(session)) {
      }
    } catch (const std::exception& e) {
      log::warn("a client connection ended: {}", e.what());
    }
    error_code ignored;
    session->socket.shutdown(tcp::socket::shutdown_both, ignored);
  }

  // Reads until the parser has got at least the header, or all. False: the client is gone or too slow; `ec` is set
  // where what it sent is not HTTP or too large.
  awaitable<bool> read(Session& session, Parser& parser, bool whole, Share& share, std::uint64_t limit,
                       error_code& ec) {
    for (;;) {
      while (session.buffer.size() > 0 && !(whole ? parser.is_done() : parser.is_header_done())) {
        auto used = parser.put(session.buffer.data(), ec);
        session.buffer.consume(used);
        if (ec == http::error::need_more) {
          ec = {};
          break;
        }
        if (ec) co_return false;
      }
      // A body in chunks tells its length only by growing.
      if (!share.take(parser.get().body().size(), limit)) {
        ec = http::error::buffer_overflow;
        co_return false;
      }
      if (whole ? parser.is_done() : parser.is_header_done()) co_return true;
      error_code end;
      auto size = co_await session.socket.async_read_some(session.buffer.prepare(kReadSize),
                                                          asio::redirect_error(use_awaitable, end));
      if (end) co_return false;
      session.buffer.commit(size);
      if (session.phase.load(std::memory_order_relaxed) == Session::Phase::idle) {
        enter(session, Session::Phase::reading, kHeaderMs);
      }
    }
  }

  awaitable<bool> write(Session& session, std::string_view text) {
    // Mostly the socket takes it at once: no way round through the reactor.
    error_code ec;
    auto size = session.socket.write_some(asio::buffer(text.data(), text.size()), ec);
    if (ec == asio::error::would_block || ec == asio::error::try_again) ec = {};
    if (!ec && size < text.size()) {
      enter(session, Session::Phase::writing, kWriteMs);
      text.remove_prefix(size);
      co_await asio::async_write(session.socket, asio::buffer(text.data(), text.size()),
                                 asio::redirect_error(use_awaitable, ec));
    }
    co_return !ec;
  }

  awaitable<bool> respond(Session& session, const Response& response, bool head, bool keep_alive) {
    write_response(session.out, response, head, keep_alive);
    bool written = co_await write(session, session.out);
    if (session.out.capacity() > 64 * 1024) std::string().swap(session.out);
    co_return written&& keep_alive;
  }

  // An answer before the request is wholly read: then the connection must end. What the client still sends is read and
  // dropped for a while, since closing at once could take the answer from it.
  awaitable<bool> refuse(Session& session, Response response) {
    api.complete(Request{}, response);
    co_await respond(session, response, false, false);
    error_code ec;
    session.socket.shutdown(tcp::socket::shutdown_send, ec);
    enter(session, Session::Phase::writing, 2000);
    for (std::size_t dropped = 0; !ec && dropped < kBodyLimit;) {
      session.buffer.clear();
      dropped += co_await session.socket.async_read_some(session.buffer.prepare(kReadSize),
                                                         asio::redirect_error(use_awaitable, ec));
    }
    co_return false;
  }

  // One request and its answer. False: the connection is to end.
  awaitable<bool> exchange(const std::shared_ptr<Session>& session) {
    Parser parser;
    parser.header_limit(kHeaderLimit);
    // Without one here: which limit holds is known with the target.
    parser.body_limit(boost::none);
    enter(*session, session->buffer.size() > 0 ? Session::Phase::reading : Session::Phase::idle, kIdleMs);
    error_code ec;
    Share share(large_bodies);
    if (!co_await read(*session, parser, false, share, kBodyLimit, ec)) {
      if (ec) co_return co_await refuse(*session, fail("com-4000", "not an HTTP request: " + ec.message()));
      co_return false;
    }
    const auto& request = parser.get();
    auto target = origin_form(view(request.target()));
    auto path = target.substr(0, target.find('?'));
    auto method = view(request.method_string());
    auto limit = body_limit(method, path);
    auto length = parser.content_length();
    auto too_large = [&] { return fail("com-4013", "the body may have at most " + std::to_string(limit) + " bytes"); };
    if (length && *length > limit) co_return co_await refuse(*session, too_large());
    parser.body_limit(limit);
    auto too_many = [] { return fail("com-5003", "too many large requests at once"); };
    if (!share.take(length.value_or(0), length.value_or(0))) co_return co_await refuse(*session, too_many());
    if (!parser.is_done()) {
      if (auto expect = request.find(http::field::expect); expect != request.end() && session->buffer.size() == 0) {
        if (!equals_ignoring_case(view(expect->value()), "100-continue")) {
          auto response = fail("com-4000", "only Expect: 100-continue is known");
          response.status = 417;
          co_return co_await refuse(*session, std::move(response));
        }
        if (!co_await write(*session, "HTTP/1.1 100 Continue\r\n\r\n")) co_return false;
      }
      enter(*session, Session::Phase::reading, kBodyMs);
      if (!co_await read(*session, parser, true, share, limit, ec)) {
        if (ec == http::error::buffer_overflow) co_return co_await refuse(*session, too_many());
        if (ec == http::error::body_limit) co_return co_await refuse(*session, too_large());
        if (ec) co_return co_await refuse(*session, fail("com-4000", "not an HTTP request: " + ec.message()));
        co_return false;
      }
    }
    auto query = path.size() < target.size() ? target.substr(path.size() + 1) : std::string_view();
    if (auto binder = tunnel_binder(method, path); !binder.empty())
      co_return co_await tunnel(session, request, binder, query);
    co_return co_await resource(session, parser.release(), std::string(path), std::string(query));
  }

  // Suspends until a wake-up of this wait comes; `start` begins what will send it. Nothing of the coroutine is touched
  // after `start` has run: it may be resumed on another thread by then. Callers name their `start` before they wait:
  // GCC 12 destroys the captures of a lambda written inside a co_await expression twice.
  template <class Start>
  awaitable<void> wait(const std::shared_ptr<Session>& session, std::int64_t limit_ms, Start start) {
    {
      std::lock_guard lock(session->mutex);
      ++session->wait;
    }
    enter(*session, Session::Phase::waiting, limit_ms);
    co_await asio::async_initiate<const asio::use_awaitable_t<Executor>, void()>(
        [&session, &start](auto handler) {
          std::uint64_t wait = 0;
          {
            std::lock_guard lock(session->mutex);
            wait = session->wait;
            session->resumer = std::make_unique<HandlerResumer<decltype(handler)>>(std::move(handler));
          }
          auto begin = std::move(start);
          begin(std::weak_ptr<Session>(session), wait);
        },
        use_awaitable);
    enter(*session, Session::Phase::writing, kWriteMs);
  }

  // Whether an answer would still reach the client that asked.
  static bool still_waits(const std::weak_ptr<Session>& waiting, std::uint64_t wait) {
    auto session = waiting.lock();
    if (!session) return false;
    std::lock_guard lock(session->mutex);
    return session->wait == wait && session->resumer != nullptr;
  }

  awaitable<bool> tunnel(const std::shared_ptr<Session>& session, const Parser::value_type& request,
                         std::string_view binder, std::string_view query) {
    bool keep_alive = request.keep_alive() && !stopping;
    auto type = request.find(http::field::content_type);
    binder::thingpark::Request report{.query = query,
                                      .content_type = type == request.end() ? std::string_view() : view(type->value()),
                                      .body = request.body()};
    auto read = read_report(api.context(), binder, report, session->peer);
    if (auto* refusal = std::get_if<TunnelRefusal>(&read)) {
      (refusal->status == 401 ? unauthorized : refused)->add();
      auto code = refusal->status == 401   ? "com-4001"
                  : refusal->status == 404 ? "com-4004"
                  : refusal->status == 413 ? "com-4013"
                                           : "com-4000";
      auto response = fail(code, refusal->text);
      api.complete(Request{}, response);
      co_return co_await respond(*session, response, false, keep_alive);
    }
    auto append = [log = &api.context().log, wakeups = wakeups, message = std::move(std::get<message::Message>(read))](
                      std::weak_ptr<Session> waiting, std::uint64_t wait) mutable {
      log->append(std::move(message),
                  [wakeups = std::move(wakeups), waiting = std::move(waiting), wait](Result<queue::Appended> appended) {
                    Wakeup wakeup{.kind = appended ? Wakeup::Kind::stored : Wakeup::Kind::refused};
                    if (!appended && appended.error().wait) wakeup.retry_after = *appended.error().wait;
                    wakeups->wake(waiting, wait, std::move(wakeup));
                  });
    };
    co_await wait(session, kWaitMs, std::move(append));
    if (session->wakeup.kind == Wakeup::Kind::stored) {
      stored->add();
      co_return co_await write(*session, keep_alive ? kStored : kStoredClose) && keep_alive;
    }
    full->add();
    auto response = fail("com-5003", "the report cannot be stored now");
    auto seconds = (session->wakeup.retry_after.count() + 999) / 1000;
    response.headers = {{"Retry-After", std::to_string(std::max<std::int64_t>(1, seconds))}};
    api.complete(Request{}, response);
    co_return co_await respond(*session, response, false, keep_alive);
  }

  awaitable<bool> resource(const std::shared_ptr<Session>& session, Parser::value_type message, std::string path,
                           std::string query) {
    bool keep_alive = message.keep_alive() && !stopping;
    auto request = std::make_shared<Request>();
    request->method = message.method_string();
    request->path = std::move(path);
    request->query = std::move(query);
    for (const auto& field : message)
      request->headers.emplace_back(to_lower(view(field.name_string())), field.value());
    request->body = std::move(message.body());
    request->peer = session->peer;
    bool head = request->method == "HEAD";
    if (queued.fetch_add(1) >= kMaxWorkerQueue) {
      --queued;
      auto response = fail("com-5003", "too many requests are waiting");
      request->path.clear();  // not logged one by one
      api.complete(*request, response);
      co_return co_await respond(*session, response, head, keep_alive);
    }
    auto work = [impl = shared_from_this(), request](std::weak_ptr<Session> waiting, std::uint64_t wait) {
      asio::post(impl->pool, [impl, request, waiting = std::move(waiting), wait] {
        if (!still_waits(waiting, wait)) {
          --impl->queued;
          return;
        }
        auto response = std::make_unique<Response>(impl->api.handle(*request));
        --impl->queued;
        impl->wakeups->wake(waiting, wait, {.kind = Wakeup::Kind::response, .response = std::move(response)});
      });
    };
    co_await wait(session, kWorkMs, std::move(work));
    auto response = std::move(session->wakeup.response);
    if (response && response->later) response = co_await later(session, *request, std::move(*response->later));
    if (!response) {
      response = std::make_unique<Response>(fail("com-5003", "the answer took too long"));
      api.complete(*request, *response);
    }
    if (response->stream && response->status == 200)
      co_return co_await stream(session, std::move(*response), head, message.version() >= 11);
    co_return co_await respond(*session, *response, head, keep_alive);
  }

  // --- endless answers

  // Ends the source of a stream however its coroutine ends.
  struct StreamEnd {
    ~StreamEnd() {
      sink->close();
      if (end) end();
      session->streaming = false;
    }
    std::shared_ptr<Session> session;
    std::shared_ptr<EventSink> sink;
    std::function<void()> end;
  };

  // Closes the sink when the client has gone: its end of the connection becomes readable without any data. A client
  // that sends more is watched no further; it is noticed when it takes nothing.
  static void close_when_gone(const std::shared_ptr<Session>& session, const std::shared_ptr<EventSink>& sink) {
    session->socket.async_wait(Socket::wait_read, [session, sink](error_code ec) {
      char byte = 0;
      if (ec || ::recv(session->descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0) sink->close();
    });
  }

  static std::string stream_head(const Response& response, bool chunked) {
    std::string head = "HTTP/1.1 200 OK\r\n";
    append_header(head, "Content-Type", "text/event-stream");
    append_header(head, "Cache-Control", "no-store");
    append_header(head, "X-Accel-Buffering", "no");  // or nginx gathers what should come at once
    for (const auto& [name, value] : response.headers)
      append_header(head, name, value);
    if (chunked) append_header(head, "Transfer-Encoding", "chunked");
    append_header(head, "Connection", "close");
    return head + "\r\n";
  }

  // Always false: the connection ends with the stream.
  awaitable<bool> stream(const std::shared_ptr<Session>& session, Response response, bool head, bool chunked) {
    auto what = std::move(*response.stream);
    if (!co_await write(*session, stream_head(response, chunked)) || head) co_return false;
    auto sink = std::make_shared<EventSink>();
    session->streaming = true;
    StreamEnd ending{session, sink, what.start(sink)};
    close_when_gone(session, sink);
    auto last_written = now_ms(), last_tick = last_written, last_asked = last_written;
    bool alive = co_await write_piece(*session, ":\n\n", chunked);  // the client sees at once that it is there
    while (alive && !stopping && !sink->closed()) {
      auto now = now_ms();
      if (what.tick && now - last_tick >= kTickMs) {
        last_tick = now;
        what.tick();
      }
      if (what.allowed && now - last_asked >= kTokenMs) {
        last_asked = now;
        if (!co_await still_allowed(session, what.allowed)) {
          (void)co_await write_piece(
              *session, event_text("end", "", R"({"reason":"the token has expired or lost its right"})"), chunked);
          break;
        }
      }
      auto text = sink->take();
      if (text.empty() && now - last_written >= kSilentMs) text = ":\n\n";
      if (!text.empty()) {
        last_written = now;
        alive = co_await write_piece(*session, text, chunked);
        continue;
      }
      auto start = [this, sink](std::weak_ptr<Session> waiting, std::uint64_t wait) {
        auto wake = [wakeups = wakeups, waiting = std::move(waiting), wait] {
          wakeups->wake(waiting, wait, {.kind = Wakeup::Kind::event});
        };
        if (stopping) return wake();  // a stop has looked for those that wait before this one did
        sink->when_ready(std::move(wake));
      };
      co_await wait(session, kTickMs, std::move(start));
    }
    if (alive && chunked && !sink->closed()) (void)co_await write(*session, "0\r\n\r\n");
    co_return false;
  }

  awaitable<bool> write_piece(Session& session, std::string text, bool chunked) {
    if (chunked) {
      char size[20];
      std::snprintf(size, sizeof size, "%zx\r\n", text.size());
      text.insert(0, size);
      text += "\r\n";
    }
    co_return co_await write(session, text);
  }

  // Asks on a worker. An answer that does not come in time counts as yes: it is asked again.
  awaitable<bool> still_allowed(const std::shared_ptr<Session>& session, const std::function<bool()>& allowed) {
    auto ask = [impl = shared_from_this(), allowed](std::weak_ptr<Session> waiting, std::uint64_t wait) {
      asio::post(impl->pool, [impl, allowed, waiting = std::move(waiting), wait] {
        if (!still_waits(waiting, wait)) return;
        bool yes = true;
        try {
          yes = allowed();
        } catch (const std::exception& e) {
          log::warn("a stream's token could not be looked at: {}", e.what());
        }
        impl->wakeups->wake(waiting, wait, {.kind = yes ? Wakeup::Kind::event : Wakeup::Kind::refused});
      });
    };
    co_await wait(session, kWorkMs, std::move(ask));
    co_return session->wakeup.kind != Wakeup::Kind::refused;
  }

  awaitable<std::unique_ptr<Response>> later(const std::shared_ptr<Session>& session, const Request& request,
                                             Later later) {
    auto start = [wakeups = wakeups, start = std::move(later.start)](std::weak_ptr<Session> waiting,
                                                                     std::uint64_t wait) {
      start([wakeups, waiting, wait](Response response) {
        auto answer = std::make_unique<Response>(std::move(response));
        wakeups->wake(waiting, wait, {.kind = Wakeup::Kind::response, .response = std::move(answer)});
      });
    };
    co_await wait(session, later.limit.count(), std::move(start));
    auto response = std::move(session->wakeup.response);
    if (!response) response = std::make_unique<Response>(later.too_late());
    api.complete(request, *response);
    co_return response;
  }

  asio::io_context& io;
  Clock& clock;
  Metrics& metrics;
  Api api;
  tcp::acceptor acceptor;
  asio::steady_timer sweep_timer, accept_timer;
  std::shared_ptr<Wakeups> wakeups;
  asio::thread_pool pool;
  std::shared_ptr<Metrics::Value> stored, unauthorized, full, refused;
  std::atomic<std::size_t> queued{0};
  std::atomic<std::uint64_t> large_bodies{0};
  std::atomic<bool> stopping{false};
  std::mutex mutex;  // guards the two below; taken before a session's
  std::unordered_set<std::shared_ptr<Session>> sessions;
  std::condition_variable empty;
};

Server::Server(asio::io_context& io, Context context) : impl_(std::make_shared<Impl>(io, std::move(context))) {}

Server::~Server() {
  stop(std::chrono::milliseconds(0));
  impl_->pool.join();
  impl_->wakeups->close();
}

Result<void> Server::start(const std::string& listen) {
  auto bad = [&](const std::string& reason) {
    return Error{ErrorKind::bad_config, "cannot listen on " + listen + ": " + reason};
  };
  auto colon = listen.rfind(':');
  if (colon == std::string::npos) return bad("give it as host:port");
  auto host = listen.substr(0, colon), port = listen.substr(colon + 1);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  if (host.empty() || host == "*") host = "0.0.0.0";
  unsigned short number = 0;
  if (auto end = std::from_chars(port.data(), port.data() + port.size(), number);
      end.ec != std::errc() || end.ptr != port.data() + port.size()) {
    return bad("the port must be a number from 0 to 65535");
  }
  if (auto opened = impl_->api.open(); !opened) return opened.error();
  error_code ec;
  auto found =
      tcp::resolver(impl_->io).resolve(host, port, tcp::resolver::passive | tcp::resolver::numeric_service, ec);
  if (ec || found.empty()) return bad(ec.message());
  auto endpoint = found.begin()->endpoint();
  auto& acceptor = impl_->acceptor;
  acceptor.open(endpoint.protocol(), ec);
  if (!ec) acceptor.set_option(tcp::acceptor::reuse_address(true), ec);
  if (!ec) acceptor.bind(endpoint, ec);
  if (!ec) acceptor.listen(asio::socket_base::max_listen_connections, ec);
  if (ec) return bad(ec.message());
  auto executor = impl_->io.get_executor();
  asio::co_spawn(executor, impl_->listen(impl_), asio::detached);
  asio::co_spawn(executor, impl_->sweep(impl_), asio::detached);
  return {};
}

unsigned short Server::port() const {
  error_code ec;
  return impl_->acceptor.local_endpoint(ec).port();
}

void Server::stop(std::chrono::milliseconds limit) {
  if (!impl_->stopping.exchange(true)) {
    asio::post(impl_->io, [impl = impl_] {
      error_code ignored;
      impl->acceptor.close(ignored);
      impl->sweep_timer.cancel();
      impl->accept_timer.cancel();
    });
  }
  impl_->shut_down(true);
  {
    std::unique_lock lock(impl_->mutex);
    impl_->empty.wait_for(lock, limit, [&] { return impl_->sessions.empty(); });
  }
  impl_->shut_down(false);
}

}  // namespace sluice::api
