#include "live_sessions.h"

#include <algorithm>
#include <chrono>
#include <numeric>

#include "columns.h"
#include "interrupt.h"

namespace choir::app {
namespace {

constexpr std::chrono::milliseconds kRedraw{100};
constexpr int kPlainEvery = 50;  // redraws: a plain line every 5 s
constexpr std::size_t kModelColumns = 24;
constexpr std::size_t kPromptColumns = 60;

std::string right(const std::string& text, std::size_t width) {
  return std::string(text.size() < width ? width - text.size() : 0, ' ') + text;
}

}  // namespace

LiveSessions::LiveSessions(const ParallelConfig& config, std::function<void()> on_interrupt)
    : redraw_(can_redraw(Stream::kErr)),
      several_models_(config.models.size() > 1),
      on_interrupt_(std::move(on_interrupt)),
      sessions_(config.models.size() * static_cast<std::size_t>(config.sessions)),
      drawer_([this] { loop(); }) {}

LiveSessions::~LiveSessions() {
  ended_.release();
  drawer_.join();
}

void LiveSessions::update(const SessionProgress& progress) {
  const auto id = static_cast<std::size_t>(progress.session_id);
  if (id >= sessions_.size()) return;
  Session& session = sessions_[id];
  session.tokens = progress.tokens;
  session.tokens_per_second = progress.tokens_per_second;
  switch (progress.phase) {
    case SessionProgress::Phase::kStarted:
      session.model = line_of_columns(progress.model, kModelColumns);
      session.state = State::kPrompt;
      if (!redraw_)
        note("🚀 Starting session " + std::to_string(id) + with_model(session) +
             " with prompt: " + line_of_columns(progress.prompt, kPromptColumns) + "\n");
      break;
    case SessionProgress::Phase::kToken:
      session.state = State::kWriting;
      break;
    case SessionProgress::Phase::kEnded:
      session.state = State::kEnded;
      if (!redraw_)
        note((progress.tokens > 0 ? "✅ Session " : "❌ Session ") + std::to_string(id) +
             with_model(session) + " ended: " + fixed(progress.tokens_per_second, 2) +
             " tokens/sec, " + std::to_string(progress.tokens) + " tokens\n");
      break;
  }
}

void LiveSessions::loop() {
  bool asked = false;
  if (redraw_) draw();
  for (int round = 1;; ++round) {
    const bool last = ended_.try_acquire_for(kRedraw);
    watch_output();
    if (interrupted() && !asked) {
      asked = true;
      on_interrupt_();
    }
    if (redraw_) {
      draw();
    } else if (round % kPlainEvery == 0 && !last) {
      print_tokens_so_far();
    }
    if (last) return;
  }
}

void LiveSessions::draw() {
  const Window size = window(Stream::kErr);
  const auto rows = static_cast<std::size_t>(std::max(size.rows - 2, 1));
  std::vector<std::string> lines;
  for (const std::size_t session : visible(rows)) lines.push_back(line(session, size.columns));
  if (lines.size() < sessions_.size())
    lines.push_back("    and " + std::to_string(sessions_.size() - lines.size()) +
                    " more sessions");
  lines_.show(lines);
}

// All, or where the window is too small, first those that have not ended; in order of their ids.
std::vector<std::size_t> LiveSessions::visible(std::size_t rows) const {
  std::vector<std::size_t> order(sessions_.size());
  std::iota(order.begin(), order.end(), 0U);
  if (order.size() <= rows) return order;
  std::vector<State> states;
  for (const Session& session : sessions_) states.push_back(session.state);
  std::ranges::stable_sort(order, {}, [&](std::size_t i) {
    return states[i] == State::kEnded ? 2 : states[i] == State::kWaiting ? 1 : 0;
  });
  order.resize(rows - 1);  // one for "and N more"
  std::ranges::sort(order);
  return order;
}

std::string LiveSessions::line(std::size_t session, int columns) const {
  const Session& s = sessions_[session];
  const State state = s.state;
  std::string phase = "waiting";
  if (state == State::kPrompt) phase = "reading prompt";
  if (state == State::kWriting) phase = "writing";
  if (state == State::kEnded) phase = s.tokens > 0 ? "done" : "no tokens";
  const std::string model = state == State::kWaiting ? "" : s.model;
  std::string out = right(std::to_string(session), 4) + "  " + padded(model, kModelColumns) + "  " +
                    padded(phase, 14) + right(std::to_string(s.tokens), 7) + " tokens" +
                    right(fixed(s.tokens_per_second, 1), 9) + " tok/s";
  out = line_of_columns(out, static_cast<std::size_t>(std::max(columns - 1, 10)));
  if (state == State::kEnded) return styled(Stream::kErr, Style::kDim, out);
  return state == State::kWriting ? styled(Stream::kErr, Style::kGreen, out) : out;
}

void LiveSessions::print_tokens_so_far() const {
  std::string out;
  for (std::size_t i = 0; i < sessions_.size(); ++i) {
    const Session& s = sessions_[i];
    if (s.state != State::kWriting) continue;
    out += "⏳ Session " + std::to_string(i) + with_model(s) + ": " + std::to_string(s.tokens) +
           " tokens, " + fixed(s.tokens_per_second, 2) + " tokens/sec\n";
  }
  note(out);
}

std::string LiveSessions::with_model(const Session& session) const {
  return several_models_ ? " (" + session.model + ")" : "";
}

}  // namespace choir::app
