// A model's own chat template: messages in, the text of a prompt out.
//
// The engine's library analyses a template anew for every prompt, to find out how it writes tool
// calls: about twenty renderings for one. Where the template alone gives the same text as the
// library, which is tried once with conversations of several shapes, prompts are rendered by the
// template alone.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "choir/request.h"
#include "choir/result.h"

struct llama_model;

namespace choir {

class ChatTemplate {
 public:
  using Time = std::chrono::system_clock::time_point;
  static Time now();

  // Null where the file has no template of its own. `source`, if not empty, is taken in its place.
  // kEngineFailed for one that cannot be read.
  static Result<std::unique_ptr<ChatTemplate>> of(const llama_model& model,
                                                  const std::string& source = {});
  ~ChatTemplate();

  const std::string& source() const { return source_; }
  // With the assistant's turn opened. Some templates write the time. kInvalidArgument: the template
  // refuses the messages. One thread at a time: the interpreter keeps state while it renders.
  Result<std::string> render(std::span<const Message> messages, Time now) const;
  // The same by the library.
  enum class Analysis : bool { kNone, kWhole };
  Result<std::string> render_by_library(std::span<const Message> messages, Time now,
                                        Analysis analysis = Analysis::kWhole) const;
  // Whether prompts are rendered by the template alone. It is tried by the first prompt, which
  // takes tens of milliseconds: most files that are opened are only measured or tried, and render
  // none.
  bool alone() const;

 private:
  struct Inside;
  explicit ChatTemplate(std::unique_ptr<Inside> inside);
  Result<std::string> render_alone(std::span<const Message> messages, Time now) const;
  bool same_alone() const;

  std::unique_ptr<Inside> inside_;
  std::string source_;
  mutable std::optional<bool> alone_;  // as everything that renders: one thread at a time
};

}  // namespace choir
