#include "runtime/request_state.h"

namespace choir {

void RequestState::append(std::string_view text, std::int32_t output_tokens) {
  buffer_.with([&](Buffer& b) {
    b.text.append(text);
    b.output_tokens = output_tokens;
    b.news = true;
  });
}

RequestState::Reader RequestState::look_at_reader(std::size_t bytes_max) {
  return buffer_.with([&](const Buffer& b) {
    const bool behind = b.text.size() > (held_back.load() ? bytes_max / 2 : bytes_max);
    held_back.store(behind);
    return Reader{.unread_bytes = b.text.size(), .behind = behind};
  });
}

void RequestState::finish(Completion completion) {
  finished_.store(true);
  buffer_.with([&](Buffer& b) { b.end = std::move(completion); });
}

void RequestState::put_back(Completion completion) {
  buffer_.with([&](Buffer& b) { b.end = std::move(completion); });
}

RequestState::Taken RequestState::take(std::string& text) {
  text.clear();
  return buffer_.with([&](Buffer& b) {
    Taken taken{.any = b.news, .output_tokens = b.output_tokens, .end = std::move(b.end)};
    text.swap(b.text);
    b.news = false;
    b.end.reset();
    return taken;
  });
}

bool RequestState::has_news() const {
  return buffer_.with([](const Buffer& b) { return b.news || b.end.has_value(); });
}

}  // namespace choir
