// choir-probe: tries a model file so that the process that wants it does not have to die of it.
//
//   choir-probe FILE FILE_BYTES MEMORY_BYTES_MAX CONTEXT_TOKENS SEQUENCES BATCH_TOKENS KV_TYPE
//
// Last line on stdout: `choir-probe: {"ok":true}` or `{"ok":false,"code":...,"message":...}`.
// Anything else, a signal above all, means that the file is not to be opened. Started by the
// library, not by people.
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "../facts_json.h"
#include "choir/config.h"
#include "engine/trial.h"

namespace {

// Some seconds for the vocabulary and templates, and a slow disk's time for the weights.
constexpr std::uint64_t kSecondsBase = 30;
constexpr std::uint64_t kBytesPerSecond = 20ULL << 20;

void limit(decltype(RLIMIT_AS) what, std::uint64_t most) {
  const rlimit value{most, most};
  (void)setrlimit(what, &value);
}

void say(const nlohmann::json& answer) {
  std::printf("\nchoir-probe: %s\n",
              answer.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 8) {
    std::fputs("choir-probe is started by the Choir library to try a model file\n", stderr);
    return 2;
  }
  try {
    const std::vector<std::string> words(argv + 1, argv + argc);
    const std::uint64_t file_bytes = std::stoull(words[1]);
    const std::uint64_t seconds = kSecondsBase + file_bytes / kBytesPerSecond;
    limit(RLIMIT_CORE, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // no process is left to read the answer
#ifndef CHOIR_SANITIZED                // these map terabytes
    limit(RLIMIT_AS, 3 * file_bytes + (4ULL << 30));
#endif
    limit(RLIMIT_CPU, 4 * seconds);
    alarm(static_cast<unsigned>(seconds));
    const choir::EngineConfig config{.context_tokens = std::stoi(words[3]),
                                     .sequences_max = std::stoi(words[4]),
                                     .batch_tokens_max = std::stoi(words[5]),
                                     .kv_type = choir::kv_type_named(words[6]).value()};
    const choir::Status tried = choir::try_file(words[0], config, std::stoull(words[2]));
    if (tried) {
      say({{"ok", true}});
      _exit(0);
    }
    const choir::Error& error = tried.error();
    say({{"ok", false},
         {"code", std::string(choir::to_string(error.code))},
         {"message", error.message},
         {"facts", choir::app::facts_json<nlohmann::json>(error.facts)}});
  } catch (const std::exception& error) {
    say({{"ok", false},
         {"code", "engine_failed"},
         {"message", std::string("the engine threw: ") + error.what()}});
  }
  // Without destructors: a half-built model need not be taken apart.
  _exit(1);
}
