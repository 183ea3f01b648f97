// engine/probe_process: what a child that tried a file has left, whose output the file may have
// written. The input is the status as waitpid gives it, in two bytes, and the output.
#include <sys/wait.h>

#include <string>

#include "engine/probe_process.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using choir::Code;
  std::string_view rest = choir::fuzz::text_of(data, size);
  const int low = choir::fuzz::take_byte(rest);
  const int status = low | choir::fuzz::take_byte(rest) << 8;
  if (!WIFEXITED(status) && !WIFSIGNALED(status)) return 0;  // of children that go on
  const choir::TrialEnd end{.status = status, .output = std::string(rest)};
  const choir::Status judged = choir::judge_trial(end, "/m.gguf");
  const bool answered = rest.find("choir-probe: ") != std::string_view::npos;
  if (judged) {
    choir::fuzz::expect(answered && rest.find("true") != std::string_view::npos,
                        "a file is good only where its trial says so");
    return 0;
  }
  const Code code = judged.error().code;
  choir::fuzz::expect(!judged.error().message.empty(), "who refuses a file says why");
  choir::fuzz::expect(
      code == Code::kEngineFailed || code == Code::kUnavailable || code == Code::kOutOfMemory,
      "a trial fails in one of three ways");
  choir::fuzz::expect(answered || code != Code::kEngineFailed || WIFSIGNALED(status),
                      "without a word and without a signal the file is not to blame");
  return 0;
}
