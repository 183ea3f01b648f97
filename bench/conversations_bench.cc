// What it costs to have things back: a long conversation after its model was unloaded or its
// process ended, an executor after suspend, memory after many loads; and what the facade adds to a
// request.
//
//   ./dev bench conversations       needs smollm2-135m in the models folder
//
// A conversation is compared with computing it again with the engine's own kernels, which a child
// process does (CHOIR_KERNELS=off decides once per process), and with ours. Loads are not counted.
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/check.h"
#include "bench/report/report.h"
#include "choir/catalog.h"
#include "choir/node.h"
#include "facade/world.h"
#include "parallel/parallel_llm_execution.h"
#include "sim/fake_engine.h"

namespace choir::bench {
namespace {

using namespace parallel;

constexpr int kConversationTokens = 2000;
constexpr int kCycles = 100;
constexpr int kRequests = 2000;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  double pages = 0;
  statm >> pages >> pages;
  return pages * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

LLMExecutionConfig config(const std::string& store) {
  LLMExecutionConfig c;
  c.llmId = "a";
  c.modelPath = resolve_model("smollm2-135m").value();
  c.maxSequenceLength = 4096;
  c.batchSize = 2;
  if (!store.empty()) c.parameters["store"] = store;
  return c;
}

LLMExecutionRequest turn(const std::string& text, std::size_t tokens) {
  LLMExecutionRequest r;
  r.inputText = text;
  r.maxOutputLength = tokens;
  r.temperature = 0;
  r.parameters["ignore_eos"] = "true";
  r.parameters["context_id"] = "talk";
  return r;
}

// One turn that makes a conversation of some 2,000 tokens.
void talk_long(AdvancedLLMExecutor& llm) {
  LLMExecutionContext context;
  context.contextId = "talk";
  CHOIR_CHECK(llm.createContext(context) == "talk", "the store is new");
  std::string text;
  for (int i = 0; i < kConversationTokens / 4; ++i) text += "bees make some honey ";
  const auto response = llm.execute(turn(text, 8));
  CHOIR_CHECK(response.success, "the conversation begins");
  std::fprintf(stderr, "a conversation of %s tokens\n",
               llm.getContext("talk").metadata["tokens"].c_str());
}

// Seconds of the conversation's next turn with one token of answer.
double continue_seconds(AdvancedLLMExecutor& llm) {
  const auto response = llm.execute(turn("And then?", 1));
  CHOIR_CHECK(response.success, "the conversation goes on");
  return static_cast<double>(response.latency);
}

// With what is in the store, but without its KV state: all tokens are computed.
double recompute_seconds(const std::string& store) {
  std::filesystem::remove_all(store + "/kv");
  AdvancedLLMExecutor llm(config(store));
  CHOIR_CHECK(llm.initialize(), "the model loads");
  return continue_seconds(llm);
}

double recompute_with_engine_kernels(const std::string& store) {
  std::array<char, 4096> self{};
  CHOIR_CHECK(::readlink("/proc/self/exe", self.data(), self.size() - 1) > 0, "we know ourselves");
  const std::string command =
      "CHOIR_KERNELS=off '" + std::string(self.data()) + "' --recompute '" + store + "'";
  FILE* child = ::popen(command.c_str(), "r");
  double seconds = 0;
  CHOIR_CHECK(child != nullptr && std::fscanf(child, "%lf", &seconds) == 1, "the child measured");
  CHOIR_CHECK(::pclose(child) == 0, "the child ended well");
  return seconds;
}

void conversations(std::vector<Row>& rows, const std::string& folder, bool peers) {
  const std::string store = folder + "/store";
  std::vector<double> unloaded;
  std::vector<double> restarted;
  {
    AdvancedLLMExecutor llm(config(store));
    CHOIR_CHECK(llm.initialize(), "the model loads");
    talk_long(llm);
    for (int i = 0; i < 3; ++i) {
      CHOIR_CHECK(llm.unloadModel() && llm.preloadModel(), "it leaves and comes back");
      unloaded.push_back(continue_seconds(llm));
    }
  }
  for (int i = 0; i < 3; ++i) {
    AdvancedLLMExecutor llm(config(store));
    CHOIR_CHECK(llm.initialize(), "the model loads");
    restarted.push_back(continue_seconds(llm));
    CHOIR_CHECK(llm.getPerformanceMetrics()["reused_tokens"] > kConversationTokens / 2, "restored");
  }
  std::filesystem::copy(store, folder + "/copy", std::filesystem::copy_options::recursive);
  const std::optional<double> engine =
      peers ? std::optional(1e3 * recompute_with_engine_kernels(folder + "/copy")) : std::nullopt;
  const double ours = recompute_seconds(store);
  const auto beside = [&](const char* name, double seconds) {
    rows.push_back({.name = name,
                    .unit = "ms",
                    .choir = seconds * 1e3,
                    .peer = engine,
                    .peer_name = peers ? "computed again by the engine's own kernels" : "",
                    .goal = peers ? std::optional(0.05) : std::nullopt,
                    .better = Better::kLower});
  };
  beside("2,000 tokens go on after unload", median(unloaded));
  beside("2,000 tokens go on after a restart", median(restarted));
  beside("computed again by our kernels", ours);
  rows.back().goal.reset();
}

// From resume() to the next token of a sequence that stood still, in steps of its own.
void resume(std::vector<Row>& rows) {
  AdvancedLLMExecutor llm(config(""));
  CHOIR_CHECK(llm.initialize(), "the model loads");
  LLMExecutionRequest request = turn("Tell me all about bees.", 1500);
  request.parameters.erase("context_id");
  request.streamOutput = true;
  std::atomic<double> last{0};
  std::atomic<int> tokens{0};
  llm.onToken([&](const std::string&, const std::string&) {
    last = now();
    ++tokens;
  });
  auto future = llm.executeAsync(request);
  while (tokens < 100) std::this_thread::yield();
  const double began = now();
  const int first = tokens;
  while (tokens < first + 200) std::this_thread::yield();
  const double step = (now() - began) / 200;
  std::vector<double> waits;
  for (int i = 0; i < 20; ++i) {
    CHOIR_CHECK(llm.suspend(), "suspended");
    const double quiet = now();
    while (now() - quiet < 0.02) std::this_thread::yield();
    const int before = tokens;
    const double resumed = now();
    CHOIR_CHECK(llm.resume(), "resumed");
    while (tokens == before) std::this_thread::yield();
    waits.push_back(now() - resumed);
  }
  llm.cancelExecution(llm.getActiveRequests().front());
  (void)future.get();
  rows.push_back({.name = "resume to the next token",
                  .unit = "ms",
                  .choir = median(waits) * 1e3,
                  .peer = step * 1e3,
                  .peer_name = "a step",
                  .goal = 2,
                  .better = Better::kLower});
}

void cycles(std::vector<Row>& rows) {
  AdvancedLLMExecutor llm(config(""));
  CHOIR_CHECK(llm.initialize(), "the model loads");
  LLMExecutionRequest request = turn("Hello", 4);
  request.parameters.erase("context_id");
  const auto cycle = [&] {
    CHOIR_CHECK(llm.unloadModel() && llm.preloadModel() && llm.execute(request).success, "a cycle");
  };
  for (int i = 0; i < 3; ++i) cycle();
  const double before = resident_bytes();
  for (int i = 0; i < kCycles; ++i) cycle();
  rows.push_back({.name = "memory grown by 100 loads and unloads",
                  .unit = "MB",
                  .choir = (resident_bytes() - before) / 1e6,
                  .peer = {},
                  .peer_name = {},
                  .goal = 20,
                  .better = Better::kLower});
}

// On an engine that computes nothing: what is left is the way there and back.
void facade(std::vector<Row>& rows) {
  const auto backend = [] { return std::make_unique<sim::FakeBackend>(); };
  const NodeConfig node;
  const Machine machine = read_machine();
  World::set_parts(World::Parts{
      .make_node = [=] { return Runtime::create(node, machine, backend()); },
      .resolve = [](const std::string& name) -> Result<std::string> { return name; },
      .inspect = [](const std::string&) -> Result<ModelInfo> { return sim::FakeModel().info(); }});
  auto native = Runtime::create(node, machine, backend()).value();
  ExecutorConfig plain{.name = "a", .path = "a"};
  CHOIR_CHECK(native->add(plain), "added");
  LLMExecutionConfig c;
  c.llmId = c.modelPath = "a";
  ParallelLLMExecutionManager manager;
  CHOIR_CHECK(manager.initialize() && manager.createLLM(c), "created");
  const auto by_node = [&] {
    Request r;
    r.executor = "a";
    r.messages = {{"user", "Hello there"}};
    r.max_tokens = 1;
    return native->run(r).has_value();
  };
  const auto by_facade = [&] {
    LLMExecutionRequest r;
    r.llmId = "a";
    r.inputText = "Hello there";
    r.maxOutputLength = 1;
    return manager.execute(r).success;
  };
  const auto seconds_of = [](const auto& call) {
    std::vector<double> each;
    for (int i = 0; i < kRequests; ++i) {
      const double began = now();
      CHOIR_CHECK(call(), "answered");
      each.push_back(now() - began);
    }
    return median(each);
  };
  (void)seconds_of(by_node);
  std::vector<double> extra;
  for (int i = 0; i < 5; ++i) {
    const double a = seconds_of(by_node);
    extra.push_back(seconds_of(by_facade) - a);
  }
  rows.push_back({.name = "a request through the facade, beside the native one",
                  .unit = "us more",
                  .choir = median(extra) * 1e6,
                  .peer = {},
                  .peer_name = {},
                  .goal = 50,
                  .better = Better::kLower});
  manager.shutdown();
  World::set_parts(std::nullopt);
}

int run(const Arguments& arguments) {
  const auto path = resolve_model("smollm2-135m");
  if (!path) {
    std::fprintf(stderr, "bench conversations: %s\n", path.error().message.c_str());
    return 1;
  }
  std::string folder = (std::filesystem::temp_directory_path() / "choir-bench-XXXXXX").string();
  CHOIR_CHECK(::mkdtemp(folder.data()) != nullptr, "a folder for the conversations");
  std::vector<Row> rows;
  if (arguments.wants("continue")) conversations(rows, folder, arguments.peers);
  std::filesystem::remove_all(folder);
  if (arguments.wants("resume")) resume(rows);
  if (arguments.wants("cycles")) cycles(rows);
  if (arguments.wants("facade")) facade(rows);
  return finish("conversations", rows, arguments);
}

}  // namespace
}  // namespace choir::bench

int main(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == "--recompute") {
    std::printf("%f\n", choir::bench::recompute_seconds(argv[2]));
    return 0;
  }
  return choir::bench::run(
      choir::bench::parse(argc, argv, "Loads: continue (a conversation), resume, cycles, facade",
                          choir::bench::Loads::kBesidePeers));
}
