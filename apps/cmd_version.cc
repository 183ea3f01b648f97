// choir version
#include <memory>
#include <nlohmann/json.hpp>

#include "choir/machine.h"
#include "command.h"
#include "exit_code.h"
#include "json.h"
#include "terminal.h"

namespace choir::app {

std::string version_line() { return "choir " + version().choir; }

void add_version(CLI::App& root, Run& chosen) {
  auto json = std::make_shared<bool>(false);
  CLI::App* command = add_command(root, "version", "Print the versions of Choir and its engine",
                                  "  choir version\n"
                                  "  choir version --json");
  add_json(*command, *json);
  command->callback([json, &chosen] {
    chosen = [json]() -> Result<int> {
      const Version all = version();
      if (*json) {
        print_json(json_of(all));
      } else {
        print(version_line() + "\n");
        print(table({{"engine", all.engine},
                     {"compiler", all.compiler},
                     {"features", all.engine_features},
                     {"kernels", all.kernels}},
                    "ll"));
      }
      return kExitOk;
    };
  });
}

}  // namespace choir::app
