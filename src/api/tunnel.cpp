// SPDX-License-Identifier: Apache-2.0
#include "api/tunnel.h"

namespace sluice::api {
namespace {

constexpr std::string_view kPrefix = "/iot-flow/tunnel/";

}  // namespace

std::string_view tunnel_binder(std::string_view method, std::string_view path) {
  if (method != "POST" || !path.starts_with(kPrefix)) return {};
  auto id = path.substr(kPrefix.size());
  return id.find('/') == std::string_view::npos ? id : std::string_view();
}

std::variant<message::Message, TunnelRefusal> read_report(const Context& context, std::string_view binder,
                                                          const binder::thingpark::Request& request,
                                                          const std::string& peer) {
  auto settings = context.find_binder(binder);
  if (!settings) return TunnelRefusal{404, "there is no such binder"};
  auto read = context.accept(*settings, request, context.clock.now());
  if (auto* message = std::get_if<message::Message>(&read)) return std::move(*message);
  auto& refusal = std::get<binder::thingpark::Refusal>(read);
  context.events.add(settings->account, "error", "binder-5001", "Report refused: " + refusal.text,
                     {{"binderId", settings->id}, {"cause", refusal.text}, {"peer", peer}});
  return TunnelRefusal{refusal.status, std::move(refusal.text)};
}

}  // namespace sluice::api
