#include "serve/exchange.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace choir::serve {
namespace {

constexpr std::size_t kIdBytes = 16;
constexpr std::size_t kSpanBytes = 8;
constexpr std::size_t kTraceparent = 55;  // characters of version 00

bool is_lower_hex(std::string_view text) {
  return std::ranges::all_of(
      text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}
bool is_zero(std::string_view text) {
  return text.find_first_not_of('0') == std::string_view::npos;
}

// Those of the system, many at a time: asking for them costs more than all else about an id.
class RandomBytes {
 public:
  unsigned char next() {
    if (next_ == bytes_.size()) {
      // So many come whole, and at once where the system has been up for some seconds.
      while (getrandom(bytes_.data(), bytes_.size(), 0) < 0 && errno == EINTR) {}
      next_ = 0;
    }
    return bytes_[next_++];
  }

 private:
  std::array<unsigned char, 256> bytes_{};
  std::size_t next_ = bytes_.size();
};

// Versions to come may append something after another '-'.
bool is_traceparent(std::string_view text) {
  if (text.size() < kTraceparent) return false;
  const std::string_view version = text.substr(0, 2);
  const std::string_view trace = text.substr(3, 32);
  const std::string_view span = text.substr(36, 16);
  const std::string_view flags = text.substr(53, 2);
  if (text[2] != '-' || text[35] != '-' || text[52] != '-') return false;
  for (const std::string_view part : {version, trace, span, flags})
    if (!is_lower_hex(part)) return false;
  if (version == "ff" || is_zero(trace) || is_zero(span)) return false;
  if (text.size() == kTraceparent) return true;
  return version != "00" && text[kTraceparent] == '-';
}

}  // namespace

bool is_request_id(std::string_view text) {
  return !text.empty() && text.size() <= kRequestIdMax &&
         std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7f; });
}

std::string child_of(std::string_view traceparent, std::string_view span) {
  if (!is_traceparent(traceparent)) return "";
  std::string child = "00-";
  child.append(traceparent.substr(3, 33)).append(span).append(traceparent.substr(52, 3));
  return child;
}

std::string random_hex(std::size_t bytes) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  thread_local RandomBytes random;
  std::string text(2 * bytes, '0');
  for (std::size_t i = 0; i < bytes; ++i) {
    const unsigned char byte = random.next();
    text[2 * i] = kDigits[byte >> 4U];
    text[2 * i + 1] = kDigits[byte & 15U];
  }
  return text;
}

Exchange exchange_of(const HttpRequest& head, const std::string& address) {
  const std::string_view id = head.header("x-request-id");
  const std::string_view trace = head.header("traceparent");
  return {.id = is_request_id(id) ? std::string(id) : random_hex(kIdBytes),
          .traceparent = trace.empty() ? "" : child_of(trace, random_hex(kSpanBytes)),
          .method = head.method,
          .path = head.path,
          .address = address.empty() ? "unix" : address};
}

void name_exchange(ReplyHead& head, const Exchange& exchange) {
  head.headers.push_back({"x-request-id", exchange.id});
  if (!exchange.traceparent.empty()) head.headers.push_back({"traceparent", exchange.traceparent});
}

void add_usage(WorkFacts& facts, const Usage& usage) {
  facts.prompt_tokens += usage.prompt_tokens;
  facts.output_tokens += usage.output_tokens;
  facts.reused_tokens += usage.reused_tokens;
  const double first = usage.first_token_seconds;
  if (first > 0 && (facts.first_token_seconds == 0 || first < facts.first_token_seconds))
    facts.first_token_seconds = first;
}

}  // namespace choir::serve
