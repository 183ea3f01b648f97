// What packing weights at load costs, in time and memory, beside ggml's own load of the same file.
//
//   ./dev bench load        needs smollm2-135m and gemma3-270m in the models folder
//
// Each load is a process of its own; the file is in the page cache. Seconds are the best of a few
// alternating loads; with the kernels off ggml maps the file and reads no weight before it needs
// it, so what a person waits for is the load and a first token after it. Memory is what the process
// then holds of its own, less before it; with the kernels off that is the vocabulary, and the
// file's mapping comes to it.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/check.h"
#include "bench/engine/pass.h"
#include "bench/report/report.h"
#include "choir/catalog.h"
#include "engine/llama_engine.h"
#include "engine/llama_model.h"
#include "engine/llama_pool.h"

namespace choir::bench {
namespace {

constexpr int kLoads = 5;
constexpr std::int32_t kPromptTokens = 64;

struct Loaded {
  double seconds = 0;
  double first_token_seconds = 0;  // with the load, on two threads
  double bytes = 0;
};

// Resident bytes of this process that are no file's.
double own_bytes() {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line))
    if (line.starts_with("RssAnon:")) return std::stod(line.substr(8)) * 1024;
  return 0;
}

void compute_first_token(std::shared_ptr<const LlamaModel> model) {
  const auto engine =
      LlamaEngine::create(std::move(model), {.context_tokens = 256, .sequences_max = 1}).value();
  const std::array<int, 2> anywhere = {-1, -1};
  LlamaPool pool(anywhere);
  engine->attach(pool);
  compute_pass(*engine, 0, 1, any_text(kPromptTokens));
  engine->detach();
}

Loaded load_here(const std::string& path) {
  const double before = own_bytes();
  const auto began = std::chrono::steady_clock::now();
  const auto since = [began] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  };
  const auto model = LlamaModel::open(path, LlamaModel::Load::kWeights, "bench");
  CHOIR_CHECK(model.has_value(), "the model loads");
  Loaded loaded;
  loaded.seconds = since();
  loaded.bytes = own_bytes() - before;
  compute_first_token(*model);
  loaded.first_token_seconds = since();
  return loaded;
}

// kernels: what CHOIR_KERNELS says, or null to leave the choice to the CPU.
Loaded load_in_child(const std::string& path, const char* kernels) {
  int ends[2];
  CHOIR_CHECK(pipe(ends) == 0, "a pipe can be made");
  const pid_t child = fork();
  CHOIR_CHECK(child >= 0, "a process can be made");
  if (child == 0) {
    if (kernels != nullptr) setenv("CHOIR_KERNELS", kernels, 1);
    const Loaded loaded = load_here(path);
    const bool told = write(ends[1], &loaded, sizeof loaded) == sizeof loaded;
    _exit(told ? 0 : 1);
  }
  close(ends[1]);
  Loaded loaded;
  const bool heard = read(ends[0], &loaded, sizeof loaded) == sizeof loaded;
  close(ends[0]);
  waitpid(child, nullptr, 0);
  CHOIR_CHECK(heard, "the process that loads says what it found");
  return loaded;
}

int run(const Arguments& arguments) {
  std::vector<Row> rows;
  for (const char* name : {"smollm2-135m", "gemma3-270m"}) {
    const auto path = resolve_model(name);
    if (!path) {
      std::fprintf(stderr, "bench load: %s\n", path.error().message.c_str());
      return 1;
    }
    Loaded ours{1e9, 1e9};
    Loaded theirs{1e9, 1e9};
    const auto take = [](Loaded& best, const Loaded& next) {
      best.seconds = std::min(best.seconds, next.seconds);
      best.first_token_seconds = std::min(best.first_token_seconds, next.first_token_seconds);
      best.bytes = next.bytes;
    };
    for (int i = 0; i < kLoads; ++i) {
      take(theirs, load_in_child(*path, "off"));
      take(ours, load_in_child(*path, nullptr));
    }
    const auto file = static_cast<double>(std::filesystem::file_size(*path));
    rows.push_back({.name = std::string(name) + ", load",
                    .unit = "s",
                    .choir = ours.seconds,
                    .peer = theirs.seconds,
                    .peer_name = "kernels off: mapped, not read",
                    .goal = {},
                    .better = Better::kLower});
    rows.push_back({.name = std::string(name) + ", load and first token",
                    .unit = "s",
                    .choir = ours.first_token_seconds,
                    .peer = theirs.first_token_seconds,
                    .peer_name = "kernels off",
                    .goal = 1.5,
                    .better = Better::kLower});
    rows.push_back({.name = std::string(name) + ", memory after it",
                    .unit = "MB",
                    .choir = ours.bytes / 1e6,
                    .peer = (file + theirs.bytes) / 1e6,
                    .peer_name = "file and vocabulary",
                    .goal = 1.1,
                    .better = Better::kLower});
  }
  return finish("load", rows, arguments);
}

}  // namespace
}  // namespace choir::bench

int main(int argc, char** argv) {
  return choir::bench::run(choir::bench::parse(argc, argv, "Loading with weights packed"));
}
