// API keys: a file of names, rights and hashes. A key itself is shown once, when it is made, and is
// nowhere afterwards.
//
// Values; any thread. read(), add_key() and remove_key() wait for the disk.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "choir/result.h"
#include "serve/client_rights.h"

namespace choir::serve {

inline constexpr std::size_t kKeysMax = 10'000;

struct Key {
  Client client;       // its `key` is the name
  std::string sha256;  // of the key, in hex
  bool operator==(const Key&) const = default;
};

class Keys {
 public:
  Keys() = default;  // none: no key is needed
  explicit Keys(std::vector<Key> keys) : keys_(std::move(keys)) {}

  // kNotFound: there is no such file. kInvalidArgument: others than its owner may read it, or it is
  // not a file of keys; the message names the key and the field.
  static Result<Keys> read(const std::string& path);

  bool empty() const { return keys_.empty(); }
  const std::vector<Key>& all() const { return keys_; }
  bool operator==(const Keys&) const = default;
  // The client whose key this is. The time does not depend on which key it is, or how much of one
  // is right.
  std::optional<Client> client_of(std::string_view presented) const;
  // The key of this name; null: there is none. Valid while this object is not changed.
  const Key* named(std::string_view name) const;

 private:
  std::vector<Key> keys_;
};

// The keys of the file that is named; where none is, of default_keys_file() if it is there.
Result<Keys> keys_of(const std::string& named);

// XDG_CONFIG_HOME/choir/keys.json, else ~/.config/choir/keys.json; empty when there is no home.
std::string default_keys_file();

// Makes a key for this client, adds it to the file, and returns it: "sk-choir-" and 43 characters.
// The file is made if it is not there, readable for its owner only; it is replaced as a whole, so a
// reader never sees a part. kAlreadyExists: the name is taken. kInvalidArgument: the name is not
// 1 .. 64 letters, digits, '.', '_' or '-'.
Result<std::string> add_key(const std::string& path, const Client& client);
// kNotFound: no key has this name.
Status remove_key(const std::string& path, std::string_view name);

}  // namespace choir::serve
