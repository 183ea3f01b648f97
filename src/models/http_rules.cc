#include "models/http_rules.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <strings.h>

#include <charconv>
#include <memory>

namespace choir {
namespace {

using Url = std::unique_ptr<CURLU, void (*)(CURLU*)>;

Url parse(const std::string& url) {
  Url parsed(curl_url(), curl_url_cleanup);
  if (parsed && curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK)
    parsed.reset();
  return parsed;
}

std::string part(const Url& url, CURLUPart which, unsigned int flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url.get(), which, &text, flags) != CURLUE_OK) return "";
  std::string copy(text);
  curl_free(text);
  return copy;
}

bool is_this_machine(const std::string& host) {
  in_addr address{};
  if (inet_pton(AF_INET, host.c_str(), &address) == 1) return (ntohl(address.s_addr) >> 24) == 127;
  return strcasecmp(host.c_str(), "localhost") == 0 || host == "[::1]";
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

std::optional<std::uint64_t> leading_number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return std::nullopt;
  return value;
}

bool is_name(std::string_view text, const char* name) {
  return strcasecmp(std::string(text).c_str(), name) == 0;
}

}  // namespace

Status check_url(const std::string& url) {
  const Url parsed = parse(url);
  if (!parsed) return fail(Code::kInvalidArgument, "'" + url + "' is not a URL");
  const std::string scheme = part(parsed, CURLUPART_SCHEME);
  if (scheme == "https") return {};
  if (scheme != "http")
    return fail(Code::kInvalidArgument, "cannot fetch over '" + scheme + ":'; use https: or file:");
  const std::string host = part(parsed, CURLUPART_HOST);
  if (is_this_machine(host)) return {};
  return fail(
      Code::kInvalidArgument,
      "refusing http:// to '" + host + "': anyone on the way could change the model; use https://");
}

std::string shown_url(const std::string& url) {
  const Url parsed = parse(url);
  if (!parsed) return url;
  for (const CURLUPart secret :
       {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_QUERY, CURLUPART_FRAGMENT})
    curl_url_set(parsed.get(), secret, nullptr, 0);
  return part(parsed, CURLUPART_URL);
}

Result<std::string> file_name_of_url(const std::string& url) {
  const Url parsed = parse(url);
  if (!parsed) return fail(Code::kInvalidArgument, "'" + url + "' is not a URL");
  const std::string path = part(parsed, CURLUPART_PATH, CURLU_URLDECODE);
  std::string name = path.substr(path.rfind('/') + 1);
  if (name.empty() || name == "." || name == "..")  // "%2e%2e" is not resolved as ".." would be
    return fail(Code::kInvalidArgument,
                "'" + shown_url(url) + "' names no file; say what to call it");
  return name;
}

std::string HttpAnswer::validator() const {
  // A weak ETag ("W/...") allows other bytes with the same meaning, so it cannot join two halves.
  if (!etag.empty() && !etag.starts_with("W/")) return etag;
  return last_modified;
}

void note_header(std::string_view line, HttpAnswer& answer) {
  line = trimmed(line);
  if (line.starts_with("HTTP/")) {
    answer = HttpAnswer{};
    const std::size_t space = line.find(' ');
    if (space != std::string_view::npos)
      answer.status = static_cast<int>(leading_number(trimmed(line.substr(space))).value_or(0));
    return;
  }
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return;
  const std::string_view name = trimmed(line.substr(0, colon));
  const std::string_view value = trimmed(line.substr(colon + 1));
  if (is_name(name, "etag")) answer.etag = value;
  if (is_name(name, "last-modified")) answer.last_modified = value;
  if (is_name(name, "content-length")) answer.content_bytes = leading_number(value);
  if (is_name(name, "content-range") && value.starts_with("bytes "))
    answer.range_begin = leading_number(value.substr(6));
}

Result<BodyUse> judge_answer(const HttpAnswer& answer, std::uint64_t offset,
                             const std::string& validator, const std::string& url) {
  switch (answer.status) {
    case 200:
      return BodyUse::kFromStart;
    case 206:
      // A server that honoured If-Range may leave the date out.
      if (offset > 0 && answer.range_begin == offset &&
          (answer.validator().empty() || answer.validator() == validator))
        return BodyUse::kAppend;
      if (offset > 0) return BodyUse::kAskWhole;
      break;
    case 301:
    case 302:
    case 303:
    case 307:
    case 308:
      return BodyUse::kRedirect;
    case 404:
    case 410:
      return fail(Code::kNotFound, "'" + shown_url(url) + "' does not exist (the server answered " +
                                       std::to_string(answer.status) + ")");
    default:
      if (offset > 0 && (answer.status == 412 || answer.status == 416)) return BodyUse::kAskWhole;
      break;
  }
  return fail(Code::kUnavailable, "could not fetch '" + shown_url(url) + "': the server answered " +
                                      std::to_string(answer.status));
}

}  // namespace choir
