// SPDX-License-Identifier: Apache-2.0
#include <benchmark/benchmark.h>

#include "binder/thingpark/tunnel.h"

namespace sluice::binder::thingpark {
namespace {

constexpr std::string_view kBody =
    R"({"DevEUI_uplink":{"Time":"2020-01-06T12:46:54.285+01:00","DevEUI":"20635F0108000E09","FPort":17,"FCntUp":265,"ADRbit":1,)"
    R"("MType":2,"FCntDn":9,"payload_hex":"0520be8800400108c9000000","mic_hex":"3bcf2927","Lrcid":"00000127","LrrRSSI":-65.0,)"
    R"("LrrSNR":9.5,"SpFact":7,"SubBand":"G1","Channel":"LC3","DevLrrCnt":2,"Lrrid":"08050376","Late":0,"LrrLAT":43.615501,)"
    R"("LrrLON":7.066182,"Lrrs":{"Lrr":[{"Lrrid":"08050376","Chain":0,"LrrRSSI":-65.0,"LrrSNR":9.5,"LrrESP":-65.461838},)"
    R"({"Lrrid":"C0001BC3","Chain":0,"LrrRSSI":-69.0,"LrrSNR":8.75,"LrrESP":-69.543648}]},"CustomerID":"100002164",)"
    R"("CustomerData":{"alr":{"pro":"ABEE/APY","ver":"1"},"tags":["site=Paris"],"name":"My Demo Device"},)"
    R"("ModelCfg":"1:TWA_100002157.11278.AS","DriverCfg":{"mod":{"pId":"abeeway","mId":"micro-tracker","ver":"3"},)"
    R"("app":{"pId":"abeeway","mId":"asset-tracker","ver":"1"}},"InstantPER":0.0,"MeanPER":0.0,"DevAddr":"04D2848E",)"
    R"("AckRequested":1,"TxPower":2.0,"NbTrans":1,"Frequency":868.1,"DynamicClass":"A"}})";

void BM_Accept(benchmark::State& state) {
  constexpr std::string_view kPlain =
      "LrnDevEui=20635F0108000E09&LrnFPort=17&LrnInfos=TWA_100002157.11278.AS-1-1&AS_ID=TWA_1&Time=2020-01-06T12:46:"
      "54Z";
  constexpr std::string_view kKey = "f3203a20a2e8dfaf6686b621f56d05e3";
  Settings settings{"b1", "acme", "TWA_1", std::string(kKey), true, "", std::nullopt};
  std::string query =
      "LrnDevEui=20635F0108000E09&LrnFPort=17&LrnInfos=TWA_100002157.11278.AS-1-1&AS_ID=TWA_1&Time=2020-01-06T12%3A46%"
      "3A54Z&"
      "Token=" +
      make_token("10000216420635F0108000E09172650520be8800400108c9000000", kPlain, kKey);
  Request request{query, "application/json", kBody};
  if (!std::holds_alternative<message::Message>(accept(settings, request, 1))) state.SkipWithError("refused");
  for (auto _ : state)
    benchmark::DoNotOptimize(accept(settings, request, 1));
}
BENCHMARK(BM_Accept);

}  // namespace
}  // namespace sluice::binder::thingpark
