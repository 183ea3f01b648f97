#include "sim/fake_engine.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "engine/sampler.h"
#include "engine/text.h"

namespace choir::sim {
namespace {

constexpr std::uint64_t kSeed = 0x9E3779B97F4A7C15ULL;
constexpr std::uint64_t kNotANumber = 0;  // a hash that stays, as a NaN does

std::uint64_t mix(std::uint64_t value) {
  value ^= value >> 33U;
  value *= 0xFF51AFD7ED558CCDULL;
  value ^= value >> 33U;
  value *= 0xC4CEB9FE1A85EC53ULL;
  return value ^ (value >> 33U);
}

// Scores that differ enough for sampling to have something to choose from.
void score(std::uint64_t hash, std::vector<float>& logits) {
  logits.resize(FakeModel::kVocabTokens);
  for (std::size_t i = 0; i < logits.size(); ++i)
    logits[i] = static_cast<float>(mix(hash + i * kSeed) % 1000) / 100.0F;
  // Ends are rarer than one in 97, or no sequence would get anywhere.
  logits[FakeModel::kEnd] -= 4.0F;
  if (hash == kNotANumber) logits.front() = std::numeric_limits<float>::quiet_NaN();
}

}  // namespace

FakeModel::FakeModel(std::int32_t context_tokens_trained, bool generates) {
  info_.generates = generates;
  info_.name = "fake";
  info_.architecture = "fake";
  info_.vocab_tokens = kVocabTokens;
  info_.context_tokens_trained = context_tokens_trained;
  control_texts_ = ControlTexts(std::array{std::string(kEndText)});
}

Result<std::vector<TokenId>> FakeModel::tokenize(std::string_view text, Special special) const {
  std::vector<TokenId> tokens;
  while (!text.empty()) {
    const bool end = special != Special::kPlain && text.starts_with(kEndText);
    tokens.push_back(end ? kEnd : (static_cast<unsigned char>(text.front()) + 58) % 90);
    text.remove_prefix(end ? kEndText.size() : 1);
  }
  return tokens;
}

std::string_view FakeModel::piece(TokenId token) const {
  static const std::string bytes = [] {
    std::string all;
    for (int t = 0; t < 90; ++t) all += static_cast<char>(32 + t);
    return all + "\xC3\xA9";  // e with an acute accent
  }();
  if (token < 0 || token >= 92) return {};
  return std::string_view(bytes).substr(static_cast<std::size_t>(token), 1);
}

std::span<const TokenId> FakeModel::end_tokens() const {
  static constexpr std::array<TokenId, 1> ends = {kEnd};
  return ends;
}

Result<Rendered> FakeModel::render(std::span<const Message> messages, Contents contents) const {
  Rendered prompt;
  for (const Message& message : messages)
    prompt.text += message.role + ": " + message.content + "\n";
  prompt.text += "assistant: ";
  if (contents == Contents::kText) prompt.cuts = control_cuts(prompt.text);
  return prompt;
}

FakeEngine::FakeEngine(std::shared_ptr<const Model> model, const EngineConfig& config,
                       const FakeRules& rules, ManualClock* clock)
    : model_(std::move(model)), config_(config), rules_(rules), clock_(clock) {}

FakeEngine::~FakeEngine() {
  if (on_end) on_end();
}

bool FakeEngine::tick(Nanos by, const AbortSignal& abort) {
  if (clock_ != nullptr) clock_->advance(by);
  if (on_tick) on_tick();
  return !abort.stop();
}

Result<RunOutcome> FakeEngine::run(const StepPlan& plan,
                                   std::span<const std::span<const TokenId>> tokens,
                                   const AbortSignal& abort) {
  tell("run");
  CHOIR_CHECK(threads_ > 0, "a pass needs a pool");
  ++passes_;
  logits_.assign(plan.slices.size(), {});
  if (rules_.fail_every > 0 && passes_ % rules_.fail_every == 0) {
    if (rules_.fail_takes_all) memory_.clear();
    return fail(Code::kEngineFailed, "the fake engine was told to fail");
  }
  std::int32_t outputs = 0;
  std::int32_t held_after = cells_held();
  for (const Slice& slice : plan.slices) {
    outputs += slice.sample ? 1 : 0;
    held_after += slice.count;
    CHOIR_CHECK(slice.begin == computed(slice.seq), "a slice goes on where the KV ends");
  }
  CHOIR_CHECK(outputs <= config_.sequences_max, "more outputs than this abort llama.cpp");
  CHOIR_CHECK(plan.tokens() <= config_.batch_tokens_max, "more tokens than a batch");
  if (held_after > config_.context_tokens) return RunOutcome::kNoCells;
  if (rules_.no_cells_every > 0 && passes_ % rules_.no_cells_every == 0)
    return RunOutcome::kNoCells;

  if (!tick(rules_.pass + rules_.barrier * (threads_ - 1), abort)) return RunOutcome::kAborted;
  for (const Slice& slice : plan.slices)
    if (!tick(rules_.token * slice.count / threads_, abort)) return RunOutcome::kAborted;

  for (std::size_t i = 0; i < plan.slices.size(); ++i) {
    const Slice& slice = plan.slices[i];
    Memory& memory = memory_[slice.seq];
    std::vector<std::uint64_t>& hashes = memory.hashes;
    for (const TokenId token : tokens[i]) {
      const std::uint64_t before = hashes.empty() ? kSeed : hashes.back();
      const bool broken = before == kNotANumber || token == rules_.nan_token;
      hashes.push_back(broken ? kNotANumber : mix(before + static_cast<std::uint64_t>(token) + 1));
      memory.cells.push_back(next_cell_++);
    }
    if (slice.sample) score(hashes.back(), logits_[i]);
  }
  CHOIR_CHECK(memory_.size() <= static_cast<std::size_t>(config_.sequences_max),
              "more sequences than slots");
  return RunOutcome::kDone;
}

std::span<float> FakeEngine::logits(std::size_t slice) {
  CHOIR_CHECK(!logits_.at(slice).empty(), "only a slice with `sample` has logits");
  return logits_[slice];
}

Result<std::vector<std::vector<float>>> FakeEngine::embed(
    std::span<const std::span<const TokenId>> texts, const AbortSignal& abort) {
  tell("embed");
  CHOIR_CHECK(threads_ > 0, "a pass needs a pool");
  CHOIR_CHECK(std::ssize(texts) <= config_.sequences_max, "one pass takes sequences_max texts");
  std::size_t tokens = 0;
  for (const auto text : texts) tokens += text.size();
  if (!tick(rules_.pass + rules_.token * static_cast<int>(tokens) / threads_, abort))
    return fail(Code::kCancelled, "embedding was cancelled");
  std::vector<std::vector<float>> vectors;
  for (const auto text : texts) {
    if (std::ranges::find(text, rules_.refused_token) != text.end())
      return fail(Code::kEngineFailed, "the engine refused to embed");
    const bool broken = std::ranges::find(text, rules_.nan_token) != text.end();
    vectors.push_back(
        {broken ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(text.size())});
  }
  return vectors;
}

std::int32_t FakeEngine::truncate(SeqId seq, std::int32_t tokens) {
  tell("truncate");
  const auto found = memory_.find(seq);
  if (found == memory_.end()) return 0;
  auto& hashes = found->second.hashes;
  const auto have = static_cast<std::int32_t>(hashes.size());
  if (tokens >= have) return have;
  if (rules_.window > 0 && have > rules_.window) tokens = 0;  // the window has moved on
  if (rules_.fronts != Fronts::kAny) tokens = 0;
  hashes.resize(static_cast<std::size_t>(tokens));
  found->second.cells.resize(static_cast<std::size_t>(tokens));
  if (tokens == 0) memory_.erase(found);
  return tokens;
}

Result<std::int32_t> FakeEngine::fork(SeqId from, SeqId to, std::int32_t tokens) {
  tell("fork");
  CHOIR_CHECK(!memory_.contains(to), "a fork goes into a sequence that holds nothing");
  const std::int32_t have = computed(from);
  tokens = std::min(tokens, have);
  if (tokens <= 0 || rules_.fronts == Fronts::kNone) return 0;
  if (rules_.fronts == Fronts::kWhole && tokens < have) return 0;
  if (no_slot()) return fail(Code::kOverloaded, "all sequences of the executor are in use");
  if (rules_.window > 0 && have > rules_.window && tokens < have) return 0;
  const Memory& source = memory_.at(from);
  if (on_share) on_share(from, to);
  memory_[to] = {{source.hashes.begin(), source.hashes.begin() + tokens},
                 {source.cells.begin(), source.cells.begin() + tokens}};
  return tokens;
}

void FakeEngine::rename(SeqId from, SeqId to) {
  tell("rename");
  CHOIR_CHECK(!memory_.contains(to), "a sequence is renamed to one that holds nothing");
  auto row = memory_.extract(from);
  if (row.empty()) return;
  if (on_share) on_share(from, to);
  row.key() = to;
  memory_.insert(std::move(row));
}

Result<std::string> FakeEngine::save(SeqId seq) {
  tell("save");
  const auto found = memory_.find(seq);
  if (found == memory_.end()) return fail(Code::kNotFound, "the sequence holds no cells");
  const auto& hashes = found->second.hashes;
  return std::string(reinterpret_cast<const char*>(hashes.data()),
                     hashes.size() * sizeof(hashes[0]));
}

Status FakeEngine::restore(SeqId seq, std::string_view blob) {
  tell("restore");
  CHOIR_CHECK(!memory_.contains(seq), "a sequence is restored into nothing");
  std::vector<std::uint64_t> hashes(blob.size() / sizeof(std::uint64_t));
  std::memcpy(hashes.data(), blob.data(), hashes.size() * sizeof(std::uint64_t));
  if (no_slot()) return fail(Code::kOverloaded, "all sequences of the executor are in use");
  if (cells_held() + static_cast<std::int32_t>(hashes.size()) > config_.context_tokens)
    return fail(Code::kOutOfMemory, "no room for a KV state");
  std::vector<std::uint64_t> cells(hashes.size());
  std::iota(cells.begin(), cells.end(), next_cell_);
  next_cell_ += cells.size();
  memory_[seq] = {std::move(hashes), std::move(cells)};
  return {};
}

std::int32_t FakeEngine::computed(SeqId seq) const {
  const auto found = memory_.find(seq);
  return found == memory_.end() ? 0 : static_cast<std::int32_t>(found->second.hashes.size());
}

std::vector<CellRun> FakeEngine::cell_runs(SeqId seq) const {
  std::vector<CellRun> runs;
  const auto found = memory_.find(seq);
  if (found == memory_.end()) return runs;
  std::uint64_t next = 0;
  for (const std::uint64_t cell : found->second.cells) {
    if (runs.empty() || cell != next) runs.push_back({.origin = cell});
    ++runs.back().cells;
    next = cell + 1;
  }
  return runs;
}

std::int32_t FakeEngine::cells_held() const {
  std::vector<std::uint64_t> cells;
  for (const auto& [seq, memory] : memory_)
    cells.insert(cells.end(), memory.cells.begin(), memory.cells.end());
  std::ranges::sort(cells);
  // clang 14 cannot compile the ranges form with this standard library.
  return static_cast<std::int32_t>(std::unique(cells.begin(), cells.end()) - cells.begin());
}

ExecutorBytes FakeEngine::sizes() const {
  return {.weights = 1000,
          .kv = static_cast<std::uint64_t>(config_.context_tokens) * 8,
          .compute = 100,
          .logits = 10};
}

Result<ExecutorBytes> FakeBackend::measure(const std::string& path, const EngineConfig& config) {
  if (path == "missing") return fail(Code::kNotFound, "'missing' does not exist or cannot be read");
  return FakeEngine(nullptr, config, rules_, nullptr).sizes();
}

Result<std::shared_ptr<const Model>> FakeBackend::load(const std::string& path,
                                                       const LoadProgress& progress) {
  if (while_loading)
    CHOIR_CHECK_OK(while_loading(path, progress));
  else if (progress && !progress(0.5F))
    return fail(Code::kCancelled, "the load was given up");
  return std::static_pointer_cast<const Model>(
      std::make_shared<const FakeModel>(1 << 20, !path.starts_with("encoder")));
}

Result<std::unique_ptr<Engine>> FakeBackend::create_engine(std::shared_ptr<const Model> model,
                                                           const EngineConfig& config) {
  auto engine = std::make_unique<FakeEngine>(std::move(model), config, rules_, clock_);
  if (on_engine) on_engine(*engine);
  return std::unique_ptr<Engine>(std::move(engine));
}

std::unique_ptr<Pool> FakeBackend::create_pool(std::span<const int> cpus) {
  return std::make_unique<FakePool>(static_cast<int>(cpus.size()));
}

std::vector<TokenId> generate_alone(const Sequence& sequence, std::int32_t sequence_tokens_max) {
  const auto model = std::make_shared<const FakeModel>();
  FakeEngine engine(model,
                    {.context_tokens = 1 << 20, .sequences_max = 1, .batch_tokens_max = 1 << 20},
                    {}, nullptr);
  FakePool pool(1);
  engine.attach(pool);
  const ManualClock clock;
  const AbortSignal never(clock);
  SamplerScratch scratch;
  Sequence s = sequence;
  std::string text;
  for (;;) {
    const std::int32_t begin = engine.computed(s.id);
    const StepPlan plan{.slices = {{s.id, begin, s.known_tokens() - begin, true}}, .preempted = {}};
    const std::array<std::span<const TokenId>, 1> tokens = {
        std::span(s.tokens).subspan(static_cast<std::size_t>(begin))};
    CHOIR_CHECK(engine.run(plan, tokens, never) == RunOutcome::kDone, "nothing is in the way");
    const auto drawn = sample(
        engine.logits(0), s.sampling, s.tokens,
        {s.sampling.seed, s.stream_index, static_cast<std::uint32_t>(s.tokens.size())}, scratch);
    CHOIR_CHECK(drawn, "these scores are numbers");
    const TokenId token = *drawn;
    s.tokens.push_back(token);
    if (token == FakeModel::kEnd || s.output_tokens() >= s.max_tokens ||
        s.known_tokens() >= sequence_tokens_max ||
        append_piece(s.carry, model->piece(token), s.stop, text) == TextEnd::kStopString)
      return {s.tokens.begin() + s.prompt_tokens, s.tokens.end()};
  }
}

}  // namespace choir::sim
