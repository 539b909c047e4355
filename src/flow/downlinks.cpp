// SPDX-License-Identifier: Apache-2.0
#include "flow/downlinks.h"

#include "base/codec.h"
#include "base/json.h"
#include "flow/router.h"

namespace sluice::flow {
namespace {

using Status = DownlinkResult::Status;

constexpr std::string_view kAuto = "actility:auto:1";

// Those that wait for the driver of an earlier one, or are with their own.
constexpr std::size_t kMaxWaiting = 10'000;

std::string join(const std::vector<message::Fault>& faults) {
  std::string out;
  for (const auto& fault : faults)
    out += (out.empty() ? "" : "; ") + (fault.path.empty() ? "" : fault.path + ": ") + fault.message;
  return out;
}

}  // namespace

std::string Downlinks::device_of(const Handling& handling) {
  return handling.source.account + "/" + handling.downlink.dev_eui;
}

Downlinks::Downlinks(Router& router, driver::Catalogue& catalogue, driver::Engine& engine, driver::Journal& journal,
                     store::Events& events, Clock& clock, Metrics& metrics, DownlinkWays ways)
    : router_(router),
      catalogue_(catalogue),
      engine_(engine),
      journal_(journal),
      events_(events),
      clock_(clock),
      ways_(std::move(ways)) {
  accepted_ = metrics.counter("sluice_downlink_accepted_total", "Downlinks taken by a network server.");
  refused_ = metrics.counter("sluice_downlink_refused_total",
                             "Downlinks refused by validation, a driver or a network server.");
  pending_ = metrics.counter("sluice_downlink_pending_total",
                             "Downlinks that had to wait for a network server that was not there.");
  lost_ = metrics.counter("sluice_downlink_lost_total", "Downlinks that expired or were purged before they were sent.");
}

void Downlinks::handle(DownlinkSource source, std::string body, std::function<void(DownlinkResult)> done,
                       std::function<void()> stored) {
  auto parsed = message::parse_downlink(body, source.defaults, source.bare_allowed, clock_.now());
  auto state = std::make_shared<Handling>(
      Handling{std::move(source), std::move(parsed.downlink), std::move(done), std::move(stored)});
  if (!parsed.is_downlink) {
    DownlinkResult result;
    result.status = Status::invalid;
    result.is_command = false;
    result.text = "not a downlink: there is no DevEUI_downlink";
    result.faults = {{"", result.text}};
    state->done(std::move(result));
    return;
  }
  ways_.count(state->source.connection_id, DownlinkCount::received);
  if (parsed.faults.empty() && state->source.check_device &&
      !router_.routes(state->source.account, state->downlink.dev_eui, state->source.connection_id)) {
    parsed.faults.push_back({"/DevEUI_downlink/DevEUI", "no flow brings this device to the connection (checkDevice)"});
  }
  if (!parsed.faults.empty()) {
    return refuse(state, {.status = Status::invalid, .text = join(parsed.faults), .faults = parsed.faults});
  }
  auto device = device_of(*state);
  bool front = false;
  {
    std::lock_guard lock(mutex_);
    if (waiting_ < kMaxWaiting) {
      ++waiting_;
      auto& line = devices_[device];
      line.push_back(state);
      front = line.size() == 1;
      if (!front) return;
    }
  }
  if (!front) return refuse(state, {.status = Status::busy, .text = "too many downlinks wait for their drivers"});
  if (!state->downlink.payload) {
    transmit(state);
  } else if (encode(state)) {
    return;
  }
  next(device);
}

// The front one of the device has been handed on or refused: takes up those behind it, up to one that needs a driver.
void Downlinks::next(const std::string& device) {
  for (;;) {
    HandlingPtr state;
    {
      std::lock_guard lock(mutex_);
      auto line = devices_.find(device);
      line->second.pop_front();
      --waiting_;
      if (line->second.empty()) {
        devices_.erase(line);
        return;
      }
      state = line->second.front();
    }
    if (!state->downlink.payload) {
      transmit(state);
    } else if (encode(state)) {
      return;
    }
  }
}

bool Downlinks::encode(const HandlingPtr& state) {
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
    refuse(state, {.status = Status::driver_refused,
                   .text = "no driver code: " + without_code + " is known, its code is not here",
                   .code = "com-5002",
                   .driver_id = without_code});
    return false;
  }
  if (!code) {
    refuse(state, {.status = Status::driver_refused,
                   .text = "no driver is known to encode the payload of device " + downlink.dev_eui +
                           ": give payload_hex, DriverCfg, or a flow that routes the device and names a driver",
                   .code = "com-5002"});
    return false;
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
      refuse(state, {.status = Status::driver_refused,
                     .text = outcome.message,
                     .code = outcome.code,
                     .driver_id = code->id,
                     .driver_errors = outcome.errors,
                     .warnings = outcome.warnings});
      return next(device_of(*state));
    }
    state->downlink.payload_hex = outcome.payload_hex;
    state->downlink.payload.reset();
    if (outcome.fport) state->downlink.fport = outcome.fport;
    if (!state->downlink.fport || *state->downlink.fport < 1 || *state->downlink.fport > 224) {
      refuse(state, {.status = Status::driver_refused,
                     .text = "FPort is missing: neither the downlink, nor the connection's "
                             "downlinkPort, nor the driver gives one from 1 to 224",
                     .code = "com-5002"});
      return next(device_of(*state));
    }
    transmit(state);
    next(device_of(*state));
  };
  std::vector<driver::Job> jobs;
  jobs.push_back(std::move(job));
  engine_.submit(std::move(jobs));
  return true;
}

void Downlinks::transmit(const HandlingPtr& state) {
  const auto& source = state->source;
  auto device = router_.device(source.account, state->downlink.dev_eui);
  ways_.send({source.account, source.connection_id, device ? device->binder : "", state->downlink, source.keep},
             state->stored, [this, state](const NetworkAnswer& answer) { answered(state, answer); });
}

void Downlinks::answered(const HandlingPtr& state, const NetworkAnswer& answer) {
  using Kind = NetworkAnswer::Kind;
  const auto& source = state->source;
  if (answer.kind == Kind::accepted || answer.kind == Kind::pending) {
    DownlinkResult result;
    result.dev_eui = state->downlink.dev_eui;
    result.correlation_id = state->downlink.correlation_id;
    if (answer.kind == Kind::pending) {
      pending_->add();
      result.pending = true;
      result.expires = answer.expires;
      result.text = answer.text;
    } else {
      accepted(source.account, source.connection_id, state->downlink);
    }
    return state->done(std::move(result));
  }
  DownlinkResult result;
  result.status = answer.kind == Kind::busy                ? Status::busy
                  : answer.kind == Kind::no_network_server ? Status::no_network_server
                  : answer.kind == Kind::refused           ? Status::network_refused
                                                           : Status::no_answer;
  result.dev_eui = state->downlink.dev_eui;
  result.correlation_id = state->downlink.correlation_id;
  result.text = answer.text.empty() ? "the network server did not answer" : answer.text;
  settled({source.account, source.connection_id, "", state->downlink, source.keep}, answer);
  state->done(std::move(result));
}

void Downlinks::settled(const OutgoingDownlink& out, const NetworkAnswer& answer) {
  using Kind = NetworkAnswer::Kind;
  if (answer.kind == Kind::pending) return;
  if (answer.kind == Kind::accepted) return accepted(out.account, out.connection_id, out.downlink);
  bool lost = answer.kind == Kind::expired || answer.kind == Kind::purged;
  refused(out.account, out.connection_id, out.downlink, answer.text,
          lost ? DownlinkCount::lost : DownlinkCount::failed);
  auto status = answer.status != 0                       ? answer.status
                : answer.kind == Kind::no_network_server ? 404
                : answer.kind == Kind::busy              ? 503
                                                         : 504;
  report(out.account, out.connection_id, out.downlink, status, answer.text);
}

void Downlinks::accepted(const std::string& account, const std::string& connection_id,
                         const message::Downlink& downlink) {
  accepted_->add();
  events_.add(
      account, "debug", "connection-1502", "Downlink accepted",
      {{"connectionId", connection_id}, {"DevEUI", downlink.dev_eui}, {"CorrelationID", downlink.correlation_id}});
}

// Refused here, before a network server was asked.
void Downlinks::refuse(const HandlingPtr& state, DownlinkResult result) {
  const auto& source = state->source;
  refused(source.account, source.connection_id, state->downlink, result.text, DownlinkCount::failed);
  if (!source.bare_allowed) report(source.account, source.connection_id, state->downlink, 400, result.text);
  result.dev_eui = state->downlink.dev_eui;
  result.correlation_id = state->downlink.correlation_id;
  state->done(std::move(result));
}

void Downlinks::refused(const std::string& account, const std::string& connection_id, const message::Downlink& downlink,
                        const std::string& cause, DownlinkCount count) {
  (count == DownlinkCount::lost ? lost_ : refused_)->add();
  ways_.count(connection_id, count);
  events_.add(account, "error", "connection-1501", "Downlink refused: " + cause,
              {{"connectionId", connection_id},
               {"DevEUI", downlink.dev_eui},
               {"cause", cause},
               {"CorrelationID", downlink.correlation_id}});
}

// The cloud that sent it gets a report of the refusal, over its own connection alone (spec messages.md 4, 8.4).
void Downlinks::report(const std::string& account, const std::string& connection_id, const message::Downlink& downlink,
                       int status, const std::string& cause) {
  if (downlink.dev_eui.empty()) return;
  auto now = clock_.now();
  auto message = message::parse_report(message::rejected_report(downlink, status, cause, now));
  if (!message) return;
  message->account = account;
  message->binder = message::binder_of_connection(connection_id);
  message->arrived = now;
  ways_.report(std::move(*message));
}

}  // namespace sluice::flow
