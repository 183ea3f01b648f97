#include "engine/probe_process.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/child.h"
#include "base/split_name.h"
#include "policy/admit.h"

namespace choir {
namespace {

constexpr std::string_view kAnswer = "choir-probe: ";

// Anything in this library has an address that leads to its file.
std::filesystem::path own_folder() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&find_probe), &info) == 0 || info.dli_fname == nullptr)
    return {};
  std::error_code ignored;
  // Of a program that has this code inside it is the word by which the program was started.
  const std::string_view name = info.dli_fname;
  const auto file = name.find('/') == std::string_view::npos
                        ? std::filesystem::read_symlink("/proc/self/exe", ignored)
                        : std::filesystem::weakly_canonical(name, ignored);
  return ignored ? std::filesystem::path{} : file.parent_path();
}

// The environment of this process without what would make the child slow or loud.
std::vector<std::string> child_environment() {
  std::vector<std::string> variables = {"GGML_NO_BACKTRACE=1"};
  for (char** variable = environ; *variable != nullptr; ++variable)
    if (!std::string_view(*variable).starts_with("GGML_NO_BACKTRACE="))
      variables.emplace_back(*variable);
  return variables;
}

Result<TrialEnd> run_child(std::vector<std::string> words) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0)
    return fail(Code::kUnavailable, std::string("no pipe to choir-probe: ") + std::strerror(errno));
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
  // Its time limit is a signal, which a host program may have blocked or ignored for itself.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t signals;
  sigemptyset(&signals);
  posix_spawnattr_setsigmask(&attributes, &signals);
  sigfillset(&signals);
  posix_spawnattr_setsigdefault(&attributes, &signals);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::vector<std::string> environment = child_environment();
  const std::vector<char*> argv = pointers(words);
  const std::vector<char*> envp = pointers(environment);
  pid_t child = 0;
  const int error = posix_spawn(&child, argv[0], &actions, &attributes, argv.data(), envp.data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  close(ends[1]);
  if (error != 0) {
    close(ends[0]);
    return fail(Code::kUnavailable,
                "'" + words[0] + "' cannot be started: " + std::strerror(error));
  }
  TrialEnd end;
  std::array<char, 4096> block{};
  for (;;) {
    const ssize_t got = read(ends[0], block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    if (end.output.size() < (1U << 20))
      end.output.append(block.data(), static_cast<std::size_t>(got));
  }
  close(ends[0]);
  while (waitpid(child, &end.status, 0) < 0 && errno == EINTR) {}
  return end;
}

// The first line that looks like a reason.
std::string reason_in(const std::string& output) {
  for (const std::string_view sign :
       {"GGML_ASSERT", "terminate called", "what():", "ERROR: ", "error"}) {
    const std::size_t at = output.find(sign);
    if (at == std::string::npos) continue;
    const std::size_t end = output.find('\n', at);
    return output.substr(at, std::min<std::size_t>(end == std::string::npos ? end : end - at, 200));
  }
  return {};
}

// What was said without the names of the model's files, which may have any words in them.
std::string without_paths(std::string text, const std::string& path) {
  for (const std::string& part : model_parts(path)) {
    std::string rest;
    std::size_t begin = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, begin)) {
      rest.append(text, begin, at - begin);
      begin = at + part.size();
    }
    text = rest.append(text, begin);
  }
  return text;
}

// Whether `text` speaks of memory, files or threads that were not to be had: another time they are.
bool is_of_the_machine(std::string_view text) {
  for (const std::string_view sign :
       {"alloc", "memory", "failed to open", "read error", "mmap failed", "rc == 0",
        "Resource temporarily unavailable", "Too many open files", "Input/output error"})
    if (text.find(sign) != std::string_view::npos) return true;
  return false;
}

Status of_the_machine(const std::string& path, const std::string& what) {
  return fail(Code::kUnavailable, "'" + path + "' could not be tried: " + what +
                                      "; this says nothing about the file, try again");
}

std::string with_reason(const std::string& text, const std::string& reason) {
  return reason.empty() ? text : text + ": " + reason;
}

// A child that ended without a word of its own.
Status judge_death(const TrialEnd& end, const std::string& path) {
  const std::string reason = reason_in(end.output);
  if (!WIFSIGNALED(end.status))
    return of_the_machine(path, with_reason("choir-probe ended with exit code " +
                                                std::to_string(WEXITSTATUS(end.status)),
                                            reason));
  const int signal = WTERMSIG(end.status);
  const char* known = sigdescr_np(signal);  // null: a real-time signal
  const std::string name =
      " (" + (known != nullptr ? known : "signal " + std::to_string(signal)) + ")";
  if (signal == SIGALRM || signal == SIGXCPU)
    return of_the_machine(path, "the engine did not finish loading it in time" + name);
  // SIGILL: an engine for another CPU; SIGBUS: a file that shrank, or a disk that fails.
  if (signal != SIGABRT && signal != SIGSEGV && signal != SIGFPE)
    return of_the_machine(path, "the trial was killed" + name);
  if (is_of_the_machine(reason_in(without_paths(end.output, path))))
    return of_the_machine(path, "the engine gave up: " + reason);
  return fail(
      Code::kEngineFailed,
      with_reason("'" + path + "' is damaged or not supported: the engine crashed on it" + name,
                  reason));
}

// The probe's numbers; what is none is left out.
std::vector<Fact> facts_of(const nlohmann::json& answer) {
  std::vector<Fact> facts;
  const auto found = answer.find("facts");
  if (found == answer.end() || !found->is_object()) return facts;
  for (const auto& [name, value] : found->items())
    if (value.is_number_integer()) facts.push_back({name, value.get<std::int64_t>()});
  return facts;
}

}  // namespace

Result<std::string> find_probe() {
  if (const char* named = std::getenv("CHOIR_PROBE"); named != nullptr && *named != '\0')
    return std::string(named);
  const std::filesystem::path here = own_folder();
  for (const char* place : {"choir-probe", "../bin/choir-probe", "../libexec/choir/choir-probe",
                            "../../libexec/choir/choir-probe"}) {
    const std::filesystem::path candidate = here / place;
    if (access(candidate.c_str(), X_OK) == 0) return candidate.string();
  }
  return fail(Code::kUnavailable,
              "the program choir-probe, which tries model files before they are "
              "loaded, is not beside " +
                  here.string() + "; install it or name it in CHOIR_PROBE");
}

Status judge_trial(const TrialEnd& end, const std::string& path) {
  const std::size_t at = end.output.rfind(kAnswer);
  const auto answer =
      at == std::string::npos
          ? nlohmann::json()
          : nlohmann::json::parse(end.output.substr(at + kAnswer.size()), nullptr, false);
  if (!answer.is_object()) return judge_death(end, path);
  const auto text_of = [&](const char* key) {
    const auto found = answer.find(key);
    return found != answer.end() && found->is_string() ? found->get<std::string>() : "";
  };
  if (const auto ok = answer.find("ok"); ok != answer.end() && *ok == true) return {};
  std::string message = text_of("message");
  if (message.empty()) message = "no reason given";
  if (text_of("code") == "out_of_memory")
    return fail(Code::kOutOfMemory, message, facts_of(answer));
  if (is_of_the_machine(without_paths(message, path))) return of_the_machine(path, message);
  return fail(Code::kEngineFailed, message);
}

Status run_probe(const std::string& program, const std::string& path, std::uint64_t file_bytes,
                 const EngineConfig& config, std::uint64_t memory_bytes_max) {
  const TrialEnd end = CHOIR_TRY(
      run_child({program, path, std::to_string(file_bytes), std::to_string(memory_bytes_max),
                 std::to_string(config.context_tokens), std::to_string(config.sequences_max),
                 std::to_string(config.batch_tokens_max), std::string(to_string(config.kv_type))}));
  return judge_trial(end, path);
}

}  // namespace choir
