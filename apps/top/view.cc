#include "top/view.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <set>

#include "choir/text.h"

namespace choir::app::top {
namespace {

constexpr double kRateSeconds = 3;
constexpr std::size_t kFilterMax = 60;
constexpr std::size_t kNameCharacters = 40;

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

bool matches(const Request& request, const std::string& filter) {
  if (filter.empty()) return true;
  const std::string wanted = lower(filter);
  return std::ranges::any_of(
      std::array<const std::string*, 6>{&request.id, &request.model, &request.tenant,
                                        &request.priority, &request.state, &request.why},
      [&](const std::string* text) { return lower(*text).find(wanted) != std::string::npos; });
}

// Ids are numbers.
bool id_before(const std::string& a, const std::string& b) {
  return a.size() != b.size() ? a.size() < b.size() : a < b;
}

bool before(const Request& a, const Request& b, Order order) {
  const auto by = [&](const auto& x, const auto& y) {
    return x != y ? x < y : id_before(a.id, b.id);
  };
  switch (order) {
    case Order::kModel:
      return by(a.model, b.model);
    case Order::kState:
      return by(a.state, b.state);
    case Order::kTenant:
      return by(a.tenant, b.tenant);
    case Order::kOutput:
      return by(-a.output_tokens, -b.output_tokens);
    case Order::kAge:
      break;
  }
  return by(a.submitted_ms, b.submitted_ms);
}

// As a segment of a path.
std::string escaped(const std::string& name) {
  static constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || c == '-' || c == '_' || c == '.')
      out += c;
    else
      out.append({'%', kHex[byte >> 4U], kHex[byte & 15U]});
  }
  return out;
}

// ---- keys ---------------------------------------------------------------------------------------

void move(View& view, int by) {
  const auto moved = [by](std::size_t at, std::size_t count) {
    if (by < 0) return at == 0 ? 0 : at - 1;
    return std::min(at + 1, count - 1);
  };
  if (view.chosen.table == Table::kModels) {
    const auto rows = models_of(view);
    if (!rows.empty()) view.chosen.model = rows[moved(marked_model(view), rows.size())]->name;
  } else {
    const auto rows = requests_of(view);
    if (!rows.empty()) view.chosen.request = rows[moved(marked_request(view), rows.size())]->id;
  }
}

void ask_about_model(View& view, char key) {
  const auto rows = models_of(view);
  if (rows.empty()) return;
  const Model& model = *rows[marked_model(view)];
  const std::string name = printable_line(model.name, kNameCharacters);
  const std::string path = "/choir/v1/models/" + escaped(model.name) + "/";
  if (key == 'l')
    view.chosen.question = {"Load " + name + "?", "POST", path + "load", name + " is loaded"};
  else if (key == 'u')
    view.chosen.question = {"Unload " + name + "? It has " + std::to_string(model.running) +
                                " running, " + std::to_string(model.waiting) + " waiting.",
                            "POST", path + "unload", name + " is unloaded"};
  else if (model.pinned)
    view.chosen.question = {"Unpin " + name + "?", "POST", path + "unpin", name + " is unpinned"};
  else
    view.chosen.question = {"Pin " + name + " in memory?", "POST", path + "pin",
                            name + " is pinned"};
}

void ask_about_request(View& view) {
  const auto rows = requests_of(view);
  if (rows.empty()) return;
  const Request& request = *rows[marked_request(view)];
  const std::string id = printable_line(request.id, kNameCharacters);
  view.chosen.question = {
      "Cancel request " + id + " of " + printable_line(request.model, kNameCharacters) + "?",
      "DELETE", "/choir/v1/requests/" + escaped(request.id), "request " + id + " is cancelled"};
}

void type(Chosen& chosen, Key key, char character) {
  if (key == Key::kEscape) chosen.filter.clear();
  if (key == Key::kEscape || key == Key::kEnter)
    chosen.typing = false;
  else if (key == Key::kErase && !chosen.filter.empty())
    chosen.filter.pop_back();
  else if (key == Key::kCharacter && chosen.filter.size() < kFilterMax)
    chosen.filter += character;
}

Effect press_character(View& view, char character) {
  Chosen& chosen = view.chosen;
  switch (character) {
    case 'q':
      return Effect::kQuit;
    case '?':
      chosen.help = true;
      break;
    case ' ':
      chosen.frozen = !chosen.frozen;
      break;
    case '/':
      chosen.typing = true;
      break;
    case 's':
      chosen.order = static_cast<Order>((static_cast<std::size_t>(chosen.order) + 1) % kOrders);
      break;
    case 'r':
      chosen.backwards = !chosen.backwards;
      break;
    case 'k':
    case 'l':
    case 'u':
    case 'p':
      if (!view.not_live.empty())
        chosen.notice = "The daemon does not answer; nothing can be changed.";
      else if (character == 'k')
        ask_about_request(view);
      else
        ask_about_model(view, character);
      break;
    default:
      break;
  }
  return Effect::kNone;
}

}  // namespace

void Rates::look(const State& state, double seconds) {
  if (!state.knows_models) return;
  if (state.epoch != epoch_) samples_.clear();
  epoch_ = state.epoch;
  Sample sample{.seconds = seconds};
  for (const auto& [name, model] : state.models) sample.tokens.emplace(name, model.output_tokens);
  samples_.push_back(std::move(sample));
  while (samples_.size() > 2 && samples_[1].seconds <= seconds - kRateSeconds) samples_.pop_front();
}

// The daemon tells new counts a few times a second: until then they would be those of before.
bool Rates::is_known() const {
  constexpr double kSecondsLeast = 0.6;
  return samples_.size() >= 2 &&
         samples_.back().seconds - samples_.front().seconds >= kSecondsLeast;
}

std::optional<double> Rates::of(const std::string& model) const {
  if (!is_known()) return std::nullopt;
  const Sample& first = samples_.front();
  const Sample& last = samples_.back();
  const auto a = first.tokens.find(model);
  const auto b = last.tokens.find(model);
  if (a == first.tokens.end() || b == last.tokens.end()) return std::nullopt;
  const auto more = static_cast<double>(b->second - a->second);
  return std::max(0.0, more / (last.seconds - first.seconds));
}

std::optional<double> Rates::total() const {
  if (!is_known()) return std::nullopt;
  double sum = 0;
  for (const auto& [name, tokens] : samples_.back().tokens) sum += of(name).value_or(0);
  return sum;
}

std::vector<const Model*> models_of(const View& view) {
  std::vector<const Model*> rows;
  rows.reserve(view.state.models.size());
  for (const auto& [name, model] : view.state.models) rows.push_back(&model);
  return rows;
}

std::vector<const Request*> requests_of(const View& view) {
  std::vector<const Request*> rows;
  for (const auto& [id, request] : view.state.requests)
    if (matches(request, view.chosen.filter)) rows.push_back(&request);
  std::ranges::sort(
      rows, [&](const Request* a, const Request* b) { return before(*a, *b, view.chosen.order); });
  if (view.chosen.backwards) std::ranges::reverse(rows);
  return rows;
}

std::size_t marked_model(const View& view) {
  const auto rows = models_of(view);
  const auto found =
      std::ranges::find_if(rows, [&](const Model* m) { return m->name == view.chosen.model; });
  return found == rows.end() ? 0 : static_cast<std::size_t>(found - rows.begin());
}

std::size_t marked_request(const View& view) {
  const auto rows = requests_of(view);
  const auto found =
      std::ranges::find_if(rows, [&](const Request* r) { return r->id == view.chosen.request; });
  return found == rows.end() ? 0 : static_cast<std::size_t>(found - rows.begin());
}

std::map<std::string, char> letters_of(const State& state) {
  std::set<std::string> names;
  for (const auto& [name, model] : state.models) names.insert(name);
  for (const auto& [index, lane] : state.lanes)
    for (const Block& block : lane.blocks) names.insert(block.model);
  std::map<std::string, char> letters;
  std::set<char> taken;
  for (const std::string& name : names) {
    char letter = '?';
    const auto take = [&](char c) {
      if (letter == '?' && taken.insert(c).second) letter = c;
    };
    for (const char c : name)
      if (std::isalpha(static_cast<unsigned char>(c)) != 0)
        take(static_cast<char>(std::toupper(static_cast<unsigned char>(c))));
    for (char c = 'A'; c <= 'Z'; ++c) take(c);
    letters.emplace(name, letter);
  }
  return letters;
}

Effect press(View& view, Key key, char character) {
  Chosen& chosen = view.chosen;
  chosen.notice.clear();
  if (chosen.question) {
    if (key == Key::kCharacter && (character == 'y' || character == 'Y')) return Effect::kAsk;
    chosen.question.reset();
    return Effect::kNone;
  }
  if (chosen.typing) {
    type(chosen, key, character);
    return Effect::kNone;
  }
  if (chosen.help) {
    chosen.help = false;
    return key == Key::kCharacter && character == 'q' ? Effect::kQuit : Effect::kNone;
  }
  switch (key) {
    case Key::kUp:
      move(view, -1);
      break;
    case Key::kDown:
      move(view, 1);
      break;
    case Key::kLeft:
      chosen.table = Table::kModels;
      break;
    case Key::kRight:
      chosen.table = Table::kRequests;
      break;
    case Key::kTab:
      chosen.table = chosen.table == Table::kModels ? Table::kRequests : Table::kModels;
      break;
    case Key::kEscape:
      chosen.filter.clear();
      break;
    case Key::kCharacter:
      return press_character(view, character);
    default:
      break;
  }
  return Effect::kNone;
}

}  // namespace choir::app::top
