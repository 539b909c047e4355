// SPDX-License-Identifier: Apache-2.0
#include "connector/kafka/verdict.h"

#include <algorithm>
#include <array>

namespace sluice::connector::kafka {
namespace {

struct Row {
  rd_kafka_resp_err_t code;
  ErrorKind kind;
  const char* advice;  // may be nullptr
};

constexpr const char* kMakeTopic = "make the topic, or correct the name: topics are not made by sending";
constexpr const char* kRights = "give this user the rights Write and Describe on it";
constexpr const char* kIdempotence =
    "give this user the right IdempotentWrite on the cluster (brokers before Kafka 3.0 ask for it)";
constexpr const char* kTooLarge = "the topic's max.message.bytes or the broker's message.max.bytes is smaller";

// https://kafka.apache.org/protocol.html#protocol_error_codes, and librdkafka's own, which are negative. What is not
// here is transient.
constexpr std::array kRows{
    // The message is at fault.
    Row{RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, ErrorKind::permanent, kTooLarge},
    Row{RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE, ErrorKind::permanent, kTooLarge},
    Row{RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE, ErrorKind::permanent, nullptr},
    Row{RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP, ErrorKind::permanent, nullptr},
    Row{RD_KAFKA_RESP_ERR_INVALID_RECORD, ErrorKind::permanent, nullptr},
    Row{RD_KAFKA_RESP_ERR__INVALID_ARG, ErrorKind::permanent, nullptr},
    // The configuration, or the rights.
    Row{RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, ErrorKind::bad_config, kMakeTopic},
    Row{RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, ErrorKind::bad_config, kMakeTopic},
    Row{RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, ErrorKind::bad_config, kMakeTopic},
    Row{RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, ErrorKind::bad_config, "the broker does not take this name of a topic"},
    Row{RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, ErrorKind::bad_config, kRights},
    Row{RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, ErrorKind::bad_config,
        "give this user the right Read on the group"},
    Row{RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, ErrorKind::bad_config, kIdempotence},
    Row{RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, ErrorKind::bad_config, kIdempotence},
    Row{RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED, ErrorKind::bad_config, "check user name and password"},
    Row{RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM, ErrorKind::bad_config, "choose another saslMechanism"},
    Row{RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE, ErrorKind::bad_config, "check securityProtocol"},
    Row{RD_KAFKA_RESP_ERR_SECURITY_DISABLED, ErrorKind::bad_config, nullptr},
    Row{RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION, ErrorKind::bad_config, "the broker must be Kafka 0.11 or later"},
    Row{RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT, ErrorKind::bad_config,
        "the topic's message format must be 0.11 or later"},
    Row{RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS, ErrorKind::bad_config, nullptr},
    Row{RD_KAFKA_RESP_ERR_POLICY_VIOLATION, ErrorKind::bad_config, nullptr},
    Row{RD_KAFKA_RESP_ERR__AUTHENTICATION, ErrorKind::bad_config, "check user name and password"},
    Row{RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE, ErrorKind::bad_config, "the broker must be Kafka 0.11 or later"},
    // A new client helps.
    Row{RD_KAFKA_RESP_ERR__TRANSPORT, ErrorKind::not_connected, nullptr},
    Row{RD_KAFKA_RESP_ERR__RESOLVE, ErrorKind::not_connected, nullptr},
    Row{RD_KAFKA_RESP_ERR__SSL, ErrorKind::not_connected, nullptr},
    Row{RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, ErrorKind::not_connected, nullptr},
    Row{RD_KAFKA_RESP_ERR__DESTROY, ErrorKind::not_connected, nullptr},
    Row{RD_KAFKA_RESP_ERR__PURGE_QUEUE, ErrorKind::not_connected, nullptr},
    Row{RD_KAFKA_RESP_ERR__PURGE_INFLIGHT, ErrorKind::not_connected, nullptr},
    Row{RD_KAFKA_RESP_ERR__FATAL, ErrorKind::not_connected, nullptr},
    Row{RD_KAFKA_RESP_ERR__FENCED, ErrorKind::not_connected, nullptr},
    Row{RD_KAFKA_RESP_ERR__STATE, ErrorKind::not_connected, nullptr},
    Row{RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, ErrorKind::not_connected, nullptr},
    Row{RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, ErrorKind::not_connected, nullptr},
    Row{RD_KAFKA_RESP_ERR_PRODUCER_FENCED, ErrorKind::not_connected, nullptr},
    Row{RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID, ErrorKind::not_connected, nullptr},
};

const Row* row_of(rd_kafka_resp_err_t code) {
  const auto* found = std::find_if(kRows.begin(), kRows.end(), [&](const Row& row) { return row.code == code; });
  return found == kRows.end() ? nullptr : found;
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// TLS alerts (RFC 8446, 6.2) that a broker answers a client certificate with, as OpenSSL spells them.
bool is_about_our_certificate(std::string_view text) {
  return contains(text, "alert") &&
         (contains(text, "certificate") || contains(text, "unknown ca") || contains(text, "access denied"));
}

// librdkafka's sentences end with how long it took and with options of its own that nobody can set here.
std::string without_details(std::string text) {
  for (const char* from : {" (after ", ": might be caused by", " (see ssl."}) {
    if (auto at = text.find(from); at != std::string::npos) text.resize(at);
  }
  return text;
}

}  // namespace

ErrorKind kind_of(rd_kafka_resp_err_t code) {
  const auto* row = row_of(code);
  return row ? row->kind : ErrorKind::transient;
}

Error verdict_of(rd_kafka_resp_err_t code, std::string_view doing) {
  Error out{kind_of(code), std::string(doing) + ": " + rd_kafka_err2str(code)};
  if (const auto* row = row_of(code); row && row->advice) out.text += ": " + std::string(row->advice);
  return out;
}

Error fault_of(rd_kafka_resp_err_t code, std::string text, const std::string& certificate_fault) {
  if (code == RD_KAFKA_RESP_ERR__SSL && !certificate_fault.empty())
    return {ErrorKind::bad_config, "TLS handshake: " + certificate_fault};
  if (is_about_our_certificate(text)) {
    return {ErrorKind::bad_config, "the broker refuses our client certificate, or wants one: " + without_details(text)};
  }
  if (contains(text, "wrong version number") || contains(text, "connecting to a PLAINTEXT broker listener"))
    return {ErrorKind::not_connected, "the broker does not speak TLS at this port: " + without_details(text)};
  if (contains(text, "connecting to a SSL listener"))
    return {ErrorKind::not_connected,
            "the broker hangs up at once: check securityProtocol and the port: " + without_details(text)};
  if (contains(text, "might require SASL authentication"))
    return {ErrorKind::not_connected, "the broker hangs up: it may want SASL: check securityProtocol"};
  Error out{kind_of(code), without_details(std::move(text))};
  if (const auto* row = row_of(code); row && row->advice) out.text += ": " + std::string(row->advice);
  return out;
}

}  // namespace sluice::connector::kafka
