#include "kernels/fused_heads.h"

#include <ggml-cpu.h>

#include <cmath>
#include <cstring>

#include "base/check.h"
#include "ggml-cpu-impl.h"  // the engine's own: what a thread of a graph knows
#include "kernels/fusion.h"
#include "kernels/kernel_table.h"

namespace choir::kernels {
namespace {

struct RopeParameters {
  float base = 0.0F;
  float scale = 1.0F;
  float extrapolated = 0.0F;  // share of YaRN
  float magnitude = 1.0F;
  float ramp[2] = {};  // of YaRN, in pairs of dimensions
  float step = 1.0F;   // from one pair's angle to the next one's
  const float* factors = nullptr;
};

RopeParameters parameters_of(const Angles& angles) {
  const ggml_tensor* rope = angles.rope;
  RopeParameters out;
  out.base = ggml_get_op_params_f32(rope, 5);
  out.scale = ggml_get_op_params_f32(rope, 6);
  out.extrapolated = ggml_get_op_params_f32(rope, 7);
  out.magnitude = ggml_get_op_params_f32(rope, 8);
  ggml_rope_yarn_corr_dims(angles.dims, ggml_get_op_params_i32(rope, 4), out.base,
                           ggml_get_op_params_f32(rope, 9), ggml_get_op_params_f32(rope, 10),
                           out.ramp);
  if (out.extrapolated != 0.0F) out.magnitude *= 1.0F + 0.1F * logf(1.0F / out.scale);
  out.step = powf(out.base, -2.0F / static_cast<float>(angles.dims));
  if (rope->src[2] != nullptr) out.factors = static_cast<const float*>(rope->src[2]->data);
  return out;
}

// As ggml's rope counts, to the bit: the angle of each pair from that of the one before it.
float turned_by(const RopeParameters& set, float angle, int pair) {
  const float interpolated = set.scale * angle;
  if (set.extrapolated == 0.0F) return interpolated;
  const float at =
      (static_cast<float>(pair) - set.ramp[0]) / std::max(0.001F, set.ramp[1] - set.ramp[0]);
  const float mix = (1.0F - std::min(1.0F, std::max(0.0F, at))) * set.extrapolated;
  return interpolated * (1.0F - mix) + angle * mix;
}

void make_angles(const Angles& angles, const RopeParameters& set, std::int64_t token, float* to) {
  float angle = static_cast<float>(
      static_cast<const std::int32_t*>(angles.rope->src[1]->data)[static_cast<std::size_t>(token)]);
  float* second = to + (angles.neighbours ? angles.dims : angles.dims / 2);
  for (int pair = 0; pair < angles.dims / 2; ++pair, angle *= set.step) {
    const float factor = set.factors == nullptr ? 1.0F : set.factors[pair];
    const float by = turned_by(set, angle / factor, pair);
    const float cosine = cosf(by) * set.magnitude;
    const float sine = sinf(by) * set.magnitude;
    if (angles.neighbours) {
      to[2 * pair] = cosine;
      to[2 * pair + 1] = sine;
      second[2 * pair] = -sine;
      second[2 * pair + 1] = cosine;
    } else {
      to[pair] = cosine;
      second[pair] = sine;
    }
  }
}

std::byte* row_of_cells(const HeadStep& step, std::int64_t token) {
  const std::int64_t row = *reinterpret_cast<const std::int64_t*>(
      static_cast<const char*>(step.ids->data) + static_cast<std::size_t>(token) * step.ids->nb[0]);
  CHOIR_CHECK(row >= 0 && row < step.cells->ne[1], "the engine writes to cells that exist");
  return static_cast<std::byte*>(step.cells->data) +
         static_cast<std::size_t>(row) * step.cells->nb[1];
}

void compute_head(const HeadStep& step, const Angles* angles, std::int64_t token, int head) {
  HeadRow row;
  const bool whole = step.heads == 1;  // all heads are one row, and x may have two dimensions
  const auto at = static_cast<std::size_t>(token);
  const auto place = static_cast<std::size_t>(head);
  row.x = reinterpret_cast<const float*>(static_cast<const char*>(step.x->data) +
                                         at * step.x->nb[step.turned ? 2 : 1] +
                                         (whole ? 0 : place * step.x->nb[1]));
  row.size = step.size;
  row.scale = step.scale;
  if (step.weight != nullptr) row.weight = static_cast<const float*>(step.weight->data);
  row.epsilon = step.epsilon;
  if (step.turned) {
    row.angles = angles->values.data() + at * angles->floats();
    row.dims = angles->dims;
    row.neighbours = angles->neighbours;
  }
  if (step.out != nullptr)
    row.out = reinterpret_cast<float*>(static_cast<char*>(step.out->data) + at * step.out->nb[2] +
                                       place * step.out->nb[1]);
  else
    row.halves = row_of_cells(step, token) +
                 place * static_cast<std::size_t>(step.size) * sizeof(ggml_fp16_t);
  active_table()->finish_head(row);
}

}  // namespace

void compute_heads(const ggml_compute_params& params, const Fused& fused) {
  const HeadStep& first = fused.heads[0];
  const std::int64_t tokens = first.turned ? first.x->ne[2] : first.x->ne[1];
  Angles* angles = fused.angles < 0 ? nullptr : &fused.plan->angles(fused.angles);
  if (fused.makes_angles) {
    const RopeParameters set = parameters_of(*angles);
    for (std::int64_t token = params.ith; token < tokens; token += params.nth)
      make_angles(*angles, set, token,
                  angles->values.data() + static_cast<std::size_t>(token) * angles->floats());
    ggml_barrier(params.threadpool);
  }
  std::int64_t each = 0;
  for (int i = 0; i < fused.count; ++i) each += fused.heads[static_cast<std::size_t>(i)].heads;
  const std::int64_t end = tokens * each * (params.ith + 1) / params.nth;
  for (std::int64_t at = tokens * each * params.ith / params.nth; at < end; ++at) {
    auto head = static_cast<int>(at % each);
    std::size_t step = 0;
    for (; head >= fused.heads[step].heads; ++step) head -= fused.heads[step].heads;
    compute_head(fused.heads[step], angles, at / each, head);
  }
}

}  // namespace choir::kernels
