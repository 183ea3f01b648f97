// A model's own chat template: messages in, the text of a prompt out.
//
// The engine's library analyses a template anew for every prompt, to find out how it writes tool
// calls: about twenty renderings for one. Where the template alone gives the same text as the
// library, which is tried once with conversations of several shapes, prompts are rendered by the
// template alone.
#pragma once

#include <chrono>
#include <memory>
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
  // The same by the library with all its analysis, for the test that compares both.
  Result<std::string> render_by_library(std::span<const Message> messages, Time now) const;
  // Whether prompts are rendered by the template alone.
  bool alone() const { return alone_; }

 private:
  struct Inside;
  explicit ChatTemplate(std::unique_ptr<Inside> inside);
  enum class Analysis : bool { kNone, kWhole };
  Result<std::string> by_library(std::span<const Message> messages, Time now,
                                 Analysis analysis) const;
  Result<std::string> render_alone(std::span<const Message> messages, Time now) const;
  bool same_alone() const;

  std::unique_ptr<Inside> inside_;
  std::string source_;
  bool alone_ = false;
};

}  // namespace choir
