// POST /v1/embeddings: texts to vectors, each of length one.
#pragma once

#include <memory>

#include "serve/http.h"
#include "serve/services.h"

namespace choir::serve {

// On the loop thread. While the model is loaded no thread waits; the load is looked at once a
// second.
std::unique_ptr<Work> begin_embedding(const Services& services, HttpRequest request, Wake wake);

}  // namespace choir::serve
