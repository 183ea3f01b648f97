// Fetches a model over HTTPS, going on where an earlier try broke off if the server can.
#pragma once

#include <string>

#include "choir/result.h"
#include "models/pull_job.h"

namespace choir {

// Fills job.data_path(). Follows up to ten redirects, each checked as the first address is. A
// connection that breaks is taken up again at once a few times; after that the part that has
// arrived stays in the work folder for the next pull. Blocks the calling thread.
Status fetch_url(const std::string& url, const PullJob& job);

}  // namespace choir
