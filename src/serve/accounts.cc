#include "serve/accounts.h"

#include <utility>

namespace choir::serve {
namespace {

std::size_t count_of(const std::map<std::string, std::size_t, std::less<>>& counts,
                     const std::string& name) {
  const auto found = counts.find(name);
  return found == counts.end() ? 0 : found->second;
}

Refusal too_many(std::string message) {
  return {429, std::move(message) + "; try again later", retry_in_a_second()};
}

}  // namespace

void Accounts::take(Counts& counts, const std::string& name) {
  const auto found = counts.find(name);
  if (found != counts.end() && --found->second == 0) counts.erase(found);
}

std::optional<Refusal> Accounts::begin(std::uint64_t connection, const Client& client,
                                       bool infers) {
  const auto row = rows_.find(connection);
  const std::string before = row == rows_.end() ? "" : row->second.key;
  if (before != client.key) {
    if (count_of(connections_, client.key) >= limits_.connections_of_key && !client.key.empty())
      return too_many("the key '" + client.key + "' has " +
                      std::to_string(limits_.connections_of_key) +
                      " connections, which is the most");
    take(connections_, before);
    if (!client.key.empty()) ++connections_[client.key];
    rows_[connection].key = client.key;
  }
  if (!infers) return std::nullopt;
  const std::size_t own = count_of(requests_, client.tenant);
  const bool alone = requests_.size() == (own > 0 ? 1 : 0);
  if (!client.key.empty() && !alone && own >= limits_.requests_of_tenant)
    return too_many("the tenant '" + client.tenant + "' has " + std::to_string(own) +
                    " requests at once, and beside other tenants it may have " +
                    std::to_string(limits_.requests_of_tenant));
  ++requests_[client.tenant];
  rows_[connection].tenant = client.tenant;
  return std::nullopt;
}

void Accounts::end_request(std::uint64_t connection) {
  const auto row = rows_.find(connection);
  if (row == rows_.end() || !row->second.tenant) return;
  take(requests_, *std::exchange(row->second.tenant, std::nullopt));
}

void Accounts::end_connection(std::uint64_t connection) {
  end_request(connection);
  const auto row = rows_.find(connection);
  if (row == rows_.end()) return;
  take(connections_, row->second.key);
  rows_.erase(row);
}

}  // namespace choir::serve
