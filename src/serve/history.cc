#include "serve/history.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>

namespace choir::serve {
namespace {

constexpr std::int64_t kSecondsOfTen = 10;
constexpr std::size_t kBytes = 4;       // of kTotalNames: the last value stands for 10 s
constexpr std::size_t kFirstToken = 5;  // the longest does
constexpr std::size_t kOutput = 0;      // of kModelNames: rates add up within a second
constexpr std::size_t kCores = 3;
constexpr std::size_t kCoresDue = 4;
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr double kMsPerSecond = 1000;
constexpr double kTail = 0.95;
constexpr std::int64_t kClockSetMs = 500;  // more is no jitter between two clocks: one was set

// Of a counter that begins anew with a new executor of the name.
template <class Count>
double grown(Count now, Count before) {
  return static_cast<double>(now >= before ? now - before : now);
}

double tail_ms(std::vector<float> seconds) {
  if (seconds.empty()) return kNone;
  const auto at =
      static_cast<std::size_t>(std::ceil(kTail * static_cast<double>(seconds.size()))) - 1;
  std::ranges::nth_element(seconds, seconds.begin() + static_cast<std::ptrdiff_t>(at));
  return static_cast<double>(seconds[at]) * kMsPerSecond;
}

enum class Merge : std::uint8_t { kMean, kLast, kMost };

// Of the seconds of 10 s up to `last`.
template <class Number>
Number merged(const Curve<Number>& curve, std::int64_t ten, std::int64_t last, Merge merge) {
  double sum = 0;
  double newest = kNone;
  double most = kNone;
  int count = 0;
  const std::int64_t begin = ten * kSecondsOfTen;
  for (std::int64_t second = begin; second < begin + kSecondsOfTen && second <= last; ++second) {
    const auto value = static_cast<double>(curve.second(second));
    if (std::isnan(value)) continue;
    sum += value;
    ++count;
    newest = value;
    most = std::isnan(most) ? value : std::max(most, value);
  }
  switch (merge) {
    case Merge::kLast:
      return static_cast<Number>(newest);
    case Merge::kMost:
      return static_cast<Number>(most);
    case Merge::kMean:
      break;
  }
  return static_cast<Number>(count == 0 ? kNone : sum / count);
}

Merge merge_of_total(std::size_t total) {
  return total == kBytes ? Merge::kLast : total == kFirstToken ? Merge::kMost : Merge::kMean;
}

Json number_of(double value) {
  if (std::isnan(value)) return nullptr;
  return std::round(value * 1000) / 1000;
}

}  // namespace

std::int64_t History::second_of(Instant at) {
  return std::chrono::duration_cast<std::chrono::seconds>(at - Instant{}).count();
}

History::History(Instant start) {
  state_.with([&](State& s) { s.first = second_of(start); });
}

// ---- filling ------------------------------------------------------------------------------------

void History::begin(Instant now) {
  state_.with([&](State& s) {
    if (std::exchange(s.working, true)) return;
    idle_until(s, second_of(now) + 1);  // what follows is of the seconds after
  });
}

// All seconds before this one that have no values.
void History::idle_until(State& s, std::int64_t second) {
  const std::int64_t begin =
      std::max(s.newest < 0 ? s.first : s.newest + 1, second - kMostSeconds - kSecondsOfTen);
  if (begin >= second) return;
  Totals idle{};
  idle[kBytes] = static_cast<double>(s.bytes_promised);
  idle[kFirstToken] = kNone;
  for (std::int64_t at = begin; at < second;) {
    const std::int64_t ten = at / kSecondsOfTen;
    put(s, at, idle, {});
    // Further back than the seconds reach, the first second of each ten stands for all.
    const bool old = second - at > static_cast<std::int64_t>(Curve<float>::kSeconds);
    at = old ? (ten + 1) * kSecondsOfTen : at + 1;
  }
}

// Few come in one second: a tail of those would be the slowest of two or three.
double History::first_token_tail(State& s, std::int64_t second, const std::vector<double>& fresh) {
  for (const double seconds : fresh)
    s.first_tokens.push_back({second, static_cast<float>(seconds)});
  while (!s.first_tokens.empty() && (s.first_tokens.front().second <= second - kFirstTokenSeconds ||
                                     s.first_tokens.size() > kFirstTokensMax))
    s.first_tokens.pop_front();
  std::vector<float> all;
  for (const FirstTokenSeen& seen : s.first_tokens) all.push_back(seen.seconds);
  return tail_ms(std::move(all));
}

bool History::add(Instant now, const Sight& sight) {
  return state_.with([&](State& s) {
    // A second that no look has seen was as those around it: the counts are from one look to the
    // next, and the seconds together have all of them.
    const std::int64_t second = second_of(now);
    const std::int64_t next = s.newest < 0 ? second : std::min(second, s.newest + 1);
    const std::int64_t first = std::max(next, second - kMostSeconds);
    const auto seconds = static_cast<double>(second - first + 1);
    Totals totals{};
    std::map<std::string, OfModel> models;
    std::map<std::string, Counts, std::less<>> counts;
    bool works = !sight.first_tokens.empty();
    bool changes = false;  // by itself: a lease ends
    for (const ExecutorInfo& e : sight.executors) {
      const std::string& name = e.config.name;
      const Counts after{static_cast<std::uint64_t>(e.output_tokens),
                         static_cast<std::uint64_t>(e.prompt_tokens), e.compute_seconds,
                         e.due_seconds};
      const auto known = s.counts.find(name);
      const Counts before = known == s.counts.end() ? Counts{} : known->second;
      const double output = grown(after.output_tokens, before.output_tokens) / seconds;
      const double prompt = grown(after.prompt_tokens, before.prompt_tokens) / seconds;
      const double cores = grown(after.compute_seconds, before.compute_seconds) / seconds;
      const double due = grown(after.due_seconds, before.due_seconds) / seconds;
      counts.emplace(name, after);
      models[name] = {output, static_cast<double>(e.running), static_cast<double>(e.waiting), cores,
                      due};
      totals[0] += output;
      totals[1] += prompt;
      totals[2] += e.running;
      totals[3] += e.waiting;
      works = works || e.active > 0 || output > 0 || prompt > 0;
      for (const LeaseInfo& lease : e.leases) changes |= std::isfinite(lease.seconds_left);
    }
    works = works || sight.bytes_promised != s.bytes_promised;
    s.bytes_promised = sight.bytes_promised;
    s.counts = std::move(counts);
    totals[kBytes] = static_cast<double>(sight.bytes_promised);
    totals[kFirstToken] = first_token_tail(s, second, sight.first_tokens);
    if (s.latest.second == second) {  // another look in the same second
      totals[0] += s.latest.totals[0];
      totals[1] += s.latest.totals[1];
      for (auto& [name, values] : models)
        if (const auto before = s.latest.models.find(name); before != s.latest.models.end())
          for (const std::size_t rate : {kOutput, kCores, kCoresDue})
            values[rate] += before->second[rate];
    }
    s.latest = {second, totals, models};
    for (std::int64_t at = first; at <= second; ++at) put(s, at, totals, models);
    s.working = works || changes;
    return s.working;
  });
}

// A model's curves begin with its first work. Where there are kModelsMax, those of the one that has
// worked least lately are given up. Null: it has none, and needs none.
History::Model* History::model_of(State& s, const std::string& name, const OfModel& values,
                                  std::int64_t second) {
  const bool works = std::ranges::any_of(values, [](double value) { return value > 0; });
  auto found = s.models.find(name);
  if (found == s.models.end()) {
    if (!works) return nullptr;
    if (s.models.size() >= kModelsMax)
      s.models.erase(std::ranges::min_element(
          s.models, {}, [](const auto& model) { return model.second.last_work; }));
    found = s.models.try_emplace(name).first;
  }
  if (works) found->second.last_work = second;
  return &found->second;
}

void History::put(State& s, std::int64_t second, const Totals& totals,
                  const std::map<std::string, OfModel>& models) {
  // Of a ten that has gone by; a second of it may come twice.
  if (s.newest >= 0 && second / kSecondsOfTen != s.newest / kSecondsOfTen)
    close_ten(s, s.newest / kSecondsOfTen);
  // The slots between are of an hour that is over.
  for (std::int64_t at =
           std::max(s.newest + 1, second - static_cast<std::int64_t>(Curve<float>::kSeconds));
       s.newest >= 0 && at < second; ++at) {
    for (auto& curve : s.totals) curve.set_second(at, kNone);
    for (auto& [name, model] : s.models)
      for (auto& curve : model.curves) curve.set_second(at, static_cast<float>(kNone));
  }
  s.newest = second;
  for (std::size_t i = 0; i < totals.size(); ++i) s.totals[i].set_second(second, totals[i]);
  for (const auto& [name, values] : models) model_of(s, name, values, second);
  for (auto& [name, model] : s.models) {
    const auto found = models.find(name);
    for (std::size_t i = 0; i < kModelNames.size(); ++i)
      model.curves[i].set_second(
          second, found == models.end() ? 0.0F : static_cast<float>(found->second[i]));
  }
}

void History::close_ten(State& s, std::int64_t ten) {
  for (std::size_t i = 0; i < s.totals.size(); ++i)
    s.totals[i].set_ten(ten, merged(s.totals[i], ten, s.newest, merge_of_total(i)));
  for (auto& [name, model] : s.models)
    for (auto& curve : model.curves) curve.set_ten(ten, merged(curve, ten, s.newest, Merge::kMean));
}

// ---- showing ------------------------------------------------------------------------------------

Json History::shown(Instant now, std::int64_t now_ms, std::int64_t seconds) {
  seconds = std::clamp<std::int64_t>(seconds, 1, kMostSeconds);
  const bool fine = seconds <= static_cast<std::int64_t>(Curve<float>::kSeconds);
  const State s = state_.with([&](State& state) {
    if (!state.working) idle_until(state, second_of(now) + 1);
    const std::int64_t origin_ms =
        now_ms - std::chrono::duration_cast<std::chrono::milliseconds>(now.since_start).count();
    if (state.origin_ms == 0 || std::abs(origin_ms - state.origin_ms) > kClockSetMs)
      state.origin_ms = origin_ms;
    if (!fine && state.newest >= 0) close_ten(state, state.newest / kSecondsOfTen);  // so far
    return state;
  });
  const std::int64_t step = fine ? 1 : kSecondsOfTen;
  const std::int64_t count = (seconds + step - 1) / step;
  const std::int64_t last = s.newest / step;
  const auto list_of = [&](const auto& curve) {
    Json list = Json::array();
    for (std::int64_t at = last - count + 1; at <= last; ++at)
      list.push_back(at < s.first / step || s.newest < 0
                         ? Json(nullptr)
                         : number_of(static_cast<double>(fine ? curve.second(at) : curve.ten(at))));
    return list;
  };
  Json totals = Json::object();
  for (std::size_t i = 0; i < kTotalNames.size(); ++i)
    totals[kTotalNames.at(i)] = list_of(s.totals.at(i));
  Json models = Json::object();
  for (const auto& [name, model] : s.models)
    for (std::size_t i = 0; i < kModelNames.size(); ++i)
      models[name][kModelNames.at(i)] = list_of(model.curves.at(i));
  return {{"step_seconds", step},
          {"now_ms", s.origin_ms + 1000 * last * step},
          {"totals", std::move(totals)},
          {"models", std::move(models)}};
}

}  // namespace choir::serve
