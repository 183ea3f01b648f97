// The flags of `choir serve`: one for each setting that has one, declared by serve/settings.h.
#pragma once

#include <utility>
#include <vector>

#include "options.h"
#include "serve/config.h"

namespace choir::app {

class ServeFlags {
 public:
  // Declares them and --config. The command outlives this object.
  explicit ServeFlags(CLI::App& command);
  // The configuration by the flags of the command line, the environment and the file. Reads the
  // file.
  Result<serve::Config> read() const;

 private:
  CLI::Option* file_ = nullptr;
  std::vector<std::pair<const serve::Setting*, CLI::Option*>> flags_;
};

}  // namespace choir::app
