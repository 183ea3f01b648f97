#include "serve/first_tokens.h"

#include <utility>

namespace choir::serve {

std::vector<double> FirstTokens::fresh(std::span<const RequestInfo> active,
                                       std::span<const FirstToken> ended) {
  std::vector<double> seconds;
  std::set<RequestId> told;
  for (const RequestInfo& request : active) {
    if (!request.first_token_seconds) continue;
    if (!told_.contains(request.id)) seconds.push_back(*request.first_token_seconds);
    told.insert(request.id);
  }
  for (const FirstToken& token : ended)
    if (!told_.contains(token.id) && !told.contains(token.id)) seconds.push_back(token.seconds);
  told_ = std::move(told);
  return seconds;
}

}  // namespace choir::serve
