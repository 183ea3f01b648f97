// An engine whose calls throw nothing: what the one inside throws, mostly for want of memory, is
// the error of the call, or cells that are gone.
//
// Cells that it could not free are freed before it computes next; until then nobody has them.
#pragma once

#include <memory>

#include "engine/engine.h"

namespace choir {

std::unique_ptr<Engine> caught_engine(std::unique_ptr<Engine> inside);

}  // namespace choir
