#include "serve/own_catalogue.h"

#include <algorithm>
#include <vector>

#include "choir/catalog.h"
#include "serve/by_door.h"
#include "serve/model_rows.h"

namespace choir::serve {
namespace {

Result<Json> catalogue(const Node& node) {
  const std::vector<LocalModel> local = CHOIR_TRY(local_models());
  Json rows = Json::array();
  for (const CatalogEntry& entry : catalog())
    rows.push_back(
        {{"name", entry.name},
         {"description", entry.description},
         {"license", entry.license},
         {"bytes", entry.bytes},
         {"local", std::ranges::find(local, entry.name, &LocalModel::name) != local.end()}});
  return Json{{"models", std::move(rows)},
              {"folder_models", local.size()},
              {"node", node_row(node.info())}};
}

}  // namespace

void add_catalogue_routes(Router& router, const Services& s) {
  router.add(
      {.method = "GET",
       .path = "/choir/v1/catalogue",
       .summary = "Lists the models that can be fetched, and which are on disk",
       .reply = {"Catalogue"},
       .handler = shared_by_door(s.doors, [&s]() -> Result<Json> { return catalogue(s.node); })});
}

}  // namespace choir::serve
