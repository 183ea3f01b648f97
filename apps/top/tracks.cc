#include "top/tracks.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace choir::app::top {
namespace {

constexpr std::array<std::string_view, 9> kBlocks = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
constexpr std::array<std::string_view, 9> kAscii = {" ", "-", "-", "-", "=", "=", "=", "#", "#"};

// The time that each model computed, of each column.
std::vector<std::map<std::string, std::int64_t>> times_of(const Lane& lane, std::int64_t from,
                                                          std::int64_t to, std::size_t columns) {
  const auto count = static_cast<std::int64_t>(columns);
  std::vector<std::map<std::string, std::int64_t>> times(columns);
  const auto begin_of = [&](std::int64_t column) { return from + (to - from) * column / count; };
  for (const Block& block : lane.blocks) {
    const std::int64_t begin = std::max(block.begin, from);
    const std::int64_t end = std::min(block.begin + block.length, to);
    if (begin >= end) continue;
    std::int64_t column =
        std::clamp<std::int64_t>((begin - from) * count / (to - from), 0, count - 1);
    for (; column < count && begin_of(column) < end; ++column) {
      const std::int64_t inside =
          std::min(end, begin_of(column + 1)) - std::max(begin, begin_of(column));
      if (inside > 0) times[static_cast<std::size_t>(column)][block.model] += inside;
    }
  }
  return times;
}

}  // namespace

std::vector<Stretch> track_of(const Lane& lane, std::int64_t now_us, std::size_t columns,
                              const std::map<std::string, char>& letters, bool blocks) {
  std::vector<Stretch> track;
  if (columns == 0) return track;
  const std::int64_t width =
      std::max<std::int64_t>(kTrackUs / static_cast<std::int64_t>(columns), 1);
  for (const auto& times : times_of(lane, now_us - kTrackUs, now_us, columns)) {
    std::string model;
    std::int64_t most = 0;
    std::int64_t all = 0;
    for (const auto& [name, time] : times) {
      all += time;
      if (time > most) {
        most = time;
        model = name;
      }
    }
    const bool begins = track.empty() || track.back().model != model;
    if (begins) track.push_back({.model = model, .text = {}});
    const auto height =
        static_cast<std::size_t>(std::clamp<std::int64_t>((all * 8 + width - 1) / width, 0, 8));
    const auto letter = letters.find(model);
    if (begins && letter != letters.end())
      track.back().text += letter->second;
    else
      track.back().text += (blocks ? kBlocks : kAscii).at(height);
  }
  return track;
}

}  // namespace choir::app::top
