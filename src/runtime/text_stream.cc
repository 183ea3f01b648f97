#include "choir/text_stream.h"

#include <utility>

#include "runtime/request_state.h"

namespace choir {

TextStream::~TextStream() { close(); }

TextStream& TextStream::operator=(TextStream&& other) noexcept {
  if (this != &other) {
    close();
    request_ = std::move(other.request_);
  }
  return *this;
}

RequestId TextStream::id() const { return request_ ? request_->id : RequestId{}; }

StreamPiece TextStream::take() {
  StreamPiece piece;
  if (!request_) return piece;
  request_->take(piece);
  tell_drained(*request_);
  return piece;
}

void TextStream::close() {
  if (!request_) return;
  request_->close();
  tell_drained(*request_);
}

}  // namespace choir
