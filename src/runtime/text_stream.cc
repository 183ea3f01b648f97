#include "choir/text_stream.h"

#include <new>
#include <utility>

#include "base/log.h"
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
  try {
    request_->take(piece);
  } catch (const std::bad_alloc&) {
    log(LogLevel::kError, "no memory for the text of a stream; it is left for the next take()");
    return {};
  }
  tell_drained(*request_);
  return piece;
}

void TextStream::close() {
  if (!request_) return;
  request_->close();
  tell_drained(*request_);
}

}  // namespace choir
