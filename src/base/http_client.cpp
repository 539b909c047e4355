// SPDX-License-Identifier: Apache-2.0
#include "base/http_client.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <curl/curl.h>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "base/codec.h"

namespace sluice {
namespace {

// One exchange under way. Lives at one address from send() to done(): curl holds pointers into it.
struct Exchange {
  std::uint64_t handle = 0;
  HttpRequest request;
  std::function<void(Result<HttpResponse>)> done;
  HttpResponse response;
  CURL* easy = nullptr;
  curl_slist* headers = nullptr;
  char error[CURL_ERROR_SIZE] = {};
  bool too_large = false;
};

using ExchangePtr = std::unique_ptr<Exchange>;

void init_curl_once() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

std::size_t on_body(char* data, std::size_t size, std::size_t count, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  std::size_t bytes = size * count;
  if (exchange.response.body.size() + bytes > exchange.request.max_response) {
    exchange.too_large = true;
    return CURL_WRITEFUNC_ERROR;
  }
  exchange.response.body.append(data, bytes);
  return bytes;
}

std::size_t on_header(char* data, std::size_t size, std::size_t count, void* user) {
  constexpr std::size_t kMaxHeaders = 200;
  auto& exchange = *static_cast<Exchange*>(user);
  std::string_view line(data, size * count);
  auto& headers = exchange.response.headers;
  // An interim answer (100 Continue) or a proxy's CONNECT is followed by the real one.
  if (line.starts_with("HTTP/")) {
    headers.clear();
  } else if (auto colon = line.find(':'); colon != std::string_view::npos && headers.size() < kMaxHeaders) {
    headers.emplace_back(to_lower(line.substr(0, colon)), std::string(trim(line.substr(colon + 1))));
  }
  return line.size();
}

void replace_all(std::string& text, std::string_view what) {
  if (what.empty()) return;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 3)) {
    text.replace(at, what.size(), "...");
  }
}

// "https://host:port/path": without the user, the query and the fragment, which may hold credentials.
std::string shown_url(std::string_view url) {
  url = url.substr(0, url.find_first_of("?#"));
  auto scheme = url.find("://");
  std::size_t authority = scheme == std::string_view::npos ? 0 : scheme + 3;
  auto end = std::min(url.find('/', authority), url.size());
  auto at = url.substr(0, end).rfind('@');
  if (at == std::string_view::npos || at < authority) return std::string(url);
  return std::string(url.substr(0, authority)) + std::string(url.substr(at + 1));
}

// curl's own words, with anything of the request that might be a credential cut out.
std::string scrubbed(const Exchange& exchange, std::string text) {
  const auto& request = exchange.request;
  std::string_view url = request.url;
  if (auto query = url.find('?'); query != std::string_view::npos) replace_all(text, url.substr(query + 1));
  auto scheme = url.find("://");
  auto authority = scheme == std::string_view::npos ? 0 : scheme + 3;
  auto host = url.substr(authority, url.find_first_of("/?#", authority) - authority);
  if (auto at = host.rfind('@'); at != std::string_view::npos) replace_all(text, host.substr(0, at));
  replace_all(text, request.proxy_password);
  if (request.proxy_username.size() > 2) replace_all(text, request.proxy_username);
  return text;
}

ErrorKind kind_of(CURLcode code, bool connected) {
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return connected ? ErrorKind::transient : ErrorKind::not_connected;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_BAD_FUNCTION_ARGUMENT:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CLIENTCERT:
      return ErrorKind::bad_config;
    case CURLE_ABORTED_BY_CALLBACK:
      return ErrorKind::cancelled;
    case CURLE_FILESIZE_EXCEEDED:
      return ErrorKind::permanent;
    case CURLE_OUT_OF_MEMORY:
      return ErrorKind::transient;
    // DNS, refused, reset, cut off half way, no TLS at the other end: the transport is not there.
    default:
      return ErrorKind::not_connected;
  }
}

// With TLS 1.3 a server that refuses our certificate says so after the handshake, by an alert in the place of an
// answer.
bool refuses_our_certificate(CURLcode code, std::string_view text) {
  if (code != CURLE_RECV_ERROR && code != CURLE_SEND_ERROR && code != CURLE_SSL_CONNECT_ERROR) return false;
  // OpenSSL's texts of the alerts of RFC 8446, 6.2.
  constexpr std::array<std::string_view, 8> kAlerts{"alert bad certificate",     "alert unsupported certificate",
                                                    "alert certificate revoked", "alert certificate expired",
                                                    "alert certificate unknown", "alert unknown ca",
                                                    "alert access denied",       "alert certificate required"};
  return std::any_of(kAlerts.begin(), kAlerts.end(),
                     [&](std::string_view alert) { return text.find(alert) != std::string_view::npos; });
}

Error error_of(const Exchange& exchange, CURLcode code) {
  std::string doing = "requesting " + shown_url(exchange.request.url);
  if (exchange.too_large) {
    std::string limit = std::to_string(exchange.request.max_response);
    return Error{ErrorKind::permanent, "the answer is over " + limit + " bytes"}.wrap(doing);
  }
  curl_off_t ready = 0;
  curl_easy_getinfo(exchange.easy, CURLINFO_PRETRANSFER_TIME_T, &ready);
  std::string text = exchange.error[0] ? exchange.error : curl_easy_strerror(code);
  auto kind = kind_of(code, ready > 0);
  if (refuses_our_certificate(code, text)) {
    kind = ErrorKind::bad_config;
    text = (exchange.request.certificate_pem.empty() ? "the peer wants a client certificate ("
                                                     : "the peer refuses our client certificate (") +
           text + ")";
  }
  return Error{kind, scrubbed(exchange, std::move(text))}.wrap(doing);
}

bool breaks_out(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos;
}

// What may not be sent at all: nothing where the request is sound.
std::optional<Error> fault_of(const HttpRequest& request) {
  auto bad = [](std::string text) { return Error{ErrorKind::bad_config, std::move(text)}; };
  if (breaks_out(request.url) || request.url.find(' ') != std::string::npos) {
    return bad("the URL holds blanks or control characters");
  }
  if (request.method.empty() || breaks_out(request.method) || request.method.find(' ') != std::string::npos) {
    return bad("the method is not one word");
  }
  for (const auto& [name, content] : request.headers) {
    if (name.empty() || breaks_out(name) || name.find_first_of(": \t") != std::string::npos) {
      return bad("a header's name holds blanks, colons or control characters");
    }
    if (breaks_out(content)) return bad("the value of the header " + name + " holds line breaks");
  }
  return std::nullopt;
}

curl_slist* header_list(const HttpRequest& request) {
  curl_slist* list = nullptr;
  bool has_type = false, has_expect = false;
  for (const auto& [name, content] : request.headers) {
    has_type |= equals_ignoring_case(name, "content-type");
    has_expect |= equals_ignoring_case(name, "expect");
    // A name with a semicolon is how curl sends a header without content.
    list = curl_slist_append(list, (content.empty() ? name + ";" : name + ": " + content).c_str());
  }
  // Not curl's default of a form, and no waiting for "100 Continue" that many servers never send.
  if (!has_type) list = curl_slist_append(list, "Content-Type:");
  if (!has_expect) list = curl_slist_append(list, "Expect:");
  return list;
}

void set_blob(CURL* easy, CURLoption option, const std::string& pem) {
  curl_blob blob{const_cast<char*>(pem.data()), pem.size(), CURL_BLOB_NOCOPY};
  curl_easy_setopt(easy, option, &blob);
}

void set_tls(CURL* easy, const HttpRequest& request) {
  curl_easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  if (!request.ca_pem.empty()) set_blob(easy, CURLOPT_CAINFO_BLOB, request.ca_pem);
  if (!request.certificate_pem.empty()) {
    curl_easy_setopt(easy, CURLOPT_SSLCERTTYPE, "PEM");
    curl_easy_setopt(easy, CURLOPT_SSLKEYTYPE, "PEM");
    set_blob(easy, CURLOPT_SSLCERT_BLOB, request.certificate_pem);
    set_blob(easy, CURLOPT_SSLKEY_BLOB, request.key_pem);
  }
}

void set_body(CURL* easy, const HttpRequest& request) {
  std::string_view verb = "GET";
  if (request.method == "POST" || !request.body.empty()) {
    verb = "POST";
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request.body.data());
  } else if (request.method == "HEAD") {
    verb = "HEAD";
    curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
  }
  if (request.method != verb) curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());
}

void set_up(Exchange& exchange) {
  CURL* easy = exchange.easy;
  const auto& request = exchange.request;
  exchange.headers = header_list(request);
  curl_easy_setopt(easy, CURLOPT_PRIVATE, &exchange);
  curl_easy_setopt(easy, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "Sluice/" SLUICE_VERSION);
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, exchange.headers);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(request.connect_timeout.count()));
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(request.timeout.count()));
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, exchange.error);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &exchange);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &exchange);
  curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  // Empty means none: a proxy out of the environment would surprise.
  curl_easy_setopt(easy, CURLOPT_PROXY, request.proxy.c_str());
  if (!request.proxy_username.empty()) curl_easy_setopt(easy, CURLOPT_PROXYUSERNAME, request.proxy_username.c_str());
  if (!request.proxy_password.empty()) curl_easy_setopt(easy, CURLOPT_PROXYPASSWORD, request.proxy_password.c_str());
  if (request.connect_only) curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
  set_body(easy, request);
  set_tls(easy, request);
}

}  // namespace

std::string HttpResponse::header(std::string_view lower_case_name) const {
  for (const auto& [name, content] : headers) {
    if (name == lower_case_name) return content;
  }
  return {};
}

// Invariants: `multi_`, `running_` and `spare_` belong to the thread; `incoming_`, `cancelled_` and `stopping_` to the
// mutex. Each Exchange's `done` is called once, by the thread, with no lock held.
struct HttpClient::Impl {
  explicit Impl(std::size_t max_connections_per_host) {
    init_curl_once();
    multi_ = curl_multi_init();
    ENSURE(multi_ != nullptr);
    curl_multi_setopt(multi_, CURLMOPT_MAX_HOST_CONNECTIONS, static_cast<long>(max_connections_per_host));
    // Beyond the default of 4 per running request, so that a pause does not close what the next burst needs.
    curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, 1024L);
    thread_ = std::thread([this] { run(); });
  }

  ~Impl() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    curl_multi_wakeup(multi_);
    thread_.join();
    for (CURL* easy : spare_)
      curl_easy_cleanup(easy);
    curl_multi_cleanup(multi_);
  }

  std::uint64_t send(HttpRequest request, std::function<void(Result<HttpResponse>)> done) {
    auto exchange = std::make_unique<Exchange>();
    exchange->request = std::move(request);
    exchange->done = std::move(done);
    std::uint64_t handle = 0;
    bool first = false;
    {
      std::lock_guard lock(mutex_);
      handle = exchange->handle = ++last_handle_;
      first = incoming_.empty();
      incoming_.push_back(std::move(exchange));
    }
    // The thread takes all that is waiting at once: one wake-up serves a burst.
    if (first) curl_multi_wakeup(multi_);
    return handle;
  }

  void cancel(std::uint64_t handle) {
    {
      std::lock_guard lock(mutex_);
      cancelled_.push_back(handle);
    }
    curl_multi_wakeup(multi_);
  }

  void run() {
    std::vector<ExchangePtr> incoming;
    std::vector<std::uint64_t> cancelled;
    bool stopping = false;
    while (!stopping) {
      {
        std::lock_guard lock(mutex_);
        incoming.swap(incoming_);
        cancelled.swap(cancelled_);
        stopping = stopping_;
      }
      for (auto& exchange : incoming)
        begin(std::move(exchange));
      incoming.clear();
      for (auto handle : cancelled)
        end(handle, Error{ErrorKind::cancelled, "the request was cancelled"});
      cancelled.clear();
      int active = 0;
      curl_multi_perform(multi_, &active);
      collect();
      if (!stopping) curl_multi_poll(multi_, nullptr, 0, 60000, nullptr);
    }
    while (!running_.empty())
      end(running_.begin()->first, Error{ErrorKind::cancelled, "the HTTP client was stopped"});
  }

  void begin(ExchangePtr exchange) {
    if (auto fault = fault_of(exchange->request)) {
      exchange->done(fault->wrap("requesting " + shown_url(exchange->request.url)));
      return;
    }
    if (spare_.empty()) {
      exchange->easy = curl_easy_init();
    } else {
      exchange->easy = spare_.back();
      spare_.pop_back();
    }
    if (!exchange->easy) {
      exchange->done(Error{ErrorKind::transient, "out of memory for a request"});
      return;
    }
    set_up(*exchange);
    curl_multi_add_handle(multi_, exchange->easy);
    auto handle = exchange->handle;
    running_.emplace(handle, std::move(exchange));
  }

  void collect() {
    int left = 0;
    while (CURLMsg* message = curl_multi_info_read(multi_, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      CURLcode code = message->data.result;
      void* user = nullptr;
      curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &user);
      auto& exchange = *static_cast<Exchange*>(user);
      if (code != CURLE_OK) {
        end(exchange.handle, error_of(exchange, code));
        continue;
      }
      long status = 0;
      curl_easy_getinfo(exchange.easy, CURLINFO_RESPONSE_CODE, &status);
      exchange.response.status = static_cast<int>(status);
      end(exchange.handle, std::move(exchange.response));
    }
  }

  void end(std::uint64_t handle, Result<HttpResponse> result) {
    auto found = running_.find(handle);
    if (found == running_.end()) return;
    auto exchange = std::move(found->second);
    running_.erase(found);
    curl_multi_remove_handle(multi_, exchange->easy);
    // Resetting an easy handle is cheaper than making one; its connections belong to the multi handle and stay.
    constexpr std::size_t kSpare = 256;
    if (spare_.size() < kSpare && !exchange->request.connect_only) {
      curl_easy_reset(exchange->easy);
      spare_.push_back(exchange->easy);
    } else {
      curl_easy_cleanup(exchange->easy);
    }
    curl_slist_free_all(exchange->headers);
    exchange->done(std::move(result));
  }

  CURLM* multi_ = nullptr;
  std::unordered_map<std::uint64_t, ExchangePtr> running_;
  std::vector<CURL*> spare_;

  std::mutex mutex_;
  std::vector<ExchangePtr> incoming_;
  std::vector<std::uint64_t> cancelled_;
  std::uint64_t last_handle_ = 0;
  bool stopping_ = false;

  std::thread thread_;
};

HttpClient::HttpClient(std::size_t max_connections_per_host)
    : impl_(std::make_unique<Impl>(max_connections_per_host)) {}
HttpClient::~HttpClient() = default;

std::uint64_t HttpClient::send(HttpRequest request, std::function<void(Result<HttpResponse>)> done) {
  return impl_->send(std::move(request), std::move(done));
}

void HttpClient::cancel(std::uint64_t handle) {
  impl_->cancel(handle);
}

}  // namespace sluice
