#include "chat.h"

#include <vector>

#include "choir/text.h"
#include "exit_code.h"
#include "input.h"
#include "interrupt.h"
#include "json.h"
#include "message_reader.h"
#include "terminal.h"

namespace choir::app {
namespace {

constexpr auto kHelp =
    "  /system TEXT   give the model another system message, and begin anew\n"
    "  /clear         forget the conversation\n"
    "  /exit          leave, as does Ctrl-D\n"
    "  /help          this\n"
    "  \"\"\"            begins a message of several lines, and \"\"\" ends it; a pasted text is "
    "one message\n"
    "  Ctrl-C ends an answer that is being written.\n";

const std::vector<std::string> kCommands = {"/system", "/clear", "/exit", "/help"};

std::string trimmed(const std::string& text) {
  const auto begin = text.find_first_not_of(" \t\r");
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

class Chat {
 public:
  Chat(const OpenModel& model, const Request& settings, std::string system, bool raw)
      : model_(model), settings_(settings), system_(std::move(system)), raw_(raw) {
    clear();
  }

  Result<int> run() {
    MessageReader reader;
    MessageReader::Message message;
    while (output_error() == 0) {
      note(styled(Stream::kErr, Style::kBold, ">>> "));
      switch (next(reader, message)) {
        case LineReader::Got::kEnd:
          note("\n");
          return kExitOk;
        case LineReader::Got::kInterrupt:
          note("\n");
          return kExitInterrupted;
        case LineReader::Got::kLine:
          break;
      }
      const std::string& text = message.text;
      const bool command_given = !message.as_is && text.starts_with('/');
      if (command_given && (text == "/exit" || text == "/bye" || text == "/quit")) return kExitOk;
      if (command_given) {
        command(text);
      } else if (!text.empty()) {
        answer(text);
      }
    }
    return kExitFailed;
  }

 private:
  static LineReader::Got next(MessageReader& reader, MessageReader::Message& message) {
    const Graceful while_reading;
    return reader.next(message);
  }

  void clear() {
    history_.clear();
    if (!system_.empty()) history_.push_back({"system", system_});
  }

  void command(const std::string& line) {
    const std::string word = line.substr(0, line.find(' '));
    if (word == "/help") {
      note(kHelp);
    } else if (word == "/clear") {
      clear();
    } else if (word == "/system") {
      system_ = trimmed(line.substr(word.size()));
      clear();
    } else {
      const auto near = nearest(word, kCommands);
      note("there is no " + printable_line(word, 40) +
           (near ? "; did you mean " + *near + "?" : "") + " (/help lists them)\n");
    }
  }

  Request request_for(const std::string& line) const {
    Request request = settings_;
    if (raw_) {
      request.text = line;
    } else {
      request.messages = history_;
    }
    return request;
  }

  // A conversation that has outgrown the context loses its oldest turns, never its system message.
  Result<Completion> generate_within_context(const std::string& line, std::string& text) {
    const std::size_t first = system_.empty() ? 0 : 1;
    while (true) {
      auto completion = generate(model_, request_for(line), [&](const StreamEvent& event) {
        text.append(event.text);
        print(for_reader(Stream::kOut, event.text));
      });
      const bool too_long = !completion && completion.error().code == Code::kTooLong;
      if (!too_long || raw_ || history_.size() < first + 3) return completion;
      const auto oldest = history_.begin() + static_cast<std::ptrdiff_t>(first);
      history_.erase(oldest, oldest + 2);
    }
  }

  void answer(const std::string& line) {
    const std::vector<Message> before = history_;
    history_.push_back({"user", line});
    std::string text;
    const auto completion = generate_within_context(line, text);
    if (!completion) {
      history_ = before;
      complain(completion.error().message);
      return;
    }
    if (!text.ends_with('\n')) print("\n");
    if (completion->finish == Finish::kFailed) {
      history_ = before;
      complain(completion->error ? completion->error->message : "the answer failed");
      return;
    }
    history_.push_back({"assistant", completion->text});
    note(styled(Stream::kErr, Style::kDim, summary(*completion)) + "\n");
  }

  const OpenModel& model_;
  Request settings_;
  std::string system_;
  bool raw_;
  std::vector<Message> history_;
};

}  // namespace

std::string summary(const Completion& completion) {
  const Usage& usage = completion.usage;
  std::string out = "[" + std::to_string(usage.output_tokens) + " tokens, " +
                    fixed(decode_rate(usage), 1) + " tok/s, first after " +
                    fixed(usage.first_token_seconds, 2) + " s";
  if (completion.finish == Finish::kLength) out += ", cut at the limit of tokens";
  if (completion.finish == Finish::kCancelled) out += ", interrupted";
  if (completion.finish == Finish::kDeadline) out += ", out of time";
  return out + "]";
}

Result<int> chat(OpenModel& model, const Request& settings, const std::string& system, bool raw) {
  note("Chat with " + printable_line(model.info.name, 60) +
       "; /help lists the commands, Ctrl-D leaves.\n");
  if (!raw && model.info.chat_template.empty())
    note("This model has no chat template: it continues text more than it answers.\n");
  if (raw) note("Raw: every message is continued as it stands, and none is remembered.\n");
  return Chat(model, settings, system, raw).run();
}

}  // namespace choir::app
