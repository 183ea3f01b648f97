// A process's World on the fake engine, with hooks where a test wants to wait or to throw.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/guarded.h"
#include "facade/world.h"
#include "parallel/parallel_llm_execution.h"
#include "sim/fake_engine.h"
#include "tests/fake_node.h"

namespace choir::parallel {

// Called where the name says, on whichever thread; may block or throw.
class Hooks {
 public:
  using Hook = std::function<void(const std::string& what)>;
  enum Where { kInspect, kMeasure, kLoad, kTokenize, kCount };

  void set(Where where, Hook hook) {
    hooks_.with([&](auto& all) { all.at(where).swap(hook); });
  }
  void call(Where where, const std::string& what) const {
    const Hook hook = hooks_.with([&](const auto& all) { return all.at(where); });
    if (hook) hook(what);
  }

 private:
  Guarded<std::array<Hook, kCount>> hooks_;
};

// The fake model; of a file "encoder..." it is said to be one.
class HookedModel final : public sim::FakeModel {
 public:
  HookedModel(std::shared_ptr<const Hooks> hooks, bool encodes)
      : FakeModel(1 << 20, !encodes), hooks_(std::move(hooks)) {}
  Result<std::vector<TokenId>> tokenize(std::string_view text, Special special) const override {
    hooks_->call(Hooks::kTokenize, std::string(text));
    return FakeModel::tokenize(text, special);
  }

 private:
  const std::shared_ptr<const Hooks> hooks_;
};

class HookedBackend final : public Backend {
 public:
  explicit HookedBackend(std::shared_ptr<const Hooks> hooks) : hooks_(std::move(hooks)) {}
  Result<ExecutorBytes> measure(const std::string& path, const EngineConfig& config) override {
    hooks_->call(Hooks::kMeasure, path);
    return fake_.measure(path, config);
  }
  Result<std::shared_ptr<const Model>> load(const std::string& path,
                                            const LoadProgress& progress) override {
    hooks_->call(Hooks::kLoad, path);
    if (progress && !progress(1)) return fail(Code::kCancelled, "the load was given up");
    return std::static_pointer_cast<const Model>(
        std::make_shared<const HookedModel>(hooks_, path.starts_with("encoder")));
  }
  Result<std::unique_ptr<Engine>> create_engine(std::shared_ptr<const Model> model,
                                                const EngineConfig& config) override {
    return fake_.create_engine(std::move(model), config);
  }
  std::unique_ptr<Pool> create_pool(std::span<const int> cpus) override {
    return fake_.create_pool(cpus);
  }

 private:
  const std::shared_ptr<const Hooks> hooks_;
  sim::FakeBackend fake_;
};

class FacadeWorld : public testing::Test {
 protected:
  FacadeWorld() {
    World::Parts parts;
    parts.make_node = [hooks = hooks_] {
      return Runtime::create({}, machine_of(2), std::make_unique<HookedBackend>(hooks));
    };
    parts.resolve = [](const std::string& name) -> Result<std::string> { return name; };
    parts.inspect = [hooks = hooks_](const std::string& path) -> Result<ModelInfo> {
      hooks->call(Hooks::kInspect, path);
      return HookedModel(hooks, path.starts_with("encoder")).info();
    };
    World::set_parts(std::move(parts));
  }
  ~FacadeWorld() override { World::set_parts(std::nullopt); }

  static LLMExecutionConfig config(const std::string& id, const std::string& model = "one.gguf") {
    LLMExecutionConfig c;
    c.llmId = id;
    c.modelPath = model;
    c.modelType = model.starts_with("encoder") ? "BERT" : "GPT";
    c.maxSequenceLength = 256;
    c.batchSize = 2;
    return c;
  }
  static LLMExecutionRequest request(const std::string& text, const std::string& context = "") {
    LLMExecutionRequest r;
    r.inputText = text;
    r.maxOutputLength = 8;
    r.parameters["ignore_eos"] = "true";
    if (!context.empty()) r.parameters["context_id"] = context;
    return r;
  }
  static LLMExecutionContext context(const std::string& id) {
    LLMExecutionContext c;
    c.contextId = id;
    return c;
  }

  const std::shared_ptr<Hooks> hooks_ = std::make_shared<Hooks>();
};

}  // namespace choir::parallel
