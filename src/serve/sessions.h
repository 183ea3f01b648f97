// Sessions of browsers: a key, or a code of a link, is exchanged for a token, so that a page never
// keeps a key.
//
// Tokens and codes are random secrets; what is kept of them is a SHA-256. A session that began with
// a key has that key's rights, never more than when it began, and ends with the key. One that began
// with a link of the unix socket has all rights, as the socket has. A code works once.
//
// A table without locks, on a clock that is given in; one thread at a time, which is the loop
// thread of the daemon. No call blocks.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "choir/result.h"
#include "choir/units.h"
#include "serve/client_rights.h"
#include "serve/keys.h"

namespace choir::serve {

inline constexpr Nanos kSessionLives = std::chrono::hours(12);
inline constexpr Nanos kLinkLives = std::chrono::seconds(60);
inline constexpr Nanos kFirstLinkLives = std::chrono::minutes(10);  // that `choir serve` prints

// On whose account a session is.
struct SessionOwner {
  Client client = {};           // its rights; `key` empty: it has none
  std::string key_sha256 = {};  // of the key; empty: there is none
};

class Sessions {
 public:
  static constexpr std::size_t kSessionsMax = 4096;
  static constexpr std::size_t kOfOneKeyMax = 64;  // and of all without a key
  static constexpr std::size_t kCodesMax = 64;

  // The clock outlives this object.
  explicit Sessions(const Clock& clock) : clock_(clock) {}

  // Whether a text is a token by its form.
  static bool is_token(std::string_view text);

  // The token of a new session. Where the owner has kOfOneKeyMax already, the oldest of them ends.
  // kOverloaded: there are kSessionsMax. kUnavailable: the system gives no random bytes.
  Result<std::string> begin(const SessionOwner& owner);
  // A code that begins one session of this owner within `lives`. Where there are kCodesMax, the
  // oldest ends. kUnavailable: as above.
  Result<std::string> make_code(const SessionOwner& owner, Nanos lives);
  // The token of the session that the code begins. kNotFound: it was used, its time is over, or it
  // never was one; all three look the same.
  Result<std::string> begin_with_code(std::string_view code);

  // Whose token this is, with the rights that its key has among `keys` now; `session` is set.
  // Nullopt: the session has ended, or never began.
  std::optional<Client> client_of(std::string_view token, const Keys& keys) const;
  // How long a session, named by Client::session, still lives; nullopt: it has ended.
  std::optional<Nanos> left(const std::string& session) const;
  // False: it had ended already.
  bool end(const std::string& session);

  std::size_t size() const { return sessions_.size(); }  // some may have ended

 private:
  struct Row {
    SessionOwner owner;
    Instant ends;
    std::uint64_t number = 0;  // in the order of beginning
  };
  using Rows = std::map<std::string, Row, std::less<>>;  // by the hash of the secret
  void forget_ended();

  const Clock& clock_;
  Rows sessions_;
  Rows codes_;
  std::uint64_t last_ = 0;
};

}  // namespace choir::serve
