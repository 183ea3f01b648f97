#include "serve/sessions.h"

#include <algorithm>
#include <utility>

#include "models/sha256.h"
#include "serve/secret.h"

namespace choir::serve {
namespace {

constexpr std::string_view kTokenPrefix = "session-choir-";
constexpr std::string_view kCodePrefix = "link-";
constexpr std::size_t kSecretBytes = 43;

}  // namespace

bool Sessions::is_token(std::string_view text) {
  return text.starts_with(kTokenPrefix) && text.size() == kTokenPrefix.size() + kSecretBytes;
}

void Sessions::forget_ended() {
  const Instant now = clock_.now();
  for (Rows* rows : {&sessions_, &codes_})
    std::erase_if(*rows, [&](const auto& row) { return row.second.ends <= now; });
}

Result<std::string> Sessions::begin(const SessionOwner& owner) {
  forget_ended();
  std::size_t count = 0;
  auto oldest = sessions_.end();
  for (auto row = sessions_.begin(); row != sessions_.end(); ++row) {
    if (row->second.owner.client.key != owner.client.key) continue;
    ++count;
    if (oldest == sessions_.end() || row->second.number < oldest->second.number) oldest = row;
  }
  if (count >= kOfOneKeyMax)
    sessions_.erase(oldest);
  else if (sessions_.size() >= kSessionsMax)
    return fail(Code::kOverloaded, "there are " + std::to_string(kSessionsMax) +
                                       " sessions, which is the most; try again later");
  std::string token = CHOIR_TRY(random_secret(kTokenPrefix));
  sessions_.emplace(sha256_of_text(token), Row{owner, clock_.now() + kSessionLives, ++last_});
  return token;
}

Result<std::string> Sessions::make_code(const SessionOwner& owner, Nanos lives) {
  forget_ended();
  if (codes_.size() >= kCodesMax)
    codes_.erase(
        std::ranges::min_element(codes_, {}, [](const auto& row) { return row.second.number; }));
  std::string code = CHOIR_TRY(random_secret(kCodePrefix));
  codes_.emplace(sha256_of_text(code), Row{owner, clock_.now() + lives, ++last_});
  return code;
}

Result<std::string> Sessions::begin_with_code(std::string_view code) {
  forget_ended();
  const bool is_code =
      code.starts_with(kCodePrefix) && code.size() == kCodePrefix.size() + kSecretBytes;
  const auto found = is_code ? codes_.find(sha256_of_text(code)) : codes_.end();
  if (found == codes_.end())
    return fail(Code::kNotFound,
                "the link is not valid: it works once and for a short time; `choir dashboard` "
                "makes a new one");
  const SessionOwner owner = std::move(found->second.owner);
  codes_.erase(found);
  return begin(owner);
}

std::optional<Client> Sessions::client_of(std::string_view token, const Keys& keys) const {
  if (!is_token(token)) return std::nullopt;
  const auto found = sessions_.find(sha256_of_text(token));
  if (found == sessions_.end() || found->second.ends <= clock_.now()) return std::nullopt;
  const SessionOwner& owner = found->second.owner;
  Client client = owner.client;
  if (!client.key.empty()) {
    const Key* key = keys.named(client.key);
    if (key == nullptr || key->sha256 != owner.key_sha256) return std::nullopt;
    client = key->client;
    client.scopes = static_cast<Scopes>(client.scopes & owner.client.scopes);
  }
  client.session = found->first;
  return client;
}

std::optional<Nanos> Sessions::left(const std::string& session) const {
  const auto found = sessions_.find(session);
  if (found == sessions_.end() || found->second.ends <= clock_.now()) return std::nullopt;
  return found->second.ends - clock_.now();
}

bool Sessions::end(const std::string& session) {
  const bool lives = left(session).has_value();
  sessions_.erase(session);
  return lives;
}

}  // namespace choir::serve
