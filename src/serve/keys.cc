#include "serve/keys.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "base/disk.h"
#include "base/environment.h"
#include "base/file_lock.h"
#include "choir/priority_named.h"
#include "choir/request.h"
#include "choir/text.h"
#include "models/sha256.h"
#include "serve/http.h"
#include "serve/json_in.h"
#include "serve/secret.h"

namespace choir::serve {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kElsewhere = "--keys names another file";
constexpr std::string_view kPrefix = "sk-choir-";
constexpr std::size_t kNameMax = 64;
constexpr std::size_t kPresentedMax = 512;

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= kNameMax && std::ranges::all_of(name, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
           c == '_' || c == '-';
  });
}

Json json_of(const Key& key) {
  Json scopes = Json::array();
  for (const std::string_view name : kScopeNames)
    if ((key.client.scopes & *scope_named(name)) != 0) scopes.push_back(name);
  return {{"name", key.client.key},      {"sha256", key.sha256},
          {"scopes", std::move(scopes)}, {"tenant", key.client.tenant},
          {"weight", key.client.weight}, {"class", to_string(key.client.best)}};
}

Result<Key> key_of(const Json& json, const std::string& where) {
  const auto wrong = [&](const std::string& what) {
    return fail(Code::kInvalidArgument, where + ": " + what);
  };
  if (!json.is_object()) return wrong("it is no object");
  const auto text = [&](const char* field) {
    const auto found = json.find(field);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  Key key{.client = {.key = text("name"), .tenant = text("tenant")},
          .sha256 = lower_case(text("sha256"))};
  if (!is_name(key.client.key)) return wrong("'name' is missing or has other characters");
  if (!is_sha256(key.sha256)) return wrong("'sha256' is no SHA-256");
  if (key.client.tenant.empty() || key.client.tenant.size() > kNameBytesMax)
    return wrong("'tenant' is missing or too long");
  const Json weight = json.value("weight", Json(1.0));
  if (!weight.is_number() || weight < kTenantWeightMin || weight > kTenantWeightMax)
    return wrong("'weight' takes a number from 0.001 to 1000");
  key.client.weight = weight.get<double>();
  const auto best = priority_named(text("class"));
  if (!best) return wrong("'class' takes critical, high, normal or low");
  key.client.best = *best;
  const Json scopes = json.value("scopes", Json());
  if (!scopes.is_array()) return wrong("'scopes' is no list");
  for (const Json& scope : scopes) {
    const auto known =
        scope.is_string() ? scope_named(scope.get_ref<const std::string&>()) : std::nullopt;
    if (!known) return wrong("'scopes' takes view, infer, metrics and admin");
    key.client.scopes = static_cast<Scopes>(key.client.scopes | *known);
  }
  return key;
}

// A new file beside the old one, then in its place.
Status write(const std::string& path, const std::vector<Key>& keys) {
  Json rows = Json::array();
  for (const Key& key : keys) rows.push_back(json_of(key));
  const std::string text = Json{{"keys", std::move(rows)}}.dump(2) + "\n";
  const std::string fresh = path + ".new";
  ::unlink(fresh.c_str());
  const Fd file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (file.get() < 0) return tl::unexpected(write_error(fresh, errno, kElsewhere));
  const auto failed = [&](const std::string& what) {
    const int reason = errno;
    ::unlink(fresh.c_str());
    return tl::unexpected(write_error(what, reason, kElsewhere));
  };
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t count = ::write(file.get(), text.data() + done, text.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return failed(fresh);
    done += static_cast<std::size_t>(count);
  }
  if (::fsync(file.get()) != 0 || ::rename(fresh.c_str(), path.c_str()) != 0) return failed(path);
  sync_folder(fs::path(path).parent_path().string());
  return {};
}

// Reads the keys, lets `use` change them, and writes them; one process at a time.
template <class Use>
Status change(const std::string& path, Use use) {
  const std::string folder = fs::absolute(path).parent_path().string();
  CHOIR_CHECK_OK(make_folder(folder, kElsewhere));
  const FileLock lock = CHOIR_TRY(FileLock::take(path + ".lock", kElsewhere, [] { return true; }));
  auto read = Keys::read(path);
  if (!read && read.error().code != Code::kNotFound) return tl::unexpected(read.error());
  std::vector<Key> keys = read ? read->all() : std::vector<Key>();
  CHOIR_CHECK_OK(use(keys));
  return write(path, keys);
}

}  // namespace

Result<Keys> Keys::read(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0)
    return fail(Code::kNotFound,
                "there is no file of keys '" + path + "': `choir key new NAME` makes one");
  if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0)
    return fail(Code::kInvalidArgument,
                "others than its owner may read the keys in '" + path + "': chmod 600 it");
  std::ifstream file(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file) return fail(Code::kUnavailable, "the keys in '" + path + "' cannot be read");
  const Result<Json> json = parse_json(text);
  if (!json || !json->is_object() || !json->value("keys", Json()).is_array())
    return fail(Code::kInvalidArgument, "'" + path + "' is not a file of keys");
  const Json& rows = (*json)["keys"];
  if (rows.size() > kKeysMax)
    return fail(Code::kInvalidArgument, "'" + path + "' has " + std::to_string(rows.size()) +
                                            " keys, at most " + std::to_string(kKeysMax) +
                                            " are allowed");
  std::vector<Key> keys;
  for (std::size_t i = 0; i < rows.size(); ++i)
    keys.push_back(CHOIR_TRY(key_of(rows[i], "'" + path + "', keys[" + std::to_string(i) + "]")));
  return Keys(std::move(keys));
}

std::optional<Client> Keys::client_of(std::string_view presented) const {
  if (presented.empty() || presented.size() > kPresentedMax) return std::nullopt;
  const std::string hash = sha256_of_text(presented);
  const Key* found = nullptr;
  for (const Key& key : keys_)
    if (CRYPTO_memcmp(key.sha256.data(), hash.data(), hash.size()) == 0) found = &key;
  if (found == nullptr) return std::nullopt;
  return found->client;
}

const Key* Keys::named(std::string_view name) const {
  const auto found =
      std::ranges::find_if(keys_, [&](const Key& key) { return key.client.key == name; });
  return found == keys_.end() ? nullptr : &*found;
}

Result<Keys> keys_of(const std::string& named) {
  auto keys = Keys::read(named.empty() ? default_keys_file() : named);
  if (!keys && named.empty() && keys.error().code == Code::kNotFound) return Keys();
  return keys;
}

std::string default_keys_file() {
  if (const std::string xdg = environment("XDG_CONFIG_HOME"); xdg.starts_with('/'))
    return xdg + "/choir/keys.json";
  const std::string home = environment("HOME");
  return home.empty() ? "" : home + "/.config/choir/keys.json";
}

Result<std::string> add_key(const std::string& path, const Client& client) {
  if (!is_name(client.key))
    return fail(Code::kInvalidArgument, "'" + printable_line(client.key, 60) +
                                            "' is no name of a key: it takes 1 to 64 letters, "
                                            "digits, '.', '_' or '-'");
  const std::string secret = CHOIR_TRY(random_secret(kPrefix));
  CHOIR_CHECK_OK(change(path, [&](std::vector<Key>& keys) -> Status {
    for (const Key& key : keys)
      if (key.client.key == client.key)
        return fail(Code::kAlreadyExists, "there is a key '" + client.key +
                                              "' already; `choir key remove` takes it away");
    for (const Key& key : keys)
      if (key.client.tenant == client.tenant && key.client.weight != client.weight)
        return fail(Code::kInvalidArgument,
                    "the tenant '" + client.tenant + "' has the weight " +
                        Json(key.client.weight).dump() + " with the key '" + key.client.key +
                        "', not " + Json(client.weight).dump() +
                        ": a tenant has one weight, --weight is the same for all of its keys");
    if (keys.size() >= kKeysMax)
      return fail(Code::kOverloaded,
                  "there are " + std::to_string(kKeysMax) + " keys, which is the most; remove one");
    keys.push_back({.client = client, .sha256 = sha256_of_text(secret)});
    return {};
  }));
  return secret;
}

Status remove_key(const std::string& path, std::string_view name) {
  return change(path, [&](std::vector<Key>& keys) -> Status {
    if (std::erase_if(keys, [&](const Key& key) { return key.client.key == name; }) > 0) return {};
    std::vector<std::string> names;
    names.reserve(keys.size());
    for (const Key& key : keys) names.push_back(key.client.key);
    const auto near = nearest(name, names);
    return fail(Code::kNotFound, "there is no key '" + printable_line(name, 60) + "'" +
                                     (near ? "; did you mean '" + *near + "'?" : ""));
  });
}

}  // namespace choir::serve
