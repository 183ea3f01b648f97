#include "models/http_source.h"

#include <curl/curl.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>

#include "base/disk.h"
#include "choir/text.h"
#include "models/http_rules.h"

namespace choir {
namespace {

constexpr long kConnectSeconds = 20;
constexpr long kStalledSeconds = 60;  // without one byte
constexpr int kRedirectsMax = 10;
constexpr int kBreaksMax = 3;      // in a row that brought nothing; then the network is down
constexpr int kRequestsMax = 100;  // a server that sends a little and breaks each time
constexpr std::uint64_t kReportBytes = 256 * 1024;

using Curl = std::unique_ptr<CURL, void (*)(CURL*)>;
using Headers = std::unique_ptr<curl_slist, void (*)(curl_slist*)>;

// One request and what came of it. The callbacks hold its address, so it stays where it is.
struct Transfer {
  const PullJob& job;
  GrowingFile& data;
  std::string url;
  std::uint64_t offset = 0;
  std::string validator;

  HttpAnswer answer{};
  std::optional<Result<BodyUse>> use{};
  std::optional<Error> failed{};  // of ours, while the body arrived
  std::uint64_t total = 0;
  std::uint64_t reported = 0;
};

std::string meta_path(const PullJob& job) { return job.work + "/meta"; }

// The validator of the bytes in data_path(), if they come from this source.
std::string read_validator(const PullJob& job) {
  std::ifstream file(meta_path(job));
  std::string origin;
  std::string validator;
  std::getline(file, origin);
  std::getline(file, validator);
  return origin == job.wanted.origin ? validator : "";
}

void write_validator(const PullJob& job, const std::string& validator) {
  std::ofstream(meta_path(job)) << job.wanted.origin << '\n' << validator << '\n';
}

// Called once, before the first byte of the body.
Status begin_body(Transfer& t) {
  t.use = judge_answer(t.answer, t.offset, t.validator, t.url);
  if (!t.use->has_value() || **t.use == BodyUse::kRedirect || **t.use == BodyUse::kAskWhole)
    return {};
  if (**t.use == BodyUse::kFromStart) {
    CHOIR_CHECK_OK(t.data.clear());
    t.validator = t.answer.validator();
    write_validator(t.job, t.validator);
  }
  const std::uint64_t missing = t.answer.content_bytes.value_or(0);
  if (missing != 0) t.total = t.data.bytes() + missing;
  return check_space(t.job.work, missing, kModelsElsewhere);
}

bool wants_body(const Transfer& t) {
  return t.use && t.use->has_value() &&
         (**t.use == BodyUse::kFromStart || **t.use == BodyUse::kAppend);
}

std::size_t on_header(char* text, std::size_t size, std::size_t n, void* user) {
  note_header({text, size * n}, static_cast<Transfer*>(user)->answer);
  return size * n;
}

std::size_t on_body(char* bytes, std::size_t size, std::size_t n, void* user) {
  Transfer& t = *static_cast<Transfer*>(user);
  Status status;
  if (!t.use) status = begin_body(t);
  if (status && !wants_body(t)) return 0;  // ends the transfer; t.use says why
  if (status) status = t.data.add({bytes, size * n});
  if (!status) {
    t.failed = std::move(status).error();
    return 0;
  }
  if (t.data.bytes() >= t.reported + kReportBytes || t.data.bytes() == t.total) {
    t.reported = t.data.bytes();
    report(t.job, "fetching", t.data.bytes(), t.total);
  }
  return size * n;
}

int on_tick(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return is_cancelled(static_cast<Transfer*>(user)->job) ? 1 : 0;
}

void set_up(CURL* curl, Transfer& t, Headers& headers, std::array<char, CURL_ERROR_SIZE>& words) {
  curl_easy_setopt(curl, CURLOPT_URL, t.url.c_str());
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "choir");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, kStalledSeconds);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, words.data());
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &t);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &t);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_tick);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &t);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  // Redirects are followed by fetch_url(), which looks at each address first.
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  if (t.url.starts_with("http:")) curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");  // this machine
  // The curl program reads these two, the library does not; people expect it.
  for (const char* name : {"SSL_CERT_FILE", "CURL_CA_BUNDLE"})
    if (const char* file = std::getenv(name); file != nullptr && *file != '\0')
      curl_easy_setopt(curl, CURLOPT_CAINFO, file);
  if (t.offset > 0) {
    curl_easy_setopt(curl, CURLOPT_RANGE, (std::to_string(t.offset) + "-").c_str());
    headers.reset(curl_slist_append(headers.release(), ("If-Range: " + t.validator).c_str()));
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
  }
}

enum class End : unsigned char { kDone, kRedirect, kAskWhole, kBroken };

struct Outcome {
  End end = End::kDone;
  std::string detail;  // where to go, or why it broke
};

bool may_go_away(CURLcode code) {
  switch (code) {
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_OPERATION_TIMEDOUT:
      return true;
    default:
      return false;
  }
}

Result<Outcome> carry_out(Transfer& t) {
  const Curl curl(curl_easy_init(), curl_easy_cleanup);
  if (!curl) return fail(Code::kUnavailable, "libcurl could not start");
  Headers headers(nullptr, curl_slist_free_all);
  std::array<char, CURL_ERROR_SIZE> words{};
  set_up(curl.get(), t, headers, words);
  const CURLcode code = curl_easy_perform(curl.get());

  if (is_cancelled(t.job)) return tl::unexpected(stopped());
  if (t.failed) return tl::unexpected(*t.failed);
  if (code == CURLE_OK && !t.use) CHOIR_CHECK_OK(begin_body(t));  // an answer without a body
  if (t.use && !wants_body(t)) {
    if (CHOIR_TRY(std::move(*t.use)) == BodyUse::kAskWhole) return Outcome{End::kAskWhole, ""};
    char* location = nullptr;
    curl_easy_getinfo(curl.get(), CURLINFO_REDIRECT_URL, &location);
    return Outcome{End::kRedirect, location != nullptr ? location : ""};
  }
  if (code == CURLE_OK) return Outcome{};
  const std::string why = words.front() != '\0' ? words.data() : curl_easy_strerror(code);
  if (may_go_away(code)) return Outcome{End::kBroken, why};
  return fail(Code::kUnavailable, "could not fetch '" + shown_url(t.url) + "': " + why);
}

// libcurl wants this once per process; a static's start is safe from any thread.
void start_curl() {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  (void)started;
}

}  // namespace

Status fetch_url(const std::string& url, const PullJob& job) {
  start_curl();
  GrowingFile data =
      CHOIR_TRY(GrowingFile::open(job.data_path(), GrowingFile::Start::kKeep, kModelsElsewhere));
  std::string validator = read_validator(job);
  if (validator.empty()) CHOIR_CHECK_OK(data.clear());
  std::string address = url;
  int redirects = 0;
  int breaks = 0;
  for (int requests = 1;; ++requests) {
    CHOIR_CHECK_OK(check_url(address));
    report(job, "fetching", data.bytes(), 0);
    const std::uint64_t before = data.bytes();
    Transfer transfer{
        .job = job, .data = data, .url = address, .offset = before, .validator = validator};
    const Outcome outcome = CHOIR_TRY(carry_out(transfer));
    validator = transfer.validator;
    switch (outcome.end) {
      case End::kDone:
        return {};
      case End::kAskWhole:
        CHOIR_CHECK_OK(data.clear());
        break;
      case End::kRedirect:
        if (++redirects > kRedirectsMax || outcome.detail.empty())
          return fail(Code::kUnavailable,
                      "'" + shown_url(url) + "' redirects too often or nowhere");
        address = outcome.detail;
        break;
      case End::kBroken:
        breaks = data.bytes() > before && !validator.empty() ? 0 : breaks + 1;
        if (validator.empty()) CHOIR_CHECK_OK(data.clear());  // nothing to recognise the rest by
        if (breaks >= kBreaksMax || requests >= kRequestsMax)
          return fail(Code::kUnavailable,
                      "could not fetch '" + shown_url(url) + "': " + outcome.detail + "; " +
                          bytes_text(data.bytes()) + " are kept, run the command again");
        break;
    }
  }
}

}  // namespace choir
