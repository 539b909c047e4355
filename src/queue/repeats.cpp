// SPDX-License-Identifier: Apache-2.0
#include "queue/repeats.h"

namespace sluice::queue {
namespace {

constexpr std::chrono::minutes kGeneration{1};
constexpr std::chrono::minutes kMemory{10};
// Stands where a hash was taken back: not empty, so that probing goes on past it.
constexpr std::uint64_t kForgotten = 1;

std::uint64_t usable(std::uint64_t hash) {
  return hash <= kForgotten ? hash + 2 : hash;
}

}  // namespace

bool Repeats::Generation::contains(std::uint64_t hash) const {
  if (slots.empty()) return false;
  for (std::size_t i = hash & (slots.size() - 1);; i = (i + 1) & (slots.size() - 1)) {
    if (slots[i] == hash) return true;
    if (slots[i] == 0) return false;
  }
}

void Repeats::Generation::insert(std::uint64_t hash) {
  if ((count + 1) * 2 > slots.size()) {
    std::vector<std::uint64_t> old(slots.empty() ? 1024 : slots.size() * 2);
    old.swap(slots);
    count = 0;
    for (auto entry : old) {
      if (entry > kForgotten) insert(entry);
    }
  }
  std::size_t i = hash & (slots.size() - 1);
  while (slots[i] > kForgotten)
    i = (i + 1) & (slots.size() - 1);
  slots[i] = hash;
  ++count;
}

bool Repeats::seen(std::uint64_t hash, std::chrono::steady_clock::time_point now) {
  hash = usable(hash);
  while (!generations_.empty() && (now - generations_.front().start >= kMemory + kGeneration || total_ >= max_)) {
    total_ -= generations_.front().count;
    generations_.pop_front();
  }
  for (const auto& generation : generations_) {
    if (generation.contains(hash)) return true;
  }
  if (generations_.empty() || now - generations_.back().start >= kGeneration ||
      generations_.back().count * 8 > max_) {  // under the cap the eldest goes in eighths, not all at once
    generations_.push_back({now, {}, 0});
  }
  generations_.back().insert(hash);
  ++total_;
  return false;
}

void Repeats::forget(std::uint64_t hash) {
  hash = usable(hash);
  if (generations_.empty()) return;
  auto& slots = generations_.back().slots;
  if (slots.empty()) return;
  for (std::size_t i = hash & (slots.size() - 1); slots[i] != 0; i = (i + 1) & (slots.size() - 1)) {
    if (slots[i] == hash) {
      slots[i] = kForgotten;
      return;
    }
  }
}

}  // namespace sluice::queue
