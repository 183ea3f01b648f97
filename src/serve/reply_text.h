// The bytes of a reply: HTTP/1.1 as it goes over the wire.
//
// Pure: any thread, does not block.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "serve/http.h"

namespace choir::serve {

// How the end of a body is told, and whether another reply may follow.
struct Framing {
  bool http10 = false;  // the client does not know chunks: a streamed body ends with the connection
  bool keep_alive = true;
  std::size_t bytes = 0;  // of a body that comes with its head
};

// Status line and headers, with the empty line at their end.
void append_head(std::string& out, const ReplyHead& head, const Framing& framing);
std::string head_text(const ReplyHead& head, const Framing& framing);

// Appends the bytes as one chunk; none for no bytes, because an empty chunk is the end.
void append_chunk(std::string& out, std::string_view bytes);
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

}  // namespace choir::serve
