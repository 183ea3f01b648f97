// POST /v1/embeddings: texts, or lists of tokens, to vectors, each of length one.
//
// A door thread reads the body, finds the model and submits. No thread waits for a load or for the
// vectors: a request for a model that is not in memory waits in the node.
#pragma once

#include <memory>

#include "serve/http.h"
#include "serve/services.h"

namespace choir::serve {

// On the loop thread; does not block.
std::unique_ptr<Work> begin_embedding(const Services& services, HttpRequest request, Wake wake);

}  // namespace choir::serve
