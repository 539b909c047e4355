// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "connector/amqp/wire.h"

namespace sluice::connector::amqp {

// A broker for tests, on a port the system chooses, played by a script: "expect this method, answer those frames".
class FakeBroker {
 public:
  template <class T>
  using awaitable = boost::asio::awaitable<T>;
  using tcp = boost::asio::ip::tcp;

  // A frame with its bytes.
  struct Received {
    FrameType type = FrameType::method;
    std::uint16_t channel = 0;
    MethodId method = MethodId::none;
    std::string arguments;  // of a method; of another frame its whole payload
  };

  // A published message.
  struct Published {
    std::uint64_t tag = 0;
    std::string exchange, routing_key, message_id, body;
    bool mandatory = false;
    std::size_t body_frames = 0;
  };

  static void append_channel_close(std::string& out, std::uint16_t code, std::string_view text, MethodId culprit) {
    FrameWriter(out, MethodId::channel_close, 1)
        .u16(code)
        .short_text(text)
        .u32(static_cast<std::uint32_t>(culprit))
        .end();
  }

  // One client. Reading past its end throws, which ends the script.
  class Session {
   public:
    explicit Session(tcp::socket socket) : socket_(std::move(socket)) {}

    awaitable<Received> next() {
      for (;;) {
        if (!greeted_ && input_.size() >= kProtocolHeader.size()) {
          greeted_ = true;
          input_.erase(0, kProtocolHeader.size());
        }
        Frame frame;
        auto length = greeted_ ? parse_frame(input_, 1 << 20, frame) : Result<std::size_t>(std::size_t{0});
        if (!length) throw std::runtime_error(length.error().text);
        if (*length > 0) {
          Received out{frame.type, frame.channel, MethodId::none, std::string(frame.payload)};
          if (frame.type == FrameType::method) {
            Reader reader(frame.payload);
            out.method = static_cast<MethodId>(reader.u32());
            out.arguments = reader.rest();
          }
          input_.erase(0, *length);
          co_return out;
        }
        char buffer[4096];
        auto count = co_await socket_.async_read_some(boost::asio::buffer(buffer), boost::asio::use_awaitable);
        input_.append(buffer, count);
        ++reads;
      }
    }
    awaitable<void> send(std::string bytes) {
      co_await boost::asio::async_write(socket_, boost::asio::buffer(bytes), boost::asio::use_awaitable);
    }
    awaitable<void> start(std::string mechanisms = "PLAIN AMQPLAIN EXTERNAL") {
      std::string out;
      FrameWriter(out, MethodId::connection_start, 0)
          .u8(0)
          .u8(9)
          .long_text("")
          .long_text(mechanisms)
          .long_text("en_US")
          .end();
      co_await send(out);
    }

    // Answers what a client asks on its way to an open connection, and comes back with the first frame that is
    // something else.
    awaitable<Received> serve() {
      for (;;) {
        auto got = co_await next();
        std::string out;
        bool answered = (instead && instead(got, out)) || answer(got, out);
        if (!out.empty()) co_await send(out);
        if (!answered) co_return got;
      }
    }
    awaitable<Published> read_publish(Received method) {
      Published out;
      out.tag = ++published;
      Reader reader(method.arguments);
      reader.u16();
      out.exchange = reader.short_text();
      out.routing_key = reader.short_text();
      out.mandatory = (reader.u8() & 1) != 0;
      auto header = co_await next();
      auto content = parse_content_header(header.arguments);
      out.message_id = content->message_id;
      auto size = content->body_size;
      while (out.body.size() < size) {
        out.body += (co_await next()).arguments;
        ++out.body_frames;
      }
      co_return out;
    }
    // The next message, whatever is asked before it.
    awaitable<Published> next_publish() {
      for (;;) {
        auto got = co_await serve();
        if (got.method == MethodId::basic_publish) co_return co_await read_publish(got);
      }
    }
    awaitable<void> ack(std::uint64_t tag, bool multiple = false, MethodId method = MethodId::basic_ack) {
      std::string out;
      FrameWriter(out, method, 1).u64(tag).u8(multiple ? 1 : 0).end();
      co_await send(out);
    }
    // The publishing one, because of a publish.
    awaitable<void> close_channel(std::uint16_t code, std::string text) {
      std::string out;
      append_channel_close(out, code, text, MethodId::basic_publish);
      co_await send(out);
    }
    awaitable<void> close_connection(std::uint16_t code, std::string text) {
      std::string out;
      FrameWriter(out, MethodId::connection_close, 0).u16(code).short_text(text).u32(0).end();
      co_await send(out);
    }
    // Waits until the client has gone.
    awaitable<void> linger() {
      for (;;)
        co_await next();
    }
    void close() { socket_.close(); }

    // What a script answers in place of serve(): true where it did.
    std::function<bool(const Received&, std::string& out)> instead;
    int reads = 0;
    std::uint64_t published = 0;
    bool exchange_there = true, queue_there = true;  // what a passive declaration finds
    std::uint16_t heartbeat = 60;
    std::vector<Received> seen;  // what serve() answered

   private:
    bool answer(const Received& got, std::string& out) {
      auto reply = [&](MethodId id) { FrameWriter(out, id, got.channel).end(); };
      auto missing = [&](bool there, MethodId done, const char* text) {
        Reader reader(got.arguments);
        reader.u16();
        reader.short_text();
        if (done == MethodId::exchange_declare_ok) reader.short_text();
        bool passive = (reader.u8() & 1) != 0;
        if (there || !passive) {
          FrameWriter writer(out, done, got.channel);
          if (done == MethodId::queue_declare_ok) writer.short_text("q").u32(0).u32(0);
          writer.end();
          return;
        }
        FrameWriter(out, MethodId::channel_close, got.channel).u16(404).short_text(text).u32(0).end();
      };
      bool ours = true;
      switch (got.method) {
        case MethodId::connection_start_ok:
          FrameWriter(out, MethodId::connection_tune, 0).u16(2047).u32(131072).u16(heartbeat).end();
          break;
        case MethodId::connection_tune_ok:
        case MethodId::channel_close_ok:
          break;
        case MethodId::connection_open:
          FrameWriter(out, MethodId::connection_open_ok, 0).short_text("").end();
          break;
        case MethodId::channel_open:
          if (got.channel == 1) published = 0;
          FrameWriter(out, MethodId::channel_open_ok, got.channel).long_text("").end();
          break;
        case MethodId::exchange_declare:
          missing(exchange_there, MethodId::exchange_declare_ok, "NOT_FOUND - no exchange");
          break;
        case MethodId::queue_declare:
          missing(queue_there, MethodId::queue_declare_ok, "NOT_FOUND - no queue");
          break;
        case MethodId::confirm_select:
          reply(MethodId::confirm_select_ok);
          break;
        case MethodId::queue_bind:
          reply(MethodId::queue_bind_ok);
          break;
        case MethodId::basic_qos:
          reply(MethodId::basic_qos_ok);
          break;
        case MethodId::basic_consume:
          FrameWriter(out, MethodId::basic_consume_ok, got.channel).short_text("sluice").end();
          break;
        case MethodId::connection_close:
          reply(MethodId::connection_close_ok);
          break;
        default:
          ours = got.type == FrameType::heartbeat;
      }
      if (ours) seen.push_back(got);
      return ours;
    }

    tcp::socket socket_;
    std::string input_;
    bool greeted_ = false;
  };
  using Script = std::function<awaitable<void>(Session&)>;

  FakeBroker(boost::asio::io_context& io, Script script)
      : script_(std::move(script)), acceptor_(io, {boost::asio::ip::make_address("127.0.0.1"), 0}) {}

  static std::shared_ptr<FakeBroker> start(std::shared_ptr<FakeBroker> broker) {
    boost::asio::co_spawn(broker->acceptor_.get_executor(), accept(broker), boost::asio::detached);
    return broker;
  }
  [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
  void stop() { acceptor_.close(); }

 private:
  static awaitable<void> accept(std::shared_ptr<FakeBroker> self) {
    for (;;) {
      auto socket = co_await self->acceptor_.async_accept(boost::asio::use_awaitable);
      boost::asio::co_spawn(self->acceptor_.get_executor(), serve(self, std::move(socket)), boost::asio::detached);
    }
  }
  static awaitable<void> serve(std::shared_ptr<FakeBroker> self, tcp::socket socket) {
    Session session(std::move(socket));
    try {
      co_await self->script_(session);
    } catch (const std::exception&) {
      // The client has gone, which is how most scripts end.
    }
  }

  Script script_;
  tcp::acceptor acceptor_;
};

}  // namespace sluice::connector::amqp
