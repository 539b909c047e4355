// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <librdkafka/rdkafka.h>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::connector::kafka {

// What a code of the broker's or of librdkafka's means for a message, or for the connection (one table; spec
// promises.md 1.3). An unknown code is transient: duplicates are allowed, loss is not.
ErrorKind kind_of(rd_kafka_resp_err_t code);

// The same with words: `doing` is put in front ("topic lora.up"), and what to do about it behind where that is known.
Error verdict_of(rd_kafka_resp_err_t code, std::string_view doing);

// What an error event of the client says of the connection: kind bad_config where a person has to do something. `text`
// as librdkafka gives it, `certificate_fault` as Handle does.
Error fault_of(rd_kafka_resp_err_t code, std::string text, const std::string& certificate_fault);

}  // namespace sluice::connector::kafka
