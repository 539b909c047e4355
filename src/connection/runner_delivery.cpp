// SPDX-License-Identifier: Apache-2.0
// What an operator does with a connection's queue: pause, dead letters, replay.
#include <boost/asio/post.hpp>
#include <charconv>

#include "base/log.h"
#include "connection/runner.h"

namespace sluice::connection {
namespace {

std::uint64_t number(const std::string& id) {
  std::uint64_t n = 0;
  std::from_chars(id.data(), id.data() + id.size(), n);
  return n;
}

Error no_connection(const std::string& id) {
  return Error{ErrorKind::permanent, "there is no connection " + id, "com-4004"};
}

DeadLetter shown(queue::Letter letter, bool whole) {
  const auto& message = *letter.message;
  DeadLetter out;
  out.id = letter.id;
  out.time = letter.time;
  out.arrived = message.arrived;
  out.dev_eui = message.dev_eui;
  out.type = message::to_string(message.type);
  out.fcnt_up = message.fcnt_up;
  out.cause = std::move(letter.cause);
  out.answer = std::move(letter.answer);
  out.tries = letter.tries;
  out.bytes = letter.bytes;
  if (whole) {
    out.body = message::compose(message, letter.decoded.get(), "");
    out.sent = std::move(letter.sent);
  }
  return out;
}

}  // namespace

Result<void> Runner::pause(const std::string& id) {
  auto connection = find(id);
  if (!connection) return no_connection(id);
  if (auto kept = shared_.queue.keep_fact(paused_fact(id), "1"); !kept) return kept;
  connection->pump().set_paused(true);
  return {};
}

Result<void> Runner::resume(const std::string& id) {
  auto connection = find(id);
  if (!connection) return no_connection(id);
  if (auto kept = shared_.queue.keep_fact(paused_fact(id), ""); !kept) return kept;
  connection->pump().set_paused(false);
  return {};
}

DeadLetterPage Runner::dead_letters(const std::string& id, const DeadLetterFilter& filter, std::size_t offset,
                                    std::size_t limit) {
  queue::LetterQuery query;
  query.dev_eui = filter.dev_eui;
  query.from = filter.from.value_or(0);
  query.to = filter.to.value_or(INT64_MAX);
  query.offset = offset;
  query.limit = limit;
  auto found = shared_.queue.letters(number(id), query);
  DeadLetterPage page;
  page.total = found.total;
  for (auto& letter : found.letters)
    page.items.push_back(shown(std::move(letter), false));
  return page;
}

std::optional<DeadLetter> Runner::dead_letter(const std::string& id, std::uint64_t letter) {
  auto found = shared_.queue.letter(number(id), letter);
  if (!found) return std::nullopt;
  return shown(std::move(*found), true);
}

std::uint64_t Runner::resend(const std::string& id, std::vector<std::uint64_t> letters) {
  return shared_.queue.resend(number(id), std::move(letters));
}

std::uint64_t Runner::discard(const std::string& id, std::vector<std::uint64_t> letters) {
  return shared_.queue.discard(number(id), std::move(letters));
}

Result<ReplayReport> Runner::replay(const std::string& id, const ReplayRequest& request) {
  auto connection = find(id);
  if (!connection) return no_connection(id);
  return replays_.start(number(id), connection->account(), request);
}

bool Runner::end_replay(const std::string& id) {
  return replays_.end(number(id));
}

QueueStatus Runner::queue(const std::string& id) {
  auto state = shared_.queue.state(number(id));
  QueueStatus status;
  status.pending = state.count;
  status.bytes = state.bytes;
  status.oldest = state.oldest;
  status.dead = state.letters;
  status.dead_bytes = state.letter_bytes;
  status.accepted = state.totals.accepted;
  auto fate = [&](queue::Fate which) { return state.totals.fates[static_cast<std::size_t>(which)]; };
  status.delivered = fate(queue::Fate::delivered);
  status.filtered = fate(queue::Fate::filtered);
  status.expired = fate(queue::Fate::expired);
  status.given_up = fate(queue::Fate::dead);
  status.dropped = fate(queue::Fate::dropped);
  status.replay = replays_.progress(number(id));
  auto connection = find(id);
  if (!connection) return status;
  status.paused = connection->pump().paused();
  auto shrinking = connection->pump().shrinking();
  if (!status.paused && state.count > 0 && shrinking > 0 && connection->status().state == State::opened) {
    auto seconds = static_cast<double>(state.count) / shrinking;
    status.catching_up_until = shared_.clock.now() + static_cast<UnixMillis>(std::min(seconds, 4e8) * 1000);
  }
  return status;
}

void Runner::on_letters_dropped(std::uint64_t id, std::uint64_t count) {
  auto connection = find(id);
  if (!connection) return;
  shared_.events.add(connection->account(), "warn", "connection-1306", "Dead letters dropped: more than are kept",
                     {{"connectionId", std::to_string(id)}, {"count", count}});
}

void Runner::on_gap(std::uint64_t id, std::int64_t gap) {
  auto connection = find(id);
  if (!connection) return;
  shared_.events.add(connection->account(), "error", "connection-1309",
                     gap == 0 ? "The connection's counters add up again" : "The connection's counters do not add up",
                     {{"connectionId", std::to_string(id)}, {"gap", gap}});
}

}  // namespace sluice::connection
