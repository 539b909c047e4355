// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "base/http_client.h"
#include "base/result.h"
#include "connector/aws/cloud.h"
#include "connector/aws/sigv4.h"
#include "connector/connector.h"

namespace sluice::connector::aws {

struct ThingsOptions {
  Endpoint registry;
  std::string region;
  Credentials credentials;
  std::string thing_type;
  std::string certificate_arn;                 // what created things are attached to; empty: to nothing
  bool creates = true;                         // false: only looks
  std::chrono::milliseconds max_age{3600000};  // after which a thing is looked up anew, as it may have been deleted
  HttpRequest base;                            // CA, proxy and time limits of the calls
};

// The registry's things, one a device, named by its DevEUI (spec connectors.md 6.1, 1.9): looked up, created, attached,
// remembered from one opening to the next.
//
// Invariants: 1. every ensure() ends in one call of its `done`. 2. At most kMaxJobs devices are asked for at once, one
// call each. 3. After stop() the host is not touched. 4. A registry that is throttled holds messages up; one that can't
// be reached or refuses us does not: that is told, the message passes, and the device is tried again later.
//
// All on the connection's strand.
class Things {
 public:
  using Done = std::function<void(Result<void>)>;

  // `kept`: where what is known of the things lasts; Host::kept() or a part of it.
  Things(Host& host, std::shared_ptr<void>& kept, ThingsOptions options);
  ~Things();  // stop()
  Things(const Things&) = delete;
  Things& operator=(const Things&) = delete;

  // Asks for the first of the things that there are, and for the others in the background: spares their look-ups.
  // Error: bad_config, where the access key is not accepted. Anything else that goes wrong is no reason not to open.
  boost::asio::awaitable<Result<void>> begin(std::chrono::milliseconds limit);

  // True where the device needs no call: ensure() would succeed at once.
  [[nodiscard]] bool is_ready(const std::string& dev_eui) const;
  // `done`, perhaps at once: success: the message may go. Errors: permanent (there is no such thing and none is to be
  // made), transient (throttled: with the time to wait), cancelled.
  void ensure(const std::string& dev_eui, Done done);

  // Ends all that is under way, kind cancelled.
  void stop();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace sluice::connector::aws
