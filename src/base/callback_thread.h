// Which threads run callbacks of users. A call that waits for requests is refused there, because it
// would wait for the thread that it runs on.
//
// Any thread may call; nothing blocks.
#pragma once

#include "choir/result.h"

namespace choir {

// From now on the calling thread is one of them.
void become_callback_thread();
bool on_callback_thread();

// On a callback thread: kInvalidArgument with the name of the call and what to use instead.
Status refuse_inside_callback(const char* call, const char* instead);

}  // namespace choir
