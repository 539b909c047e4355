// SPDX-License-Identifier: Apache-2.0
// The server over real sockets on a port that the system chooses.
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>
#include <future>
#include <thread>

#include "api/test_api.h"

namespace sluice::api {
namespace {

namespace asio = boost::asio;

class ServerTest : public ApiTest {
 protected:
  void SetUp() override {
    server_ = std::make_unique<Server>(io_, context());
    auto started = server_->start("127.0.0.1:0");
    ASSERT_TRUE(started) << started.error().text;
    for (int i = 0; i < 2; ++i)
      threads_.emplace_back([this] { io_.run(); });
  }
  void TearDown() override {
    server_.reset();
    io_.stop();
    for (auto& thread : threads_)
      thread.join();
  }

  struct Client {
    explicit Client(unsigned short port) : socket(io) {
      socket.connect({asio::ip::address_v4::loopback(), port});
      socket.set_option(asio::ip::tcp::no_delay(true));
    }
    void send(std::string_view text) { asio::write(socket, asio::buffer(text.data(), text.size())); }
    // Head and body of the next answer.
    std::string read() {
      boost::system::error_code ec;
      asio::read_until(socket, buffer, "\r\n\r\n", ec);
      std::string text(asio::buffers_begin(buffer.data()), asio::buffers_end(buffer.data()));
      auto head = text.find("\r\n\r\n");
      if (head == std::string::npos) return "";
      std::size_t length = 0;
      if (auto at = text.find("Content-Length: "); at < head) length = std::stoul(text.substr(at + 16));
      auto whole = head + 4 + length;
      if (text.size() < whole) asio::read(socket, buffer, asio::transfer_exactly(whole - text.size()), ec);
      std::string result(asio::buffers_begin(buffer.data()),
                         asio::buffers_begin(buffer.data()) + static_cast<long>(whole));
      buffer.consume(whole);
      return result;
    }
    bool ended() {
      boost::system::error_code ec;
      asio::read(socket, buffer, asio::transfer_at_least(1), ec);
      return ec == asio::error::eof || ec == asio::error::connection_reset;
    }
    asio::io_context io;
    asio::ip::tcp::socket socket;
    asio::streambuf buffer;
  };
  Client connect() { return Client(server_->port()); }
  std::string report(const std::string& body = R"({"DevEUI_uplink":{}})", const std::string& query = "",
                     const std::string& more = "") {
    return "POST /iot-flow/tunnel/" + binder_->id + (query.empty() ? "" : "?" + query) +
           " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n" + more + "\r\n" + body;
  }
  static int status(const std::string& answer) { return answer.size() > 12 ? std::stoi(answer.substr(9, 3)) : 0; }

  asio::io_context io_;
  std::unique_ptr<Server> server_;
  std::vector<std::thread> threads_;
};

TEST_F(ServerTest, StoresReportsOnAConnectionThatLives) {
  auto client = connect();
  for (int i = 0; i < 50; ++i) {
    client.send(report("{\"n\":" + std::to_string(i) + "}"));
    ASSERT_EQ(client.read(), "HTTP/1.1 204 No Content\r\n\r\n");
  }
  ASSERT_EQ(log_.messages.size(), 50u);
  EXPECT_EQ(log_.messages[49].body, R"({"n":49})");
  EXPECT_EQ(log_.messages[49].account, "1");
}

TEST_F(ServerTest, AnswersPipelinedReportsInOrder) {
  auto client = connect();
  client.send(report() + report("x", "wrong") + report() + report("") + report());
  std::vector<int> answers;
  for (int i = 0; i < 5; ++i)
    answers.push_back(status(client.read()));
  EXPECT_EQ(answers, (std::vector<int>{204, 401, 204, 400, 204}));
}

TEST_F(ServerTest, AnswersOnlyOnceTheLogHasIt) {
  log_.hold = true;
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(std::make_unique<Client>(server_->port()));
    clients.back()->send(report());
  }
  log_.release(20);
  for (auto& client : clients)
    EXPECT_EQ(status(client->read()), 204);
}

TEST_F(ServerTest, AClientThatSendsByteByByteIsServed) {
  auto client = connect();
  for (char c : report())
    client.send(std::string_view(&c, 1));
  EXPECT_EQ(status(client.read()), 204);
}

TEST_F(ServerTest, RefusesWhatIsNotAReport) {
  auto client = connect();
  client.send(report("{}", "wrong"));
  auto answer = client.read();
  EXPECT_EQ(status(answer), 401);
  EXPECT_NE(answer.find("Authentication failed"), std::string::npos);
  EXPECT_NE(answer.find("com-4001"), std::string::npos);
  client.send("POST /iot-flow/tunnel/none HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(status(client.read()), 404);
  client.send("GET /iot-flow/tunnel/none HTTP/1.1\r\n\r\n");
  EXPECT_EQ(status(client.read()), 405);
  EXPECT_EQ(log_.messages.size(), 0u);
  EXPECT_EQ(events("binder-5001").size(), 1u);
}

TEST_F(ServerTest, AFullLogAnswersWhenToComeAgain) {
  log_.full = true;
  auto client = connect();
  client.send(report());
  auto answer = client.read();
  EXPECT_EQ(status(answer), 503);
  EXPECT_NE(answer.find("Retry-After: 7\r\n"), std::string::npos);
  client.send(report());
  EXPECT_EQ(status(client.read()), 503);
}

TEST_F(ServerTest, BodiesAreBounded) {
  auto client = connect();
  client.send("POST /iot-flow/tunnel/" + binder_->id + " HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n");
  EXPECT_EQ(status(client.read()), 413);
  auto chunked = connect();
  chunked.send("POST /iot-flow/tunnel/" + binder_->id + " HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n200000\r\n" +
               std::string(0x200000, 'x') + "\r\n0\r\n\r\n");
  EXPECT_EQ(status(chunked.read()), 413);
  auto exact = connect();
  exact.send(report(std::string(1 << 20, 'x')));
  EXPECT_EQ(status(exact.read()), 204);
  auto headers = connect();
  headers.send("GET / HTTP/1.1\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n");
  EXPECT_EQ(status(headers.read()), 400);
}

TEST_F(ServerTest, LargeBodiesShareABudget) {
  auto begin = [this](std::size_t length) {
    auto client = std::make_unique<Client>(server_->port());
    client->send("POST /iot-flow/v1/flows HTTP/1.1\r\nContent-Length: " + std::to_string(length) +
                 "\r\nExpect: 100-continue\r\n\r\n");
    auto answer = client->read();
    return std::pair(std::move(client), status(answer));
  };
  std::vector<std::unique_ptr<Client>> sending;
  for (int i = 0; i < 51; ++i) {
    auto [client, status] = begin(5u << 20);
    ASSERT_EQ(status, 100);
    sending.push_back(std::move(client));
  }
  EXPECT_EQ(begin(5u << 20).second, 503);
  EXPECT_EQ(begin(1000).second, 100);
  auto chunked = [this](std::size_t size) {
    char length[16];
    std::snprintf(length, sizeof length, "%zx", size);
    auto client = connect();
    client.send("POST /healthz/none HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + std::string(length) + "\r\n" +
                std::string(size, 'x') + "\r\n0\r\n\r\n");
    return status(client.read());
  };
  EXPECT_EQ(chunked(1000), 404);
  EXPECT_EQ(chunked(2u << 20), 503);
  sending.clear();
  int status = 0;
  for (int i = 0; i < 1000 && status != 100; ++i)
    status = begin(5u << 20).second;
  EXPECT_EQ(status, 100);
}

TEST_F(ServerTest, ManyRequestsAtOnceWaitTheirTurn) {
  std::promise<void> go;
  auto open = go.get_future().share();
  std::atomic<int> held{0};
  outcome_ = [&](const driver::Job&) {
    ++held;
    open.wait();
    return driver::Outcome{.ok = true, .data = "{}"};
  };
  std::string body = R"({"direction":"uplink","meta":{},"raw":{"binary":"00"},"code":")" + to_base64("x") + "\"}";
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 504; ++i) {
    auto& client = clients.emplace_back(std::make_unique<Client>(server_->port()));
    client->send(i < 4 ? "POST /iot-flow/v1/decode/code HTTP/1.1\r\nAuthorization: Bearer " + token_ +
                             "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body
                       : "GET /healthz HTTP/1.1\r\n\r\n");
    while (i == 3 && held < 4)
      std::this_thread::yield();
  }
  go.set_value();
  for (auto& client : clients)
    ASSERT_EQ(status(client->read()), 200);
}

TEST_F(ServerTest, TakesTheAbsoluteForm) {
  auto client = connect();
  client.send("GET http://sluice.test:80/healthz HTTP/1.1\r\n\r\n");
  EXPECT_EQ(status(client.read()), 200);
  client.send("GET http://sluice.test?x=/healthz HTTP/1.1\r\n\r\n");
  EXPECT_EQ(status(client.read()), 404);
}

TEST_F(ServerTest, SaysContinueWhereAsked) {
  auto client = connect();
  auto text = report("{}", "", "Expect: 100-continue\r\n");
  client.send(text.substr(0, text.size() - 2));
  EXPECT_EQ(client.read(), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("{}");
  EXPECT_EQ(status(client.read()), 204);
}

TEST_F(ServerTest, EndsWhatIsNotHttp) {
  auto client = connect();
  client.send("hello\r\n\r\n");
  EXPECT_EQ(status(client.read()), 400);
  auto closing = connect();
  closing.send(report("{}", "", "Connection: close\r\n"));
  EXPECT_NE(closing.read().find("Connection: close"), std::string::npos);
  EXPECT_TRUE(closing.ended());
}

TEST_F(ServerTest, ServesTheResources) {
  auto client = connect();
  client.send("GET /iot-flow/v1/connectors HTTP/1.1\r\nAuthorization: Bearer " + token_ +
              "\r\nX-Correlation-Id: c-1\r\n\r\n");
  auto answer = client.read();
  EXPECT_EQ(status(answer), 200);
  EXPECT_NE(answer.find("Content-Type: application/json\r\n"), std::string::npos);
  EXPECT_NE(answer.find("X-Correlation-Id: c-1\r\n"), std::string::npos);
  client.send("GET /iot-flow/v1/connectors HTTP/1.1\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n" + report());
  EXPECT_EQ(status(client.read()), 401);
  EXPECT_EQ(status(client.read()), 200);
  EXPECT_EQ(status(client.read()), 204);
}

TEST_F(ServerTest, DownlinksAreAnsweredLater) {
  auto made = store_->insert_connection(
      {.account = "1", .resource = {{"connectorId", "actility-mqtt-iot"}, {"configuration", boost::json::object()}}});
  ASSERT_TRUE(made);
  auto client = connect();
  client.send("POST /iot-flow/downlinkMessages/" + made->downlink_uuid + " HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}");
  auto answer = client.read();
  EXPECT_EQ(status(answer), 202) << answer;
  EXPECT_NE(answer.find("QUEUED"), std::string::npos);
}

TEST_F(ServerTest, StopEndsIdleConnectionsAndThoseThatWait) {
  log_.hold = true;
  auto idle = connect();
  idle.send("GET /healthz HTTP/1.1\r\n\r\n");
  EXPECT_EQ(status(idle.read()), 200);
  auto waiting = connect();
  waiting.send(report());
  {
    std::unique_lock lock(log_.mutex);
    log_.arrived.wait(lock, [&] { return log_.waiting.size() == 1; });
  }
  auto port = server_->port();
  server_->stop(std::chrono::milliseconds(10));
  EXPECT_TRUE(idle.ended());
  boost::system::error_code ec;
  asio::ip::tcp::socket late(waiting.io);
  late.connect({asio::ip::address_v4::loopback(), port}, ec);
  server_.reset();
  log_.release(1);  // after the server's end: ignored
}

TEST_F(ServerTest, SaysWhyItCannotListen) {
  asio::io_context io;
  Server other(io, context());
  auto taken = other.start("127.0.0.1:" + std::to_string(server_->port()));
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().kind, ErrorKind::bad_config);
  EXPECT_NE(taken.error().text.find("127.0.0.1"), std::string::npos);
  EXPECT_FALSE(other.start("nonsense"));
  EXPECT_FALSE(other.start("127.0.0.1:99999"));
}

}  // namespace
}  // namespace sluice::api
