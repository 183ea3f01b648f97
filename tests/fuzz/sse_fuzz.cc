// The writer of server-sent events (serve/dialect and its dialects, serve/frames): whatever a model
// writes, each event parses back to what was written, for a strict reader and for our own. The
// first byte chooses the dialect, the second one separates the texts of the answer.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "serve/client.h"
#include "serve/dialect.h"
#include "serve/frames.h"
#include "serve/llama_out.h"
#include "serve/openai_out.h"
#include "tests/fuzz/fuzz.h"

namespace {

using choir::fuzz::expect;
using choir::serve::Json;

constexpr std::size_t kChoices = 2;

struct Event {
  std::string name = {};
  std::string data = {};
  bool operator==(const Event&) const = default;
};

// As the standard has it: a line ends in CR, LF or both, and an event that no empty line has ended
// is none.
class StrictReader {
 public:
  explicit StrictReader(std::string_view bytes) {
    while (!bytes.empty()) {
      const std::size_t end = bytes.find_first_of("\r\n");
      expect(end != std::string_view::npos, "a stream ends with the end of a line");
      take(bytes.substr(0, end));
      const bool both = bytes.substr(end, 2) == "\r\n";
      bytes.remove_prefix(end + (both ? 2 : 1));
    }
    expect(!open_, "a stream ends with the end of an event");
  }
  const std::vector<Event>& events() const { return events_; }

 private:
  void take(std::string_view line) {
    if (line.empty()) {
      if (!event_.data.empty()) {
        event_.data.pop_back();
        events_.push_back(event_);
      }
      event_ = {};
      open_ = false;
      return;
    }
    open_ = true;
    const std::size_t colon = line.find(':');
    const std::string_view field = line.substr(0, colon);
    std::string_view value =
        colon == std::string_view::npos ? std::string_view() : line.substr(colon + 1);
    if (value.starts_with(' ')) value.remove_prefix(1);
    expect(field == "data" || field == "event" || field == "id" || field.empty(),
           "a line is of a field that is known");
    if (field == "data") event_.data.append(value).append("\n");
    if (field == "event") event_.name = value;
    expect(field != "id" || value.find('\0') == std::string_view::npos, "an id has no NUL");
  }

  std::vector<Event> events_;
  Event event_;
  bool open_ = false;
};

// Our own reader, which gets the bytes in pieces of `piece`.
std::vector<Event> read_by_client(std::string_view bytes, std::size_t piece) {
  std::vector<Event> events;
  choir::serve::EventLines lines;
  while (!bytes.empty()) {
    lines.add(bytes.substr(0, piece), [&](std::string_view data) {
      events.push_back({std::string(lines.name()), std::string(data)});
    });
    bytes.remove_prefix(std::min(piece, bytes.size()));
  }
  return events;
}

std::vector<Event> events_of(const std::string& bytes) {
  const StrictReader strict(bytes);
  for (const std::size_t piece : {bytes.size() + 1, std::size_t{1}, std::size_t{7}})
    expect(read_by_client(bytes, piece) == strict.events(), "our own reader reads the same");
  return strict.events();
}

Json json_of(const Event& event) {
  Json json = Json::parse(event.data, nullptr, /*allow_exceptions=*/false);
  expect(!json.is_discarded(), "the data of an event is JSON");
  return json;
}

// The bytes of the character at the front; 0: it is no UTF-8.
std::size_t character_bytes(std::string_view text) {
  const auto at = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const unsigned first = at(0);
  if (first < 0x80) return 1;
  const std::size_t bytes = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4) return 0;
  for (std::size_t i = 1; i < bytes; ++i)
    if ((at(i) & 0xc0U) != 0x80) return 0;
  const bool overlong = (first == 0xe0 && at(1) < 0xa0) || (first == 0xf0 && at(1) < 0x90);
  const bool beyond = (first == 0xed && at(1) > 0x9f) || (first == 0xf4 && at(1) > 0x8f);
  return overlong || beyond ? 0 : bytes;
}

// A text that was written has U+FFFD for what is no UTF-8; this is what has to be left of both.
std::string characters_of(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t bytes = character_bytes(text);
    const std::string_view character = text.substr(0, bytes);
    if (character != "\xef\xbf\xbd") out += character;
    text.remove_prefix(std::max<std::size_t>(bytes, 1));
  }
  return out;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t bytes = character_bytes(text);
    if (bytes == 0) return false;
    text.remove_prefix(bytes);
  }
  return true;
}

bool is_as_written(const std::string& read, const std::string& written) {
  if (is_utf8(written)) return read == written;
  return is_utf8(read) && characters_of(read) == characters_of(written);
}

// The text of choice 0 and 1 in the events of a stream.
std::array<std::string, kChoices> texts_in(const std::vector<Event>& events) {
  std::array<std::string, kChoices> texts;
  for (const Event& event : events) {
    if (event.data == "[DONE]") continue;
    const Json json = json_of(event);
    if (json.contains("content")) {
      texts.at(json["index"].get<std::size_t>()) += json["content"].get<std::string>();
      continue;
    }
    for (const Json& choice : json.value("choices", Json::array())) {
      const Json delta = choice.value("delta", Json::object());
      const Json text = choice.contains("text") ? choice["text"] : delta.value("content", Json(""));
      if (text.is_string()) texts.at(choice["index"].get<std::size_t>()) += text.get<std::string>();
    }
  }
  return texts;
}

choir::serve::AnswerInfo answer(const std::string& name) {
  choir::serve::AnswerInfo made{.id = "id", .model = name, .created = 1, .choices = kChoices};
  made.stream = made.include_usage = true;
  made.requests.resize(1);
  made.requests[0].text = name;
  made.prompt_tokens = {1};
  return made;
}

void write_answer(const choir::serve::Dialect& dialect, const std::vector<std::string>& texts) {
  const std::string name = texts.empty() ? "m" : texts.front();
  const auto writer = dialect.writer(answer(name));
  std::string bytes = writer->begin() + std::string(choir::serve::kPing);
  std::array<std::string, kChoices> written;
  std::vector<choir::serve::ChoiceEnd> ends(kChoices);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::size_t choice = i % kChoices;
    bytes += writer->text(choice, {.text = texts[i], .tokens = {1}, .end = std::nullopt});
    // A character that is cut in two pieces stays cut.
    written.at(choice) += is_utf8(texts[i]) ? texts[i] : characters_of(texts[i]) + "\xff";
    ends[choice].completion.text += texts[i];
    ends[choice].stop = texts[i];
  }
  for (std::size_t choice = 0; choice < kChoices; ++choice) {
    ends[choice].completion.finish = choir::Finish::kStop;
    bytes += writer->end(choice, ends[choice]);
  }
  bytes += writer->finish(ends);
  const auto read = texts_in(events_of(bytes));
  for (std::size_t choice = 0; choice < kChoices; ++choice)
    expect(is_as_written(read.at(choice), written.at(choice)),
           "the text of a stream is that of the model");

  const choir::serve::ApiError error = choir::serve::api_error({choir::Code::kDraining, name});
  const auto broken = events_of(dialect.writer(answer(name))->error(error));
  expect(broken.size() == 1 && is_as_written(json_of(broken[0])["error"]["message"], error.message),
         "an error is one event with its message");
}

// Events with a name, as GET /choir/v1/events has them.
void write_frames(const std::vector<std::string>& texts) {
  std::string bytes;
  for (std::size_t i = 0; i < texts.size(); ++i)
    bytes += *choir::serve::frame_of("delta", i, choir::serve::to_text({{"text", texts[i]}}));
  const auto events = events_of(bytes);
  expect(events.size() == texts.size(), "each frame is one event");
  for (std::size_t i = 0; i < texts.size(); ++i)
    expect(events[i].name == "delta" && is_as_written(json_of(events[i])["text"], texts[i]),
           "a frame has its text");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest = choir::fuzz::text_of(data, size);
  const std::uint8_t which = choir::fuzz::take_byte(rest);
  const char separator = static_cast<char>(choir::fuzz::take_byte(rest));
  std::vector<std::string> texts;
  while (!rest.empty()) texts.emplace_back(choir::fuzz::take_line(rest, separator));
  switch (which % 4) {
    case 0:
      write_answer(choir::serve::openai_chat(), texts);
      break;
    case 1:
      write_answer(choir::serve::openai_completions(), texts);
      break;
    case 2:
      write_answer(choir::serve::llama_completion(), texts);
      break;
    default:
      write_frames(texts);
  }
  return 0;
}
