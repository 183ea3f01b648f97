#include "engine/llama_model.h"

#include <sys/stat.h>

#include <algorithm>
#include <exception>
#include <filesystem>

#include "base/own_stack.h"
#include "engine/llama_model_info.h"
#include "engine/llama_runtime.h"
#include "engine/text_run.h"
#include "kernels/kernel_table.h"
#include "kernels/takeover.h"

namespace choir {
namespace {

// Stack that std::regex takes for each character of a match: 325 bytes measured on x86-64 (g++ 12,
// -O3), and two loops of an expression may follow each other. Sanitizers make frames larger.
constexpr std::size_t kStackBytesPerByte =
    std::string_view(CHOIR_ENGINE_FLAVOUR) == "release" ? 1024 : 8192;
constexpr std::size_t kStackBytes = 1U << 20U;      // for all but the recursion
constexpr std::size_t kRunOnAnyStack = 512;         // bytes; takes at most 170 KiB of a stack
constexpr std::size_t kRunWithOthers = 16U << 10U;  // 5 MiB at most
constexpr std::size_t kRunMax = 1U << 20U;          // 330 MiB at most

}  // namespace

llama_model_params model_params() {
  kernels::warn_of_unknown_path();
  llama_model_params params = llama_model_default_params();
  params.n_gpu_layers = 0;
  // Ours: packed as they are read, and no mapping kept beside them. Else mapped and prefetched;
  // pages are shared with other processes.
  params.load_mode =
      kernels::active_table() != nullptr ? LLAMA_LOAD_MODE_NONE : LLAMA_LOAD_MODE_MMAP;
  return params;
}

LlamaModel::LlamaModel(LlamaModelHandle model, ModelInfo info, std::string fingerprint)
    : model_(std::move(model)),
      vocab_(llama_model_get_vocab(model_.get())),
      info_(std::move(info)),
      fingerprint_(std::move(fingerprint)) {
  collect_pieces();
}

LlamaModel::~LlamaModel() = default;

Result<std::shared_ptr<const LlamaModel>> LlamaModel::open(const std::string& path, Load load,
                                                           std::string fingerprint,
                                                           const LoadProgress& progress) {
  start_llama();
  clear_engine_complaint();
  llama_model_params params = model_params();
  params.vocab_only = load == Load::kVocabulary;
  if (load == Load::kWithoutWeights) {  // not vocab_only: that leaves the shape out too
    params.no_alloc = true;
    params.load_mode = LLAMA_LOAD_MODE_NONE;
  }
  // The engine's own callback prints dots.
  struct Watch {
    const LoadProgress& progress;
    bool given_up = false;
  } watch{progress};
  if (progress) {
    params.progress_callback = [](float fraction, void* data) {
      auto& w = *static_cast<Watch*>(data);
      w.given_up = w.given_up || !w.progress(fraction);
      return !w.given_up;
    };
    params.progress_callback_user_data = &watch;
  }
  LlamaModelHandle handle(llama_model_load_from_file(path.c_str(), params));
  if (!handle && watch.given_up)
    return fail(Code::kCancelled, "the load of '" + path + "' was given up");
  if (!handle)
    return fail(Code::kEngineFailed,
                "'" + path + "' cannot be loaded: " +
                    (engine_complaint().empty() ? "no reason given" : engine_complaint()));

  ModelInfo info = read_model_info(*handle, path);
  auto made = std::shared_ptr<LlamaModel>(
      new LlamaModel(std::move(handle), std::move(info), std::move(fingerprint)));
  auto chat = ChatTemplate::of(*made->model_);
  if (!chat)
    return fail(chat.error().code,
                "'" + path + "' has a chat template that cannot be read: " + chat.error().message);
  if (*chat) {
    made->info_.chat_template = (*chat)->source();
    made->template_.with([&](auto& own) { own = std::move(*chat); });
  }
  return made;
}

Result<std::vector<TokenId>> LlamaModel::tokenize(std::string_view text, Special special) const {
  // 1 GiB of text is beyond any context; the engine counts bytes in 32 bits.
  if (text.size() > (1U << 30))
    return fail(Code::kInvalidArgument, "text has " + std::to_string(text.size()) +
                                            " bytes, at most 1073741824 can be tokenized");
  // Only these cut text into words by regular expressions.
  const bool by_words = llama_vocab_type(vocab_) == LLAMA_VOCAB_TYPE_BPE;
  const std::size_t run = by_words ? longest_run(text) : 0;
  if (run <= kRunOnAnyStack) return tokenize_here(text, special);
  if (run > kRunMax)
    return fail(Code::kInvalidArgument, "text has " + std::to_string(run) +
                                            " bytes without a break, '" + info_.name +
                                            "' takes at most " + std::to_string(kRunMax) +
                                            "; put line breaks between them");
  Result<std::vector<TokenId>> tokens;
  const auto work = [&] { tokens = tokenize_here(text, special); };
  const auto bytes = kStackBytes + run * kStackBytesPerByte;
  static Guarded<int> deep;  // one at a time where it may take much memory
  if (const Status ran = run <= kRunWithOthers ? run_on_stack(bytes, work) : deep.with([&](int&) {
        return run_on_stack(bytes, work);
      });
      !ran)
    return fail(ran.error().code,
                "text with " + std::to_string(run) +
                    " bytes without a break cannot be tokenized: " + ran.error().message);
  return tokens;
}

Result<std::vector<TokenId>> LlamaModel::tokenize_here(std::string_view text,
                                                       Special special) const {
  if (special == Special::kInside && llama_vocab_type(vocab_) == LLAMA_VOCAB_TYPE_SPM)
    return tokenize_inside(text);
  const bool begin = special == Special::kParse;
  auto tokens = CHOIR_TRY(engine_tokens(text, begin, special != Special::kPlain));
  // Whoever writes the beginning mark does not want it twice, and no model has seen that.
  const TokenId mark = llama_vocab_bos(vocab_);
  if (begin && mark >= 0 && tokens.size() > 1 && tokens[0] == mark && tokens[1] == mark)
    tokens.erase(tokens.begin());
  return tokens;
}

// These vocabularies put a blank in front of every text. Behind a line break, which is a token of
// its own, there is none.
Result<std::vector<TokenId>> LlamaModel::tokenize_inside(std::string_view text) const {
  const auto front = CHOIR_TRY(engine_tokens("\n", false, true));
  auto tokens = CHOIR_TRY(engine_tokens("\n" + std::string(text), false, true));
  if (!std::ranges::equal(front, std::span(tokens).first(std::min(front.size(), tokens.size()))))
    return engine_tokens(text, false, true);
  tokens.erase(tokens.begin(), tokens.begin() + std::ssize(front));
  return tokens;
}

Result<std::vector<TokenId>> LlamaModel::engine_tokens(std::string_view text, bool begin,
                                                       bool parse) const {
  const auto bytes = static_cast<std::int32_t>(text.size());
  std::vector<TokenId> tokens(text.size() + 2);
  try {
    std::int32_t count = llama_tokenize(vocab_, text.data(), bytes, tokens.data(),
                                        static_cast<std::int32_t>(tokens.size()), begin, parse);
    if (count < 0) {
      tokens.resize(static_cast<std::size_t>(-count));
      count = llama_tokenize(vocab_, text.data(), bytes, tokens.data(), -count, begin, parse);
    }
    if (count < 0) return fail(Code::kEngineFailed, "text cannot be tokenized");
    tokens.resize(static_cast<std::size_t>(count));
  } catch (const std::exception& error) {
    return fail(Code::kEngineFailed, std::string("text cannot be tokenized: ") + error.what());
  }
  return tokens;
}

void LlamaModel::collect_pieces() {
  std::string bytes(64, '\0');
  std::vector<std::string> control;
  for (TokenId token = 0; token < info_.vocab_tokens; ++token) {
    const auto into = [&] {
      return llama_token_to_piece(vocab_, token, bytes.data(),
                                  static_cast<std::int32_t>(bytes.size()), /*lstrip=*/0,
                                  /*special=*/false);
    };
    std::int32_t size = into();
    if (size < 0) {
      bytes.resize(static_cast<std::size_t>(-size));
      size = into();
    }
    if (size > 0) pieces_.append(bytes.data(), static_cast<std::size_t>(size));
    piece_ends_.push_back(static_cast<std::uint32_t>(pieces_.size()));
    if (llama_vocab_is_eog(vocab_, token)) end_tokens_.push_back(token);
    constexpr unsigned kParsed = LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_UNKNOWN;
    if ((static_cast<unsigned>(llama_vocab_get_attr(vocab_, token)) & kParsed) != 0)
      control.emplace_back(llama_vocab_get_text(vocab_, token));
  }
  control_texts_ = ControlTexts(control);
}

std::string_view LlamaModel::piece(TokenId token) const {
  if (token < 0 || static_cast<std::size_t>(token) >= piece_ends_.size()) return {};
  const auto index = static_cast<std::size_t>(token);
  const std::uint32_t begin = index == 0 ? 0 : piece_ends_[index - 1];
  return std::string_view(pieces_).substr(begin, piece_ends_[index] - begin);
}

Result<Rendered> LlamaModel::render(std::span<const Message> messages, Contents contents) const {
  return template_.with([&](const std::unique_ptr<ChatTemplate>& chat) -> Result<Rendered> {
    if (!chat) {
      Rendered raw;
      for (const Message& message : messages) {
        if (!raw.text.empty()) raw.text += '\n';
        raw.text += message.content;
      }
      if (contents == Contents::kText) raw.cuts = control_texts_.cuts(raw.text);
      return raw;
    }
    if (contents == Contents::kText) return render_as_text(*chat, messages);
    return Rendered{.text = CHOIR_TRY(chat->render(messages, ChatTemplate::now())), .cuts = {}};
  });
}

// Rendered twice where a control token is written in a content, to see that the template leaves
// both the marks and the text around them as they are.
Result<Rendered> LlamaModel::render_as_text(const ChatTemplate& chat,
                                            std::span<const Message> messages) const {
  const auto now = ChatTemplate::now();  // one time for both
  Rendered plain{.text = CHOIR_TRY(chat.render(messages, now)), .cuts = {}};
  std::vector<std::vector<std::size_t>> cuts;
  bool none = true;
  for (const Message& message : messages) {
    cuts.push_back(control_texts_.cuts(message.content));
    none = none && cuts.back().empty();
  }
  if (none) return plain;
  const auto mark = free_mark(messages, info_.chat_template);
  if (!mark)
    return fail(Code::kInvalidArgument,
                "the messages have control tokens of '" + info_.name +
                    "' and all characters for private use; leave one out, or set parse_special");
  std::vector<Message> marked(messages.begin(), messages.end());
  for (std::size_t i = 0; i < marked.size(); ++i)
    marked[i].content = with_marks(marked[i].content, cuts[i], *mark);
  auto rendered = chat.render(marked, now);
  Rendered found = without_marks(rendered.value_or(""), *mark);
  if (rendered && found.text == plain.text) return found;
  const auto at = std::ranges::find_if(cuts, [](const auto& some) { return !some.empty(); });
  const auto index = static_cast<std::size_t>(at - cuts.begin());
  return fail(Code::kInvalidArgument,
              "messages[" + std::to_string(index) + "].content has a control token of '" +
                  info_.name + "' at byte " + std::to_string(at->front() - 1) +
                  ", and the model's chat template does not keep it as text; leave it out, or set "
                  "parse_special");
}

}  // namespace choir
