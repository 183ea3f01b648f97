#include "runtime/request_state.h"

namespace choir {

void RequestState::reserve(std::size_t text_bytes, std::size_t tokens) {
  buffer_.with([&](Buffer& b) {
    b.text.reserve(text_bytes);
    b.tokens.reserve(tokens);
  });
}

void RequestState::trim() {
  buffer_.with([](Buffer& b) {
    b.text.shrink_to_fit();
    b.tokens.shrink_to_fit();
  });
}

RequestState::Reader RequestState::look_at_reader(std::size_t bytes_max) {
  return buffer_.with([&](const Buffer& b) {
    const std::size_t unread = b.closed ? 0 : b.text.size() - b.read;
    const bool behind = unread > (held_back.load() ? bytes_max / 2 : bytes_max);
    held_back.store(behind);
    return Reader{.unread_bytes = unread, .behind = behind};
  });
}

void RequestState::finish(Completion completion) {
  finished_.store(true);
  put_back(std::move(completion));
}

void RequestState::put_back(Completion completion) {
  buffer_.with([&](Buffer& b) { b.end = std::move(completion); });
}

RequestState::Taken RequestState::take(StreamPiece& piece) {
  piece.text.clear();
  piece.tokens.clear();
  piece.end.reset();
  return buffer_.with([&](Buffer& b) {
    const Taken taken{.any = b.news || b.last.has_value(), .output_tokens = b.output_tokens};
    if (b.closed) return taken;
    // Copied: the lane goes on in the memory that it has. Where there is none for a copy, nothing
    // was taken.
    const std::vector<TokenId>& tokens = b.last ? b.last->tokens : b.tokens;
    const std::size_t unread = b.last ? b.tokens_left : tokens.size();
    piece.tokens.assign(tokens.end() - static_cast<std::ptrdiff_t>(unread), tokens.end());
    piece.text.assign(b.text, b.read);
    b.read = b.text.size();
    b.tokens.clear();
    if (b.last) {
      b.last->text = std::exchange(b.text, {});
      piece.end = std::exchange(b.last, std::nullopt);
      b.read = b.tokens_left = 0;
    }
    b.news = b.told = false;
    return taken;
  });
}

void RequestState::close() {
  buffer_.with([](Buffer& b) {
    b.closed = true;
    b.news = false;
    b.tokens = {};
    if (b.last) b.text = {};
    b.last.reset();
  });
}

std::optional<Completion> RequestState::take_end() {
  return buffer_.with([&](Buffer& b) {
    auto end = std::exchange(b.end, std::nullopt);
    if (end && end->text.empty()) end->text = b.text;
    return end;
  });
}

bool RequestState::announce() {
  return buffer_.with([](Buffer& b) {
    if (!b.news || b.told) return false;
    b.told = true;
    return true;
  });
}

bool RequestState::give_end(const Completion& completion) {
  return buffer_.with([&](Buffer& b) {
    if (b.closed) return false;
    b.last = completion;
    b.last->text = {};
    b.tokens_left = b.tokens.size();
    b.tokens = {};
    return !std::exchange(b.told, true);
  });
}

// The promise is taken out of the request, which a stream may hold for long: where the future is
// gone, what it holds is gone.
void RequestState::give_result(Completion completion) {
  if (embedding) {
    embedding->promise.set_value(embedding->completion(completion));
    return;
  }
  std::promise<Completion> taken = std::move(promise);
  taken.set_value(std::move(completion));
}

bool RequestState::has_news() const {
  return buffer_.with([](const Buffer& b) { return (b.news && !b.told) || b.end.has_value(); });
}

void tell_drained(RequestState& request) {
  if (!request.held_back.load()) return;
  request.place().home->with([&](RequestHome& home) { home.drained(request); });
}

}  // namespace choir
