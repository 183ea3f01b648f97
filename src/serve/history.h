// What the node did lately, so that a page opens with full curves: each second of the last 15
// minutes, and each 10 s of the last 24 hours, in all and for each model.
//
// While the node has work, a door thread looks at it once a second; a busy second costs one
// Node::executors() and Node::info(). An idle node has no timer: the seconds between two times of
// work are filled in when the next one begins or somebody asks. Nothing computes in them, so their
// rates and counts are 0; the promised bytes are those of the last look.
//
// A value of 10 s is the mean of its seconds; of bytes it is the last, and of the first token the
// longest. That of a second is of all first tokens of the minute up to it. The memory of all of it
// is at most kBytesMax: 18 models have curves of their own, and what others do is in the totals
// alone.
//
// Any thread. A lock is held for microseconds, and for about a millisecond where all is copied to
// be shown. The cores of a model are those that computed for it, in the mean, and `cores_due` those
// that its shares gave it (ExecutorInfo::due_seconds).
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "base/guarded.h"
#include "choir/node.h"
#include "choir/units.h"
#include "serve/json_in.h"

namespace choir::serve {

// The ring of one figure: NaN is no value.
template <class Number>
class Curve {
 public:
  static constexpr std::size_t kSeconds = 900;  // 15 minutes
  static constexpr std::size_t kTens = 8640;    // 24 hours
  Curve() : seconds_(kSeconds, kNone), tens_(kTens, kNone) {}

  void set_second(std::int64_t second, Number value) { seconds_[slot(second, kSeconds)] = value; }
  void set_ten(std::int64_t ten, Number value) { tens_[slot(ten, kTens)] = value; }
  Number second(std::int64_t second) const { return seconds_[slot(second, kSeconds)]; }
  Number ten(std::int64_t ten) const { return tens_[slot(ten, kTens)]; }

 private:
  static constexpr Number kNone = std::numeric_limits<Number>::quiet_NaN();
  static std::size_t slot(std::int64_t at, std::size_t size) {
    return static_cast<std::size_t>(at) % size;
  }
  std::vector<Number> seconds_;
  std::vector<Number> tens_;
};

class History {
 public:
  static constexpr std::size_t kModelsMax = 18;
  static constexpr std::size_t kBytesMax = 4U << 20U;
  static constexpr std::int64_t kMostSeconds = 24 * 3600;
  static constexpr std::int64_t kFirstTokenSeconds = 60;  // of which first_token_p95_ms is
  static constexpr std::size_t kFirstTokensMax = 4096;    // of them, the newest

  // What a look at the node has seen.
  struct Sight {
    std::vector<ExecutorInfo> executors;
    std::uint64_t bytes_promised = 0;
    std::vector<double> first_tokens;  // seconds, of those that came since the last look
  };

  // The history begins at `start`.
  explicit History(Instant start);

  // Work begins after a time without: the seconds up to that of `now` were idle. Does nothing while
  // work goes on.
  void begin(Instant now);
  // What was done since the last look, or since begin(). False: the node is idle, and nothing
  // changes by itself; no more looks are needed until begin().
  bool add(Instant now, const Sight& sight);

  // {"step_seconds", "now_ms", "totals": {NAME: [...]}, "models": {NAME: {NAME: [...]}}}, oldest
  // first; null: no value. Of at most kMostSeconds; steps are 1 s for up to 900 s, else 10 s.
  // `now_ms`: of `now`, since 1970. The reply's is of the last values: it goes on by whole steps,
  // so that who asks again finds each second at the same place.
  Json shown(Instant now, std::int64_t now_ms, std::int64_t seconds);

 private:
  static constexpr std::array<const char*, 6> kTotalNames = {
      "output_tokens_per_second", "prompt_tokens_per_second", "running", "waiting",
      "bytes_promised",           "first_token_p95_ms"};
  static constexpr std::array<const char*, 5> kModelNames = {"output_tokens_per_second", "running",
                                                             "waiting", "cores", "cores_due"};
  using Totals = std::array<double, kTotalNames.size()>;
  using OfModel = std::array<double, kModelNames.size()>;
  struct FirstTokenSeen {
    std::int64_t second = 0;
    float seconds = 0;
  };
  static constexpr std::size_t kSlots = Curve<float>::kSeconds + Curve<float>::kTens;
  static_assert(kSlots * (kTotalNames.size() * sizeof(double) +
                          kModelsMax * kModelNames.size() * sizeof(float)) +
                    kFirstTokensMax * sizeof(FirstTokenSeen) <=
                kBytesMax);

  struct Counts {
    std::uint64_t output_tokens = 0;
    std::uint64_t prompt_tokens = 0;
    double compute_seconds = 0;
    double due_seconds = 0;
  };
  struct Model {
    std::array<Curve<float>, kModelNames.size()> curves;
    std::int64_t last_work = 0;  // the second
  };
  struct Look {
    std::int64_t second = -1;
    Totals totals{};
    std::map<std::string, OfModel> models;
  };
  struct State {
    bool working = false;
    std::int64_t first = 0;      // the second with which the history begins
    std::int64_t newest = -1;    // the last second that has values
    std::int64_t origin_ms = 0;  // of second 0, since 1970; 0: nobody has asked yet
    std::uint64_t bytes_promised = 0;
    std::deque<FirstTokenSeen> first_tokens;  // of the last kFirstTokenSeconds, oldest first
    std::map<std::string, Counts, std::less<>> counts;  // by executor, at the last look
    Look latest;
    std::array<Curve<double>, kTotalNames.size()> totals;
    std::map<std::string, Model, std::less<>> models;
  };
  static std::int64_t second_of(Instant at);
  static double first_token_tail(State& s, std::int64_t second, const std::vector<double>& fresh);
  static void idle_until(State& s, std::int64_t second);
  static void put(State& s, std::int64_t second, const Totals& totals,
                  const std::map<std::string, OfModel>& models);
  static void close_ten(State& s, std::int64_t ten);
  static Model* model_of(State& s, const std::string& name, const OfModel& values,
                         std::int64_t second);

  Guarded<State> state_;
};

}  // namespace choir::serve
