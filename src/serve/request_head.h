// A strict look at the bytes of a request's head, before a parser interprets them. A parser is
// lenient where two programs may understand the same bytes differently (request smuggling); this
// check refuses all of that.
//
// Pure: any thread, does not block.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace choir::serve {

struct HeadLimits {
  std::size_t request_line_bytes_max = 8192;
  std::size_t header_bytes_max = 32768;  // all header lines together
  int headers_max = 64;
};

// Why a request is refused before anything answers it. The connection ends then.
struct HeadFault {
  int status = 400;
  std::string message;
  bool operator==(const HeadFault&) const = default;
};

// The bytes of the head, its empty line included; 0: it is not complete. A line may end in a bare
// LF here, so that check_head() can refuse it at once and nobody waits for an end that never comes.
std::size_t head_bytes(std::string_view bytes);

// For bytes whose head is not complete yet: whether it is already too long.
std::optional<HeadFault> check_unfinished(std::string_view bytes, const HeadLimits& limits = {});

// For a complete head. Refused: lines that do not end in CRLF, control characters, folded lines, a
// blank before a colon, more than one Host, Content-Length or Transfer-Encoding, a list as
// Content-Length, a Transfer-Encoding other than exactly `chunked`, both lengths at once, a
// Content-Encoding other than `identity`, a target that is no path, another version than HTTP/1.0
// and HTTP/1.1.
std::optional<HeadFault> check_head(std::string_view head, const HeadLimits& limits = {});

}  // namespace choir::serve
