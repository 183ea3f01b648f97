// choir api: the document of the daemon's HTTP API. For those who work on Choir; help does not
// list it.
#include <memory>

#include "command.h"
#include "exit_code.h"
#include "serve/daemon.h"
#include "terminal.h"

namespace choir::app {

void add_api(CLI::App& root, Run& chosen) {
  struct Options {
    bool markdown = false;
    bool dictionary = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = add_command(root, "api", "Print the document of the daemon's HTTP API",
                                  "  choir api > docs/openapi.json\n"
                                  "  choir api --markdown > docs/api.md\n"
                                  "  choir api --fuzz-dictionary > tests/fuzz/fields.dict");
  command->group("");
  command->add_flag("--markdown", options->markdown, "As Markdown, not as OpenAPI");
  command->add_flag("--fuzz-dictionary", options->dictionary,
                    "The names of fields, for the fuzzers");
  command->callback([options, &chosen] {
    chosen = [options]() -> Result<int> {
      const serve::ApiDocument api = CHOIR_TRY(serve::Daemon::api());
      print(options->markdown     ? api.markdown
            : options->dictionary ? api.fuzz_dictionary
                                  : api.openapi);
      return kExitOk;
    };
  });
}

}  // namespace choir::app
