#include "serve/client.h"

#include <curl/curl.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <utility>

#include "base/cache_folder.h"
#include "base/environment.h"
#include "serve/client_exchange.h"

namespace choir::serve {
namespace {

std::size_t append(char* bytes, std::size_t size, std::size_t count, void* out) {
  static_cast<std::string*>(out)->append(bytes, size * count);
  return size * count;
}

}  // namespace

std::string default_socket(std::uint16_t port) {
  namespace fs = std::filesystem;
  const std::string name = "choir-" + std::to_string(port) + ".sock";
  std::error_code error;
  const std::string runtime = environment("XDG_RUNTIME_DIR");
  if (!runtime.empty() && fs::is_directory(runtime, error) && environment("CHOIR_CACHE").empty())
    return runtime + "/" + name;
  const std::string folder = cache_folder();
  return folder.empty() ? "" : folder + "/" + name;
}

namespace {

// What a stream gives to its reader.
struct Reading {
  const CurlExchange& exchange;
  const EventReader& reader;
  EventLines lines = {};
  std::string error = {};  // the body of a reply with another status
};

std::size_t read_events(char* bytes, std::size_t size, std::size_t count, void* out) {
  Reading& reading = *static_cast<Reading*>(out);
  if (reading.exchange.status() == 200)
    reading.lines.add({bytes, size * count}, reading.reader.on_event);
  else
    reading.error.append(bytes, size * count);
  return size * count;
}

// "localhost:8411", "[::1]:8411".
bool is_host_and_port(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == 0 || colon == std::string_view::npos) return false;
  const std::string_view port = text.substr(colon + 1);
  return text.find('/') == std::string_view::npos && !port.empty() &&
         std::ranges::all_of(port, [](char c) { return c >= '0' && c <= '9'; });
}

constexpr int kLookMs = 50;

// Carries it out, and looks at the reader now and then.
Result<CURLcode> carry_out(CURL* curl, const EventReader& reader) {
  const std::unique_ptr<CURLM, decltype(&curl_multi_cleanup)> multi(curl_multi_init(),
                                                                    curl_multi_cleanup);
  if (!multi) return fail(Code::kUnavailable, "libcurl cannot be used");
  curl_multi_add_handle(multi.get(), curl);
  int running = 1;
  bool goes_on = true;
  while (running > 0 && goes_on && curl_multi_perform(multi.get(), &running) == CURLM_OK) {
    goes_on = reader.go_on();
    if (running > 0 && goes_on) curl_multi_poll(multi.get(), nullptr, 0, kLookMs, nullptr);
  }
  CURLcode done = CURLE_RECV_ERROR;
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(multi.get(), &left))
    if (message->msg == CURLMSG_DONE) done = message->data.result;
  curl_multi_remove_handle(multi.get(), curl);
  if (!goes_on && running > 0) return fail(Code::kCancelled, "the request was given up");
  return done;
}

}  // namespace

Result<DaemonAddress> daemon_address(const std::string& text) {
  constexpr std::string_view kUnix = "unix:";
  constexpr std::string_view kBase = "/v1";  // of the URL that clients of OpenAI's API take
  std::string rest = text;
  const auto shorten = [&] {
    while (rest.ends_with('/')) rest.pop_back();
    if (rest.ends_with(kBase)) rest.resize(rest.size() - kBase.size());
  };
  if (rest.starts_with("http://") || rest.starts_with("https://")) {
    shorten();
    return DaemonAddress{.url = rest, .socket = {}};
  }
  if (rest.starts_with(kUnix)) rest.erase(0, kUnix.size());
  const std::string path = rest;
  shorten();
  if (is_host_and_port(rest)) return DaemonAddress{.url = "http://" + rest, .socket = {}};
  rest = path;
  std::error_code error;  // it is not there
  if (rest.find('/') == std::string::npos && !std::filesystem::is_socket(rest, error))
    return fail(Code::kInvalidArgument,
                "'" + text + "' is neither http://HOST:PORT nor the path of a unix socket");
  return DaemonAddress{.url = "http://localhost", .socket = rest};
}

Result<ClientReply> ask(const DaemonAddress& daemon, const std::string& method,
                        const std::string& path, const std::string& body) {
  const auto exchange = CHOIR_TRY(CurlExchange::create(daemon, method, path, body));
  ClientReply reply;
  exchange->set(CURLOPT_WRITEFUNCTION, append);
  exchange->set(CURLOPT_WRITEDATA, &reply.body);
  CHOIR_CHECK_OK(exchange->check(curl_easy_perform(exchange->curl())));
  reply.status = exchange->status();
  return reply;
}

Result<ClientReply> ask(const std::string& socket, const std::string& method,
                        const std::string& path, const std::string& body) {
  return ask(DaemonAddress{.url = "http://localhost", .socket = socket}, method, path, body);
}

Result<ClientReply> ask_events(const DaemonAddress& daemon, const std::string& path,
                               const std::string& body, const EventReader& reader) {
  const auto exchange = CHOIR_TRY(CurlExchange::create(daemon, "POST", path, body));
  Reading reading{.exchange = *exchange, .reader = reader};
  exchange->set(CURLOPT_WRITEFUNCTION, read_events);
  exchange->set(CURLOPT_WRITEDATA, &reading);
  CHOIR_CHECK_OK(exchange->check(CHOIR_TRY(carry_out(exchange->curl(), reader))));
  return ClientReply{.status = exchange->status(), .body = std::move(reading.error)};
}

void EventLines::add(std::string_view bytes,
                     const std::function<void(std::string_view data)>& on_event) {
  // The value of a line that begins with this field.
  const auto value_of = [](std::string_view line, std::string_view field) {
    line.remove_prefix(field.size());
    if (line.starts_with(' ')) line.remove_prefix(1);
    return line;
  };
  constexpr std::string_view kData = "data:";
  constexpr std::string_view kEvent = "event:";
  constexpr std::string_view kId = "id:";
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    line_ += bytes.substr(0, end);
    if (end == std::string_view::npos) return;
    bytes.remove_prefix(end + 1);
    std::string_view line = line_;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) {
      if (!data_.empty()) on_event(data_);
      data_.clear();
      name_.clear();
      id_.clear();
    } else if (line.starts_with(kData)) {
      if (!data_.empty()) data_ += '\n';
      data_ += value_of(line, kData);
    } else if (line.starts_with(kEvent)) {
      name_ = value_of(line, kEvent);
    } else if (line.starts_with(kId)) {
      id_ = value_of(line, kId);
    }
    line_.clear();
  }
}

}  // namespace choir::serve
