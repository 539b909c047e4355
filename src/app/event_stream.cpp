// SPDX-License-Identifier: Apache-2.0
#include "app/event_stream.h"

#include <curl/curl.h>
#include <memory>
#include <utility>

#include "base/json.h"

namespace sluice::app {
namespace {

constexpr std::size_t kMaxEvent = 4u << 20;
constexpr std::size_t kMaxRefusal = 64u << 10;
// The server writes a comment at least every 15 s; silence for three times as long means that it is gone.
constexpr long kSilenceSeconds = 45;

struct Reading {
  EventReader reader;
  const EventReader::Look& look;
  CURL* handle = nullptr;
  bool opened = false;
  std::string refusal;  // the body of an answer that is no stream
};

std::size_t on_bytes(char* bytes, std::size_t, std::size_t size, void* context) {
  auto& reading = *static_cast<Reading*>(context);
  long status = 0;
  curl_easy_getinfo(reading.handle, CURLINFO_RESPONSE_CODE, &status);
  // An exception must not cross curl's frames: without memory the reading ends.
  try {
    if (status == 200) {
      if (!std::exchange(reading.opened, true)) reading.look("open", "");
      reading.reader.feed({bytes, size});
    } else if (reading.refusal.size() < kMaxRefusal) {
      reading.refusal.append(bytes, size);
    }
  } catch (const std::exception&) {
    return 0;
  }
  return size;
}

}  // namespace

void EventReader::feed(std::string_view bytes) {
  rest_ += bytes;
  std::size_t from = 0;
  for (auto end = rest_.find('\n'); end != std::string::npos; end = rest_.find('\n', from)) {
    std::string_view text = std::string_view(rest_).substr(from, end - from);
    if (text.ends_with('\r')) text.remove_suffix(1);
    line(text);
    from = end + 1;
  }
  rest_.erase(0, from);
  if (rest_.size() > kMaxEvent) rest_.clear();
}

void EventReader::line(std::string_view text) {
  if (text.empty()) {
    if (has_data_) look_(name_.empty() ? "message" : name_, data_);
    name_.clear();
    data_.clear();
    has_data_ = false;
    return;
  }
  auto colon = text.find(':');
  auto field = text.substr(0, colon);
  auto value = colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (field == "event") name_ = value;
  if (field != "data" || data_.size() > kMaxEvent) return;
  if (has_data_) data_ += '\n';
  data_ += value;
  has_data_ = true;
}

Result<void> read_events(const std::string& url, const std::string& token, const EventReader::Look& look) {
  std::unique_ptr<CURL, void (*)(CURL*)> handle(curl_easy_init(), curl_easy_cleanup);
  if (!handle) return Error{ErrorKind::transient, "no memory for a connection"};
  Reading reading{.reader = EventReader(look), .look = look, .handle = handle.get(), .refusal = {}};
  std::unique_ptr<curl_slist, void (*)(curl_slist*)> headers(
      curl_slist_append(nullptr, ("Authorization: Bearer " + token).c_str()), curl_slist_free_all);
  char failure[CURL_ERROR_SIZE] = {};
  auto* c = handle.get();
  curl_easy_setopt(c, CURLOPT_URL, url.c_str());
  curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, 10L);
  curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, kSilenceSeconds);
  curl_easy_setopt(c, CURLOPT_ERRORBUFFER, failure);
  curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_bytes);
  curl_easy_setopt(c, CURLOPT_WRITEDATA, &reading);
  auto done = curl_easy_perform(c);
  long status = 0;
  curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
  if (done != CURLE_OK && status != 200) {
    return Error{ErrorKind::not_connected, failure[0] != '\0' ? failure : curl_easy_strerror(done)};
  }
  if (status == 200) return Error{ErrorKind::not_connected, "the server has ended the stream"};
  auto body = json::parse(reading.refusal);
  auto text = body && body->is_object() ? json::text_or(body->get_object(), "message") : std::string();
  return Error{status == 503 || status == 429 ? ErrorKind::transient : ErrorKind::permanent,
               text.empty() ? "the server answers HTTP status " + std::to_string(status) : text};
}

}  // namespace sluice::app
