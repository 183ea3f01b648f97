#include "serve/client_exchange.h"

#include "base/environment.h"

namespace choir::serve {

Result<std::unique_ptr<CurlExchange>> CurlExchange::create(const DaemonAddress& daemon,
                                                           const std::string& method,
                                                           const std::string& path,
                                                           const std::string& body) {
  static const CURLcode kReady = curl_global_init(CURL_GLOBAL_DEFAULT);
  Curl curl(kReady == CURLE_OK ? curl_easy_init() : nullptr);
  if (!curl) return fail(Code::kUnavailable, "libcurl cannot be used");
  std::unique_ptr<CurlExchange> made(new CurlExchange(daemon, std::move(curl)));
  made->set_up(method, path, body);
  return made;
}

int CurlExchange::status() const {
  long status = 0;
  curl_easy_getinfo(curl_.get(), CURLINFO_RESPONSE_CODE, &status);
  return static_cast<int>(status);
}

Status CurlExchange::check(CURLcode done) const {
  if (done == CURLE_OK) return {};
  const std::string where = daemon_.socket.empty() ? daemon_.url : daemon_.socket;
  if (done == CURLE_COULDNT_CONNECT || done == CURLE_COULDNT_RESOLVE_HOST)
    return fail(Code::kNotFound, "no daemon answers at '" + where +
                                     "': `choir serve` starts one; --host names another, or "
                                     "--port where the command has it");
  return fail(Code::kUnavailable,
              "the daemon at '" + where + "' did not answer: " + curl_easy_strerror(done));
}

void CurlExchange::set_up(const std::string& method, const std::string& path,
                          const std::string& body) {
  body_ = body;
  if (!daemon_.socket.empty()) set(CURLOPT_UNIX_SOCKET_PATH, daemon_.socket.c_str());
  set(CURLOPT_URL, (daemon_.url + path).c_str());
  set(CURLOPT_CUSTOMREQUEST, method.c_str());
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_NOPROXY, "*");
  if (method != "GET") {
    set(CURLOPT_POSTFIELDS, body_.c_str());
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body_.size()));
  }
  // Not "Expect: 100-continue", which costs a second where nobody answers it.
  headers_.reset(curl_slist_append(nullptr, "Expect:"));
  if (const std::string key = environment("CHOIR_API_KEY"); !key.empty())
    headers_.reset(curl_slist_append(headers_.release(), ("Authorization: Bearer " + key).c_str()));
  set(CURLOPT_HTTPHEADER, headers_.get());
}

}  // namespace choir::serve
