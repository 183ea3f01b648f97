#include "serve/client.h"

#include <curl/curl.h>

#include <filesystem>
#include <memory>

#include "base/cache_folder.h"
#include "base/environment.h"

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

Result<ClientReply> ask(const std::string& socket, const std::string& method,
                        const std::string& path, const std::string& body) {
  static const CURLcode kReady = curl_global_init(CURL_GLOBAL_DEFAULT);
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(
      kReady == CURLE_OK ? curl_easy_init() : nullptr, curl_easy_cleanup);
  if (!curl) return fail(Code::kUnavailable, "libcurl cannot be used");
  ClientReply reply;
  const std::string url = "http://localhost" + path;
  curl_easy_setopt(curl.get(), CURLOPT_UNIX_SOCKET_PATH, socket.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_CUSTOMREQUEST, method.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, append);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &reply.body);
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  if (method != "GET") {
    curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDS, body.c_str());
    curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDSIZE, static_cast<long>(body.size()));
  }
  const CURLcode done = curl_easy_perform(curl.get());
  if (done == CURLE_COULDNT_CONNECT)
    return fail(Code::kNotFound,
                "no daemon answers at '" + socket +
                    "': `choir serve` starts one, --port or --unix-socket name another");
  if (done != CURLE_OK)
    return fail(Code::kUnavailable,
                "the daemon at '" + socket + "' did not answer: " + curl_easy_strerror(done));
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  reply.status = static_cast<int>(status);
  return reply;
}

}  // namespace choir::serve
