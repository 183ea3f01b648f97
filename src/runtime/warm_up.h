// The first pass of a new engine, on the calling thread: every weight and every scratch page is in
// memory before the first request, and a model that cannot compute fails at load.
#pragma once

#include "base/clock.h"
#include "engine/engine.h"

namespace choir {

Status warm_up(Backend& backend, const Model& model, Engine& engine, const Clock& clock);

}  // namespace choir
