#include "policy/thread_choice.h"

#include <algorithm>
#include <bit>
#include <cstdlib>

#include "base/check.h"

namespace choir {
namespace {

// A first trial waits until caches and pools are warm.
constexpr int kPassesFirst = 8;
// One fewer is what one busy program asks for; two rungs down is the way past a rung that does not
// help by itself, as where two cores are taken.
constexpr std::array kDirections = {-1, 1, -2};
constexpr int kStrangersMax = 8;
constexpr double kUsualRate = 1.0 / 64;
constexpr double kRecentRate = 1.0 / 8;
constexpr double kDisturbedAbove = 1.4;
constexpr double kDisturbedBelow = 0.7;
// So clear that the trial ends early.
constexpr double kClear = 3;

std::size_t size_class(std::int32_t tokens, std::size_t classes) {
  const auto log2 =
      static_cast<std::size_t>(std::bit_width(static_cast<std::uint32_t>(tokens)) - 1);
  return std::min(log2, classes - 1);
}

// Their times may be compared, token for token.
bool alike(std::int32_t a, std::int32_t b) { return std::abs(a - b) * 8 <= b; }

int after(int direction) { return (direction + 1) % static_cast<int>(kDirections.size()); }

void blend(double& average, double value, double rate) {
  average = average == 0 ? value : average + rate * (value - average);
}

}  // namespace

int neighbour(int threads, int from, int steps) {
  // All rungs in falling order: each is the largest below the one before.
  const auto below = [threads](int n) {
    int best = 0;
    const auto take = [&](int rung) {
      if (rung < n) best = std::max(best, rung);
    };
    take(threads);
    take(threads - 1);
    take(threads * 3 / 4);
    for (int rung = threads / 2; rung >= 1; rung /= 2) take(rung);
    return best;
  };
  for (; steps < 0 && from > 0; ++steps) from = below(from);
  for (; steps > 0; --steps) {
    int rung = threads;
    if (rung <= from) return 0;
    while (below(rung) > from) rung = below(rung);
    from = rung;
  }
  return from;
}

ThreadChoice::Book& ThreadChoice::book(int threads, std::int32_t tokens) {
  CHOIR_CHECK(threads >= 1 && tokens >= 1, "a pass has threads and tokens");
  const auto lane = static_cast<std::size_t>(threads);
  if (lanes_.size() <= lane) lanes_.resize(lane + 1);
  return lanes_[lane][size_class(tokens, kSizes)];
}

int ThreadChoice::in_use(int threads, std::int32_t tokens) const {
  const auto lane = static_cast<std::size_t>(threads);
  if (lanes_.size() <= lane) return threads;
  const int used = lanes_[lane][size_class(tokens, kSizes)].used;
  return used == 0 ? threads : used;
}

int ThreadChoice::choose(int threads, std::int32_t tokens, Instant now) {
  Book& b = book(threads, tokens);
  if (b.used == 0) {
    b.used = threads;
    b.pause = rules_.pause;
  }
  if (threads == 1) return 1;
  if (b.other == 0 && b.passes == kPassesFirst && now >= b.next)
    begin_trial(b, threads, tokens, now);
  return b.other != 0 && b.others_turn && alike(tokens, b.tokens) ? b.other : b.used;
}

void ThreadChoice::begin_trial(Book& b, int threads, std::int32_t tokens, Instant now) const {
  int other = 0;
  for (std::size_t i = 0; i < kDirections.size() && other == 0; ++i) {
    other = neighbour(threads, b.used, kDirections.at(static_cast<std::size_t>(b.direction)));
    if (other == 0) b.direction = after(b.direction);
  }
  // On a calm machine no prompt shall take twice as long because of a trial.
  const double slower = std::max(1.0, static_cast<double>(b.used) / other);
  if (!b.disturbed && b.usual * tokens * slower > to_seconds(rules_.pass_max)) {
    b.next = now + b.pause;
    b.direction = after(b.direction);
    return;
  }
  b.other = other;
  b.tokens = tokens;
  b.sides = {};
  b.others_turn = true;
  b.span = {};
  b.rounds = 0;
  b.strangers = 0;
}

void ThreadChoice::took(int threads, std::int32_t tokens, int used, Nanos elapsed, Instant now) {
  Book& b = book(threads, tokens);
  if (threads == 1 || used < 1 || elapsed <= Nanos{0}) return;
  b.passes = std::min(b.passes + 1, kPassesFirst);
  if (used == b.used) {
    const double cost = to_seconds(elapsed) / tokens;
    blend(b.usual, cost, kUsualRate);
    blend(b.recent, cost, kRecentRate);
  }
  if (b.other != 0) {
    count(b, used, tokens, elapsed, now);
  } else if (!b.disturbed && b.passes == kPassesFirst &&
             (b.recent > kDisturbedAbove * b.usual || b.recent < kDisturbedBelow * b.usual)) {
    b.disturbed = true;
    b.pause = rules_.pause;
    b.next = std::min(b.next, std::max(now, b.not_before));
  }
}

void ThreadChoice::count(Book& b, int used, std::int32_t tokens, Nanos elapsed, Instant now) const {
  const int expected = b.others_turn ? b.other : b.used;
  if (!alike(tokens, b.tokens) || used != expected) {
    if (++b.strangers < kStrangersMax) return;
    b.other = 0;
    b.next = now + b.pause;
    return;
  }
  Side& side = b.sides.at(b.others_turn ? 1 : 0);
  side.seconds += to_seconds(elapsed);
  side.tokens += tokens;
  b.span += elapsed;
  if (b.span < rules_.span) return;
  b.span = {};
  if (!b.others_turn) ++b.rounds;
  b.others_turn = !b.others_turn;
  if (b.others_turn && decided(b)) decide(b, now);
}

bool ThreadChoice::decided(const Book& b) const {
  const double ratio = b.sides[1].cost() / b.sides[0].cost();
  // One disturbance can make one span look bad; that is enough to stay, not to change.
  return b.rounds >= rules_.rounds || ratio > kClear || (b.rounds >= 2 && ratio < 1 / kClear);
}

void ThreadChoice::decide(Book& b, Instant now) const {
  const double cost = b.sides[0].cost();
  const double others = b.sides[1].cost();
  const double lost = std::max(0.0, others - cost) * b.sides[1].tokens;
  b.not_before = now + std::chrono::duration_cast<Nanos>(
                           std::chrono::duration<double>(lost / rules_.loss_max));
  if (others < rules_.better * cost) {
    b.used = b.other;
    b.usual = b.recent = others;
    b.pause = rules_.pause;
  } else {
    b.usual = b.recent = cost;
    b.direction = after(b.direction);
    b.pause = std::min(b.pause * 2, rules_.pause_max);
  }
  b.other = 0;
  b.disturbed = false;
  b.next = std::max(now + b.pause, b.not_before);
}

}  // namespace choir
