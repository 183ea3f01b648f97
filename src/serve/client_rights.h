// What a client may do, and on whose account. Plain values; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "choir/units.h"

namespace choir::serve {

// kView: look at models and requests. kInfer: have models compute. kMetrics: /metrics. kAdmin:
// change what the daemon does. Each is a bit.
using Scopes = std::uint8_t;
inline constexpr Scopes kView = 1;
inline constexpr Scopes kInfer = 2;
inline constexpr Scopes kMetrics = 4;
inline constexpr Scopes kAdmin = 8;
inline constexpr std::array<std::string_view, 4> kScopeNames = {"view", "infer", "metrics",
                                                                "admin"};

// Of requests without a key.
inline constexpr std::string_view kLocalTenant = "local";

struct Client {
  std::string key = {};  // name of its key; empty: it has none
  std::string tenant = std::string(kLocalTenant);
  double weight = 1;                    // of its tenant
  Priority best = Priority::kCritical;  // the highest class that it may ask for
  Scopes scopes = 0;
  std::string session = {};  // whose token it showed (serve/sessions.h); empty: none
  bool operator==(const Client&) const = default;
};

// "admin" -> kAdmin; nullopt for no scope.
constexpr std::optional<Scopes> scope_named(std::string_view name) {
  for (std::size_t i = 0; i < kScopeNames.size(); ++i)
    if (kScopeNames.at(i) == name) return static_cast<Scopes>(1U << i);
  return std::nullopt;
}

}  // namespace choir::serve
