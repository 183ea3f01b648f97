#include "serve/request_of.h"

#include <random>
#include <string_view>
#include <utility>

#include "models/sha256.h"

namespace choir::serve {
namespace {

// A name of one length for each three, whatever is in them: two of three others never share one.
std::string scope_of(std::string_view tenant, std::string_view salt, std::string_view key) {
  std::string all;
  for (const std::string_view part : {tenant, salt, key})
    all.append(std::to_string(part.size())).append(":").append(part);
  return "sha256:" + sha256_of_text(all);
}

}  // namespace

Request request_of(Asked& asked, const Client& client, const std::string& executor) {
  Request request = std::move(asked.request);
  request.executor = executor;
  request.tenant = client.tenant;
  request.tenant_weight = client.weight;
  request.default_template = true;
  if (!asked.max_tokens_given) request.max_tokens = asked.max_tokens_otherwise;
  if (!asked.seed_given) request.sampling.seed = std::random_device{}();
  if (!asked.cache_salt.empty() || !asked.prompt_cache_key.empty())
    request.reuse_scope = scope_of(request.tenant, asked.cache_salt, asked.prompt_cache_key);
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
