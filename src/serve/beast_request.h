// From the head of a request as Beast has parsed it to ours, and what of a body Beast does not look
// at. The last of the files that name Beast, beside growing_body.h and the two of Connection.
//
// Pure: any thread, does not block.
#pragma once

#include <algorithm>
#include <boost/beast/core/error.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/message.hpp>
#include <cstddef>
#include <cstdint>
#include <string>

#include "serve/http.h"

namespace choir::serve {

// Its path is not decoded yet, and its client not known.
inline HttpRequest request_of(const boost::beast::http::request_header<>& head,
                              const std::string& address) {
  const auto text_of = [](boost::beast::string_view text) {
    return std::string(text.data(), text.size());
  };
  const std::string target = text_of(head.target());
  const std::size_t question = target.find('?');
  HttpRequest request{.method = text_of(head.method_string()),
                      .path = target.substr(0, question),
                      .over_unix_socket = address.empty(),
                      .address = address};
  if (question != std::string::npos) request.query = target.substr(question + 1);
  for (const auto& field : head)
    request.headers.push_back({lower_case(text_of(field.name_string())), text_of(field.value())});
  return request;
}

// For the line of a chunk. It ends in CRLF only; a program in front of this one may end it at an LF
// that stands in its extensions, and would read other requests than this one.
inline void check_chunk(std::uint64_t /*size*/, boost::beast::string_view extensions,
                        boost::beast::error_code& error) {
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 && c != '\t'; };
  if (std::any_of(extensions.begin(), extensions.end(), is_control))
    error = boost::beast::http::error::bad_chunk_extension;
}

}  // namespace choir::serve
