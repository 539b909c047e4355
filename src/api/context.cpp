// SPDX-License-Identifier: Apache-2.0
#include "api/server.h"

namespace sluice::api {

Context make_context(const Parts& parts) {
  return Context{
      .store = parts.store,
      .events = parts.events,
      .clock = parts.clock,
      .metrics = parts.metrics,
      .registry = parts.registry,
      .connections = parts.connections,
      .log = parts.log,
      .find_binder = [binders = &parts.binders](std::string_view id) { return binders->find(id); },
      .accept = binder::thingpark::accept,
      .reload_binders = [binders = &parts.binders] { return binders->reload(); },
      .reload_flows = [router = &parts.router] { return router->reload(); },
      .reload_drivers = [catalogue = &parts.catalogue] { return catalogue->reload(); },
      .find_driver = [catalogue = &parts.catalogue](const std::string& account,
                                                    const std::string& id) { return catalogue->find(account, id); },
      .choose_driver =
          [catalogue = &parts.catalogue](const std::string& account,
                                         const std::optional<message::ModuleRef>& application,
                                         const std::optional<message::ModuleRef>& model) {
            return catalogue->choose(account, application, model);
          },
      .is_without_code = [catalogue = &parts.catalogue](
                             const std::string& account,
                             const std::string& id) { return catalogue->is_without_code(account, id); },
      .choose_without_code =
          [catalogue = &parts.catalogue](const std::string& account,
                                         const std::optional<message::ModuleRef>& application,
                                         const std::optional<message::ModuleRef>& model) {
            return catalogue->choose_without_code(account, application, model);
          },
      .inspect_driver =
          [engine = &parts.engine](driver::Engine::Inspected what) { return engine->inspect(std::move(what)); },
      .run_drivers = [engine = &parts.engine](std::vector<driver::Job> jobs) { engine->submit(std::move(jobs)); },
      .journal = parts.journal,
      .driver_limits = {.call = parts.engine_options.call_limit,
                        .memory = parts.engine_options.memory_limit,
                        .result = parts.engine_options.result_limit,
                        .depth = driver::kMaxDepth},
      .last_uplinks = [router = &parts.router](
                          const std::string& account, const std::string& driver_id,
                          std::size_t last) { return router->last_uplinks(account, driver_id, last); },
      .handle_downlink =
          [downlinks = &parts.downlinks](flow::DownlinkSource source, std::string body,
                                         std::function<void(flow::DownlinkResult)> done) {
            downlinks->handle(std::move(source), std::move(body), std::move(done));
          },
      .trail = parts.trail,
      .queue = parts.queue,
      .explain = [router = &parts.router](const std::string& account,
                                          const std::string& dev_eui) { return router->explain(account, dev_eui); },
      .public_url = parts.public_url,
      .ready = parts.ready,
      .data_directory = parts.data_directory,
      .auth = parts.auth,
      .debug_limit = parts.debug_limit,
  };
}

}  // namespace sluice::api
