// SPDX-License-Identifier: Apache-2.0
#include "connector/amqp/client.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>
#include <random>

namespace sluice::connector::amqp {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using std::chrono::milliseconds;
constexpr auto kUse = asio::as_tuple(asio::use_awaitable);

constexpr std::uint16_t kPublishing = 1, kConsuming = 2;
constexpr std::uint16_t kPrefetch = 250;
constexpr std::uint16_t kChannelMax = 2047;
constexpr std::uint32_t kFrameMax = 131072, kFrameMin = 4096;
constexpr std::size_t kReadSize = 4096;  // hundreds of confirms; idle connections are many, so not more
// Bytes that wait for the socket, beyond which messages wait as what they are.
constexpr std::size_t kMaxOutput = 8 << 20;
constexpr milliseconds kGrace{10};
constexpr milliseconds kFirstPause{500}, kLongestPause{60000};

// Reply codes (the specification, 1.2; RabbitMQ's use of them).
constexpr std::uint16_t kContentTooLarge = 311, kAccessRefused = 403, kNotFound = 404, kPreconditionFailed = 406,
                        kNotAllowed = 530;

std::string in_ms(milliseconds time) {
  return std::to_string(time.count()) + " ms";
}

double random_share() {
  thread_local std::minstd_rand engine{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(engine);
}

// The broker's text, which goes into events: what is no printable ASCII gives way.
std::string printable(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c < 0x20 || c > 0x7e) c = '?';
  }
  return out;
}

std::string told(std::uint16_t code, const std::string& text) {
  return std::to_string(code) + " " + printable(text);
}

// Of a connection that the broker ends. A limit of connections passes, what else is not allowed stays.
ErrorKind kind_of_connection_close(std::uint16_t code, std::string_view text) {
  bool refused = code == kAccessRefused || (code == kNotAllowed && text.find("limit") == std::string_view::npos);
  return refused ? ErrorKind::bad_config : ErrorKind::not_connected;
}

// Of a channel that the broker closes while exchange, queue and binding are made ready.
ErrorKind kind_of_refused_method(std::uint16_t code) {
  bool refused = code == kAccessRefused || code == kNotFound || code == kPreconditionFailed || code == kNotAllowed;
  return refused ? ErrorKind::bad_config : ErrorKind::not_connected;
}

// RabbitMQ says "message size 200 is larger than configured max size 100": the last number, where it speaks of a size.
std::optional<std::size_t> size_limit_of(const std::string& text) {
  auto size = text.find("size");
  auto end = text.find_last_of("0123456789");
  if (size == std::string::npos || end == std::string::npos || end < size) return std::nullopt;
  auto begin = text.find_last_not_of("0123456789", end) + 1;
  std::size_t limit = 0;
  auto [at, failed] = std::from_chars(text.data() + begin, text.data() + end + 1, limit);
  return failed == std::errc() ? std::optional(limit) : std::nullopt;
}

bool offers(std::string_view mechanisms, std::string_view wanted) {
  while (!mechanisms.empty()) {
    auto end = std::min(mechanisms.find(' '), mechanisms.size());
    if (mechanisms.substr(0, end) == wanted) return true;
    mechanisms.remove_prefix(std::min(end + 1, mechanisms.size()));
  }
  return false;
}

}  // namespace

std::shared_ptr<Client> Client::make(const asio::any_io_executor& executor, ClientOptions options) {
  return std::shared_ptr<Client>(new Client(executor, std::move(options)));
}

Client::Client(const asio::any_io_executor& executor, ClientOptions options)
    : executor_(executor),
      options_(std::move(options)),
      deadline_(executor),
      timer_(executor),
      written_(executor),
      pause_(executor),
      channels_{Channel(executor), Channel(executor), Channel(executor)},
      frame_max_(kFrameMax) {}

Client::~Client() {
  settle_all(Error{ErrorKind::cancelled, "the AMQP client was destroyed"});
}

// ---------------------------------------------------------------- connecting

Error Client::in_phase(Error error) const {
  if (closing_) return Error{ErrorKind::cancelled, "given up while " + phase_};
  if (timed_out_)
    return Error{ErrorKind::not_connected, phase_ + ": no success within " + in_ms(options_.connect_timeout)};
  return error.wrap(phase_);
}

awaitable<Result<void>> Client::connect(std::function<void()> authenticating) {
  auto self = shared_from_this();
  ENSURE(state_ == State::idle);
  if (closing_) co_return Error{ErrorKind::cancelled, "closed before it was opened"};
  state_ = State::connecting;
  deadline_.expires_after(options_.connect_timeout);
  deadline_.async_wait([weak = weak_from_this()](boost::system::error_code ec) {
    auto client = weak.lock();
    if (ec || !client || client->state_ != State::connecting) return;
    client->timed_out_ = true;
    if (client->dial_) client->dial_->cancel();
    if (client->transport_) client->fail(Error{ErrorKind::not_connected, "no answer"});
  });
  auto connected = co_await connect_transport();
  if (connected && !closing_ && !timed_out_) {
    if (authenticating) authenticating();
    start_reading();
    connected = co_await log_in();
    if (connected) connected = co_await set_up_publishing();
    if (connected && !options_.queue.empty()) connected = co_await set_up_consuming();
  }
  deadline_.cancel();
  if (connected && (closing_ || timed_out_ || state_ != State::connecting))
    connected = failure_.value_or(Error{ErrorKind::not_connected, "ended"});
  if (!connected) {
    auto error = in_phase(connected.error());
    fail(error);
    written_.cancel();
    settle_all(error);
    co_return error;
  }
  state_ = State::open;
  arm(Clock::now() + options_.heartbeat / 2);
  if (consuming_broken_) consuming_ended("the broker has ended the consumer");
  send_waiting();
  co_return Result<void>();
}

awaitable<Result<void>> Client::connect_transport() {
  dial_ = std::make_unique<net::Dial>(executor_, options_.transport);
  auto made = co_await dial_->run(phase_, options_.connect_timeout);
  dial_.reset();
  if (!made) co_return made.error();
  transport_ = std::move(*made);
  co_return Result<void>();
}

awaitable<Result<void>> Client::log_in() {
  phase_ = "greeting the broker";
  auto start = co_await ask(0, std::string(kProtocolHeader), MethodId::connection_start);
  if (!start) co_return start.error();
  phase_ = "logging in";
  const char* mechanism = options_.by_certificate ? "EXTERNAL" : "PLAIN";
  if (!offers(start->text, mechanism)) {
    co_return Error{ErrorKind::bad_config, std::string("the broker does not offer the mechanism ") + mechanism +
                                               ", only " + printable(std::string_view(start->text).substr(0, 200))};
  }
  std::string response, bytes;
  if (!options_.by_certificate) response = std::string(1, '\0') + options_.username + '\0' + options_.password;
  append_start_ok(bytes, options_.connection_name, mechanism, response);
  auto tuned = co_await ask(0, std::move(bytes), MethodId::connection_tune);
  if (!tuned) co_return tuned.error();
  co_return co_await tune(std::move(*tuned));
}

awaitable<Result<void>> Client::tune(Answer offer) {
  if (offer.id == MethodId::connection_secure)
    co_return Error{ErrorKind::bad_config, "the broker asks for more than user name and password"};
  // Zero is no limit.
  auto least = [](auto ours, auto theirs) { return theirs == 0 ? ours : std::min(ours, theirs); };
  auto channel_max = least(kChannelMax, offer.channel_max);
  if (channel_max < kConsuming)
    co_return Error{ErrorKind::bad_config, "the broker allows a single channel, two are needed"};
  frame_max_ = std::max(least(kFrameMax, offer.frame_max), kFrameMin);
  auto heartbeat = least(static_cast<std::uint16_t>(options_.heartbeat.count()), offer.heartbeat);
  options_.heartbeat = std::chrono::seconds(heartbeat);
  phase_ = "opening the virtual host " + options_.virtual_host;
  std::string bytes;
  FrameWriter(bytes, MethodId::connection_tune_ok, 0).u16(channel_max).u32(frame_max_).u16(heartbeat).end();
  FrameWriter(bytes, MethodId::connection_open, 0).short_text(options_.virtual_host).short_text("").u8(0).end();
  auto opened = co_await ask(0, std::move(bytes), MethodId::connection_open_ok);
  if (!opened) co_return opened.error();
  co_return Result<void>();
}

awaitable<Result<void>> Client::open_channel(std::uint16_t number) {
  auto& channel = channels_[number];
  channel.ready = false;
  channel.content = {};
  ++channel.opening;
  std::string bytes;
  FrameWriter(bytes, MethodId::channel_open, number).short_text("").end();
  auto opened = co_await ask(number, std::move(bytes), MethodId::channel_open_ok);
  if (!opened) co_return opened.error().wrap("opening a channel");
  co_return Result<void>();
}

awaitable<Result<void>> Client::make_sure(std::uint16_t channel, AppendDeclare declare, MethodId declared,
                                          std::string name, std::string what, bool* created) {
  std::string bytes;
  declare(bytes, channel, name, true, false);
  auto there = co_await call(channel, std::move(bytes), declared);
  if (!there) co_return there.error();
  if (there->id == declared) co_return Result<void>();
  if (there->code != kNotFound)
    co_return Error{kind_of_refused_method(there->code),
                    "looking at the " + what + ": " + told(there->code, there->text)};
  auto opened = co_await open_channel(channel);
  if (!opened) co_return opened;
  bytes.clear();
  declare(bytes, channel, name, false, options_.trial);
  auto made = co_await ask(channel, std::move(bytes), declared);
  if (!made) co_return made.error().wrap("making the " + what);
  if (created) *created = true;
  co_return Result<void>();
}

awaitable<Result<void>> Client::set_up_publishing() {
  auto self = shared_from_this();
  if (state_ == State::connecting) phase_ = "setting up the exchange";
  auto opened = co_await open_channel(kPublishing);
  if (!opened) co_return opened;
  if (!options_.exchange.empty()) {
    auto there = co_await make_sure(kPublishing, append_exchange_declare, MethodId::exchange_declare_ok,
                                    options_.exchange, "exchange '" + options_.exchange + "'", &made_exchange_);
    if (!there) co_return there;
  }
  std::string bytes;
  FrameWriter(bytes, MethodId::confirm_select, kPublishing).u8(0).end();
  auto selected = co_await ask(kPublishing, std::move(bytes), MethodId::confirm_select_ok);
  if (!selected) co_return selected.error().wrap("asking for confirms");
  first_tag_ = 1;
  flow_ = true;
  channels_[kPublishing].ready = true;
  co_return Result<void>();
}

awaitable<Result<void>> Client::set_up_consuming() {
  auto self = shared_from_this();
  if (state_ == State::connecting) phase_ = "setting up the downlink queue";
  consuming_broken_ = false;
  auto& channel = channels_[kConsuming];
  if (!channel.ready) {
    auto opened = co_await open_channel(kConsuming);
    if (!opened) co_return opened;
  }
  const auto& queue = options_.queue;
  auto there =
      co_await make_sure(kConsuming, append_queue_declare, MethodId::queue_declare_ok, queue, "queue '" + queue + "'");
  if (!there) co_return there;
  std::string bytes;
  FrameWriter(bytes, MethodId::basic_qos, kConsuming).u32(0).u16(kPrefetch).u8(0).end();
  auto done = co_await ask(kConsuming, std::move(bytes), MethodId::basic_qos_ok);
  if (!done) co_return done.error().wrap("setting the prefetch count");
  // Every queue is bound to the default exchange by its name, and that can't be changed.
  if (!options_.exchange.empty()) {
    bytes.clear();
    FrameWriter(bytes, MethodId::queue_bind, kConsuming)
        .u16(0)
        .short_text(queue)
        .short_text(options_.exchange)
        .short_text(options_.binding_key)
        .u8(0)
        .u32(0)
        .end();
    done = co_await ask(kConsuming, std::move(bytes), MethodId::queue_bind_ok);
    if (!done) co_return done.error().wrap("binding the queue '" + queue + "' to '" + options_.binding_key + "'");
  }
  bytes.clear();
  FrameWriter(bytes, MethodId::basic_consume, kConsuming)
      .u16(0)
      .short_text(queue)
      .short_text("sluice")
      .u8(0)
      .u32(0)
      .end();
  done = co_await ask(kConsuming, std::move(bytes), MethodId::basic_consume_ok);
  if (!done) co_return done.error().wrap("consuming from the queue '" + queue + "'");
  channel.ready = true;
  co_return Result<void>();
}

awaitable<Result<Client::Answer>> Client::call(std::uint16_t number, std::string bytes, MethodId awaited) {
  auto self = shared_from_this();
  auto& channel = channels_[number];
  if (state_ == State::ended) co_return failure_.value_or(Error{ErrorKind::not_connected, "not connected"});
  channel.awaited = awaited;
  channel.answer.reset();
  output_ += bytes;
  flush();
  // While it connects, the limit of connecting ends the wait.
  channel.arrived.expires_after(state_ == State::connecting ? options_.connect_timeout * 2 : options_.action_timeout);
  co_await channel.arrived.async_wait(kUse);
  channel.awaited = MethodId::none;
  if (channel.answer) co_return std::move(*channel.answer);
  if (state_ != State::ended)
    fail(Error{ErrorKind::not_connected, "the broker has not answered within " + in_ms(options_.action_timeout)});
  co_return failure_.value_or(Error{ErrorKind::not_connected, "the connection has ended"});
}

awaitable<Result<Client::Answer>> Client::ask(std::uint16_t number, std::string bytes, MethodId awaited) {
  auto answer = co_await call(number, std::move(bytes), awaited);
  if (answer && answer->id == MethodId::channel_close)
    co_return Error{kind_of_refused_method(answer->code), "the broker refuses: " + told(answer->code, answer->text)};
  co_return answer;
}

// ---------------------------------------------------------------- mending channels

void Client::publishing_closed(const Answer& why) {
  auto text = "the broker has closed the channel: " + told(why.code, why.text);
  channels_[kPublishing].ready = false;
  auto hit = std::exchange(in_flight_, {});
  bool alone = unconfirmed_ == 1;
  unconfirmed_ = 0;
  suspect_on_the_way_ = false;
  bool about_one =
      why.culprit == MethodId::basic_publish && (why.code == kPreconditionFailed || why.code == kContentTooLarge);
  auto limit = about_one ? size_limit_of(why.text) : std::nullopt;
  bool found = alone;
  for (const auto& entry : hit)
    found = found || (limit && entry.size > *limit);
  // No publish is tried before the channel is open again: those that come meanwhile wait.
  asio::co_spawn(executor_, reopen_publishing(), [self = shared_from_this()](std::exception_ptr failed) {
    if (failed) self->fail(Error{ErrorKind::bug, "opening a channel anew ended with an exception"});
  });
  if (suspects_.size() > 4 * options_.max_in_flight) suspects_.clear();
  for (auto& entry : hit) {
    if (!entry.done) continue;
    bool at_fault = about_one && (alone || (limit && entry.size > *limit));
    if (about_one && !found) suspects_.insert(entry.message_id);
    if (at_fault) suspects_.erase(entry.message_id);
    auto kind = why.code == kAccessRefused ? ErrorKind::bad_config
                : at_fault                 ? ErrorKind::permanent
                                           : ErrorKind::transient;
    entry.done(Error{kind, text});
  }
}

awaitable<void> Client::reopen_publishing() {
  auto self = shared_from_this();
  auto opened = co_await set_up_publishing();
  if (state_ != State::open) co_return;
  if (!opened) {
    fail(opened.error());
    co_return;
  }
  send_waiting();
}

void Client::consuming_ended(const std::string& why) {
  consuming_broken_ = true;
  if (state_ != State::open || consuming_revives_ || closing_) return;
  consuming_revives_ = true;
  notice("no commands are received from the queue '" + options_.queue + "' for now: " + why);
  asio::co_spawn(executor_, reopen_consuming(), [self = shared_from_this()](std::exception_ptr failed) {
    if (failed) self->fail(Error{ErrorKind::bug, "consuming anew ended with an exception"});
  });
}

awaitable<void> Client::reopen_consuming() {
  auto self = shared_from_this();
  auto wait = kFirstPause;
  while (state_ == State::open && consuming_broken_) {
    pause_.expires_after(milliseconds(static_cast<long>(static_cast<double>(wait.count()) * (0.5 + random_share()))));
    co_await pause_.async_wait(kUse);
    if (state_ != State::open) break;
    auto consuming = co_await set_up_consuming();
    if (state_ != State::open) break;
    if (!consuming) {
      consuming_broken_ = true;
      notice("commands can't be received: " + consuming.error().text);
    }
    wait = std::min(wait * 2, kLongestPause);
  }
  consuming_revives_ = false;
}

void Client::notice(std::string text) {
  if (on_notice && !closing_) on_notice(std::move(text));
}

// ---------------------------------------------------------------- reading

void Client::start_reading() {
  last_read_ = last_write_ = went_on_ = Clock::now();
  asio::co_spawn(executor_, read_loop(), [self = shared_from_this()](std::exception_ptr failed) {
    if (failed) self->fail(Error{ErrorKind::bug, "reading from the broker ended with an exception"});
  });
}

awaitable<void> Client::read_loop() {
  auto self = shared_from_this();
  while (state_ != State::ended) {
    if (input_.size() - input_end_ < kReadSize / 4) input_.resize(std::max(kReadSize, input_.size() * 2));
    auto [ec, count] = co_await transport_->read(asio::buffer(input_.data() + input_end_, input_.size() - input_end_));
    if (state_ == State::ended) break;
    if (ec) {
      fail(net::transport_error(ec));
      break;
    }
    input_end_ += count;
    last_read_ = Clock::now();
    auto handled = handle_input();
    if (!handled) fail(handled.error());
  }
}

Result<void> Client::handle_input() {
  std::size_t at = 0;
  while (state_ != State::ended) {
    Frame frame;
    auto length = parse_frame({input_.data() + at, input_end_ - at}, frame_max_ - kFrameOverhead, frame);
    if (!length) return length.error();
    if (*length == 0) break;
    auto handled = handle(frame);
    if (!handled) return handled;
    at += *length;
  }
  std::copy(input_.begin() + static_cast<long>(at), input_.begin() + static_cast<long>(input_end_), input_.begin());
  input_end_ -= at;
  // A large message leaves no large buffer behind.
  if (input_end_ == 0 && input_.size() > 16 * kReadSize) {
    input_.resize(kReadSize);
    input_.shrink_to_fit();
  }
  return {};
}

Result<void> Client::handle(const Frame& frame) {
  if (frame.channel >= channels_.size())
    return Error{ErrorKind::not_connected,
                 "the broker sent a frame for channel " + std::to_string(frame.channel) + ", which is not open"};
  switch (frame.type) {
    case FrameType::method:
      return handle_method(frame);
    case FrameType::heartbeat:
      return {};
    default:
      return handle_content(frame);
  }
}

Result<void> Client::handle_method(const Frame& frame) {
  auto method = parse_method(frame.payload);
  if (!method) return method.error();
  if (frame.channel == 0) return handle_connection_method(*method);
  auto& channel = channels_[frame.channel];
  switch (method->id) {
    case MethodId::basic_ack:
    case MethodId::basic_nack:
      if (frame.channel == kPublishing) confirmed(*method);
      return {};
    case MethodId::basic_deliver:
    case MethodId::basic_return:
      channel.content = {};
      channel.content.stage = Content::Stage::header;
      channel.content.returned = method->id == MethodId::basic_return;
      channel.content.redelivered = method->flag;
      channel.content.tag = method->tag;
      channel.content.routing_key = method->routing_key;
      if (channel.content.returned) channel.content.reason = told(method->code, std::string(method->text));
      return {};
    case MethodId::basic_cancel:
      if (!method->flag)
        FrameWriter(output_, MethodId::basic_cancel_ok, frame.channel).short_text(method->consumer_tag).end();
      flush();
      consuming_ended("the broker has cancelled the consumer, as it does when the queue is deleted");
      return {};
    case MethodId::channel_flow:
      FrameWriter(output_, MethodId::channel_flow_ok, frame.channel).u8(method->flag ? 1 : 0).end();
      flush();
      if (frame.channel != kPublishing) return {};
      flow_ = method->flag;
      went_on_ = Clock::now();
      send_waiting();
      return {};
    case MethodId::channel_close:
      channel_closed(frame.channel, *method);
      return {};
    default:
      if (channel.awaited == method->id) answered(channel, *method);
      return {};
  }
}

Result<void> Client::handle_connection_method(const Method& method) {
  switch (method.id) {
    case MethodId::connection_close: {
      std::string text(method.text);
      auto kind = kind_of_connection_close(method.code, text);
      fail(Error{kind, "the broker ends the connection: " + told(method.code, text)}, true);
      return {};
    }
    case MethodId::connection_blocked:
      if (!std::exchange(blocked_, true))
        notice("the broker takes no messages for now: " + printable(method.text) + " (a resource alarm of the broker)");
      return {};
    case MethodId::connection_unblocked:
      if (std::exchange(blocked_, false)) notice("the broker takes messages again");
      went_on_ = Clock::now();
      send_waiting();
      return {};
    case MethodId::connection_secure:
      if (channels_[0].awaited == MethodId::connection_tune) answered(channels_[0], method);
      return {};
    default:
      if (channels_[0].awaited == method.id) answered(channels_[0], method);
      return {};
  }
}

void Client::answered(Channel& channel, const Method& method) {
  Answer answer;
  answer.id = method.id;
  answer.code = method.code;
  answer.text = method.id == MethodId::connection_start ? method.mechanisms : method.text;
  answer.culprit = method.culprit;
  answer.channel_max = method.channel_max;
  answer.heartbeat = method.heartbeat;
  answer.frame_max = method.frame_max;
  channel.answer = std::move(answer);
  channel.awaited = MethodId::none;
  channel.arrived.cancel();
}

void Client::channel_closed(std::uint16_t number, const Method& method) {
  auto& channel = channels_[number];
  FrameWriter(output_, MethodId::channel_close_ok, number).end();
  flush();
  channel.ready = false;
  channel.content = {};
  if (channel.awaited != MethodId::none) return answered(channel, method);
  auto said = told(method.code, std::string(method.text));
  if (state_ != State::open) return fail(Error{ErrorKind::not_connected, "the broker has closed the channel: " + said});
  if (number == kConsuming) return consuming_ended(said);
  Answer why;
  why.code = method.code;
  why.text = method.text;
  why.culprit = method.culprit;
  publishing_closed(why);
}

Result<void> Client::handle_content(const Frame& frame) {
  auto& content = channels_[frame.channel].content;
  if (frame.type == FrameType::header && content.stage == Content::Stage::header) {
    auto header = parse_content_header(frame.payload);
    if (!header) return header.error();
    content.left = header->body_size;
    content.message_id = header->message_id;
    content.too_large = header->body_size > options_.max_message;
    if (!content.too_large && !content.returned) content.body.reserve(header->body_size);
    content.stage = Content::Stage::body;
  } else if (frame.type == FrameType::body && content.stage == Content::Stage::body &&
             frame.payload.size() <= content.left) {
    content.left -= frame.payload.size();
    if (!content.too_large && !content.returned) content.body += frame.payload;
  } else {
    return Error{ErrorKind::not_connected, "the broker sent a message's frames out of order"};
  }
  if (content.left == 0) content_complete(std::exchange(content, {}));
  return {};
}

void Client::content_complete(Content content) {
  if (content.returned) {
    // The confirm follows, and settles it.
    for (auto& entry : in_flight_) {
      if (!entry.done || !entry.returned.empty() || entry.message_id != content.message_id) continue;
      entry.returned =
          "it reaches no queue with the routing key '" + printable(content.routing_key) + "': " + content.reason;
      break;
    }
    return;
  }
  auto opening = channels_[kConsuming].opening;
  if (content.too_large) {
    acknowledge(opening, content.tag, false);
    return notice("a command of more than " + std::to_string(options_.max_message) + " bytes was rejected");
  }
  Incoming incoming{content.routing_key, content.body, content.redelivered, {}};
  incoming.acknowledge = [weak = weak_from_this(), executor = executor_, opening, tag = content.tag] {
    asio::dispatch(executor, [weak, opening, tag] {
      if (auto client = weak.lock()) client->acknowledge(opening, tag, true);
    });
  };
  // Without anybody to take it, it stays with the broker.
  if (on_message) on_message(incoming);
}

void Client::acknowledge(std::uint64_t opening, std::uint64_t tag, bool take) {
  // What came over an earlier opening is delivered again; its tag is unknown to this one, which would be closed for it.
  if (state_ == State::ended || state_ == State::idle || channels_[kConsuming].opening != opening) return;
  FrameWriter(output_, take ? MethodId::basic_ack : MethodId::basic_reject, kConsuming).u64(tag).u8(0).end();
  flush();
}

// ---------------------------------------------------------------- publishing

bool Client::may_send(const Publish& message) const {
  bool goes = state_ == State::open && channels_[kPublishing].ready && !blocked_ && flow_ && !suspect_on_the_way_ &&
              unconfirmed_ < options_.max_in_flight && in_flight_.size() < 4 * options_.max_in_flight &&
              output_.size() < kMaxOutput;
  if (!goes || suspects_.empty()) return goes;
  return unconfirmed_ == 0 || !suspects_.contains(message.message_id);
}

void Client::publish(std::string routing_key, std::string body, std::string message_id, bool mandatory, Done done) {
  if (state_ != State::open || closing_) return done(Error{ErrorKind::not_connected, "not connected to the broker"});
  if (routing_key.size() > kMaxShortText) {
    return done(Error{ErrorKind::permanent, "a routing key of " + std::to_string(routing_key.size()) +
                                                " bytes is over AMQP's maximum of 255"});
  }
  message_id.resize(std::min(message_id.size(), kMaxShortText));
  Publish message{std::move(routing_key), std::move(body), std::move(message_id), mandatory, std::move(done)};
  if (waiting_.empty() && may_send(message)) {
    send(std::move(message));
  } else if (waiting_.size() < options_.max_waiting) {
    waiting_.push_back(std::move(message));
  } else {
    message.done(Error{ErrorKind::transient, "too many messages wait for the broker's confirms"});
  }
}

void Client::send(Publish message) {
  auto deadline = Clock::now() + options_.action_timeout;
  arm(deadline);
  ++unconfirmed_;
  suspect_on_the_way_ = !suspects_.empty() && suspects_.contains(message.message_id);
  append_publish(output_, kPublishing, frame_max_, options_.exchange, message.routing_key, message.mandatory,
                 message.message_id, message.body);
  in_flight_.push_back({deadline, std::move(message.done), std::move(message.message_id), message.body.size(), {}});
  flush();
}

void Client::send_waiting() {
  while (!waiting_.empty() && may_send(waiting_.front())) {
    auto next = std::move(waiting_.front());
    waiting_.pop_front();
    send(std::move(next));
  }
}

void Client::confirmed(const Method& method) {
  bool taken = method.id == MethodId::basic_ack;
  auto end = first_tag_ + in_flight_.size();
  if (method.flag) {
    auto last = method.tag == 0 ? end - 1 : method.tag;
    if (last >= end) return;
    // `done` may publish: only what was there before is settled.
    while (!in_flight_.empty() && first_tag_ <= last) {
      auto entry = std::move(in_flight_.front());
      in_flight_.pop_front();
      ++first_tag_;
      settle(entry, taken);
    }
  } else if (method.tag >= first_tag_ && method.tag < end) {
    auto& place = in_flight_[static_cast<std::size_t>(method.tag - first_tag_)];
    auto entry = std::move(place);
    place.done = nullptr;
    pop_settled();
    settle(entry, taken);
  }
  pop_settled();
  send_waiting();
}

void Client::settle(InFlight& entry, bool taken) {
  if (!entry.done) return;
  --unconfirmed_;
  if (!suspects_.empty()) {
    suspects_.erase(entry.message_id);
    suspect_on_the_way_ = false;
  }
  if (!taken) {
    entry.done(
        Error{ErrorKind::transient, "the broker has not taken the message (nack): see its log, or the queue's limits"});
  } else if (!entry.returned.empty()) {
    entry.done(Error{unroutable, std::move(entry.returned)});
  } else {
    entry.done(Result<void>());
  }
}

void Client::pop_settled() {
  while (!in_flight_.empty() && !in_flight_.front().done) {
    in_flight_.pop_front();
    ++first_tag_;
  }
}

// ---------------------------------------------------------------- writing

void Client::flush() {
  if (write_running_ || state_ == State::ended) return;
  write_running_ = true;
  // co_spawn posts: what else is published in this turn goes out in the same write.
  asio::co_spawn(executor_, write_loop(), [self = shared_from_this()](std::exception_ptr failed) {
    if (failed) self->fail(Error{ErrorKind::bug, "writing to the broker ended with an exception"});
  });
}

awaitable<void> Client::write_loop() {
  auto self = shared_from_this();
  while (state_ != State::ended && !output_.empty()) {
    writing_.clear();
    writing_.swap(output_);
    auto ec = co_await transport_->write(asio::buffer(writing_));
    last_write_ = Clock::now();
    if (ec) {
      // What the broker said before it hung up tells more: the read comes to it.
      if (ec == asio::error::broken_pipe || ec == asio::error::connection_reset) {
        pause_.expires_after(kGrace);
        co_await pause_.async_wait(kUse);
      }
      fail(net::transport_error(ec));
      break;
    }
    constexpr std::size_t kKeep = 1 << 16;
    if (writing_.capacity() > kKeep && output_.empty()) std::string().swap(writing_);
    send_waiting();
  }
  write_running_ = false;
}

// ---------------------------------------------------------------- time

void Client::arm(Clock::time_point when) {
  if (armed_for_ && *armed_for_ <= when) return;
  armed_for_ = when;
  timer_.expires_at(when);
  timer_.async_wait([weak = weak_from_this()](boost::system::error_code ec) {
    auto client = weak.lock();
    if (ec || !client) return;
    client->armed_for_.reset();
    client->tick();
  });
}

void Client::tick() {
  if (state_ != State::open) return;
  auto now = Clock::now();
  // A broker that holds us up confirms nothing meanwhile: its time counts from when it goes on.
  bool held = blocked_ || !flow_ || in_flight_.empty();
  auto confirm_by =
      held ? Clock::time_point::max() : std::max(in_flight_.front().deadline, went_on_ + options_.action_timeout);
  auto heard_by = last_read_ + 2 * options_.heartbeat;
  if (now >= confirm_by || now >= heard_by) {
    // Where it was this thread that stood still, the answer waits in the socket: read it before judging.
    if (!std::exchange(overdue_, true)) return arm(now + kGrace);
    return fail(Error{ErrorKind::not_connected, now >= confirm_by
                                                    ? "no confirm within " + in_ms(options_.action_timeout)
                                                    : "the broker has sent no heartbeat for " +
                                                          std::to_string(2 * options_.heartbeat.count()) + " s"});
  }
  overdue_ = false;
  if (now >= last_write_ + options_.heartbeat / 2 && !write_running_) {
    append_heartbeat(output_);
    flush();
    last_write_ = now;
  }
  auto beat_at = std::max(last_write_ + options_.heartbeat / 2, now + options_.heartbeat / 8);
  arm(std::min({confirm_by, heard_by, beat_at}));
}

// ---------------------------------------------------------------- ending

void Client::settle_all(const Error& error) {
  auto in_flight = std::exchange(in_flight_, {});
  auto waiting = std::exchange(waiting_, {});
  unconfirmed_ = 0;
  for (auto& entry : in_flight) {
    if (entry.done) entry.done(error);
  }
  for (auto& message : waiting)
    message.done(error);
}

void Client::fail(const Error& error, bool farewell) {
  if (state_ == State::ended || state_ == State::idle) return;
  bool was_open = std::exchange(state_, State::ended) == State::open;
  failure_ = error;
  timer_.cancel();
  pause_.cancel();
  for (auto& channel : channels_)
    channel.arrived.cancel();
  if (farewell && transport_ && !write_running_) {
    asio::co_spawn(executor_, say_close_ok(), [self = shared_from_this()](std::exception_ptr) {});
  } else if (transport_) {
    transport_->abort();
  }
  // A message is not at fault for what became of its connection.
  settle_all(Error{closing_ ? ErrorKind::cancelled : ErrorKind::not_connected, error.text});
  if (was_open && !closing_ && on_lost) std::exchange(on_lost, nullptr)(error);
}

awaitable<void> Client::say_close_ok() {
  auto self = shared_from_this();
  deadline_.expires_after(std::chrono::seconds(1));
  deadline_.async_wait([self](boost::system::error_code ec) {
    if (!ec) self->transport_->abort();
  });
  writing_.clear();
  FrameWriter(writing_, MethodId::connection_close_ok, 0).end();
  co_await transport_->write(asio::buffer(writing_));
  deadline_.cancel();
  transport_->abort();
}

awaitable<void> Client::close() {
  auto self = shared_from_this();
  closing_ = true;
  on_message = nullptr;
  on_lost = nullptr;
  on_notice = nullptr;
  if (state_ == State::open) {
    // What a trial has made goes by itself with its queue; where it has none, here.
    if (options_.trial && made_exchange_ && options_.queue.empty() && channels_[kPublishing].ready) {
      constexpr std::uint8_t kIfUnusedNoWait = 3;
      FrameWriter(output_, MethodId::exchange_delete, kPublishing)
          .u16(0)
          .short_text(options_.exchange)
          .u8(kIfUnusedNoWait)
          .end();
    }
    FrameWriter(output_, MethodId::connection_close, 0).u16(200).short_text("goodbye").u32(0).end();
    flush();
    auto& channel = channels_[0];
    channel.awaited = MethodId::connection_close_ok;
    channel.arrived.expires_after(std::chrono::seconds(1));
    co_await channel.arrived.async_wait(kUse);
  }
  if (dial_) dial_->cancel();
  if (state_ == State::connecting) {
    if (transport_) fail(Error{ErrorKind::cancelled, "the connection is being closed"});
    written_.expires_after(std::chrono::seconds(1));
    co_await written_.async_wait(kUse);
  }
  fail(Error{ErrorKind::cancelled, "the connection is being closed"});
  settle_all(Error{ErrorKind::cancelled, "the connection is being closed"});
}

}  // namespace sluice::connector::amqp
