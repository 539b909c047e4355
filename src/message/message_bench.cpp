// SPDX-License-Identifier: Apache-2.0
#include <benchmark/benchmark.h>

#include "message/message.h"
#include "message/pattern.h"

namespace sluice::message {
namespace {

// A typical report of a ThingPark network, 1,1 KB, compact as it is on the wire.
constexpr std::string_view kReport =
    R"({"DevEUI_uplink":{"Time":"2020-01-06T12:46:54.285+01:00","DevEUI":"20635F0108000E09","FPort":17,"FCntUp":265,"ADRbit":1,)"
    R"("MType":2,"FCntDn":9,"payload_hex":"0520be8800400108c9000000","mic_hex":"3bcf2927","Lrcid":"00000127","LrrRSSI":-65.0,)"
    R"("LrrSNR":9.5,"SpFact":7,"SubBand":"G1","Channel":"LC3","DevLrrCnt":2,"Lrrid":"08050376","Late":0,"LrrLAT":43.615501,)"
    R"("LrrLON":7.066182,"Lrrs":{"Lrr":[{"Lrrid":"08050376","Chain":0,"LrrRSSI":-65.0,"LrrSNR":9.5,"LrrESP":-65.461838},)"
    R"({"Lrrid":"C0001BC3","Chain":0,"LrrRSSI":-69.0,"LrrSNR":8.75,"LrrESP":-69.543648}]},"CustomerID":"100002164",)"
    R"("CustomerData":{"alr":{"pro":"ABEE/APY","ver":"1"},"tags":["site=Paris"],"name":"My Demo Device"},)"
    R"("ModelCfg":"1:TWA_100002157.11278.AS","DriverCfg":{"mod":{"pId":"abeeway","mId":"micro-tracker","ver":"3"},)"
    R"("app":{"pId":"abeeway","mId":"asset-tracker","ver":"1"}},"InstantPER":0.0,"MeanPER":0.0,"DevAddr":"04D2848E",)"
    R"("AckRequested":1,"TxPower":2.0,"NbTrans":1,"Frequency":868.1,"DynamicClass":"A"}})";

Decoded decoded() {
  Decoded d;
  d.driver_id = "abeeway:asset-tracker:1";
  d.payload = R"({"messageType":"HEARTBEAT","batteryVoltage":3.85,"temperature":24.8,"moving":false})";
  d.points = R"({"temperature":{"unitId":"Cel","type":"double","record":24.8}})";
  return d;
}

void BM_ParseReport(benchmark::State& state) {
  for (auto _ : state)
    benchmark::DoNotOptimize(parse_report(kReport));
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * kReport.size()));
}
BENCHMARK(BM_ParseReport);

void BM_EncodeRecord(benchmark::State& state) {
  auto message = parse_report(kReport);
  for (auto _ : state)
    benchmark::DoNotOptimize(encode_record(*message));
}
BENCHMARK(BM_EncodeRecord);

void BM_DecodeRecord(benchmark::State& state) {
  auto record = encode_record(*parse_report(kReport));
  for (auto _ : state)
    benchmark::DoNotOptimize(decode_record(record));
}
BENCHMARK(BM_DecodeRecord);

void BM_Compose(benchmark::State& state) {
  auto message = parse_report(kReport);
  auto d = decoded();
  for (auto _ : state)
    benchmark::DoNotOptimize(compose(*message, &d, "https://h.example/iot-flow/downlinkMessages/u"));
}
BENCHMARK(BM_Compose);

void render(benchmark::State& state, std::string_view text) {
  auto message = parse_report(kReport);
  auto d = decoded();
  auto composed = compose(*message, &d, "");
  auto pattern = Pattern::parse(text);
  for (auto _ : state) {
    Document document(*message, composed);
    benchmark::DoNotOptimize(pattern->render(document, Place::mqtt_topic));
  }
}
void BM_RenderName(benchmark::State& state) {
  render(state, "tpx/things/{DevEUI}/uplink");
}
BENCHMARK(BM_RenderName);
void BM_RenderPath(benchmark::State& state) {
  render(state, "tpx/{CustomerData.name}/uplink");
}
BENCHMARK(BM_RenderPath);
void BM_RenderJsonPath(benchmark::State& state) {
  render(state, "{$..CustomerData.tags[?(@ =~ /site=.*/)]}");
}
BENCHMARK(BM_RenderJsonPath);

void BM_XmlToJson(benchmark::State& state) {
  constexpr std::string_view kXml =
      "<DevEUI_uplink xmlns=\"http://uri.actility.com/lora\"><Time>2015-07-09T16:06:38.49+02:00</Time>"
      "<DevEUI>000000000F1D8693</DevEUI><FPort>2</FPort><FCntUp>7011</FCntUp><payload_hex>0027bd00</payload_hex>"
      "<Lrrs><Lrr><Lrrid>08040059</Lrrid><LrrRSSI>-60.000000</LrrRSSI></Lrr></Lrrs></DevEUI_uplink>";
  for (auto _ : state)
    benchmark::DoNotOptimize(xml_to_json(kXml));
}
BENCHMARK(BM_XmlToJson);

}  // namespace
}  // namespace sluice::message
