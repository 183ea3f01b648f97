// Handlers about the model that a request names. A name that means nothing is answered at once, a
// file of the models folder that was not seen before is tried behind Door::kFiles, and a load is
// watched: no thread waits for it.
//
// Any thread may call; the handlers are called on the loop thread.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "serve/api_error.h"
#include "serve/by_door.h"
#include "serve/http.h"
#include "serve/services.h"

namespace choir::serve {

struct ModelRoute {
  // How far the model is when `answer` is called.
  enum class Needs : std::uint8_t {
    kName,      // it is in the models folder, or served: `executor` is the name as it came
    kServed,    // the node has an executor of it already
    kDeclared,  // the node has an executor of it
    kLoaded,    // in memory, when it was last looked at, with all of its replicas
  };
  // `ignored`: gets the names of fields that are in no class.
  using Read =
      std::function<ApiResult<Json>(const HttpRequest&, std::vector<std::string>& ignored)>;
  // An empty name is the only model, where there is one.
  using Name = std::function<ApiResult<std::string>(const HttpRequest&, const Json& body)>;
  using Answer =
      std::function<ApiResult<Json>(const std::string& executor, const HttpRequest&, const Json&)>;

  Read read;
  Name name;
  Needs needs = Needs::kDeclared;
  // The load is what a request waits for: it is not tried again right after one has failed, waited
  // for as long as requests may, and given up when the client has gone. One replica is enough, and
  // is the `executor` of the answer. Else the load is asked for by itself.
  bool in_passing = false;
  // Where the name is: an error of it points into a body, and nowhere else.
  enum class NamedIn : std::uint8_t { kBody, kHead };
  NamedIn named_in = NamedIn::kBody;
  Door door = Door::kQuick;  // where the answer is made
  Answer answer;
  ErrorForm error = model_error;  // of the name and the load
};

// An answer with the errors of the core, told in this form.
using ModelResult =
    std::function<Result<Json>(const std::string& executor, const HttpRequest&, const Json& body)>;
ModelRoute::Answer in_form(ErrorForm error, ModelResult result);

// `services` outlives the handler.
Handler by_model(const Services& services, ModelRoute route);
// Shows a model, whose name the head has: a file of the models folder that nobody has asked for yet
// is declared.
using ShownModel = std::function<Result<Json>(const std::string& executor, const HttpRequest&)>;
Handler by_shown_model(const Services& services,
                       const std::function<std::string(const HttpRequest&)>& name,
                       ShownModel answer, std::span<const BodyField> query = {});

}  // namespace choir::serve
