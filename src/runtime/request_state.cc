#include "runtime/request_state.h"

namespace choir {

std::size_t RequestState::append(std::string_view text, std::int32_t output_tokens) {
  return buffer_.with([&](Buffer& b) {
    b.text.append(text);
    b.output_tokens = output_tokens;
    b.news = true;
    return b.text.size();
  });
}

std::size_t RequestState::unread_bytes() const {
  return buffer_.with([](const Buffer& b) { return b.text.size(); });
}

void RequestState::finish(Completion completion) {
  finished_.store(true);
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
