#include "policy/thread_choice.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>
#include <string>
#include <utility>

namespace choir {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Nanos nanos(double s) { return Nanos{static_cast<std::int64_t>(s * 1e9)}; }

// Computes passes one after the other on a machine of our making.
class Machine {
 public:
  // Seconds of a pass of so many tokens on so many threads.
  using Cost = std::function<double(int threads, std::int32_t tokens)>;

  explicit Machine(int threads) : threads_(threads) {}

  // Passes of `tokens` until `time` has gone by. Returns tokens a second.
  double run(Nanos time, std::int32_t tokens, const Cost& cost) {
    const Instant end = now + time;
    const Instant began = now;
    double done = 0;
    for (; now < end; done += tokens) {
      last = choice.choose(threads_, tokens, now);
      EXPECT_GE(last, 1);
      EXPECT_LE(last, threads_);
      const Nanos elapsed = nanos(cost(last, tokens));
      now = now + elapsed;
      choice.took(threads_, tokens, last, elapsed, now);
    }
    return done / to_seconds(now - began);
  }
  int in_use(std::int32_t tokens) const { return choice.in_use(threads_, tokens); }

  ThreadChoice choice;
  Instant now{seconds(1)};
  int last = 0;

 private:
  int threads_;
};

// `work` seconds a token that are shared out, and `wait` for each thread more.
Machine::Cost shared(double work, double wait, double fixed = 0) {
  return [=](int threads, std::int32_t tokens) {
    return fixed + work * tokens / threads + wait * (threads - 1);
  };
}

// As if other programs wanted `taken` cores of `cores`: threads beyond the free ones are where
// everybody waits for whoever is away.
Machine::Cost beside(const Machine::Cost& calm, int cores, int taken) {
  return [=](int threads, std::int32_t tokens) {
    return calm(threads, tokens) * (threads > cores - taken ? 4 : 1);
  };
}

struct Case {
  std::string name;
  int threads;
  std::int32_t tokens;
  Machine::Cost cost;
  int want;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class Settles : public testing::TestWithParam<Case> {};

TEST_P(Settles, OnTheFastest) {
  const Case& c = GetParam();
  Machine machine(c.threads);
  machine.run(seconds(20), c.tokens, c.cost);
  EXPECT_EQ(machine.in_use(c.tokens), c.want);
  // And what it then does costs little more than that.
  const double best = c.tokens / c.cost(c.want, c.tokens);
  EXPECT_GE(machine.run(seconds(60), c.tokens, c.cost), 0.97 * best);
}

const Case kCases[] = {
    {"OneThreadIsOne", 1, 8, shared(0.001, 0), 1},
    {"AllOfTwo", 2, 1, shared(0.008, 0.0001), 2},
    {"AllOfSixteen", 16, 8, shared(0.010, 0.00001), 16},
    {"OneOfTwoWhereBarriersCostMore", 2, 1, shared(0.0001, 0.0002), 1},
    {"FourOfEightWhereMemoryIsTheLimit", 8, 1, shared(0.008, 0.0005), 4},
    {"OneOfTwoBesideAProgram", 2, 1, beside(shared(0.008, 0.0001), 2, 1), 1},
    {"FifteenOfSixteenBesideAProgram", 16, 8, beside(shared(0.010, 0.00001), 16, 1), 15},
    {"TwelveOfSixteenBesideThree", 16, 8, beside(shared(0.010, 0.00001), 16, 3), 12},
    {"AllOfThemWhereThatIsAsFast", 4, 8, shared(0, 0, 0.001), 4},
    {"PassesOfAQuarterMillisecond", 2, 1, shared(0.0005, 0), 2},
};
INSTANTIATE_TEST_SUITE_P(, Settles, testing::ValuesIn(kCases),
                         [](const auto& c) { return c.param.name; });

TEST(ThreadChoice, LosesLittleOnACalmMachine) {
  for (const int threads : {2, 4, 16}) {
    const auto calm = shared(0.010, 0.00001);
    Machine machine(threads);
    const double rate = machine.run(seconds(30), 8, calm);
    EXPECT_GE(rate, 0.97 * 8 / calm(threads, 8)) << threads << " threads";
  }
}

TEST(ThreadChoice, FollowsADisturbanceWithinAQuarterOfASecondAndItsEndWithinTen) {
  Machine machine(2);
  const auto calm = shared(0.008, 0.0001);
  machine.run(seconds(60), 1, calm);
  machine.run(milliseconds(250), 1, beside(calm, 2, 1));
  EXPECT_EQ(machine.in_use(1), 1);
  machine.run(seconds(60), 1, beside(calm, 2, 1));
  EXPECT_EQ(machine.in_use(1), 1);
  machine.run(seconds(10), 1, calm);
  EXPECT_EQ(machine.in_use(1), 2);
}

TEST(ThreadChoice, LongPassesAreNotSlowedDownOutOfCuriosity) {
  Machine machine(2);
  const auto calm = shared(0.001, 0);
  for (int second = 0; second < 60; ++second) {
    machine.run(seconds(1), 512, calm);
    EXPECT_EQ(machine.last, 2);
  }
  // But where they became slow there is a reason to look.
  machine.run(seconds(30), 512, [](int threads, std::int32_t tokens) {
    return threads == 2 ? 0.004 * tokens : 0.001 * tokens;
  });
  EXPECT_EQ(machine.in_use(512), 1);
}

TEST(ThreadChoice, SizesAreChosenApart) {
  Machine machine(2);
  const auto cost = [](int threads, std::int32_t tokens) {
    return tokens == 1 ? 0.001 * threads : 0.001 * tokens / threads;
  };
  for (int round = 0; round < 200; ++round) {
    machine.run(milliseconds(10), 1, cost);
    machine.run(milliseconds(10), 64, cost);
  }
  EXPECT_EQ(machine.in_use(1), 1);
  EXPECT_EQ(machine.in_use(64), 2);
}

TEST(ThreadChoice, LanesAreChosenApart) {
  ThreadChoice choice;
  Instant now{seconds(1)};
  for (int pass = 0; pass < 4000; ++pass) {
    for (const int threads : {2, 4}) {
      const int used = choice.choose(threads, 1, now);
      const Nanos elapsed = threads == 2 ? milliseconds(used) : milliseconds(8 / used);
      now = now + elapsed;
      choice.took(threads, 1, used, elapsed, now);
    }
  }
  EXPECT_EQ(choice.in_use(2, 1), 1);
  EXPECT_EQ(choice.in_use(4, 1), 4);
}

// A trial that its size of pass has left does not wait for it for ever.
TEST(ThreadChoice, ATrialOfPassesThatDoNotComeBackEnds) {
  Machine machine(2);
  const auto calm = shared(0.001, 0);
  while (machine.choice.choose(2, 4, machine.now) == 2) machine.run(milliseconds(1), 4, calm);
  machine.run(seconds(1), 7, [](int threads, std::int32_t) { return 0.001 * threads; });
  EXPECT_EQ(machine.in_use(7), 1);
}

TEST(ThreadChoice, IsNeverFarFromTheBestWhateverTheNoise) {
  for (unsigned seed = 0; seed < 40; ++seed) {
    std::mt19937 random(seed);
    const auto uniform = [&](double from, double to) {
      return std::uniform_real_distribution(from, to)(random);
    };
    const int threads = std::uniform_int_distribution(2, 8)(random);
    const auto calm = shared(std::exp(uniform(-9, -4)), std::exp(uniform(-12, -6)));
    const double jitter = uniform(0, 0.25);
    const std::int32_t tokens = std::uniform_int_distribution(1, 32)(random);
    const auto noisy = [&](int n, std::int32_t t) {
      const double stalled = uniform(0, 1) < 0.01 ? 0.004 : 0;
      return calm(n, t) * uniform(1 - jitter, 1 + jitter) + stalled;
    };
    const auto expected = [&](int n) { return tokens / (calm(n, tokens) + 0.00004); };
    double best = 0;
    for (int n = 1; n <= threads; ++n) best = std::max(best, expected(n));
    Machine machine(threads);
    machine.run(seconds(10), tokens, noisy);
    EXPECT_GE(machine.run(seconds(60), tokens, noisy), 0.85 * best)
        << "seed " << seed << ", " << threads << " threads, in use " << machine.in_use(tokens);
  }
}

TEST(Neighbour, GoesUpAndDownTheLadder) {
  const auto rungs = [](int threads) {
    std::string text;
    for (int n = threads; n > 0; n = neighbour(threads, n, -1)) text += std::to_string(n) + " ";
    return text;
  };
  EXPECT_EQ(rungs(1), "1 ");
  EXPECT_EQ(rungs(2), "2 1 ");
  EXPECT_EQ(rungs(3), "3 2 1 ");
  EXPECT_EQ(rungs(6), "6 5 4 3 1 ");
  EXPECT_EQ(rungs(16), "16 15 12 8 4 2 1 ");
  EXPECT_EQ(neighbour(16, 16, 1), 0);
  EXPECT_EQ(neighbour(16, 8, 1), 12);
  EXPECT_EQ(neighbour(16, 16, -2), 12);
  EXPECT_EQ(neighbour(16, 1, 2), 4);
  EXPECT_EQ(neighbour(2, 1, -1), 0);
}

}  // namespace
}  // namespace choir
