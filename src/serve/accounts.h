// How much of the server one client may have: connections of one key, and requests of one tenant
// that compute at once.
//
// A tenant that is alone has no limit; it gets one while another tenant has requests, and what it
// has above that goes on. Requests without a key have no limit, but count as another tenant.
//
// A value without clock or lock; of the loop thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>

#include "serve/client_rights.h"
#include "serve/router.h"

namespace choir::serve {

struct AccountLimits {
  std::size_t connections_of_key = 2048;
  std::size_t requests_of_tenant = 64;  // beside other tenants
};

class Accounts {
 public:
  explicit Accounts(const AccountLimits& limits = {}) : limits_(limits) {}

  // The connection brings a request of the client; `infers`: models are to compute for it. Refused
  // with 429: it is one connection or one request too many. Needs: end_request() has been called
  // for the one before.
  std::optional<Refusal> begin(std::uint64_t connection, const Client& client, bool infers);
  // Does nothing where none has begun.
  void end_request(std::uint64_t connection);
  void end_connection(std::uint64_t connection);

 private:
  using Counts = std::map<std::string, std::size_t, std::less<>>;  // without zeros
  struct Row {
    std::string key;                    // of the last request
    std::optional<std::string> tenant;  // of the one that computes
  };
  static void take(Counts& counts, const std::string& name);

  AccountLimits limits_;
  std::unordered_map<std::uint64_t, Row> rows_;  // by connection
  Counts connections_;                           // by key
  Counts requests_;                              // by tenant
};

}  // namespace choir::serve
