// A forward pass of a bare engine, as benchmarks of the kernels time it.
#pragma once

#include <span>
#include <vector>

#include "engine/llama_engine.h"

namespace choir::bench {

SeqId sequence_id(int index);
// Tokens of no meaning, few of them twice.
std::vector<TokenId> any_text(int tokens);
// One pass: `text` after what each of the sequences [first, first + count) has. The pool is
// attached. Aborts where it is not computed.
void compute_pass(LlamaEngine& engine, int first, int count, std::span<const TokenId> text);

}  // namespace choir::bench
