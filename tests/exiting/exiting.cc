// A program that ends in the middle of its work, for exit_test.
//
//   exiting LOAD WAY CODE MOMENT MODEL FOLDER
//
// Does what LOAD says until MOMENT steps of it are done, and ends with CODE in the way that WAY
// says. Writes one byte to its output right before it calls exit() or returns from main, and
// nothing else.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <future>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "choir/node.h"
#include "parallel/parallel_llm_execution.h"

namespace {

using choir::Drain;
using choir::ExecutorConfig;
using choir::Node;

std::atomic<int> steps{0};
std::atomic<int> exit_in_callback{-1};  // the code; -1: not yet
const char* model = "";
const char* folder = "";

void count_step() {
  ++steps;
  steps.notify_all();
}

void tell_that_it_ends() {
  if (::write(STDOUT_FILENO, "!", 1) != 1) ::_exit(99);
}

[[noreturn]] void leave(int code) {
  tell_that_it_ends();
  std::exit(code);
}

template <class T>
T must(choir::Result<T> result) {
  if (result) return std::move(*result);
  std::fprintf(stderr, "exiting: %s\n", result.error().message.c_str());
  ::_exit(98);
}

// What callbacks use, as they may: it is older than every node.
struct Journal {
  std::atomic<bool> open{true};
  ~Journal() { open = false; }
};
Journal journal;

void in_callback() {
  if (!journal.open) ::abort();
  count_step();
  if (const int code = exit_in_callback.exchange(-1); code >= 0) leave(code);
}

// Threads of the program itself, which nobody joins.
void on_own_thread(std::function<void()> work) {
  static auto& threads = *new std::list<std::thread>;  // they are nobody's to join, and no leak
  threads.emplace_back(std::move(work));
}

// A thread that ended and was not joined is a leak to the thread sanitizer; the process takes this
// one with it.
void stay() {
  for (;;) pause();
}

ExecutorConfig executor(const std::string& name) {
  ExecutorConfig config;
  config.name = name;
  config.path = model;
  config.context_tokens = 1024;
  config.sequences_max = 4;
  config.sequence_tokens_max = 256;
  return config;
}

// A request whose end submits the next one.
void ask(Node& node, const std::string& name) {
  choir::Request request;
  request.executor = name;
  request.text = "Once upon a time there was";
  request.max_tokens = 60;
  request.ignore_eos = true;
  (void)node.submit(request, {.on_event = [](const choir::StreamEvent&) { in_callback(); },
                              .on_done =
                                  [&node, name](const choir::Completion&) {
                                    in_callback();
                                    ask(node, name);
                                  }});
}

std::shared_ptr<Node> first_node;
std::shared_ptr<Node> second_node;

void make(std::shared_ptr<Node>& node) { node = must(Node::create({.cores = 2})); }

void busy_node(Node& node) {
  for (const char* name : {"a", "b"}) {
    (void)node.add(executor(name));
    for (int i = 0; i < 3; ++i) ask(node, name);
  }
}

void static_node() {
  make(first_node);
  busy_node(*first_node);
}

void node_in_function() {
  static const std::unique_ptr<Node> node = must(Node::create({.cores = 2}));
  busy_node(*node);
}

// Nobody ends it.
void leaked_node() {
  static Node* node = nullptr;
  node = must(Node::create({.cores = 2})).release();
  busy_node(*node);
}

void loads() {
  static_node();
  on_own_thread([node = first_node] {
    for (int i = 0;; ++i) {
      const std::string name = "c" + std::to_string(i);
      (void)node->add(executor(name));
      count_step();
      (void)node->remove(name, Drain::kCancel);
    }
  });
}

void moves() {
  make(second_node);
  static_node();
  on_own_thread([one = first_node, other = second_node] {
    for (;;) {
      (void)one->migrate("a", *other);
      (void)other->migrate("a", *one);
      count_step();
    }
  });
}

void changes() {
  static_node();
  (void)first_node->add(executor("c"));
  on_own_thread([node = first_node] {
    for (int i = 0;; ++i) {
      (void)node->resize("a", 3 + i % 2, 256);
      (void)node->suspend("b");
      (void)node->unload("c");
      (void)node->resume("b");
      (void)node->load("c");
      count_step();
    }
  });
}

// The last that anybody has of each node is in a callback.
void last_owners() {
  on_own_thread([] {
    for (;;) {
      auto made = Node::create({.cores = 1});
      if (!made) return stay();  // the process is ending
      const std::shared_ptr<Node> node = std::move(*made);
      (void)node->add(executor("a"));
      choir::Request request;
      request.text = "Once upon";
      request.max_tokens = 8;
      (void)node->submit(request, {.on_event = [](const choir::StreamEvent&) { in_callback(); },
                                   .on_done = [node](const choir::Completion&) { in_callback(); }});
    }
  });
}

namespace parallel = choir::parallel;

parallel::LLMExecutionConfig llm(const std::string& id) {
  parallel::LLMExecutionConfig config;
  config.llmId = id;
  config.modelPath = model;
  config.maxSequenceLength = 256;
  config.batchSize = 4;
  config.parameters["store"] = folder;
  return config;
}

parallel::LLMExecutionRequest prompt(const std::string& id, const std::string& context) {
  parallel::LLMExecutionRequest request;
  request.llmId = id;
  request.inputText = "Once upon a time";
  request.maxOutputLength = 20;
  request.streamOutput = true;
  if (!context.empty()) request.parameters["context_id"] = context;
  return request;
}

void must_do(bool done, const std::string& why) {
  if (done) return;
  std::fprintf(stderr, "exiting: %s\n", why.c_str());
  ::_exit(97);
}

std::shared_ptr<parallel::LLMExecutor> create_llm(const std::string& id) {
  auto& system = parallel::GlobalParallelLLMExecutionSystem::getInstance();
  auto made = system.createLLM(llm(id));
  must_do(made != nullptr, system.lastError());
  made->onToken([](const std::string&, const std::string&) { in_callback(); });
  return made;
}

void start_system() {
  auto& system = parallel::GlobalParallelLLMExecutionSystem::getInstance();
  must_do(system.initialize(), system.lastError());
}

void singleton() {
  start_system();
  static const auto a = create_llm("a");
  on_own_thread([] {
    auto& system = parallel::GlobalParallelLLMExecutionSystem::getInstance();
    for (;;) {
      std::vector<std::future<parallel::LLMExecutionResponse>> futures;
      for (int i = 0; i < 6; ++i) futures.push_back(system.executeAsync(prompt("a", "")));
      for (auto& future : futures) future.wait();
    }
  });
}

// Its model is loaded by requests again and again.
void singleton_loads() {
  start_system();
  static const auto a = create_llm("a");
  on_own_thread([one = a] {
    auto* advanced = dynamic_cast<parallel::AdvancedLLMExecutor*>(one.get());
    for (;;) {
      auto answer = one->executeAsync(prompt("a", ""));
      (void)answer.get();
      (void)advanced->unloadModel();
      count_step();
    }
  });
}

void conversations() {
  start_system();
  static const auto a = create_llm("a");
  for (int i = 0; i < 3; ++i) {
    parallel::LLMExecutionContext context;
    context.contextId = "talk" + std::to_string(i);
    const std::vector<std::string> known = a->getAllContexts();  // of the process before
    if (std::ranges::find(known, context.contextId) == known.end())
      must_do(!a->createContext(context).empty(), "no context");
    on_own_thread([one = a, id = context.contextId] {
      for (;;) {
        auto answer = one->executeAsync(prompt("a", id));
        (void)answer.get();
        count_step();
      }
    });
  }
}

// A manager that the program owns, older than the node beneath it.
parallel::ParallelLLMExecutionManager manager;
std::shared_ptr<parallel::LLMExecutor> managed;

void static_manager() {
  must_do(manager.initialize(), manager.lastError());
  managed = manager.createLLM(llm("a"));
  must_do(managed != nullptr, manager.lastError());
  managed->onToken([](const std::string&, const std::string&) { in_callback(); });
  on_own_thread([one = managed] {
    for (;;) {
      std::vector<std::future<parallel::LLMExecutionResponse>> futures;
      for (int i = 0; i < 6; ++i) futures.push_back(one->executeAsync(prompt("a", "")));
      for (auto& future : futures) future.wait();
    }
  });
}

const std::map<std::string, void (*)()> kLoads = {
    {"static_node", static_node},
    {"node_in_function", node_in_function},
    {"leaked_node", leaked_node},
    {"loads", loads},
    {"moves", moves},
    {"changes", changes},
    {"last_owners", last_owners},
    {"singleton", singleton},
    {"singleton_loads", singleton_loads},
    {"conversations", conversations},
    {"static_manager", static_manager},
};

void wait_for_step(int step) {
  for (int seen = steps; seen < step; seen = steps) steps.wait(seen);
}

}  // namespace

#ifdef CHOIR_SANITIZED
// The leak sanitizer looks while threads still run, and in the child of a fork, which has none of
// them: what only their stacks and registers point to would count as lost.
extern "C" const char* __asan_default_options() { return "detect_leaks=0"; }
#endif

int main(int argc, char** argv) {
  if (argc != 7 || !kLoads.contains(argv[1])) return 96;
  const std::string way = argv[2];
  const int code = std::atoi(argv[3]);
  const int moment = std::atoi(argv[4]);
  model = argv[5];
  folder = argv[6];
  kLoads.at(argv[1])();
  wait_for_step(moment);
  if (way == "exit") leave(code);
  if (way == "thread") {
    std::thread([code] { leave(code); }).join();
  }
  if (way == "fork") {
    const pid_t child = ::fork();
    if (child == 0) std::exit(code);
    int status = 0;
    if (::waitpid(child, &status, 0) != child || !WIFEXITED(status)) return 95;
    leave(WEXITSTATUS(status));
  }
  if (way == "callback") {
    exit_in_callback = code;
    std::atomic<bool>(false).wait(false);  // it does not come back
  }
  tell_that_it_ends();
  return code;
}
