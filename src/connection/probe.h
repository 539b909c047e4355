// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "connection/connection.h"

namespace sluice::connection {

// The whole trial's limit; the answer comes within 20 s (spec api.md 5.9).
constexpr std::chrono::seconds kTrialLimit{18};

// Tries a configuration step by step: the network as far as the connector says where it connects to, then an opening
// with a connector that knows it is a trial, then, where `uplink` is a report's JSON, its delivery. It touches neither
// the queue nor a running connection, and raises no event. `done` is called once, within kTrialLimit and a second, on
// an I/O thread. `draft` needs no id; `shared` must outlive the call of `done`.
void try_connection(Shared& shared, const store::Connection& draft, std::string uplink,
                    std::function<void(TestReport)> done);

}  // namespace sluice::connection
