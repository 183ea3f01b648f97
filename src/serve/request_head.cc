#include "serve/request_head.h"

#include <algorithm>
#include <array>
#include <vector>

#include "serve/http.h"

namespace choir::serve {
namespace {

constexpr std::size_t kMethodBytesMax = 16;
constexpr std::size_t kLengthDigitsMax = 18;  // fits 64 bits

constexpr std::array<bool, 256> kTokenCharacters = [] {
  std::array<bool, 256> is{};
  for (unsigned c = '0'; c <= '9'; ++c) is[c] = true;
  for (unsigned c = 'a'; c <= 'z'; ++c) is[c] = is[c - 'a' + 'A'] = true;
  for (const char c : std::string_view("!#$%&'*+-.^_`|~")) is[static_cast<unsigned char>(c)] = true;
  return is;
}();
bool is_token_character(char c) { return kTokenCharacters[static_cast<unsigned char>(c)]; }
bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, is_token_character);
}

// Visible ASCII; a target is escaped.
bool is_target(std::string_view text) {
  return !text.empty() && text.front() == '/' &&
         std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7f; });
}

bool is_value(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    const auto u = static_cast<unsigned char>(c);
    return u == '\t' || (u >= 0x20 && u != 0x7f);
  });
}

std::string_view trimmed(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

HeadFault bad(std::string message) { return {400, std::move(message)}; }
HeadFault too_long_line(const HeadLimits& limits) {
  return {414, "the request line is longer than " + std::to_string(limits.request_line_bytes_max) +
                   " bytes"};
}
HeadFault too_many_bytes(const HeadLimits& limits) {
  return {431, "the headers are longer than " + std::to_string(limits.header_bytes_max) +
                   " bytes together"};
}

// What the headers say that must be there once at most.
struct Seen {
  int headers = 0;
  int hosts = 0;
  int lengths = 0;
  int encodings = 0;
};

std::optional<HeadFault> check_request_line(std::string_view line, bool& http10) {
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last)
    return bad("the request line is not METHOD TARGET VERSION");
  const std::string_view method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  if (!is_token(method) || method.size() > kMethodBytesMax) return bad("the method is no word");
  if (version != "HTTP/1.1" && version != "HTTP/1.0") {
    if (version.starts_with("HTTP/") && is_value(version))
      return HeadFault{505, "the version is not HTTP/1.1 or HTTP/1.0"};
    return bad("the request line does not end in a version of HTTP");
  }
  if (!is_target(target)) return bad("the target is not a path");
  http10 = version == "HTTP/1.0";
  return std::nullopt;
}

std::optional<HeadFault> check_header(std::string_view line, bool http10, Seen& seen) {
  if (line.front() == ' ' || line.front() == '\t') return bad("a header is folded over two lines");
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return bad("a header has no colon");
  if (!is_token(line.substr(0, colon))) return bad("the name of a header is no word");
  const std::string name = lower_case(line.substr(0, colon));
  const std::string_view value = trimmed(line.substr(colon + 1));
  if (!is_value(value)) return bad("the header '" + name + "' has a control character");
  if (name == "host" && ++seen.hosts > 1) return bad("there is more than one Host");
  if (name == "content-length") {
    if (++seen.lengths > 1) return bad("there is more than one Content-Length");
    const bool digits = !value.empty() && value.size() <= kLengthDigitsMax &&
                        std::ranges::all_of(value, [](char c) { return c >= '0' && c <= '9'; });
    if (!digits) return bad("Content-Length is no whole number");
  }
  if (name == "content-encoding" && !value.empty() && lower_case(value) != "identity")
    return HeadFault{415, "the only Content-Encoding that is understood is 'identity'"};
  if (name == "transfer-encoding") {
    if (++seen.encodings > 1) return bad("there is more than one Transfer-Encoding");
    if (http10) return bad("HTTP/1.0 has no Transfer-Encoding");
    if (lower_case(value) != "chunked")
      return HeadFault{501, "the only Transfer-Encoding that is understood is 'chunked'"};
  }
  return std::nullopt;
}

// Without their CRLF; nullopt: one does not end in CRLF.
std::optional<std::vector<std::string_view>> lines_of(std::string_view head) {
  std::vector<std::string_view> lines;
  while (!head.empty()) {
    const std::size_t end = head.find('\n');
    if (end == std::string_view::npos || end == 0 || head[end - 1] != '\r') return std::nullopt;
    const std::string_view line = head.substr(0, end - 1);
    if (line.find('\r') != std::string_view::npos) return std::nullopt;
    lines.push_back(line);
    head.remove_prefix(end + 1);
  }
  return lines;
}

}  // namespace

std::size_t head_bytes(std::string_view bytes) {
  for (std::size_t end = bytes.find('\n'); end != std::string_view::npos;
       end = bytes.find('\n', end + 1)) {
    const std::string_view rest = bytes.substr(end + 1);
    if (rest.starts_with('\n')) return end + 2;
    if (rest.starts_with("\r\n")) return end + 3;
  }
  return 0;
}

std::optional<HeadFault> check_unfinished(std::string_view bytes, const HeadLimits& limits) {
  const std::size_t line_end = bytes.find('\n');
  const std::size_t line = line_end == std::string_view::npos ? bytes.size() : line_end + 1;
  if (line > limits.request_line_bytes_max) return too_long_line(limits);
  if (bytes.size() - line > limits.header_bytes_max) return too_many_bytes(limits);
  return std::nullopt;
}

std::optional<HeadFault> check_head(std::string_view head, const HeadLimits& limits) {
  if (auto fault = check_unfinished(head, limits)) return fault;
  const auto lines = lines_of(head);
  if (!lines) return bad("a line of the head does not end in CR LF");
  bool http10 = false;
  if (auto fault = check_request_line(lines->front(), http10)) return fault;
  Seen seen;
  for (auto line = lines->begin() + 1; line != lines->end() && !line->empty(); ++line) {
    if (++seen.headers > limits.headers_max)
      return HeadFault{431,
                       "there are more than " + std::to_string(limits.headers_max) + " headers"};
    if (auto fault = check_header(*line, http10, seen)) return fault;
  }
  if (seen.lengths > 0 && seen.encodings > 0)
    return bad("there are a Content-Length and a Transfer-Encoding");
  if (seen.hosts == 0 && !http10) return bad("there is no Host");
  return std::nullopt;
}

}  // namespace choir::serve
