#include "kernels/graph_hook.h"

#include <ggml-backend.h>

#include <atomic>
#include <cstdlib>
#include <string_view>

#include "base/check.h"
#include "ggml-backend-impl.h"  // the engine's own: what a device and a backend are
#include "kernels/fusion.h"

namespace choir::kernels {
namespace {

// ggml's own. Written once, before any backend exists.
struct Original {
  decltype(ggml_backend_device_i::init_backend) init_backend = nullptr;
  decltype(ggml_backend_i::graph_compute) graph_compute = nullptr;
};
Original& original() {
  static Original functions;
  return functions;
}

std::atomic<bool>& fusing() {
  static std::atomic<bool> on = [] {
    const char* wish = std::getenv("CHOIR_FUSION");
    return wish == nullptr || std::string_view(wish) != "off";
  }();
  return on;
}

ggml_status compute_graph(ggml_backend_t backend, ggml_cgraph* graph) {
  if (!fusing()) return original().graph_compute(backend, graph);
  // One for each lane: its memory serves all models that take turns there.
  thread_local GraphPlans plans;
  GraphPlan& plan = plans.plan_for(*graph);
  ggml_cgraph fused = plan.apply(*graph);
  const ggml_status status = original().graph_compute(backend, &fused);
  plan.clear();
  return status;
}

ggml_backend_t init_backend(ggml_backend_dev_t device, const char* parameters) {
  ggml_backend_t backend = original().init_backend(device, parameters);
  if (backend != nullptr) backend->iface.graph_compute = compute_graph;
  return backend;
}

}  // namespace

void fuse_graphs() {
  ggml_backend_dev_t device = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
  CHOIR_CHECK(device != nullptr, "the engine has a CPU backend");
  ggml_backend_t any = ggml_backend_dev_init(device, nullptr);
  CHOIR_CHECK(any != nullptr, "the CPU backend can be made");
  original() = {device->iface.init_backend, any->iface.graph_compute};
  ggml_backend_free(any);
  device->iface.init_backend = init_backend;
}

void set_fusing(bool on) { fusing() = on; }

}  // namespace choir::kernels
