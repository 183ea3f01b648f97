// engine/text and base/utf8: only whole characters come out, no stop string does, and how the bytes
// are cut into pieces changes nothing. The first line holds the stop strings, the rest the pieces,
// which byte 0xFF ends.
#include "engine/text.h"

#include <vector>

#include "base/utf8.h"
#include "choir/text.h"
#include "tests/fuzz/fuzz.h"

namespace {

struct Read {
  std::string text;
  bool stopped = false;
};

Read read(const std::vector<std::string_view>& pieces, const std::vector<std::string>& stop) {
  Read read;
  choir::TextCarry carry;
  for (const std::string_view piece : pieces) {
    read.stopped =
        choir::append_piece(carry, piece, stop, read.text) == choir::TextEnd::kStopString;
    choir::fuzz::expect(!choir::first_invalid_utf8(read.text).has_value(), "text is UTF-8");
    if (read.stopped) return read;
  }
  choir::finish_text(carry, read.text);
  return read;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest = choir::fuzz::text_of(data, size);
  std::string_view stops = choir::fuzz::take_line(rest);
  std::vector<std::string> stop;
  while (!stops.empty() && stop.size() < 4) stop.emplace_back(choir::fuzz::take_line(stops, ','));
  std::vector<std::string_view> pieces;
  std::vector<std::string_view> bytes;
  while (!rest.empty()) {
    pieces.push_back(choir::fuzz::take_line(rest, '\xFF'));
    for (std::size_t i = 0; i < pieces.back().size(); ++i)
      bytes.push_back(pieces.back().substr(i, 1));
  }
  const Read whole = read(pieces, stop);
  const Read cut = read(bytes, stop);
  choir::fuzz::expect(whole.text == cut.text && whole.stopped == cut.stopped,
                      "how text is cut into pieces changes nothing");
  choir::fuzz::expect(!choir::first_invalid_utf8(whole.text).has_value(), "text is UTF-8");
  const std::string line = choir::printable_line(choir::fuzz::text_of(data, size), 80);
  choir::fuzz::expect(line.find('\n') == std::string::npos, "a line is one line");
  return 0;
}
