// SPDX-License-Identifier: Apache-2.0
#include "flow/downlinks.h"

#include "base/codec.h"
#include "base/json.h"
#include "flow/router.h"

namespace sluice::flow {
namespace {

using Status = DownlinkResult::Status;

constexpr std::string_view kAuto = "actility:auto:1";

std::string join(const std::vector<message::Fault>& faults) {
  std::string out;
  for (const auto& fault : faults)
    out += (out.empty() ? "" : "; ") + (fault.path.empty() ? "" : fault.path + ": ") + fault.message;
  return out;
}

}  // namespace

Downlinks::Downlinks(Router& router, driver::Catalogue& catalogue, driver::Engine& engine, driver::Journal& journal,
                     store::Events& events, Clock& clock, Metrics& metrics, SendDownlink send)
    : router_(router),
      catalogue_(catalogue),
      engine_(engine),
      journal_(journal),
      events_(events),
      clock_(clock),
      send_(std::move(send)) {
  accepted_ = metrics.counter("sluice_downlink_accepted_total", "Downlinks taken by a network server.");
  refused_ = metrics.counter("sluice_downlink_refused_total", "Downlinks refused.");
}

void Downlinks::handle(DownlinkSource source, std::string body, std::function<void(DownlinkResult)> done) {
  auto parsed = message::parse_downlink(body, source.defaults, source.bare_allowed, clock_.now());
  auto state = std::make_shared<Handling>(Handling{std::move(source), std::move(parsed.downlink), std::move(done)});
  if (!parsed.is_downlink) {
    DownlinkResult result;
    result.status = Status::invalid;
    result.is_command = false;
    result.text = "not a downlink: there is no DevEUI_downlink";
    result.faults = {{"", result.text}};
    state->done(std::move(result));
    return;
  }
  if (!parsed.faults.empty()) {
    refuse(*state, {.status = Status::invalid, .text = join(parsed.faults), .faults = parsed.faults});
    return;
  }
  if (state->downlink.payload)
    encode(state);
  else
    transmit(state);
}

void Downlinks::encode(const HandlingPtr& state) {
  const auto& downlink = state->downlink;
  const auto& account = state->source.account;
  auto device = router_.device(account, downlink.dev_eui);
  driver::DriverCodePtr code;
  std::string without_code;  // a driver that is known, and cannot be run
  if (downlink.application || downlink.model) {
    code = catalogue_.choose(account, downlink.application, downlink.model);
    if (!code) without_code = catalogue_.choose_without_code(account, downlink.application, downlink.model);
  } else {
    auto id = router_.driver_for(account, downlink.dev_eui, state->source.connection_id);
    if (id == kAuto)
      code = device ? catalogue_.choose(account, device->application, device->model) : nullptr;
    else if (!id.empty())
      code = catalogue_.find(account, id);
    if (!code && id == kAuto && device)
      without_code = catalogue_.choose_without_code(account, device->application, device->model);
    else if (!code && !id.empty() && catalogue_.is_without_code(account, id))
      without_code = id;
  }
  if (!without_code.empty()) {
    refuse(*state, {.status = Status::driver_refused,
                    .text = "no driver code: " + without_code + " is known, its code is not here",
                    .code = "com-5002",
                    .driver_id = without_code});
    return;
  }
  if (!code) {
    refuse(*state, {.status = Status::driver_refused,
                    .text = "no driver is known to encode the payload of device " + downlink.dev_eui +
                            ": give payload_hex, DriverCfg, or a flow that routes the device and names a driver",
                    .code = "com-5002"});
    return;
  }
  driver::Job job;
  job.code = code;
  job.operation = driver::Operation::encode_downlink;
  job.input.data = *downlink.payload;
  job.input.fport = downlink.fport;
  job.input.time = clock_.now();
  job.input.dev_eui = downlink.dev_eui;
  job.done = [this, state, code](const driver::Outcome& outcome) {
    journal_.note({.code = *code,
                   .operation = driver::Operation::encode_downlink,
                   .dev_eui = state->downlink.dev_eui,
                   .fport = state->downlink.fport,
                   .input = *state->downlink.payload,
                   .outcome = outcome});
    if (!outcome.ok) {
      refuse(*state, {.status = Status::driver_refused,
                      .text = outcome.message,
                      .code = outcome.code,
                      .driver_id = code->id,
                      .driver_errors = outcome.errors,
                      .warnings = outcome.warnings});
      return;
    }
    state->downlink.payload_hex = outcome.payload_hex;
    state->downlink.payload.reset();
    if (outcome.fport) state->downlink.fport = outcome.fport;
    if (!state->downlink.fport || *state->downlink.fport < 1 || *state->downlink.fport > 224) {
      refuse(*state, {.status = Status::driver_refused,
                      .text = "FPort is missing: neither the downlink, nor the connection's "
                              "downlinkPort, nor the driver gives one from 1 to 224",
                      .code = "com-5002"});
      return;
    }
    transmit(state);
  };
  std::vector<driver::Job> jobs;
  jobs.push_back(std::move(job));
  engine_.submit(std::move(jobs));
}

void Downlinks::transmit(const HandlingPtr& state) {
  auto device = router_.device(state->source.account, state->downlink.dev_eui);
  send_(state->source.account, device ? device->binder : "", state->downlink,
        [this, state](bool accepted, int status, std::string text) {
          if (!accepted) {
            auto why = status == 0 && text.empty() ? std::string("the network server did not answer") : std::move(text);
            auto kind = status == 0     ? Status::no_answer
                        : status == 503 ? Status::busy
                        : status == 404 && !state->downlink.dev_eui.empty() && why.starts_with("no network server")
                            ? Status::no_network_server
                            : Status::network_refused;
            refuse(*state, {.status = kind, .text = why});
            return;
          }
          accepted_->add();
          events_.add(state->source.account, "debug", "connection-1502", "Downlink accepted",
                      {{"connectionId", state->source.connection_id},
                       {"DevEUI", state->downlink.dev_eui},
                       {"CorrelationID", state->downlink.correlation_id}});
          DownlinkResult result;
          result.dev_eui = state->downlink.dev_eui;
          result.correlation_id = state->downlink.correlation_id;
          state->done(std::move(result));
        });
}

void Downlinks::refuse(Handling& handling, DownlinkResult result) {
  refused_->add();
  result.dev_eui = handling.downlink.dev_eui;
  result.correlation_id = handling.downlink.correlation_id;
  result.downlink = handling.downlink;
  events_.add(handling.source.account, "error", "connection-1501", "Downlink refused: " + result.text,
              {{"connectionId", handling.source.connection_id},
               {"DevEUI", result.dev_eui},
               {"cause", result.text},
               {"CorrelationID", result.correlation_id}});
  handling.done(std::move(result));
}

}  // namespace sluice::flow
