// Changes of a model with all of its replicas. `model`: any executor; one that is a replica itself
// is changed alone.
//
// Any thread that may wait. What is refused changes nothing, unless another change comes between.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "choir/result.h"
#include "serve/services.h"

namespace choir::serve {

// Until one fails, whose error it is.
Status for_each_replica(const Services& services, const std::string& model,
                        const std::function<Status(const std::string& executor)>& change);

// kOverloaded while one of them has requests.
Status unload_all(const Services& services, const std::string& model);

// How many executors share the requests of a model. More of them are declared, and loads of them
// begun where the model is in memory. Of fewer, those of the highest numbers go; kOverloaded while
// one of these has requests.
Status set_replicas(const Services& services, const std::string& model, std::int32_t count);

enum class Requests : std::uint8_t {
  kRefuse,  // kOverloaded while it has some
  kCancel,
};
Status remove_all(const Services& services, const std::string& model, Requests requests);

}  // namespace choir::serve
