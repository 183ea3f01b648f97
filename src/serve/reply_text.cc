#include "serve/reply_text.h"

#include <charconv>

namespace choir::serve {

std::string head_text(const ReplyHead& head, const Framing& framing) {
  std::string out = "HTTP/1.1 " + std::to_string(head.status) + " ";
  out.append(reason_of(head.status)).append("\r\n");
  for (const Header& header : head.headers)
    out.append(header.name).append(": ").append(header.value).append("\r\n");
  if (!head.streamed)
    out.append("content-length: ").append(std::to_string(framing.bytes)).append("\r\n");
  else if (!framing.http10)
    out.append("transfer-encoding: chunked\r\n");
  if (!framing.keep_alive)
    out.append("connection: close\r\n");
  else if (framing.http10)
    out.append("connection: keep-alive\r\n");
  return out.append("\r\n");
}

void append_chunk(std::string& out, std::string_view bytes) {
  if (bytes.empty()) return;
  char digits[16];
  const auto end = std::to_chars(digits, digits + sizeof digits, bytes.size(), 16);
  out.append(digits, end.ptr).append("\r\n").append(bytes).append("\r\n");
}

}  // namespace choir::serve
