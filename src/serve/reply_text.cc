#include "serve/reply_text.h"

#include <charconv>

namespace choir::serve {
namespace {

constexpr std::size_t kFirstAndLastLines = 128;  // and those of length and connection

}  // namespace

void append_head(std::string& out, const ReplyHead& head, const Framing& framing) {
  std::size_t bytes = kFirstAndLastLines + framing.bytes;
  for (const Header& header : head.headers) bytes += header.name.size() + header.value.size() + 4;
  out.reserve(out.size() + bytes);
  out.append("HTTP/1.1 ").append(std::to_string(head.status)).append(" ");
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
  out.append("\r\n");
}

std::string head_text(const ReplyHead& head, const Framing& framing) {
  std::string out;
  append_head(out, head, framing);
  return out;
}

void append_chunk(std::string& out, std::string_view bytes) {
  if (bytes.empty()) return;
  char digits[16];
  const auto end = std::to_chars(digits, digits + sizeof digits, bytes.size(), 16);
  out.append(digits, end.ptr).append("\r\n").append(bytes).append("\r\n");
}

}  // namespace choir::serve
