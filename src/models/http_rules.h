// What an HTTP answer means for a fetch that may be going on where it broke off. Pure.
//
// Source: RFC 9110, sections 13 (conditions) and 14 (ranges).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "choir/result.h"

namespace choir {

// https:// anywhere, http:// to this machine only; everything else is refused.
Status check_url(const std::string& url);

// Without user, password and query, which may be secret: for messages.
std::string shown_url(const std::string& url);

// The last part of the path, decoded; kInvalidArgument when there is none.
Result<std::string> file_name_of_url(const std::string& url);

struct HttpAnswer {
  int status = 0;
  std::string etag;
  std::string last_modified;
  std::optional<std::uint64_t> content_bytes;
  std::optional<std::uint64_t> range_begin;  // of "Content-Range: bytes 5-9/10"
  bool operator==(const HttpAnswer&) const = default;

  // What "If-Range" may carry: a strong ETag, else the date; empty when the server gave neither.
  std::string validator() const;
};

// Takes one header line, with or without its line end. A status line starts a new answer.
void note_header(std::string_view line, HttpAnswer& answer);

enum class BodyUse : unsigned char {
  kFromStart,  // drop what is there
  kAppend,
  kAskWhole,  // this answer is no use; ask again for the whole file
  kRedirect,
};

// offset: what we asked for, 0 is the whole file; validator: the one it was asked with.
// Errors: kNotFound (404, 410), kUnavailable (other statuses).
Result<BodyUse> judge_answer(const HttpAnswer& answer, std::uint64_t offset,
                             const std::string& validator, const std::string& url);

}  // namespace choir
