// choir key: the API keys of a daemon.
#include <memory>

#include "choir/priority_named.h"
#include "choir/request.h"
#include "choir/text.h"
#include "command.h"
#include "exit_code.h"
#include "serve/keys.h"
#include "terminal.h"

namespace choir::app {
namespace {

struct KeyOptions {
  std::string file;
  std::string name;
  std::string tenant;
  std::vector<std::string> scopes;
  std::string best = "critical";
  double weight = 1;
};

std::string file_of(const KeyOptions& options) {
  return options.file.empty() ? serve::default_keys_file() : options.file;
}

std::string scopes_text(serve::Scopes scopes) {
  std::string text;
  for (const std::string_view name : serve::kScopeNames)
    if ((scopes & *serve::scope_named(name)) != 0)
      text += (text.empty() ? "" : " ") + std::string(name);
  return text;
}

Result<int> create(const KeyOptions& options) {
  serve::Client client{.key = options.name};
  client.tenant = options.tenant.empty() ? options.name : options.tenant;
  if (client.tenant.size() > kNameBytesMax)
    return usage_error("--tenant has more than " + std::to_string(kNameBytesMax) + " bytes");
  if (options.weight < kTenantWeightMin || options.weight > kTenantWeightMax)
    return usage_error("--weight is " + shortest(static_cast<float>(options.weight)) +
                       ", it takes 0.001 to 1000");
  client.weight = options.weight;
  const auto best = priority_named(options.best);
  if (!best)
    return usage_error("--class is '" + options.best + "', it takes critical, high, normal or low");
  client.best = *best;
  if (options.scopes.empty()) client.scopes = serve::kView | serve::kInfer;
  for (const std::string& name : options.scopes) {
    const auto scope = serve::scope_named(name);
    if (!scope)
      return usage_error("--scope is '" + name + "', it takes view, infer, metrics or admin");
    client.scopes = static_cast<serve::Scopes>(client.scopes | *scope);
  }
  print(CHOIR_TRY(serve::add_key(file_of(options), client)) + "\n");
  note(
      "This is the only time that the key is shown. A daemon knows it from its next start on, or "
      "after SIGHUP.\n");
  return kExitOk;
}

Result<int> list(const KeyOptions& options) {
  const auto keys = serve::Keys::read(file_of(options));
  if (!keys && keys.error().code == Code::kNotFound) {
    print("no keys: every client of this machine may use the daemon\n");
    return kExitOk;
  }
  if (!keys) return tl::unexpected(keys.error());
  std::vector<std::vector<std::string>> rows = {{"NAME", "TENANT", "WEIGHT", "CLASS", "SCOPES"}};
  for (const serve::Key& key : keys->all())
    rows.push_back({key.client.key, printable_line(key.client.tenant, 40),
                    shortest(static_cast<float>(key.client.weight)),
                    std::string(to_string(key.client.best)), scopes_text(key.client.scopes)});
  print(table(rows, "llrll"));
  return kExitOk;
}

Result<int> remove(const KeyOptions& options) {
  CHOIR_CHECK_OK(serve::remove_key(file_of(options), options.name));
  print("the key '" + options.name +
        "' is gone; a daemon forgets it with its next start, or after SIGHUP\n");
  return kExitOk;
}

CLI::App* add_one(CLI::App& root, const std::string& name, const std::string& what,
                  const std::string& examples, const std::shared_ptr<KeyOptions>& options) {
  CLI::App* command = add_command(root, name, what, examples);
  add_value(*command, "--keys", options->file, "FILE",
            "The file of keys [~/.config/choir/keys.json]");
  return command;
}

}  // namespace

void add_key_command(CLI::App& root, Run& chosen) {
  auto options = std::make_shared<KeyOptions>();
  CLI::App* key = add_command(root, "key", "Make, list and remove API keys of a daemon",
                              "  choir key new alice\n"
                              "  choir key new batch --tenant nightly --weight 0.5 --class low\n"
                              "  choir key list");
  key->require_subcommand(1);
  CLI::App* make =
      add_one(*key, "new", "Make a key, and print it once", "  choir key new alice", options);
  add_value(*make, "NAME", options->name, "", "Its name")->required();
  add_value(*make, "--tenant", options->tenant, "NAME",
            "On whose account its requests go [its name]");
  add_value(*make, "--weight", options->weight, "W", "Share of the compute beside other tenants");
  add_value(*make, "--class", options->best, "CLASS", "The highest class that it may ask for")
      ->capture_default_str();
  add_list(*make, "--scope", options->scopes, "SCOPE",
           "view, infer, metrics or admin; may be given several times [view and infer]");
  make->callback([options, &chosen] { chosen = [options] { return create(*options); }; });
  add_one(*key, "list", "List the keys", "  choir key list", options)->callback([options, &chosen] {
    chosen = [options] { return list(*options); };
  });
  CLI::App* gone = add_one(*key, "remove", "Remove a key", "  choir key remove alice", options);
  add_value(*gone, "NAME", options->name, "", "Its name")->required();
  gone->callback([options, &chosen] { chosen = [options] { return remove(*options); }; });
}

}  // namespace choir::app
