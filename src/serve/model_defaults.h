// What a model's configuration says where a request says nothing.
//
// Pure: any thread, does not block.
#pragma once

#include "serve/asked.h"
#include "serve/client_rights.h"
#include "serve/model_config.h"

namespace choir::serve {

// Sets what the client has left out: sampling, a system message of a chat that has none, the most
// tokens, how long the model stays, and the class where that of the model is above the client's.
// What was given stays. Calling it twice is as calling it once.
void fill_in(const RequestDefaults& defaults, const Client& client, Asked& asked);

}  // namespace choir::serve
