// choir run: one answer, streamed, or a chat.
#include <chrono>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>

#include "chat.h"
#include "command.h"
#include "exit_code.h"
#include "generation.h"
#include "input.h"
#include "json.h"
#include "terminal.h"

namespace choir::app {
namespace {

struct RunOptions {
  std::string model;
  std::string host;  // empty: the model is loaded in this process
  std::string prompt;
  bool has_prompt = false;
  bool has_seed = false;
  std::string system;
  std::int32_t max_tokens = 512;
  Sampling sampling;
  std::vector<std::string> stop;
  bool raw = false;
  std::int32_t context_tokens = 0;
  std::int32_t cores = 0;
  KvType kv_type = KvType::kF16;
  double timeout_s = 0;
  bool json = false;
};

constexpr double kTimeoutMax = 1e6;  // 11 days

Request settings_of(const RunOptions& options) {
  Request request;
  request.max_tokens = options.max_tokens;
  request.sampling = options.sampling;
  // Another answer each time, unless a seed asks for the same again.
  if (!options.has_seed) request.sampling.seed = std::random_device{}();
  request.stop = options.stop;
  request.deadline = std::chrono::milliseconds(std::llround(options.timeout_s * 1000));
  return request;
}

Request with_prompt(Request request, const RunOptions& options, const std::string& prompt) {
  if (options.raw) {
    request.text = prompt;
    return request;
  }
  if (!options.system.empty()) request.messages.push_back({"system", options.system});
  request.messages.push_back({"user", prompt});
  return request;
}

// The exit code for how the generation ended.
int code_for(const Completion& completion) {
  switch (completion.finish) {
    case Finish::kStop:
    case Finish::kLength:
      return kExitOk;
    case Finish::kCancelled:
      return output_error() != 0 ? kExitFailed : kExitInterrupted;
    case Finish::kDeadline:
    case Finish::kStalled:
    case Finish::kFailed:
      break;
  }
  complain(completion.error ? completion.error->message : "the generation failed");
  return completion.finish == Finish::kFailed && completion.error
             ? exit_code(completion.error->code)
             : kExitFailed;
}

Result<int> answer_as_json(OpenModel& model, const RunOptions& options, const Request& request) {
  const Completion completion = CHOIR_TRY(generate(model, request));
  Json out = {{"model", options.model}, {"seed", request.sampling.seed}};
  out.update(json_of(completion));
  print_json(out);
  return code_for(completion);
}

Result<int> answer(OpenModel& model, const Request& request) {
  bool open_line = false;  // something was written, and its line has not ended
  const Completion completion = CHOIR_TRY(generate(model, request, [&](const StreamEvent& event) {
    if (event.text.empty()) return;
    open_line = event.text.back() != '\n';
    print(for_reader(Stream::kOut, event.text));
  }));
  if (open_line) print("\n");
  if (is_terminal(Stream::kOut) && is_terminal(Stream::kErr))
    note(styled(Stream::kErr, Style::kDim, summary(completion)) + "\n");
  return code_for(completion);
}

// What no later step would notice before the model is loaded; empty when all is well.
std::string wrong_with(const RunOptions& options, bool interactive) {
  if (options.raw && !options.system.empty())
    return "--system needs the chat template; leave out --raw";
  if (options.json && interactive)
    return "--json needs a prompt, as an argument or on standard input";
  if (options.timeout_s < 0 || options.timeout_s > kTimeoutMax)
    return "--timeout is " + fixed(options.timeout_s, 3) + ", it takes 0 to 1000000 seconds";
  if (!options.host.empty() &&
      (options.context_tokens != 0 || options.cores != 0 || options.kv_type != KvType::kF16))
    return "--context-tokens, --cores and --kv-type are the daemon's; leave them out with --host";
  if (options.context_tokens == 0) return "";
  ExecutorConfig executor = {.name = "any", .path = "any", .sequences_max = 1};
  executor.context_tokens = options.context_tokens;
  const Status valid = validate(executor);
  return valid ? "" : valid.error().message;
}

Result<OpenModel> open(const RunOptions& options) {
  if (!options.host.empty()) return remote_model(options.host, options.model);
  return open_model(options.model, {.cores = options.cores,
                                    .context_tokens = options.context_tokens,
                                    .kv_type = options.kv_type});
}

Result<int> run(const RunOptions& options) {
  const bool interactive = !options.has_prompt && stdin_is_terminal();
  if (const std::string wrong = wrong_with(options, interactive); !wrong.empty())
    return usage_error(wrong);
  const Request settings = settings_of(options);
  if (const Status valid = validate(with_prompt(settings, options, "any")); !valid)
    return usage_error(valid.error().message);
  if (interactive) {
    OpenModel model = CHOIR_TRY(open(options));
    return chat(model, settings, options.system, options.raw);
  }
  const std::string prompt = options.has_prompt ? options.prompt : CHOIR_TRY(read_stdin());
  if (prompt.empty()) return usage_error("the prompt is empty; write one");
  Request alone;
  alone.text = prompt;
  if (Status valid = validate(alone); !valid)
    return usage_error(std::move(valid).error().in("the prompt").message);
  OpenModel model = CHOIR_TRY(open(options));
  const Request request = with_prompt(settings, options, prompt);
  return options.json ? answer_as_json(model, options, request) : answer(model, request);
}

void add_sampling(CLI::App& command, Sampling& sampling) {
  add_value(command, "--temperature", sampling.temperature, "T",
            "0 takes the likeliest token, more is freer");
  add_value(command, "--top-k", sampling.top_k, "N", "Draw from the N likeliest, 0 for all");
  add_value(command, "--top-p", sampling.top_p, "P",
            "Draw from the likeliest that add up to P, 1 for all");
  add_value(command, "--min-p", sampling.min_p, "P",
            "Only what is P times as likely as the best, 0 for all");
  add_value(command, "--repeat-penalty", sampling.repeat_penalty, "X", "Above 1 avoids repetition");
}

}  // namespace

void add_run(CLI::App& root, Run& chosen) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* command =
      add_command(root, "run", "Let one model answer a prompt, or chat with it",
                  "  choir run smollm2-135m \"Name three rivers\"\n"
                  "  choir run smollm2-135m                        chat; /help lists its commands\n"
                  "  choir run ./model.gguf --raw \"Once upon a\"    continue a text\n"
                  "  choir run smollm2-135m < question.txt > answer.txt\n"
                  "  choir run smollm2-135m --host http://127.0.0.1:8411 \"Name three rivers\"\n"
                  "  choir run smollm2-135m --temperature 0 --json \"Hello\"");
  add_value(*command, "MODEL", options->model, "", "Name or GGUF file")->required();
  CLI::Option* prompt =
      add_value(*command, "PROMPT", options->prompt, "",
                "What to answer; without it, standard input, or a chat at a terminal");
  add_value(*command, "--host", options->host, "HOST",
            "Let a running daemon answer: http://HOST:PORT or its unix socket");
  add_value(*command, "--system", options->system, "TEXT", "System message");
  add_value(*command, "--max-tokens", options->max_tokens, "N", "Stop after N tokens");
  add_sampling(*command, options->sampling);
  CLI::Option* seed =
      add_value(*command, "--seed", options->sampling.seed, "N", "The same seed, the same answer");
  seed->default_str("random");
  add_list(*command, "--stop", options->stop, "TEXT",
           "Stop before this text; may be given several times");
  command->add_flag("--raw", options->raw,
                    "The prompt as it stands, without the model's chat template");
  add_value(*command, "--context-tokens", options->context_tokens, "N",
            "Longest prompt and answer together, 0 for automatic");
  add_value(*command, "--timeout", options->timeout_s, "SECONDS",
            "Stop after this time, 0 for never");
  add_kv_type(*command, options->kv_type);
  add_cores(*command, options->cores);
  add_json(*command, options->json);
  command->callback([options, prompt, seed, &chosen] {
    options->has_prompt = prompt->count() > 0;
    options->has_seed = seed->count() > 0;
    chosen = [options] { return run(*options); };
  });
}

}  // namespace choir::app
