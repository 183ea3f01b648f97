// One request to a daemon by libcurl, ready to be carried out. For client.cc and watch.cc.
//
// One thread. create() does not connect and nothing here blocks.
#pragma once

#include <curl/curl.h>

#include <memory>
#include <string>
#include <utility>

#include "serve/client.h"

namespace choir::serve {

struct CurlEnd {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using Curl = std::unique_ptr<CURL, CurlEnd>;
using CurlList = std::unique_ptr<curl_slist, CurlEnd>;

// One request, ready to be carried out. curl holds the addresses of its members.
class CurlExchange {
 public:
  // `daemon.socket` names a socket or is empty, in which case `daemon.url` is used. kUnavailable:
  // libcurl cannot be used. With the variable CHOIR_API_KEY as the key, if it is there.
  static Result<std::unique_ptr<CurlExchange>> create(const DaemonAddress& daemon,
                                                      const std::string& method,
                                                      const std::string& path,
                                                      const std::string& body);

  CURL* curl() const { return curl_.get(); }
  template <class Value>
  void set(CURLoption option, Value value) {
    curl_easy_setopt(curl_.get(), option, value);
  }
  // Of the reply; 0: there is none yet.
  int status() const;
  // What a request that ended so is for the user; kNotFound: no daemon answers there.
  Status check(CURLcode done) const;

 private:
  CurlExchange(const DaemonAddress& daemon, Curl curl) : daemon_(daemon), curl_(std::move(curl)) {}
  void set_up(const std::string& method, const std::string& path, const std::string& body);

  const DaemonAddress daemon_;
  std::string body_;
  CurlList headers_;
  const Curl curl_;
};

}  // namespace choir::serve
