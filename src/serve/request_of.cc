#include "serve/request_of.h"

#include <random>
#include <utility>

namespace choir::serve {

Request request_of(Asked& asked, const Client& client, const std::string& executor) {
  Request request = std::move(asked.request);
  request.executor = executor;
  request.tenant = client.tenant;
  request.tenant_weight = client.weight;
  request.default_template = true;
  if (!asked.max_tokens_given) request.max_tokens = asked.max_tokens_otherwise;
  if (!asked.seed_given) request.sampling.seed = std::random_device{}();
  if (!asked.cache_salt.empty() || !asked.prompt_cache_key.empty())
    request.reuse_scope = request.tenant + "/" + asked.cache_salt + "/" + asked.prompt_cache_key;
  return request;
}

std::vector<Request> requests_of(Asked& asked, const Client& client, const std::string& executor) {
  std::vector<Request> requests = {request_of(asked, client, executor)};
  if (asked.prompts.empty()) return requests;
  requests.resize(asked.prompts.size(), requests.front());
  for (std::size_t i = 0; i < requests.size(); ++i) {
    Request& request = requests[i];
    request.text = std::move(asked.prompts[i].text);
    request.tokens = std::move(asked.prompts[i].tokens);
    if (!asked.seed_given && i > 0) request.sampling.seed = std::random_device{}();
  }
  return requests;
}

}  // namespace choir::serve
