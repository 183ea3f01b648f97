#include "serve/generating.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serve/about_field.h"
#include "serve/cold_model.h"
#include "serve/exchange.h"
#include "serve/generating_desk.h"
#include "serve/load_wait.h"

namespace choir::serve {
namespace {

class Generating final : public Work {
 public:
  Generating(const Services& services, const Dialect& dialect, HttpRequest request, Wake wake)
      : node_(services.node),
        ping_every_(services.ping_every),
        load_wait_(services),
        dialect_(dialect),
        desk_(std::make_shared<GeneratingDesk>(services, dialect, std::move(request),
                                               std::move(wake))) {
    desk_->begin();
  }
  ~Generating() override {
    if (ended_) return;
    desk_->leave();
    if (accepted_) cancel_all(node_, accepted_->choices);
  }

  Output advance() override {
    if (!accepted_) {
      GeneratingDesk::Slot slot = desk_->take();
      if (slot.error) {
        refused_by_ = std::move(slot.refused_by);
        return refused(*slot.error);
      }
      if (!slot.accepted) return {};
      accepted_ = std::move(slot.accepted);
      ends_.resize(accepted_->choices.size());
      open_.assign(ends_.size(), true);
      still_open_ = ends_.size();
    }
    std::string bytes = std::exchange(early_, {});
    // Each choice in its turn, so that one with much text does not hold up the others.
    for (std::size_t i = 0; i < ends_.size() && bytes.size() < kBytesAtOnce; ++i) {
      const std::size_t choice = std::exchange(turn_, (turn_ + 1) % ends_.size());
      if (!open_[choice]) continue;
      const StreamPiece piece = accepted_->choices[choice].stream.take();
      if (piece.end) close(choice, *piece.end);
      if (piece.end && !ended_well(piece.end->finish))
        return failed(std::move(bytes), error_of(choice, *piece.end));
      if (accepted_->stream) bytes += events_of(choice, piece);
    }
    if (still_open_ > 0) {
      // One prompt of several may have text before another one is tokenized, which is a matter of
      // milliseconds. It goes out with the next piece of text, or the end.
      if (!bytes.empty() && !head_given_ && !add_late_headers()) early_ = std::exchange(bytes, {});
      return bytes.empty() ? Output{} : with_text(std::move(bytes));
    }
    ended_ = true;
    if (!accepted_->stream) static_cast<void>(add_late_headers());
    Output output = accepted_->stream
                        ? with_text(std::move(bytes) + accepted_->writer->finish(ends_))
                        : Output{.head = head("application/json", false),
                                 .bytes = accepted_->writer->whole(ends_)};
    output.end = true;
    return output;
  }

  WorkFacts facts() const override {
    if (!accepted_) return {.model = refused_by_};
    if (cut_) return *cut_;
    WorkFacts all{.model = accepted_->model};
    for (const ChoiceEnd& end : ends_) add_usage(all, end.completion.usage);
    if (still_open_ > 0) add_unended(all);
    return all;
  }

  Output cut_short(const Refusal& why) override {
    if (accepted_) return failed({}, api_error(why));
    desk_->leave();
    return refused(api_error(why));
  }

  Output silence(Nanos silent) override {
    if (!accepted_) return {};
    if (accepted_->loads) {
      const std::optional<double> loaded = load_wait_.look(accepted_->executor);
      accepted_->loads = loaded.has_value();
      if (loaded && load_wait_.is_over()) return failed({}, load_wait_.error(accepted_->model));
      if (loaded && accepted_->stream) return with_head(loading_comment(*loaded));
    }
    if (!accepted_->stream || silent < ping_every_) return {};
    return with_head(std::string(kPing));
  }

 private:
  Output refused(const ApiError& error) {
    ended_ = true;
    return reply_with_error(error, dialect_.error)->advance();
  }

  // One choice has failed, and with it the answer.
  Output failed(std::string bytes, const ApiError& error) {
    cut_ = facts();
    cancel_all(node_, accepted_->choices);
    // Nothing was sent: the reply can still say so by its status.
    if (!head_given_) return refused(error);
    ended_ = true;
    Output output = with_head(std::move(bytes) + accepted_->writer->error(error));
    output.end = true;
    return output;
  }

  // What has been computed of choices that have not ended.
  void add_unended(WorkFacts& facts) const {
    for (const RequestInfo& request : node_.requests())
      for (std::size_t i = 0; i < open_.size(); ++i) {
        if (!open_[i] || accepted_->choices[i].id != request.id) continue;
        facts.prompt_tokens += request.prompt_tokens;
        facts.output_tokens += request.output_tokens;
      }
  }

  void close(std::size_t choice, const Completion& completion) {
    open_[choice] = false;
    --still_open_;
    ends_[choice].completion = completion;
    if (accepted_->stops)
      ends_[choice].stop = accepted_->stops->with(
          [&](const std::vector<std::string>& stops) { return stops[choice]; });
  }

  std::string events_of(std::size_t choice, const StreamPiece& piece) {
    Writer& writer = *accepted_->writer;
    std::string events = writer.text(choice, piece);
    if (piece.end) events += writer.end(choice, ends_[choice]);
    if (!events.empty() && !std::exchange(begun_, true)) events.insert(0, writer.begin());
    return events;
  }

  ReplyHead head(std::string_view type, bool streamed) const {
    ReplyHead head{.headers = accepted_->headers, .streamed = streamed};
    head.headers.push_back({"content-type", std::string(type)});
    if (streamed) head.headers.push_back({"cache-control", "no-store"});
    return head;
  }

  // What only the loaded model tells; once. nullopt: it is not known yet.
  std::optional<std::vector<Header>> take_late_headers() {
    if (!accepted_->late) return std::vector<Header>();
    const auto tokens = prompt_tokens_most();
    if (!tokens) return std::nullopt;
    const Limits limits = *std::exchange(accepted_->late, std::nullopt);
    const auto executor = node_.executor(accepted_->executor);
    return executor ? headers_of(limits, *executor, *tokens) : std::vector<Header>();
  }
  // False: they are not known yet.
  bool add_late_headers() {
    auto late = take_late_headers();
    if (!late) return false;
    for (Header& header : *late) accepted_->headers.push_back(std::move(header));
    return true;
  }

  // Of the longest prompt; nullopt: not all are tokenized.
  std::optional<std::int32_t> prompt_tokens_most() const {
    std::map<RequestId, std::int32_t> active;
    if (still_open_ > 0)
      for (const RequestInfo& request : node_.requests())
        active.emplace(request.id, request.prompt_tokens);
    std::int32_t most = 0;
    for (std::size_t i = 0; i < ends_.size(); ++i) {
      const auto found = active.find(accepted_->choices[i].id);
      std::int32_t tokens = ends_[i].completion.usage.prompt_tokens;
      if (open_[i] && found != active.end()) tokens = found->second;
      if (tokens <= 0) return std::nullopt;
      most = std::max(most, tokens);
    }
    return most;
  }

  // Where the head has gone out while the model was loaded, its headers come as comments.
  Output with_text(std::string bytes) {
    if (!head_given_) return with_head(std::move(bytes));
    std::string comments;
    for (const Header& late : take_late_headers().value_or(std::vector<Header>()))
      comments += ": " + late.name + ": " + late.value + "\n\n";
    return with_head(comments + bytes);
  }

  Output with_head(std::string bytes) {
    if (!head_given_) static_cast<void>(add_late_headers());
    Output output{.head = std::nullopt, .bytes = std::move(bytes)};
    if (!std::exchange(head_given_, true))
      output.head = head("text/event-stream; charset=utf-8", true);
    return output;
  }

  ApiError error_of(std::size_t choice, const Completion& completion) const {
    if (!completion.error) return api_error({Code::kEngineFailed, "the generation failed"});
    const std::vector<std::string>& fields = accepted_->prompt_fields;
    const std::size_t prompt = choice * fields.size() / ends_.size();
    return with_room(about_prompt(*completion.error, fields[prompt]), node_, accepted_->executor);
  }

  Node& node_;
  const Nanos ping_every_;
  const LoadWait load_wait_;
  const Dialect& dialect_;
  const std::shared_ptr<GeneratingDesk> desk_;
  std::optional<Accepted> accepted_;
  std::string refused_by_;       // the model of one that was not accepted, where it was known
  std::vector<ChoiceEnd> ends_;  // of each choice
  std::vector<bool> open_;       // choices that have not ended
  std::size_t still_open_ = 0;
  std::size_t turn_ = 0;
  std::string early_;  // events that wait for the head
  bool head_given_ = false;
  bool begun_ = false;
  bool ended_ = false;
  std::optional<WorkFacts> cut_;  // of one that was cut short: before its choices were cancelled
};

}  // namespace

std::unique_ptr<Work> begin_generating(const Services& services, const Dialect& dialect,
                                       HttpRequest request, Wake wake) {
  return std::make_unique<Generating>(services, dialect, std::move(request), std::move(wake));
}

}  // namespace choir::serve
