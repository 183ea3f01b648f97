// The commands. Each function declares one with its options and, when the command line names it,
// puts what it does into `chosen`.
#pragma once

#include "options.h"

namespace choir::app {

void add_run(CLI::App& root, Run& chosen);
void add_parallel(CLI::App& root, Run& chosen);
void add_serve(CLI::App& root, Run& chosen);
void add_daemon(CLI::App& root, Run& chosen);  // ps, load, unload, stop
void add_dashboard(CLI::App& root, Run& chosen);
void add_top(CLI::App& root, Run& chosen);
void add_key_command(CLI::App& root, Run& chosen);
void add_config(CLI::App& root, Run& chosen);
void add_models(CLI::App& root, Run& chosen);
void add_pull(CLI::App& root, Run& chosen);
void add_show(CLI::App& root, Run& chosen);
void add_tokenize(CLI::App& root, Run& chosen);
void add_bench(CLI::App& root, Run& chosen);
void add_tune(CLI::App& root, Run& chosen);
void add_doctor(CLI::App& root, Run& chosen);
void add_api(CLI::App& root, Run& chosen);
void add_version(CLI::App& root, Run& chosen);

std::string version_line();

}  // namespace choir::app
