// From the head of a request as Beast has parsed it to ours. The third and last file that names
// Beast, beside the two of Connection.
//
// Pure: any thread, does not block.
#pragma once

#include <boost/beast/http/message.hpp>
#include <cstddef>
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

}  // namespace choir::serve
