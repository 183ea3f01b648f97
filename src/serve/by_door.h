// Handlers whose answer is made on a door thread, in one go.
//
// Any thread may call; the handlers are called on the loop thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "serve/api_error.h"
#include "serve/doors.h"
#include "serve/http.h"
#include "serve/json_in.h"
#include "serve/shape.h"

namespace choir::serve {

using Answer = std::function<Result<Json>(const HttpRequest&)>;
// `body` is as read_shaped_body() gives it.
using BodyAnswer = std::function<Result<Json>(const HttpRequest&, const Json& body)>;

// The answer as JSON with status 200, or the error. `doors` outlives the handler.
Handler by_door(Doors& doors, Answer answer);
// Any reply, made on a door thread.
using Reply = std::function<std::unique_ptr<Work>(const HttpRequest&)>;
Handler work_by_door(Doors& doors, Reply reply);
// A text of this content type.
Handler text_by_door(Doors& doors, std::string type, std::function<std::string()> text);
// The same as by_door() for what may take seconds. `error`: what an error of the answer is over
// HTTP.
using ErrorForm = ApiError (*)(const Error&);
Handler by_slow_door(Doors& doors, Answer answer, ErrorForm error = api_error);

// Answers with errors that name a field. The first one is nullopt where it would take seconds;
// then the other one is called, on the thread for that.
using QuickAnswer = std::function<std::optional<ApiResult<Json>>(const HttpRequest&)>;
using ApiAnswer = std::function<ApiResult<Json>(const HttpRequest&)>;
Handler by_either_door(Doors& doors, QuickAnswer quick, ApiAnswer slow);

// The same for a route whose body has this shape, which is read first; a body that is wrong is
// answered with the error that names the field. What the shape refers to lives as long as the
// handler.
Handler by_door(Doors& doors, const BodyShape& shape, BodyAnswer answer);
Handler by_slow_door(Doors& doors, const BodyShape& shape, BodyAnswer answer,
                     ErrorForm error = api_error);

}  // namespace choir::serve
