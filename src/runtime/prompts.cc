#include "runtime/prompts.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "engine/control_texts.h"
#include "runtime/embed_work.h"

namespace choir {
namespace {

// No token of any vocabulary we know is longer; longer text cannot fit whatever it says.
constexpr std::size_t kBytesPerTokenMax = 256;

// The first bytes of a text, without a part of a character.
std::string_view front_of(std::string_view text, std::size_t bytes) {
  if (text.size() <= bytes) return text;
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xC0U) == 0x80U) --bytes;
  return text.substr(0, bytes);
}

// Keeps the first ones, and the marks that the model puts behind a text. `marks`: those of an empty
// text.
void cut(std::vector<TokenId>& tokens, std::size_t most, const std::vector<TokenId>& marks) {
  const auto [end, mark] =
      std::mismatch(tokens.rbegin(), tokens.rend(), marks.rbegin(), marks.rend());
  const auto behind = std::min(static_cast<std::size_t>(end - tokens.rbegin()), most);
  const std::vector<TokenId> last(tokens.end() - static_cast<std::ptrdiff_t>(behind), tokens.end());
  tokens.resize(most - behind);
  tokens.insert(tokens.end(), last.begin(), last.end());
}

// How many tokens a text to embed may have, and whether it is cut to them.
struct Length {
  std::size_t most;
  bool truncate;
};

tl::unexpected<Error> embeds_less(const Executor& executor, const std::string& what, Fact size) {
  const auto most = static_cast<std::size_t>(executor.sequence_tokens_max());
  return fail(Code::kTooLong,
              "text to embed has " + what + ", '" + executor.name() + "' embeds at most " +
                  std::to_string(most) + " tokens; shorten it",
              {std::move(size), Fact::of("n_ctx", most)});
}

// A text of which `tokens` are all, or the first ones; they are cut. `marks`: as in cut().
Result<Embedding> embedding_tokens(const Executor& executor, const Length& length,
                                   const std::vector<TokenId>& marks,
                                   std::vector<TokenId>& tokens) {
  if (tokens.size() > length.most && !length.truncate)
    return embeds_less(executor, std::to_string(tokens.size()) + " tokens",
                       Fact::of("n_prompt_tokens", tokens.size()));
  Embedding embedding{.vector = {}, .truncated = tokens.size() > length.most};
  if (embedding.truncated) cut(tokens, length.most, marks);
  embedding.tokens = static_cast<std::int32_t>(tokens.size());
  return embedding;
}

// Its tokens, and what there is to say of it before it is computed.
Result<Embedding> embedding_text(const Executor& executor, std::string_view text,
                                 const Length& length, const std::vector<TokenId>& marks,
                                 std::vector<TokenId>& tokens) {
  const std::string_view front = front_of(text, length.most * kBytesPerTokenMax);
  if (front.size() < text.size() && !length.truncate)
    return embeds_less(executor, std::to_string(text.size()) + " bytes",
                       Fact::of("n_prompt_bytes", text.size()));
  tokens = CHOIR_TRY(executor.model().tokenize(front, Model::Special::kParse));
  if (tokens.size() <= marks.size())
    return fail(Code::kInvalidArgument, "text to embed is empty: it has no tokens");
  auto embedding = embedding_tokens(executor, length, marks, tokens);
  if (embedding && front.size() < text.size()) embedding->truncated = true;
  return embedding;
}

Status are_in_vocabulary(const Executor& executor, const std::vector<TokenId>& tokens) {
  const std::int32_t vocabulary = executor.model().info().vocab_tokens;
  for (std::size_t i = 0; i < tokens.size(); ++i)
    if (tokens[i] < 0 || tokens[i] >= vocabulary)
      return fail(Code::kInvalidArgument,
                  "token " + std::to_string(tokens[i]) + " is not in the vocabulary of '" +
                      executor.name() + "', which has 0 to " + std::to_string(vocabulary - 1),
                  {Fact::of("token_index", i)});
  return {};
}

// The same of a text that is tokens already.
Result<Embedding> embedding_of_tokens(const Executor& executor, const std::vector<TokenId>& all,
                                      const Length& length, const std::vector<TokenId>& marks,
                                      std::vector<TokenId>& tokens) {
  if (all.empty()) return fail(Code::kInvalidArgument, "text to embed is empty: it has no tokens");
  CHOIR_CHECK_OK(are_in_vocabulary(executor, all));
  tokens = all;
  return embedding_tokens(executor, length, marks, tokens);
}

}  // namespace

Status fits_in_context(const Executor& executor, std::size_t tokens) {
  const auto most = static_cast<std::size_t>(executor.sequence_tokens_max());
  if (tokens == 0) return fail(Code::kInvalidArgument, "prompt is empty: it has no tokens");
  if (tokens >= most)
    return fail(Code::kTooLong,
                "prompt has " + std::to_string(tokens) + " tokens, '" + executor.name() +
                    "' takes " + std::to_string(most - 1) +
                    "; shorten it or give the executor more context_tokens",
                {Fact::of("n_prompt_tokens", tokens), Fact::of("n_ctx", most)});
  return {};
}

namespace {

// Source: llama.cpp's template for models without one.
Rendered as_chatml(const Model& model, const Request& request) {
  Rendered prompt;
  for (const Message& message : request.messages) {
    prompt.text += "<|im_start|>" + message.role + "\n";
    if (contents_of(request) == Contents::kText)
      for (const std::size_t cut : model.control_cuts(message.content))
        prompt.cuts.push_back(prompt.text.size() + cut);
    prompt.text += message.content + "<|im_end|>\n";
  }
  prompt.text += kChatMlAnswer;
  return prompt;
}

}  // namespace

Result<Rendered> rendered_prompt(const Model& model, const Request& request) {
  if (request.messages.empty()) return Rendered{.text = request.text, .cuts = {}};
  if (request.default_template && model.info().chat_template.empty())
    return as_chatml(model, request);
  return model.render(request.messages, contents_of(request));
}

Result<std::vector<TokenId>> prompt_tokens(const Executor& executor, const Request& request) {
  const Model& model = executor.model();
  const auto most = static_cast<std::size_t>(executor.sequence_tokens_max());
  if (!request.tokens.empty()) {
    CHOIR_CHECK_OK(are_in_vocabulary(executor, request.tokens));
    CHOIR_CHECK_OK(fits_in_context(executor, request.tokens.size()));
    return request.tokens;
  }
  const Rendered prompt = CHOIR_TRY(rendered_prompt(model, request));
  if (prompt.text.size() > most * kBytesPerTokenMax)
    return fail(Code::kTooLong,
                "prompt has " + std::to_string(prompt.text.size()) + " bytes, '" + executor.name() +
                    "' takes " + std::to_string(most - 1) + " tokens; shorten it",
                {Fact::of("n_prompt_bytes", prompt.text.size()), Fact::of("n_ctx", most)});
  auto tokens = CHOIR_TRY(tokens_of(model, prompt, 0, Model::Special::kParse));
  CHOIR_CHECK_OK(fits_in_context(executor, tokens.size()));
  return tokens;
}

Sequence make_sequence(const Executor& executor, const Request& request) {
  Sequence sequence;
  sequence.model_fingerprint = executor.model().fingerprint();
  sequence.max_tokens = request.max_tokens;
  sequence.sampling = request.sampling;
  sequence.stream_index = request.stream;
  if (request.ignore_eos)
    for (const TokenId end : executor.model().end_tokens())
      sequence.sampling.bias.push_back({end, -std::numeric_limits<float>::infinity()});
  sequence.stop = request.stop;
  sequence.ignore_eos = request.ignore_eos;
  sequence.priority = request.priority.value_or(executor.config().priority);
  sequence.tenant = request.tenant;
  sequence.tenant_weight = request.tenant_weight;
  sequence.reuse_scope = request.reuse_scope.empty() ? request.tenant : request.reuse_scope;
  return sequence;
}

Status make_embedding(const Executor& executor, const EmbedRequest& request, RequestState& state) {
  if (executor.model().info().generates)
    return fail(Code::kInvalidArgument,
                "'" + executor.name() + "' generates text; embeddings need an encoder model");
  const Length length{.most = static_cast<std::size_t>(executor.sequence_tokens_max()),
                      .truncate = request.truncate};
  const auto marks = CHOIR_TRY(executor.model().tokenize("", Model::Special::kParse));
  const bool texts = request.tokens.empty();
  const std::size_t count = texts ? request.texts.size() : request.tokens.size();
  EmbedWork& work = *state.embedding;
  work.texts.assign(count, {});
  work.embeddings.clear();
  std::int32_t tokens = 0;
  for (std::size_t i = 0; i < count; ++i) {
    auto embedding =
        texts ? embedding_text(executor, request.texts[i], length, marks, work.texts[i])
              : embedding_of_tokens(executor, request.tokens[i], length, marks, work.texts[i]);
    if (!embedding) {
      Error error = std::move(embedding).error();
      error.facts.push_back(Fact::of("text_index", i));
      if (count > 1)
        error = std::move(error).in((texts ? "texts[" : "tokens[") + std::to_string(i) + "]");
      return tl::unexpected(std::move(error));
    }
    work.embeddings.push_back(std::move(*embedding));
    tokens += work.embeddings.back().tokens;
  }
  state.progress.prompt_tokens.store(tokens);
  return {};
}

Status must_generate(const Executor& executor) {
  if (executor.model().info().generates) return {};
  return fail(Code::kInvalidArgument,
              "'" + executor.name() + "' is an encoder: it embeds text and generates none");
}

Executor::Mail make_mail(const Executor& executor, const Request& request,
                         const std::shared_ptr<RequestState>& state, std::vector<TokenId> tokens) {
  Executor::Mail mail{
      .sequence = make_sequence(executor, request), .request = state, .conversation = {}, .kv = {}};
  Sequence& sequence = mail.sequence;
  sequence.id = {state->id.value};
  sequence.request = state->id;
  sequence.tokens = std::move(tokens);
  sequence.prompt_tokens = sequence.known_tokens();
  sequence.max_tokens =
      std::min(sequence.max_tokens, executor.sequence_tokens_max() - sequence.prompt_tokens);
  state->progress.prompt_tokens.store(sequence.prompt_tokens);
  state->progress.max_tokens.store(sequence.max_tokens);
  return mail;
}

}  // namespace choir
