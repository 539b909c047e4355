// SPDX-License-Identifier: Apache-2.0
#include <benchmark/benchmark.h>

#include "message/trail_book.h"

namespace sluice::message {
namespace {

// What a plain message is noted with on its way: five notes, nobody watching.
void BM_NoteAMessage(benchmark::State& state) {
  static TrailBook book(system_clock());  // of all threads
  Message message;
  message.account = "1";
  message.fcnt_up = 7;
  message.seq = static_cast<std::uint64_t>(state.thread_index() + 1) << 40;
  for (auto _ : state) {
    ++message.seq;
    message.dev_eui = "0018B2000000" + std::to_string(1000 + message.seq % 5000);
    book.note(message, {.stage = Stage::stored});
    book.note(message,
              {.stage = Stage::routed, .connection = 8, .flow = "17", .driver = "actility:adeunis-field-test:1"});
    book.note(message, {.stage = Stage::decoded, .driver = "actility:adeunis-field-test:1"});
    book.note(message, {.stage = Stage::sent, .connection = 8});
    book.note(message, {.stage = Stage::delivered, .connection = 8});
  }
  state.SetItemsProcessed(state.iterations() * 5);
}
BENCHMARK(BM_NoteAMessage);
BENCHMARK(BM_NoteAMessage)->Threads(2)->UseRealTime();

// The same with somebody watching another account, who costs a look at the list.
void BM_NoteAMessageWatchedElsewhere(benchmark::State& state) {
  TrailBook book(system_clock());
  auto watch = book.watch("2", [](const Seen&) {});
  Message message;
  message.account = "1";
  message.dev_eui = "0018B20000000B20";
  for (auto _ : state) {
    ++message.seq;
    book.note(message, {.stage = Stage::stored});
  }
}
BENCHMARK(BM_NoteAMessageWatchedElsewhere);

}  // namespace
}  // namespace sluice::message
