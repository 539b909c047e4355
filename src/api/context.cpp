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
      .inspect_driver = [engine = &parts.engine](
                            const std::string& source,
                            std::optional<driver::Signature> declared) { return engine->inspect(source, declared); },
      .run_drivers = [engine = &parts.engine](std::vector<driver::Job> jobs) { engine->submit(std::move(jobs)); },
      .handle_downlink =
          [downlinks = &parts.downlinks](flow::DownlinkSource source, std::string body,
                                         std::function<void(flow::DownlinkResult)> done) {
            downlinks->handle(std::move(source), std::move(body), std::move(done));
          },
      .public_url = parts.public_url,
      .ready = parts.ready,
      .data_directory = parts.data_directory,
  };
}

}  // namespace sluice::api
