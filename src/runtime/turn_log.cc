#include "runtime/turn_log.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace choir {
namespace {

constexpr std::size_t kNamesMax = 1024;

std::uint64_t at_most(std::int64_t value, std::uint64_t most) {
  return value < 0 ? 0 : std::min(static_cast<std::uint64_t>(value), most);
}

}  // namespace

TurnLog::TurnLog(int lanes) {
  for (int lane = 0; lane < lanes; ++lane) rings_.push_back(std::make_unique<Ring>());
}

void TurnLog::add(int lane, const Record& record) {
  Ring& ring = *rings_.at(static_cast<std::size_t>(lane));
  const std::uint64_t number = ring.next.load(std::memory_order_relaxed);
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(record.length).count();
  const std::uint64_t sizes =
      at_most(micros, 0xFFFFFFFF) << 32U | at_most(record.prompt_tokens, 0xFFFFFFFF);
  const std::uint64_t rest = at_most(record.decode_rows, 0xFFFF) << 48U |
                             static_cast<std::uint64_t>(record.reason) << 44U |
                             static_cast<std::uint64_t>(record.priority) << 40U |
                             at_most(record.threads, 0xFF) << 32U |
                             (static_cast<std::uint32_t>(number) + 1U);
  auto& words = ring.slots[number % kTurnsKept].words;
  // Each store is a release: a reader that sees one of the new words sees this zero, too, or what
  // came after it.
  words[3].store(0, std::memory_order_relaxed);
  words[0].store(static_cast<std::uint64_t>(record.began.since_start.count()),
                 std::memory_order_release);
  words[1].store(record.executor.value, std::memory_order_release);
  words[2].store(sizes, std::memory_order_release);
  words[3].store(rest, std::memory_order_release);
  ring.next.store(number + 1, std::memory_order_release);
}

void TurnLog::name(ExecutorId executor, std::string name) {
  names_.with([&](Names& names) {
    names[executor] = std::move(name);
    if (names.size() > kNamesMax) names.erase(names.begin());
  });
}

std::vector<LaneTurns> TurnLog::since(std::span<const std::uint64_t> from) const {
  const Names names = names_.with([](const Names& all) { return all; });
  std::vector<LaneTurns> lanes;
  for (std::size_t lane = 0; lane < rings_.size(); ++lane)
    lanes.push_back(
        since(*rings_[lane], lane < from.size() ? std::optional(from[lane]) : std::nullopt, names));
  return lanes;
}

LaneTurns TurnLog::since(const Ring& ring, std::optional<std::uint64_t> from, const Names& names) {
  LaneTurns lane;
  lane.next = ring.next.load(std::memory_order_acquire);
  const std::uint64_t oldest = lane.next > kTurnsKept ? lane.next - kTurnsKept : 0;
  const std::uint64_t first = std::clamp(from.value_or(oldest), oldest, lane.next);
  if (from && *from < oldest) lane.missing = oldest - *from;
  for (std::uint64_t number = first; number < lane.next; ++number) {
    if (auto turn = read(ring, number, names))
      lane.turns.push_back(std::move(*turn));
    else
      ++lane.missing;
  }
  return lane;
}

// Nothing where it was overwritten meanwhile.
std::optional<ComputedTurn> TurnLog::read(const Ring& ring, std::uint64_t number,
                                          const Names& names) {
  const auto& words = ring.slots[number % kTurnsKept].words;
  const std::uint64_t rest = words[3].load(std::memory_order_acquire);
  const std::uint64_t began = words[0].load(std::memory_order_acquire);
  const std::uint64_t executor = words[1].load(std::memory_order_acquire);
  const std::uint64_t sizes = words[2].load(std::memory_order_acquire);
  if (static_cast<std::uint32_t>(rest) != static_cast<std::uint32_t>(number) + 1U ||
      words[3].load(std::memory_order_relaxed) != rest)
    return std::nullopt;
  const auto name = names.find(ExecutorId{executor});
  return ComputedTurn{.began = {Nanos(static_cast<std::int64_t>(began))},
                      .length = std::chrono::microseconds(sizes >> 32U),
                      .executor = name == names.end() ? std::string() : name->second,
                      .prompt_tokens = static_cast<std::int32_t>(sizes & 0xFFFFFFFFU),
                      .decode_rows = static_cast<std::int32_t>(rest >> 48U),
                      .priority = static_cast<Priority>(rest >> 40U & 0xFU),
                      .threads = static_cast<int>(rest >> 32U & 0xFFU),
                      .reason = static_cast<TurnReason>(rest >> 44U & 0xFU)};
}

}  // namespace choir
