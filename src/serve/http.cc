#include "serve/http.h"

#include "serve/query.h"

namespace choir::serve {
namespace {

class Known final : public Work {
 public:
  Known(ReplyHead head, std::string body)
      : output_{.head = std::move(head), .bytes = std::move(body), .end = true} {}
  Output advance() override { return std::exchange(output_, {}); }

 private:
  Output output_;
};

bool has_dots(std::string_view path) {
  while (!path.empty()) {
    const std::size_t slash = path.find('/');
    const std::string_view segment = path.substr(0, slash);
    if (segment == "." || segment == "..") return true;
    if (slash == std::string_view::npos) return false;
    path.remove_prefix(slash + 1);
  }
  return false;
}

}  // namespace

Output Work::silence(Nanos /*silent*/) { return {}; }
Output Work::cut_short(const Refusal& /*why*/) { return {}; }
WorkFacts Work::facts() const { return {}; }

std::unique_ptr<Work> reply_with(ReplyHead head, std::string body) {
  return std::make_unique<Known>(std::move(head), std::move(body));
}

std::unique_ptr<Work> reply_with_json(int status, std::string body) {
  return reply_with({.status = status, .headers = {{"content-type", "application/json"}}},
                    std::move(body));
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

std::string_view reason_of(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 302:
      return "Found";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 421:
      return "Misdirected Request";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Status";
  }
}

std::optional<std::string> decoded_path(std::string_view target) {
  const std::string_view raw = target.substr(0, target.find('?'));
  std::string path;
  path.reserve(raw.size());
  for (std::size_t i = 0; i < raw.size(); ++i) {
    char character = raw[i];
    if (character == '%') {
      const auto value = escaped_byte(raw.substr(i + 1, 2));
      if (!value) return std::nullopt;
      character = *value;
      i += 2;
    }
    if (static_cast<unsigned char>(character) < 0x20 || character == 0x7f) return std::nullopt;
    path.push_back(character);
  }
  if (path.empty() || path.front() != '/' || has_dots(path)) return std::nullopt;
  return path;
}

}  // namespace choir::serve
