// SPDX-License-Identifier: Apache-2.0
#include "flow/router.h"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <set>
#include <thread>
#include <unordered_map>
#include <unordered_set>

#include "base/codec.h"
#include "base/json.h"
#include "base/log.h"
#include "flow/devices.h"
#include "flow/explain.h"
#include "flow/index.h"
#include "queue/queue.h"

namespace sluice::flow {
namespace {

constexpr std::string_view kAuto = "actility:auto:1";
// Messages taken from the log and not yet put on their lists. Far more than the engine holds back for slow drivers
// (driver::EngineOptions), so that these never fill it.
constexpr std::size_t kWindow = 8192;
constexpr std::size_t kTake = 512;
// How far back stored uplinks are looked for.
constexpr std::size_t kLookBack = 100'000;
constexpr std::uint64_t kLookBackBytes = 64u << 20;

// A message on its way through the router.
struct Work {
  message::MessagePtr message;
  std::vector<queue::Routed::Target> targets;
  std::vector<std::size_t> target_driver;  // index into `decoded` + 1 for each target; 0: not decoded
  std::vector<message::DecodedPtr> decoded;
  unsigned waiting = 0;  // drivers that have not answered
};

struct Completion {
  std::uint64_t seq;
  std::size_t driver;
  driver::DriverCodePtr code;
  driver::Outcome outcome;
};

// What the engine's callbacks may touch; they can come after the router has gone.
struct Inbox {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<Completion> completions;
  queue::Queue* queue = nullptr;
};

// The scalar of that name in the body as a JSON number where it is one (17 and "17" alike); empty where it is missing.
std::string_view number_member(std::string_view body, std::string_view quoted_name) {
  auto at = body.find(quoted_name);
  if (at == std::string_view::npos) return {};
  auto rest = body.substr(at + quoted_name.size());
  if (!rest.starts_with(':')) return {};
  rest.remove_prefix(1);
  if (rest.starts_with('"')) rest.remove_prefix(1);
  auto end = rest.find_first_not_of("+-.0123456789eE");
  auto token = rest.substr(0, end);
  if (token.empty() || token.front() == '+' || token.front() == '.') return {};
  return token;
}

void append_module(std::string& out, std::string_view name, const std::optional<message::ModuleRef>& module) {
  if (!module) return;
  out += out.size() > 1 ? "," : "";
  json::append_quoted(out, name);
  out += ":{\"producerId\":";
  json::append_quoted(out, module->producer);
  out += ",\"moduleId\":";
  json::append_quoted(out, module->module);
  out += ",\"version\":";
  json::append_quoted(out, module->version);
  out += '}';
}

// `thing` of a driver's input (spec drivers.md 5).
std::string thing_json(const message::Message& message) {
  std::string out = "{";
  append_module(out, "model", message.model);
  append_module(out, "application", message.application);
  out += out.size() > 1 ? ",\"tags\":[" : "\"tags\":[";
  std::string setup;
  for (std::size_t i = 0; i < message.device_tags.size(); ++i) {
    const auto& tag = message.device_tags[i];
    if (i) out += ',';
    json::append_quoted(out, tag);
    auto equals = tag.find('=');
    if (equals == std::string::npos || equals == 0) continue;
    if (!setup.empty()) setup += ',';
    json::append_quoted(setup, std::string_view(tag).substr(0, equals));
    setup += ':';
    json::append_quoted(setup, std::string_view(tag).substr(equals + 1));
  }
  out += "],\"setup\":{" + setup + "}}";
  return out;
}

driver::Input input_of(const message::Message& message) {
  driver::Input input;
  input.payload_hex = message.payload_hex;
  input.fport = message.fport;
  input.time = message.time ? message.time : std::optional(message.arrived);
  input.dev_eui = message.dev_eui;
  if (message.model || message.application || !message.device_tags.empty()) input.thing = thing_json(message);
  std::pair<std::string_view, std::string_view> echoed[] = {
      {"\"ADRbit\"", {}}, {"\"Frequency\"", {}}, {"\"FCntUp\"", {}}};
  for (auto& [name, value] : echoed) {
    value = number_member(message.body, name);
    if (value.empty()) continue;
    if (!input.extra.empty()) input.extra += ',';
    input.extra += name;
    input.extra += ':';
    input.extra += value;
  }
  return input;
}

bool decodable(const message::Message& message) {
  return message.type == message::MessageType::uplink && !message.join && !message.encrypted &&
         !message.payload_hex.empty();
}

}  // namespace

struct Router::Impl {
  queue::Queue& queue;
  store::Store& store;
  driver::Catalogue& catalogue;
  driver::Engine& engine;
  driver::Journal& journal;
  store::Events& events;
  Clock& clock;
  message::Trail& trail;
  Devices devices;

  std::shared_ptr<Inbox> inbox = std::make_shared<Inbox>();
  mutable std::mutex index_mutex;
  std::shared_ptr<const FlowIndex> index = FlowIndex::build({});
  std::thread thread;
  std::atomic<bool> stopping{false};

  // Of the router's thread alone.
  std::uint64_t taken = 0;                                            // seq of the newest message taken from the log
  std::set<std::uint64_t> beyond;                                     // finished ones above the watermark
  std::unordered_set<std::uint64_t> finished_before;                  // by the last run
  std::map<std::uint64_t, std::unique_ptr<Work>> working;             // taken and not finished, by seq
  std::unordered_map<std::string, std::deque<std::uint64_t>> chains;  // per device, in order
  std::vector<queue::Routed> routed;
  bool progressed = false;

  std::shared_ptr<Metrics::Value> routed_total, unmatched_total, decoded_total, failed_total, in_flight;

  Impl(queue::Queue& queue_, store::Store& store_, driver::Catalogue& catalogue_, driver::Engine& engine_,
       driver::Journal& journal_, store::Events& events_, Clock& clock_, Metrics& metrics, message::Trail& trail_)
      : queue(queue_),
        store(store_),
        catalogue(catalogue_),
        engine(engine_),
        journal(journal_),
        events(events_),
        clock(clock_),
        trail(trail_),
        devices(queue_) {
    inbox->queue = &queue;
    routed_total = metrics.counter("sluice_flow_routed_total", "Messages routed.");
    unmatched_total = metrics.counter("sluice_flow_unmatched_total", "Messages that matched no flow.");
    decoded_total = metrics.counter("sluice_flow_decoded_total", "Payloads decoded.");
    failed_total = metrics.counter("sluice_flow_decode_failed_total", "Payloads whose driver failed.");
    in_flight = metrics.gauge("sluice_flow_in_flight", "Messages being routed.");
  }

  std::shared_ptr<const FlowIndex> flows() const {
    std::lock_guard lock(index_mutex);
    return index;
  }

  void run() {
    auto stop_by = std::chrono::steady_clock::time_point::max();
    for (;;) {
      if (stopping && stop_by == std::chrono::steady_clock::time_point::max()) {
        stop_by = clock.steady() + std::chrono::seconds(5);
      }
      if (stopping && (working.empty() || clock.steady() >= stop_by)) break;
      take_completions();
      if (!stopping && working.size() < kWindow) {
        auto messages = queue.next(taken, std::min(kTake, kWindow - working.size()), std::chrono::milliseconds(500));
        take(std::move(messages));
      } else {
        std::unique_lock lock(inbox->mutex);
        inbox->changed.wait_for(lock, std::chrono::milliseconds(100), [this] { return !inbox->completions.empty(); });
      }
      flush();
    }
    flush();
  }

  void take(std::vector<message::MessagePtr> messages) {
    auto now_flows = flows();
    std::vector<driver::Job> jobs;
    for (auto& message : messages) {
      taken = message->seq;
      progressed = true;
      if (!finished_before.empty() && finished_before.erase(message->seq)) {
        beyond.insert(message->seq);
        continue;
      }
      auto seq = message->seq;
      auto work = route(*now_flows, std::move(message), jobs);
      const auto& device = work->message->dev_eui;
      bool chained = false;
      if (!device.empty()) {
        auto key = work->message->account + "/" + device;
        auto chain = chains.find(key);
        if (chain != chains.end()) {
          chain->second.push_back(seq);
          chained = true;
        } else if (work->waiting > 0) {
          chains[key].push_back(seq);
        }
      }
      bool ready = work->waiting == 0 && !chained;
      auto placed = working.emplace(seq, std::move(work)).first;
      if (ready) finish(placed);
    }
    if (!jobs.empty()) engine.submit(std::move(jobs));
  }

  std::unique_ptr<Work> route(const FlowIndex& now_flows, message::MessagePtr message, std::vector<driver::Job>& jobs) {
    auto work = std::make_unique<Work>();
    work->message = std::move(message);
    const auto& m = *work->message;
    // Here, and not where the report came in: only the log knows its number. It is synced by now.
    trail.note(m, {.stage = message::Stage::stored, .document = m.body});
    if (auto only = message::connection_of_binder(m.binder); !only.empty()) {
      work->targets.push_back({std::strtoull(only.c_str(), nullptr, 10), nullptr, 0});
      work->target_driver.push_back(0);
      trail.note(m, {.stage = message::Stage::routed, .connection = work->targets.back().connection});
      return work;
    }
    Thing thing;
    thing.dev_eui = m.dev_eui;
    thing.base_station = m.type == message::MessageType::base_station_alarm;
    if (!m.dev_eui.empty()) {
      auto facts = devices.learn(m);
      if (now_flows.has_thing_matchers(m.account)) {
        for (const auto& tag : facts.tags)
          thing.tags.push_back(fold(tag));
        thing.model = facts.model;
        thing.application = facts.application;
      }
    }
    auto rules = now_flows.match(m.account, thing);
    std::vector<driver::DriverCodePtr> drivers;
    for (const auto* rule : rules) {
      std::size_t driver = 0;
      bool asked = false;
      for (const auto& target : rule->targets) {
        bool there = std::any_of(work->targets.begin(), work->targets.end(),
                                 [&](const auto& other) { return other.connection == target.connection; });
        if (there) continue;  // the first flow by id decides for a connection
        if (!asked) {
          driver = driver_slot(*rule, m, drivers);
          asked = true;
        }
        work->targets.push_back({target.connection, nullptr, target.validity_ms});
        work->target_driver.push_back(driver);
        trail.note(m, {.stage = message::Stage::routed,
                       .connection = target.connection,
                       .flow = rule->id,
                       .driver = driver > 0 ? std::string_view(drivers[driver - 1]->id) : std::string_view()});
      }
    }
    if (work->targets.empty()) note_unmatched(m, rules.empty());
    work->decoded.resize(drivers.size());
    work->waiting = static_cast<unsigned>(drivers.size());
    for (std::size_t i = 0; i < drivers.size(); ++i)
      jobs.push_back(make_job(m, drivers[i], i));
    return work;
  }

  // The place of the flow's driver among those that decode this message, plus one; 0 where none does.
  std::size_t driver_slot(const FlowRule& rule, const message::Message& m,
                          std::vector<driver::DriverCodePtr>& drivers) {
    if (rule.driver_id.empty() || !decodable(m)) return 0;
    driver::DriverCodePtr code;
    if (rule.driver_id == kAuto) {
      if (m.has_driver_cfg) {
        code = catalogue.choose(m.account, m.application, m.model);
        if (!code) note_no_code(m, catalogue.choose_without_code(m.account, m.application, m.model));
      }
    } else {
      code = catalogue.find(m.account, rule.driver_id);
      if (!code && catalogue.is_without_code(m.account, rule.driver_id)) {
        note_no_code(m, rule.driver_id);
      } else if (!code) {
        events.add(m.account, "warn", "driver-2003",
                   "Flow " + rule.id + " names a driver that does not exist: " + rule.driver_id +
                       "; its messages pass undecoded",
                   {{"driverId", rule.driver_id}, {"flowId", rule.id}});
      }
    }
    if (!code) return 0;
    for (std::size_t i = 0; i < drivers.size(); ++i) {
      if (drivers[i] == code) return i + 1;
    }
    drivers.push_back(std::move(code));
    return drivers.size();
  }

  driver::Job make_job(const message::Message& m, const driver::DriverCodePtr& code, std::size_t slot) {
    driver::Job job;
    job.code = code;
    job.input = input_of(m);
    job.done = [inbox = inbox, seq = m.seq, slot, code](driver::Outcome outcome) {
      bool first = false;
      {
        std::lock_guard lock(inbox->mutex);
        first = inbox->completions.empty();
        inbox->completions.push_back({seq, slot, code, std::move(outcome)});
        if (first && inbox->queue) inbox->queue->wake();
      }
      if (first) inbox->changed.notify_one();
    };
    return job;
  }

  // The driver that a message of this device would be decoded by, as driver_slot() chooses it: {id, reason}; an empty
  // id where none would.
  boost::json::object explain_driver(const FlowRule& rule, const DeviceFacts* facts) {
    auto told = [](const std::string& id, const std::string& reason) {
      return boost::json::object{{"id", id}, {"reason", reason}};
    };
    if (rule.driver_id.empty()) return told("", "the flow names no driver, or skips decoding: messages pass undecoded");
    if (rule.driver_id != kAuto) {
      if (auto code = catalogue.find(rule.account, rule.driver_id)) return told(code->id, "the flow names it");
      return told("", catalogue.is_without_code(rule.account, rule.driver_id)
                          ? "the flow names " + rule.driver_id + ", whose code is not here: import it"
                          : "the flow names " + rule.driver_id + ", which does not exist");
    }
    if (facts == nullptr || (!facts->application && !facts->model)) {
      return told("",
                  "it is chosen by the application and model in DriverCfg, and no message of this device has brought "
                  "one yet");
    }
    if (auto code = catalogue.choose(rule.account, facts->application, facts->model))
      return told(code->id, "chosen by the device's application and model");
    auto known = catalogue.choose_without_code(rule.account, facts->application, facts->model);
    if (!known.empty()) return told("", "it would be " + known + ", whose code is not here: import it");
    const auto& module = facts->application ? *facts->application : *facts->model;
    return told("", "no driver is for the device's " + std::string(facts->application ? "application " : "model ") +
                        module.producer + ":" + module.module + ":" + module.version + ": import one");
  }

  void note_no_code(const message::Message& m, const std::string& driver_id) {
    if (driver_id.empty()) return;
    events.add(m.account, "warn", "driver-2003",
               "No driver code: driver " + driver_id + " is known, its code is not here; its messages pass undecoded",
               {{"driverId", driver_id}, {"DevEUI", m.dev_eui}});
  }

  void note_unmatched(const message::Message& m, bool no_flow) {
    unmatched_total->add();
    trail.note(m, {.stage = message::Stage::unmatched,
                   .text = no_flow ? "no flow matches" : "the flows that match have no connections"});
    events.add(m.account, "warn", "flow-4001",
               no_flow ? "Message matched no flow" : "Message matched a flow that has no connections",
               {{"DevEUI", m.dev_eui}});
  }

  void take_completions() {
    std::vector<Completion> completions;
    {
      std::lock_guard lock(inbox->mutex);
      completions.swap(inbox->completions);
    }
    for (auto& completion : completions) {
      auto found = working.find(completion.seq);
      if (found == working.end()) continue;
      auto& work = *found->second;
      work.decoded[completion.driver] = keep(*work.message, completion);
      if (--work.waiting == 0) advance_chain(found);
    }
  }

  message::DecodedPtr keep(const message::Message& m, Completion& completion) {
    auto decoded = std::make_shared<message::Decoded>();
    decoded->driver_id = completion.code->id;
    auto& outcome = completion.outcome;
    journal.note(
        {.code = *completion.code, .dev_eui = m.dev_eui, .fport = m.fport, .input = m.payload_hex, .outcome = outcome});
    if (outcome.ok) {
      decoded_total->add();
      decoded->payload = std::move(outcome.data);
      decoded->points = std::move(outcome.points);
      trail.note(m, {.stage = message::Stage::decoded, .driver = decoded->driver_id, .document = decoded->payload});
      return decoded;
    }
    failed_total->add();
    decoded->error_code = std::move(outcome.code);
    decoded->error_message = std::move(outcome.message);
    trail.note(m, {.stage = message::Stage::decoded,
                   .driver = decoded->driver_id,
                   .text = decoded->error_message.empty() ? decoded->error_code : decoded->error_message});
    return decoded;
  }

  using Place = std::map<std::uint64_t, std::unique_ptr<Work>>::iterator;

  // A message has all it waited for: it goes on if it is its device's oldest, and those behind it that are ready too.
  void advance_chain(Place place) {
    const auto& m = *place->second->message;
    if (m.dev_eui.empty()) return finish(place);
    auto chain = chains.find(m.account + "/" + m.dev_eui);
    if (chain == chains.end() || chain->second.front() != place->first) return;
    while (!chain->second.empty()) {
      auto head = working.find(chain->second.front());
      if (head->second->waiting > 0) return;
      chain->second.pop_front();
      finish(head);
    }
    chains.erase(chain);
  }

  void finish(Place place) {
    auto& work = *place->second;
    for (std::size_t i = 0; i < work.targets.size(); ++i) {
      if (work.target_driver[i] > 0) work.targets[i].decoded = work.decoded[work.target_driver[i] - 1];
    }
    if (!work.targets.empty()) routed.push_back({work.message, std::move(work.targets)});
    routed_total->add();
    beyond.insert(place->first);
    working.erase(place);
    progressed = true;
  }

  void flush() {
    in_flight->set(static_cast<std::int64_t>(working.size()));
    if (!progressed) return;
    progressed = false;
    queue::Progress progress;
    progress.watermark = working.empty() ? taken : working.begin()->first - 1;
    beyond.erase(beyond.begin(), beyond.upper_bound(progress.watermark));
    progress.beyond.assign(beyond.begin(), beyond.end());
    queue.put(std::move(routed), std::move(progress));
    routed.clear();
  }
};

Router::Router(queue::Queue& queue, store::Store& store, driver::Catalogue& catalogue, driver::Engine& engine,
               driver::Journal& journal, store::Events& events, Clock& clock, Metrics& metrics, message::Trail& trail)
    : impl_(std::make_unique<Impl>(queue, store, catalogue, engine, journal, events, clock, metrics, trail)) {}

Router::~Router() {
  stop();
}

Result<void> Router::reload() {
  auto flows = impl_->store.flows("");
  if (!flows) return flows.error().wrap("reading the flows");
  auto built = FlowIndex::build(*flows);
  std::lock_guard lock(impl_->index_mutex);
  impl_->index = std::move(built);
  return {};
}

Result<void> Router::start() {
  if (auto loaded = reload(); !loaded) return loaded;
  auto progress = impl_->queue.progress();
  impl_->taken = progress.watermark;
  impl_->finished_before.insert(progress.beyond.begin(), progress.beyond.end());
  impl_->thread = std::thread([impl = impl_.get()] { impl->run(); });
  return {};
}

void Router::stop() {
  if (!impl_->thread.joinable()) return;
  impl_->stopping = true;
  impl_->queue.wake();
  impl_->thread.join();
  std::lock_guard lock(impl_->inbox->mutex);
  impl_->inbox->queue = nullptr;
}

std::optional<Router::Device> Router::device(const std::string& account, const std::string& dev_eui) const {
  auto facts = impl_->devices.find(account, dev_eui);
  if (!facts) return std::nullopt;
  return Device{facts->binder, facts->application, facts->model};
}

// The driver of the flow that brings the device to the connection; nothing where none does.
static std::optional<std::string> driver_of_flow(Router::Impl& impl, const std::string& account,
                                                 const std::string& dev_eui, const std::string& connection_id) {
  Thing thing;
  thing.dev_eui = dev_eui;
  auto facts = impl.devices.find(account, dev_eui);
  if (facts) {
    for (const auto& tag : facts->tags)
      thing.tags.push_back(fold(tag));
    thing.model = facts->model;
    thing.application = facts->application;
  }
  auto flows = impl.flows();
  for (const auto* rule : flows->match(account, thing)) {
    for (const auto& target : rule->targets) {
      if (std::to_string(target.connection) == connection_id) return rule->driver_id;
    }
  }
  return std::nullopt;
}

std::string Router::driver_for(const std::string& account, const std::string& dev_eui,
                               const std::string& connection_id) const {
  return driver_of_flow(*impl_, account, dev_eui, connection_id).value_or("");
}

bool Router::routes(const std::string& account, const std::string& dev_eui, const std::string& connection_id) const {
  return driver_of_flow(*impl_, account, dev_eui, connection_id).has_value();
}

Result<boost::json::array> Router::explain(const std::string& account, const std::string& dev_eui) const {
  auto stored = impl_->store.flows(account);
  if (!stored) return stored.error();
  auto facts = impl_->devices.find(account, dev_eui);
  auto thing = thing_of(dev_eui, facts ? &*facts : nullptr);
  auto flows = impl_->flows();
  auto rules = flows->match(account, thing);
  std::vector<std::string> taken;
  std::map<std::uint64_t, std::string> feeders;  // connection -> the first flow that feeds it
  for (const auto* rule : rules) {
    taken.push_back(rule->id);
    for (const auto& target : rule->targets)
      feeders.try_emplace(target.connection, rule->id);
  }
  boost::json::array out;
  for (const auto& flow : *stored) {
    auto one = explain_flow(flow, thing, facts.has_value(), taken);
    auto rule =
        std::find_if(rules.begin(), rules.end(), [&](const auto* candidate) { return candidate->id == flow.id; });
    if (rule != rules.end()) one["driver"] = impl_->explain_driver(**rule, facts ? &*facts : nullptr);
    boost::json::array connections;
    if (const auto* targets = json::find(flow.resource, "connectors"); targets != nullptr && targets->is_array()) {
      for (const auto& item : targets->get_array()) {
        if (!item.is_object()) continue;
        auto id = json::text_or(item.get_object(), "connectionId");
        auto feeder = feeders.find(std::strtoull(id.c_str(), nullptr, 10));
        bool feeds = rule != rules.end() && feeder != feeders.end() && feeder->second == flow.id;
        boost::json::object connection{{"connectionId", id}, {"feeds", feeds}};
        if (!feeds && rule != rules.end() && feeder != feeders.end())
          connection["reason"] = "flow " + feeder->second + " feeds it already: the first flow by id decides";
        connections.push_back(std::move(connection));
      }
    }
    one["connections"] = std::move(connections);
    out.push_back(std::move(one));
  }
  return out;
}

std::vector<Router::StoredUplink> Router::last_uplinks(const std::string& account, const std::string& driver_id,
                                                       std::size_t last) const {
  std::vector<StoredUplink> found;
  auto flows = impl_->flows();
  auto decodes = [&](const message::Message& m) {
    Thing thing;
    thing.dev_eui = m.dev_eui;
    if (auto facts = impl_->devices.find(account, m.dev_eui)) {
      for (const auto& tag : facts->tags)
        thing.tags.push_back(fold(tag));
      thing.model = facts->model;
      thing.application = facts->application;
    }
    for (const auto* rule : flows->match(account, thing)) {
      if (rule->targets.empty()) continue;
      if (equals_ignoring_case(rule->driver_id, driver_id)) return true;
      if (rule->driver_id != kAuto || !m.has_driver_cfg) continue;
      auto code = impl_->catalogue.choose(account, m.application, m.model);
      if (code && code->id == driver_id) return true;
    }
    return false;
  };
  impl_->queue.read_back(kLookBack, kLookBackBytes, [&](const message::MessagePtr& message) {
    if (message->account == account && decodable(*message) && decodes(*message)) {
      found.push_back({message, input_of(*message)});
    }
    return found.size() < last;
  });
  return found;
}

std::vector<queue::Again> Router::route_again(const std::string& account, std::uint64_t connection,
                                              std::vector<message::MessagePtr> messages, bool decode) const {
  // What the drivers' answers may touch; they can come after this function has given up.
  struct Answers {
    std::mutex mutex;
    std::condition_variable changed;
    std::size_t left = 0;
    std::vector<std::shared_ptr<message::Decoded>> decoded;
  };
  auto answers = std::make_shared<Answers>();
  auto flows = impl_->flows();
  std::vector<queue::Again> found;
  std::vector<driver::Job> jobs;
  for (auto& message : messages) {
    const auto& m = *message;
    if (m.account != account) continue;
    if (auto only = message::connection_of_binder(m.binder); !only.empty()) {
      if (std::strtoull(only.c_str(), nullptr, 10) == connection) found.push_back({std::move(message), nullptr, 0});
      continue;
    }
    Thing thing;
    thing.dev_eui = m.dev_eui;
    thing.base_station = m.type == message::MessageType::base_station_alarm;
    if (auto facts = impl_->devices.find(account, m.dev_eui); facts && flows->has_thing_matchers(account)) {
      for (const auto& tag : facts->tags)
        thing.tags.push_back(fold(tag));
      thing.model = facts->model;
      thing.application = facts->application;
    }
    const FlowRule* taken = nullptr;
    std::int64_t validity = 0;
    for (const auto* rule : flows->match(account, thing)) {
      for (const auto& target : rule->targets) {
        if (target.connection != connection || taken) continue;
        taken = rule;
        validity = target.validity_ms;
      }
    }
    if (!taken) continue;
    std::vector<driver::DriverCodePtr> drivers;
    if (decode && impl_->driver_slot(*taken, m, drivers) > 0) {
      driver::Job job;
      job.code = drivers.front();
      job.input = input_of(m);
      job.done = [answers, place = found.size(), id = drivers.front()->id](driver::Outcome outcome) {
        auto decoded = std::make_shared<message::Decoded>();
        decoded->driver_id = id;
        if (outcome.ok) {
          decoded->payload = std::move(outcome.data);
          decoded->points = std::move(outcome.points);
        } else {
          decoded->error_code = std::move(outcome.code);
          decoded->error_message = std::move(outcome.message);
        }
        std::lock_guard lock(answers->mutex);
        answers->decoded[place] = std::move(decoded);
        --answers->left;
        answers->changed.notify_all();
      };
      jobs.push_back(std::move(job));
    }
    found.push_back({std::move(message), nullptr, validity});
  }
  answers->decoded.resize(found.size());
  answers->left = jobs.size();
  if (jobs.empty()) return found;
  impl_->engine.submit(std::move(jobs));
  std::unique_lock lock(answers->mutex);
  answers->changed.wait_for(lock, std::chrono::seconds(30), [&] { return answers->left == 0; });
  for (std::size_t i = 0; i < found.size(); ++i)
    found[i].decoded = answers->decoded[i];
  return found;
}

}  // namespace sluice::flow
