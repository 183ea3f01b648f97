#include "top/draw.h"

#include <algorithm>
#include <array>
#include <utility>

#include "choir/text.h"
#include "columns.h"
#include "terminal.h"
#include "top/tracks.h"

namespace choir::app::top {
namespace {

constexpr std::size_t kNarrow = 60;  // columns below which tables have their first columns only

constexpr std::size_t kGapsFrom = 20;  // rows from which there is a blank one between tables

struct Column {
  std::string title;
  std::size_t width = 0;
  bool right = false;
};

std::string fitted(const std::string& text, std::size_t width, bool right = false) {
  if (width < 4) return padded(text.substr(0, width), width);
  std::string line = line_of_columns(text, width);
  const std::size_t taken = columns_of(line);
  const std::string pad(taken < width ? width - taken : 0, ' ');
  return right ? pad + line : line + pad;
}

// Cells side by side, a space between.
std::string row_of(const std::vector<Column>& columns, const std::vector<std::string>& cells) {
  std::string line;
  for (std::size_t i = 0; i < columns.size(); ++i)
    line += (i > 0 ? " " : "") + fitted(cells[i], columns[i].width, columns[i].right);
  return line;
}

std::vector<std::string> titles_of(const std::vector<Column>& columns) {
  std::vector<std::string> titles;
  titles.reserve(columns.size());
  for (const Column& column : columns) titles.push_back(column.title);
  return titles;
}

std::string speed(std::optional<double> rate) {
  return rate ? fixed(*rate, *rate < 100 ? 1 : 0) : "-";
}

std::string time_of(std::int64_t seconds) {
  if (seconds < 100) return std::to_string(seconds) + "s";
  if (seconds < 6000) return std::to_string(seconds / 60) + "m";
  return std::to_string(seconds / 3600) + "h";
}

std::string age_of(const Request& request, std::int64_t now_ms) {
  if (request.submitted_ms == 0) return "-";
  return time_of(std::max<std::int64_t>(now_ms - request.submitted_ms, 0) / 1000);
}

// Where it stands, and in how long it begins; empty: that is not known.
std::string place_of(const Request& request) {
  if (request.ahead < 0) return {};
  const std::string place = request.ahead == 0 ? "next" : std::to_string(request.ahead) + " ahead";
  return place + (request.expected_seconds < 0 ? "" : ", ~" + time_of(request.expected_seconds)) +
         "; ";
}

// Its last digits, where it has many: they differ.
std::string short_id(const std::string& id) {
  constexpr std::size_t kShown = 8;
  const bool digits = std::ranges::all_of(id, [](char c) { return c >= '0' && c <= '9'; });
  return digits && id.size() > kShown ? id.substr(id.size() - kShown) : id;
}

std::string order_name(const Chosen& chosen) {
  static constexpr std::array<const char*, kOrders> kNames = {"age", "model", "state", "tenant",
                                                              "output"};
  return std::string(kNames.at(static_cast<std::size_t>(chosen.order))) +
         (chosen.backwards ? ", backwards" : "");
}

std::string bytes(std::int64_t count) {
  return count <= 0 ? "-" : bytes_text(static_cast<std::uint64_t>(count));
}

class Drawing {
 public:
  Drawing(const View& view, Size size)
      : view_(view),
        width_(static_cast<std::size_t>(std::max(size.columns, 1))),
        height_(static_cast<std::size_t>(std::max(size.rows, 1))),
        letters_(letters_of(view.state)) {}

  Grid draw() {
    header();
    if (!view_.not_live.empty()) add("not live: " + view_.not_live, Look::kAlarm);
    if (view_.chosen.help) {
      help();
    } else {
      lanes();
      gap();
      models();
      gap();
      requests();
    }
    footer();
    return std::move(grid_);
  }

 private:
  // Rows that are free, the footer not counted.
  std::size_t room() const {
    const std::size_t used = grid_.rows.size() + 1;
    return used < height_ ? height_ - used : 0;
  }
  void add(const std::string& text, Look look = Look::kPlain, int colour = 0) {
    add(std::vector<Piece>{{text, look, colour}});
  }
  // Cut to the width.
  void add(std::vector<Piece> pieces) {
    if (grid_.rows.size() >= height_) return;
    std::size_t left = width_;
    for (Piece& piece : pieces) {
      piece.text = columns_of(piece.text) > left ? fitted(piece.text, left) : piece.text;
      left -= std::min(left, columns_of(piece.text));
    }
    grid_.rows.push_back(std::move(pieces));
  }
  Look quiet(Look look) const { return view_.not_live.empty() ? look : Look::kDim; }

  void gap() {
    if (height_ >= kGapsFrom) add("");
  }

  void header() {
    const State& s = view_.state;
    std::int64_t running = 0;
    std::int64_t waiting = 0;
    for (const auto& [name, model] : s.models) {
      running += model.running;
      waiting += model.waiting;
    }
    std::string line = "choir " + printable_line(s.version.empty() ? "?" : s.version, 20) + "  " +
                       speed(view_.rates.total()) + " tok/s  running " + std::to_string(running) +
                       "  waiting " + std::to_string(waiting);
    if (s.node.bytes_max > 0)
      line +=
          "  memory " +
          bytes_text(static_cast<std::uint64_t>(std::max<std::int64_t>(s.node.bytes_promised, 0))) +
          " of " + bytes(s.node.bytes_max);
    if (s.node.draining || s.said_bye) line += "  ending";
    if (view_.chosen.frozen) line += "  FROZEN";
    add(line, quiet(Look::kBold));
  }

  int colour_of(const std::string& model) const {
    const auto found = letters_.find(model);
    if (!view_.coloured || found == letters_.end()) return 0;
    return static_cast<int>(std::distance(letters_.begin(), found)) % kColours + 1;
  }

  void lanes() {
    if (view_.state.lanes.empty()) return;
    const std::size_t most = std::max<std::size_t>(room() / 4, 1);
    std::size_t shown = 0;
    for (const auto& [index, lane] : view_.state.lanes) {
      if (++shown > most) break;
      std::string label =
          "lane " + std::to_string(index) + " " +
          count_of(static_cast<std::size_t>(std::max<std::int64_t>(lane.threads, 0)), "core");
      label = padded(std::move(label), 16);
      if (width_ < kNarrow) label = padded(std::to_string(index), 3);
      std::vector<Piece> row = {{label, Look::kDim}};
      const std::size_t room_for_track = width_ > label.size() ? width_ - label.size() : 0;
      for (const Stretch& stretch :
           track_of(lane, view_.state.now_us, room_for_track, letters_, view_.blocks))
        row.push_back({stretch.text, quiet(Look::kPlain), colour_of(stretch.model)});
      add(std::move(row));
    }
  }

  // The row of a title, and those of `rows` around the marked one that fit in `room`.
  template <class Row, class Line>
  void table(const std::string& title, Table which, const std::vector<const Row*>& rows,
             std::size_t marked, std::size_t room, Line line) {
    if (room == 0) return;
    add(title, quiet(Look::kTitle));
    const std::size_t fit = room - 1;
    const std::size_t first = marked < fit ? 0 : marked + 1 - fit;
    for (std::size_t i = first; i < rows.size() && i < first + fit; ++i) {
      const bool mark = i == marked && view_.chosen.table == which;
      std::vector<Piece> pieces = line(*rows[i]);
      for (Piece& piece : pieces) piece.look = mark ? Look::kMarked : quiet(piece.look);
      pieces.insert(pieces.begin(), {mark ? ">" : " ", Look::kPlain});
      add(std::move(pieces));
    }
  }

  void models() {
    const auto rows = models_of(view_);
    const bool narrow = width_ < kNarrow;
    std::vector<Column> columns = {{"tok/s", 6, true}, {"run", 4, true}, {"wait", 4, true}};
    if (!narrow) {
      columns.push_back({"state", 9});
      columns.push_back({"class", 8});
      columns.push_back({"cells in use", 12});
      columns.push_back({"memory", 7, true});
    }
    std::size_t others = 3;
    for (const Column& column : columns) others += column.width + 1;
    const std::size_t name = std::min<std::size_t>(width_ > others + 8 ? width_ - others : 8, 40);
    const std::size_t half = std::max<std::size_t>(room() / 2, 1);
    const std::size_t take = std::min(rows.size() + 1, half);
    const std::string title =
        "   " + fitted("MODEL", name) + " " + row_of(columns, titles_of(columns));
    table(title, Table::kModels, rows, marked_model(view_), take, [&](const Model& m) {
      std::vector<std::string> cells = {speed(view_.rates.of(m.name)), std::to_string(m.running),
                                        std::to_string(m.waiting)};
      if (!narrow) {
        cells.push_back(m.pinned ? state_of(m) + "*" : state_of(m));
        cells.push_back(m.priority);
        cells.push_back(bar(m));
        cells.push_back(m.bytes() == 0 ? "-" : bytes(m.bytes()));
      }
      return std::vector<Piece>{
          {std::string(1, letters_.at(m.name)) + " ", Look::kBold, colour_of(m.name)},
          {fitted(m.name, name) + " " + row_of(columns, cells)}};
    });
  }

  // In nine characters.
  static std::string state_of(const Model& m) {
    if (m.load_percent < 0) return m.state;
    return "load " + std::to_string(std::min<std::int64_t>(m.load_percent, 99)) + " %";
  }

  // Cells that sequences and the prefix cache have, of all.
  std::string bar(const Model& model) const {
    constexpr std::int64_t kWide = 10;
    const std::int64_t all = model.context_tokens;
    if (all <= 0 || model.bytes() == 0) return "-";
    const auto part = [&](std::int64_t cells) {
      return std::clamp<std::int64_t>(
          (std::clamp<std::int64_t>(cells, 0, all) * kWide + all - 1) / all, 0, kWide);
    };
    const std::int64_t used = part(model.cells);
    const std::int64_t both = std::max(used, part(model.cells + model.cached_cells));
    return "[" + std::string(static_cast<std::size_t>(used), '#') +
           std::string(static_cast<std::size_t>(both - used), '=') +
           std::string(static_cast<std::size_t>(kWide - both), ' ') + "]";
  }

  void requests() {
    const auto rows = requests_of(view_);
    const bool narrow = width_ < kNarrow;
    std::vector<Column> columns = {{"model", narrow ? 10U : 16U}, {"state", 9}};
    if (!narrow) {
      columns.push_back({"prompt", 11, true});
      columns.push_back({"out", 6, true});
    }
    if (width_ >= 100) columns.push_back({"tenant", 12});
    columns.push_back({"age", 4, true});
    std::string title = " " + fitted("REQUEST", 8) + " " + row_of(columns, titles_of(columns));
    const std::size_t before = columns_of(title) + 1;
    const std::size_t why = width_ > before + 4 ? width_ - before : 0;
    title += " why it waits";
    if (view_.state.requests.empty() && view_.state.knows_requests && room() > 0)
      return add(" no request", Look::kDim);
    table(title, Table::kRequests, rows, marked_request(view_), room(), [&](const Request& r) {
      std::vector<std::string> cells = {r.model, r.state};
      if (!narrow) {
        cells.push_back(std::to_string(r.prompt_tokens_done) + "/" +
                        std::to_string(r.prompt_tokens));
        cells.push_back(std::to_string(r.output_tokens));
      }
      if (width_ >= 100) cells.push_back(r.tenant);
      cells.push_back(age_of(r, view_.now_ms));
      const std::string reason =
          place_of(r) + (!r.why.empty() || r.waits_for == "nothing" ? r.why : r.waits_for);
      return std::vector<Piece>{{fitted(short_id(r.id), 8) + " " + row_of(columns, cells) + " " +
                                 (why > 0 ? fitted(reason, why) : "")}};
    });
  }

  void help() {
    static constexpr std::array<const char*, 13> kLines = {
        "up, down     move the mark",
        "left, right  the models, the requests; Tab: the other",
        "k            cancel the marked request (asks first)",
        "l u p        load, unload, pin or unpin the marked model (asks first)",
        "s            sort the requests by the next column",
        "r            sort them backwards",
        "/            filter the requests; Enter keeps it, Esc clears it",
        "space        freeze the picture; the daemon goes on",
        "?            this help",
        "q            quit",
        "lanes        what computed in the last 10 s; a letter begins the turns of a model",
        "cells        [#: in use  =: kept prompts  blank: free]; * behind a state: pinned",
        "any key      back"};
    for (const char* line : kLines)
      if (room() > 0) add(line);
  }

  void footer() {
    while (grid_.rows.size() + 1 < height_) grid_.rows.emplace_back();
    const Chosen& chosen = view_.chosen;
    if (chosen.question) return add(chosen.question->text + " y/n", Look::kAlarm);
    if (chosen.typing)
      return add("filter: " + printable_line(chosen.filter, 200) + "_", Look::kTitle);
    if (!chosen.notice.empty()) return add(printable_line(chosen.notice, 400), Look::kTitle);
    if (const auto rows = requests_of(view_); chosen.table == Table::kRequests && !rows.empty())
      if (const Request& marked = *rows[marked_request(view_)]; !marked.why.empty())
        return add(printable_line(marked.id, 20) + ": " + place_of(marked) +
                   printable_line(marked.why, 400));
    std::string line = "q quit  ? help  sorted by " + order_name(chosen);
    if (!chosen.filter.empty()) line += "  filter '" + printable_line(chosen.filter, 200) + "'";
    add(line, Look::kDim);
  }

  const View& view_;
  const std::size_t width_;
  const std::size_t height_;
  const std::map<std::string, char> letters_;
  Grid grid_;
};

}  // namespace

Grid draw_top(const View& view, Size size) { return Drawing(view, size).draw(); }

std::string text_of(const Grid& grid) {
  std::string text;
  for (const auto& row : grid.rows) {
    std::string line;
    for (const Piece& piece : row) line += piece.text;
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

}  // namespace choir::app::top
