// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <string>
#include <vector>

#include "flow/devices.h"
#include "flow/index.h"
#include "store/store.h"

namespace sluice::flow {

// What is known of a device, as the index wants it. `facts` null: nothing but its DevEUI.
Thing thing_of(const std::string& dev_eui, const DeviceFacts* facts);

// Each of the flow's matchers with whether it takes this device and why, in words: {type, matches, reason}. Whether it
// does is asked of the index itself, so that what is told cannot differ from what is done.
boost::json::array explain_matchers(const store::Flow& flow, const Thing& thing, bool seen);

// What the flow is to the device: {flowId, name, active, matches, reason, matchers}. `taken`: the ids of all flows that
// take it.
boost::json::object explain_flow(const store::Flow& flow, const Thing& thing, bool seen,
                                 const std::vector<std::string>& taken);

}  // namespace sluice::flow
