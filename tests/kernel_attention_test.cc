// Attention inside ggml's graphs: as near to sums in double as floats are, and the same bits for a
// query whatever is computed with it.
#include "kernels/attention_op.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "kernel_graph.h"
#include "kernels/kernel_table.h"
#include "kernels/kv_order.h"

namespace choir::kernels {
namespace {

struct AttentionCase {
  const char* name;
  std::int64_t head_size;
  std::int64_t head_size_v;
  std::int64_t heads;
  std::int64_t kv_heads;
  float soft_cap;
  bool sinks;
  ggml_type type = GGML_TYPE_F16;  // of cells
};
void PrintTo(const AttentionCase& c, std::ostream* out) { *out << c.name; }

// Random numbers as cells hold them, and what those are.
std::vector<std::byte> random_cells(ggml_type type, std::int64_t count, std::mt19937& random,
                                    std::vector<float>& numbers) {
  numbers = random_numbers(count, random);
  std::vector<std::byte> out(ggml_row_size(type, count));
  ggml_get_type_traits(type)->from_float_ref(numbers.data(), out.data(), count);
  ggml_get_type_traits(type)->to_float(out.data(), numbers.data(), count);
  return out;
}

class KernelAttention : public testing::TestWithParam<AttentionCase> {
 protected:
  void SetUp() override {
    if (active_table() == nullptr) GTEST_SKIP() << "our kernels are off";
  }
};

TEST_P(KernelAttention, IsAsNearToTheTruthAsFloatsAre) {
  const AttentionCase& c = GetParam();
  for (unsigned seed = 0; seed < 6; ++seed) {
    std::mt19937 random(seed);
    const std::int64_t cells = seed == 0 ? 1 : pick(random, 2, 300);
    const std::int64_t queries = pick(random, 1, 9);
    Graph graph(static_cast<int>(pick(random, 1, 3)));
    ggml_context* rest = graph.rest();
    ggml_tensor* q = ggml_new_tensor_3d(rest, GGML_TYPE_F32, c.head_size, queries, c.heads);
    ggml_tensor* k = ggml_new_tensor_3d(rest, c.type, c.head_size, cells, c.kv_heads);
    ggml_tensor* v = ggml_new_tensor_3d(rest, c.type, c.head_size_v, cells, c.kv_heads);
    ggml_tensor* mask = ggml_new_tensor_2d(rest, GGML_TYPE_F16, cells, queries);
    const float scale = 1.0F / std::sqrt(static_cast<float>(c.head_size));
    ggml_tensor* y = ggml_flash_attn_ext(rest, q, k, v, mask, scale, 0.0F, c.soft_cap);
    ggml_tensor* sinks = nullptr;
    if (c.sinks) {
      sinks = ggml_new_tensor_1d(rest, GGML_TYPE_F32, c.heads);
      ggml_flash_attn_ext_add_sinks(y, sinks);
    }
    ASSERT_TRUE(covers_attention(y));
    const std::vector<float> qs = random_numbers(ggml_nelements(q), random);
    std::vector<float> ks;
    std::vector<float> vs;
    const auto k_cells = random_cells(c.type, ggml_nelements(k), random, ks);
    const auto v_cells = random_cells(c.type, ggml_nelements(v), random, vs);
    std::vector<bool> seen(static_cast<std::size_t>(cells * queries));
    std::vector<ggml_fp16_t> mask_halves(seen.size());
    for (std::size_t i = 0; i < seen.size(); ++i) {
      seen[i] = pick(random, 0, 2) != 0;
      mask_halves[i] = seen[i] ? 0 : ggml_fp32_to_fp16(-INFINITY);
    }
    const std::vector<float> sink_values = random_numbers(c.heads, random);
    const std::vector<float> got = graph.compute(y, [&] {
      ggml_backend_tensor_set(q, qs.data(), 0, qs.size() * sizeof(float));
      ggml_backend_tensor_set(k, k_cells.data(), 0, k_cells.size());
      ggml_backend_tensor_set(v, v_cells.data(), 0, v_cells.size());
      ggml_backend_tensor_set(mask, mask_halves.data(), 0, mask_halves.size() * 2);
      if (c.sinks) ggml_backend_tensor_set(sinks, sink_values.data(), 0, sink_values.size() * 4);
    });
    for (std::int64_t n = 0; n < queries; ++n)
      for (std::int64_t h = 0; h < c.heads; ++h) {
        const std::int64_t kv = h / (c.heads / c.kv_heads);
        std::vector<double> weights(static_cast<std::size_t>(cells), 0.0);
        double top =
            c.sinks ? static_cast<double>(sink_values[static_cast<std::size_t>(h)]) : -1e30;
        std::vector<double> scores(weights.size());
        for (std::int64_t i = 0; i < cells; ++i) {
          const Dot d = dot(qs.data() + (h * queries + n) * c.head_size,
                            ks.data() + (kv * cells + i) * c.head_size, c.head_size);
          double score = d.sum * static_cast<double>(scale);
          if (c.soft_cap != 0.0F)
            score = static_cast<double>(c.soft_cap) *
                    std::tanh(score / static_cast<double>(c.soft_cap));
          scores[static_cast<std::size_t>(i)] = score;
          if (seen[static_cast<std::size_t>(n * cells + i)]) top = std::max(top, score);
        }
        double sum =
            c.sinks ? std::exp(static_cast<double>(sink_values[static_cast<std::size_t>(h)]) - top)
                    : 0.0;
        for (std::size_t i = 0; i < weights.size(); ++i)
          if (seen[static_cast<std::size_t>(n * cells) + i])
            sum += weights[i] = std::exp(scores[i] - top);
        for (std::int64_t z = 0; z < c.head_size_v; ++z) {
          double truth = 0;
          for (std::size_t i = 0; i < weights.size(); ++i)
            truth +=
                weights[i] * static_cast<double>(vs[static_cast<std::size_t>(
                                 (kv * cells + static_cast<std::int64_t>(i)) * c.head_size_v + z)]);
          if (sum > 0) truth /= sum;
          ASSERT_NEAR(got[static_cast<std::size_t>((n * c.heads + h) * c.head_size_v + z)], truth,
                      3e-6 * std::sqrt(static_cast<double>(cells)) + 3e-6)
              << "seed " << seed << ", query " << n << ", head " << h << ", value " << z;
        }
      }
  }
}

// Which cells a query sees: those of one sequence up to its own, the last `window` of them.
struct Query {
  std::int64_t sequence = 0;
  std::int64_t position = 0;
};
struct Batch {
  const char* name;
  std::int64_t sequences;
  std::int64_t past;    // cells of each before the queries
  std::int64_t tokens;  // queries of each
  std::int64_t window;
  bool interleaved;  // a token of each in turn; else one sequence after the other
  bool causal;
};

struct Mask {
  explicit Mask(const Batch& batch) {
    cells = batch.sequences * (batch.past + batch.tokens);
    for (std::int64_t a = 0; a < (batch.interleaved ? batch.tokens : batch.sequences); ++a)
      for (std::int64_t b = 0; b < (batch.interleaved ? batch.sequences : batch.tokens); ++b)
        queries.push_back(batch.interleaved ? Query{b, batch.past + a} : Query{a, batch.past + b});
    for (const Query& query : queries)
      for (std::int64_t cell = 0; cell < cells; ++cell) {
        const std::int64_t position = cell / batch.sequences;
        const bool seen = cell % batch.sequences == query.sequence &&
                          (!batch.causal || position <= query.position) &&
                          position > query.position - batch.window;
        halves.push_back(ggml_fp32_to_fp16(seen ? 0.0F : -INFINITY));
      }
  }
  std::int64_t cells = 0;
  std::vector<Query> queries;
  std::vector<ggml_fp16_t> halves;  // [queries][cells]
};

constexpr std::int64_t kNoWindow = 1 << 20;
constexpr Batch kBatches[] = {
    {"a prompt", 1, 0, 75, kNoWindow, false, true},
    {"a prompt's second chunk", 1, 37, 50, kNoWindow, false, true},
    {"a window that moves", 1, 20, 60, 19, false, true},
    {"a window shorter than a tile", 1, 5, 40, 3, false, true},
    {"prompts one after the other", 3, 10, 21, kNoWindow, false, true},
    {"prompts token by token", 3, 10, 11, kNoWindow, true, true},
    {"decoding", 9, 33, 1, kNoWindow, false, true},
    {"many that decode", 60, 99, 1, kNoWindow, false, true},  // in shares for free threads
    {"tokens that see each other", 2, 0, 33, kNoWindow, false, false},
    {"a long prompt", 1, 1500, 20, kNoWindow, false, true},
};

struct Numbers {
  std::vector<float> q;         // [heads][queries][head_size]
  std::vector<std::byte> k, v;  // [kv_heads][cells][head_size]
  std::vector<float> sinks;
};

// The outputs [queries][heads][head_size_v] of queries [first, first + count).
std::vector<float> attend(const AttentionCase& c, const Mask& mask, const Numbers& numbers,
                          std::int64_t first, std::int64_t count, int threads) {
  const auto all = static_cast<std::int64_t>(mask.queries.size());
  Graph graph(threads);
  ggml_context* rest = graph.rest();
  ggml_tensor* q = ggml_new_tensor_3d(rest, GGML_TYPE_F32, c.head_size, count, c.heads);
  ggml_tensor* k = ggml_new_tensor_3d(rest, c.type, c.head_size, mask.cells, c.kv_heads);
  ggml_tensor* v = ggml_new_tensor_3d(rest, c.type, c.head_size_v, mask.cells, c.kv_heads);
  ggml_tensor* m = ggml_new_tensor_2d(rest, GGML_TYPE_F16, mask.cells, count);
  ggml_tensor* y = ggml_flash_attn_ext(rest, q, k, v, m, 0.2F, 0.0F, c.soft_cap);
  ggml_tensor* sinks = nullptr;
  if (c.sinks) {
    sinks = ggml_new_tensor_1d(rest, GGML_TYPE_F32, c.heads);
    ggml_flash_attn_ext_add_sinks(y, sinks);
  }
  return graph.compute(y, [&] {
    const auto head_bytes = static_cast<std::size_t>(count * c.head_size) * sizeof(float);
    for (std::int64_t h = 0; h < c.heads; ++h)
      ggml_backend_tensor_set(q, numbers.q.data() + (h * all + first) * c.head_size,
                              static_cast<std::size_t>(h) * head_bytes, head_bytes);
    ggml_backend_tensor_set(k, numbers.k.data(), 0, ggml_nbytes(k));
    ggml_backend_tensor_set(v, numbers.v.data(), 0, ggml_nbytes(v));
    ggml_backend_tensor_set(m, mask.halves.data() + first * mask.cells, 0, ggml_nbytes(m));
    if (c.sinks) ggml_backend_tensor_set(sinks, numbers.sinks.data(), 0, ggml_nbytes(sinks));
  });
}

Numbers random_case(const AttentionCase& c, const Mask& mask, std::mt19937& random) {
  Numbers out;
  out.q = random_numbers(c.heads * static_cast<std::int64_t>(mask.queries.size()) * c.head_size,
                         random);
  std::vector<float> values;
  out.k = random_cells(c.type, c.kv_heads * mask.cells * c.head_size, random, values);
  out.v = random_cells(c.type, c.kv_heads * mask.cells * c.head_size_v, random, values);
  out.sinks = random_numbers(c.heads, random);
  return out;
}

TEST_P(KernelAttention, AQueryHasTheSameBitsAloneAndAmongOthers) {
  const AttentionCase& c = GetParam();
  std::mt19937 random(7);
  for (const Batch& batch : kBatches) {
    const Mask mask(batch);
    const Numbers numbers = random_case(c, mask, random);
    const auto queries = static_cast<std::int64_t>(mask.queries.size());
    std::vector<float> alone;
    for (std::int64_t query = 0; query < queries; ++query) {
      const std::vector<float> one = attend(c, mask, numbers, query, 1, 1);
      alone.insert(alone.end(), one.begin(), one.end());
    }
    for (const int threads : {1, 3}) {
      const std::vector<float> got = attend(c, mask, numbers, 0, queries, threads);
      ASSERT_EQ(std::memcmp(got.data(), alone.data(), got.size() * sizeof(float)), 0)
          << batch.name << ", " << threads << " threads";
    }
  }
}

TEST_P(KernelAttention, EveryInstructionSetHasTheSameBits) {
  const AttentionCase& c = GetParam();
  std::mt19937 random(9);
  constexpr int kQueries = 5;
  constexpr std::int64_t kCells = 70;
  const Mask mask({"", 1, kCells - kQueries, kQueries, kNoWindow, false, true});
  const Numbers numbers = random_case(c, mask, random);
  std::vector<std::int32_t> cells(kCells);
  for (std::size_t i = 0; i < cells.size(); ++i) cells[i] = static_cast<std::int32_t>(i);
  const auto compute = [&](const KernelTable& table) {
    std::vector<float> out(static_cast<std::size_t>(kQueries * c.head_size_v), 0.0F);
    std::vector<float> scratch(static_cast<std::size_t>(attention_scratch(kCells)));
    AttentionKv kv;
    kv.head_size = static_cast<int>(c.head_size);
    kv.head_size_v = static_cast<int>(c.head_size_v);
    kv.cells = c.type == GGML_TYPE_Q8_0 ? AttentionKv::Cells::kQ80 : AttentionKv::Cells::kHalf;
    kv.k = numbers.k.data();
    kv.v = numbers.v.data();
    kv.k_stride = ggml_row_size(c.type, c.head_size);
    kv.v_stride = ggml_row_size(c.type, c.head_size_v);
    AttentionTile tile;
    tile.q = numbers.q.data();
    tile.out = out.data();
    tile.q_next = static_cast<std::size_t>(c.head_size);
    tile.out_next = static_cast<std::size_t>(c.head_size_v);
    tile.heads = 1;
    tile.queries = kQueries;
    if (c.sinks) tile.sinks = numbers.sinks.data();
    tile.scale = 0.2F;
    tile.soft_cap = c.soft_cap;
    tile.cells = cells.data();
    for (int i = 0; i < kQueries; ++i)
      tile.ranges[i] = {i, static_cast<std::int32_t>(kCells) - kQueries + i + 1};
    table.attend(kv, tile, scratch.data());
    return out;
  };
  const std::vector<float> want = compute(*active_table());
  const KernelTable* other = avx2_table();  // which every CPU has that has one of ours
  ASSERT_EQ(std::memcmp(compute(*other).data(), want.data(), want.size() * sizeof(float)), 0);
}

TEST(KvOrder, TakesTheTokensOfAPromptTogether) {
  const struct {
    const char* name;
    Batch batch;
    int together;  // of the first query
  } rows[] = {
      {"a prompt", {"", 1, 0, 40, kNoWindow, false, true}, 40},
      {"a second chunk with a window", {"", 1, 50, 40, 20, false, true}, 40},
      {"two prompts", {"", 2, 5, 20, kNoWindow, false, true}, 20},
      {"token by token", {"", 2, 5, 20, kNoWindow, true, true}, 1},
      {"decoding", {"", 4, 20, 1, kNoWindow, false, true}, 1},
      {"all see all", {"", 1, 0, 30, kNoWindow, false, false}, 30},
  };
  for (const auto& row : rows) {
    Mask mask(row.batch);
    ggml_tensor tensor = {};
    tensor.data = mask.halves.data();
    tensor.ne[0] = mask.cells;
    tensor.ne[1] = static_cast<std::int64_t>(mask.queries.size());
    tensor.nb[1] = static_cast<std::size_t>(mask.cells) * 2;
    KvOrder order(nullptr);
    order.prepare(tensor, tensor.ne[1]);
    EXPECT_EQ(order.together(0, 1000), row.together) << row.name;
    EXPECT_EQ(order.together(0, 7), std::min(row.together, 7)) << row.name;
    for (std::int64_t query = 0; query < tensor.ne[1]; ++query) {
      std::vector<std::int32_t> seen;
      for (std::int64_t cell = 0; cell < mask.cells; ++cell)
        if (mask.halves[static_cast<std::size_t>(query * mask.cells + cell)] == 0)
          seen.push_back(static_cast<std::int32_t>(cell));
      const auto got = order.cells(query);
      EXPECT_TRUE(std::equal(got.begin(), got.end(), seen.begin(), seen.end()))
          << row.name << ", query " << query;
    }
  }
}

constexpr AttentionCase kShapes[] = {
    {"SmolLM2", 64, 64, 9, 3, 0.0F, false},
    {"Gemma3", 256, 256, 4, 1, 0.0F, false},
    {"Gemma2SoftCap", 256, 256, 8, 4, 50.0F, false},
    {"Llama", 128, 128, 8, 2, 0.0F, false},
    {"Phi", 80, 80, 4, 4, 0.0F, false},
    {"Heads96", 96, 96, 6, 2, 0.0F, false},
    {"Stories", 8, 8, 8, 4, 0.0F, false},
    {"Odd72WithSinks", 72, 72, 10, 2, 0.0F, true},
    {"WiderKeys", 192, 128, 6, 6, 0.0F, false},
    {"SinksAndCap", 64, 64, 8, 1, 30.0F, true},
    {"SmolLM2InQ8", 64, 64, 9, 3, 0.0F, false, GGML_TYPE_Q8_0},
    {"Gemma3InQ8", 256, 256, 4, 1, 0.0F, false, GGML_TYPE_Q8_0},
    {"OneBlockInQ8", 32, 32, 6, 2, 0.0F, false, GGML_TYPE_Q8_0},
    {"OddBlocksInQ8", 160, 96, 6, 6, 0.0F, false, GGML_TYPE_Q8_0},
    {"SinksAndCapInQ8", 64, 64, 8, 1, 30.0F, true, GGML_TYPE_Q8_0},
};
INSTANTIATE_TEST_SUITE_P(Shapes, KernelAttention, testing::ValuesIn(kShapes),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(KernelAttentionCoverage, LeavesToGgmlWhatItDoesNotKnow) {
  Graph graph(1);
  ggml_context* rest = graph.rest();
  const auto op = [&](ggml_type type, std::int64_t head_size, float max_bias, bool masked,
                      ggml_type values = GGML_TYPE_COUNT) {
    if (values == GGML_TYPE_COUNT) values = type;
    ggml_tensor* q = ggml_new_tensor_3d(rest, GGML_TYPE_F32, head_size, 1, 4);
    ggml_tensor* k = ggml_new_tensor_3d(rest, type, head_size, 32, 4);
    ggml_tensor* v = ggml_new_tensor_3d(rest, values, head_size, 32, 4);
    ggml_tensor* mask = masked ? ggml_new_tensor_2d(rest, GGML_TYPE_F16, 32, 1) : nullptr;
    return ggml_flash_attn_ext(rest, q, k, v, mask, 1.0F, max_bias, 0.0F);
  };
  EXPECT_TRUE(covers_attention(op(GGML_TYPE_F16, 64, 0.0F, true)));
  EXPECT_TRUE(covers_attention(op(GGML_TYPE_Q8_0, 64, 0.0F, true)));
  EXPECT_FALSE(covers_attention(op(GGML_TYPE_Q4_0, 64, 0.0F, true)));
  EXPECT_FALSE(covers_attention(op(GGML_TYPE_Q8_0, 288, 0.0F, true)));
  EXPECT_FALSE(covers_attention(op(GGML_TYPE_F16, 100, 0.0F, true)));
  EXPECT_FALSE(covers_attention(op(GGML_TYPE_F16, 512, 0.0F, true)));
  EXPECT_FALSE(covers_attention(op(GGML_TYPE_F16, 64, 0.0F, true, GGML_TYPE_Q8_0)));
  EXPECT_FALSE(covers_attention(op(GGML_TYPE_Q8_0, 64, 0.0F, true, GGML_TYPE_F16)));
  EXPECT_FALSE(covers_attention(op(GGML_TYPE_F16, 64, 8.0F, true)));
  EXPECT_FALSE(covers_attention(op(GGML_TYPE_F16, 64, 0.0F, false)));
}

}  // namespace
}  // namespace choir::kernels
