#include "engine/template_nodes.h"

#include <jinja/parser.h>
#include <jinja/runtime.h>

#include <array>
#include <bitset>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace choir {
namespace {

using jinja::mk_val;
using jinja::statement_ptr;

// As jinja::identifier, without its copy of the table of functions.
struct Variable final : jinja::identifier {
  using identifier::identifier;
  jinja::value execute_impl(jinja::context& context) const override {
    jinja::value found = context.get_val(val);
    if (!found->is_undefined() && !context.is_get_stats) return found;
    return identifier::execute_impl(context);
  }
};

// What a loop tells of its place.
constexpr std::array<const char*, 9> kPlaces = {"index", "index0", "revindex", "revindex0", "first",
                                                "last",  "length", "previtem", "nextitem"};
using Places = std::bitset<kPlaces.size()>;

// Those that a template can read: all, unless it has `loop` only in front of their names.
Places places_in(std::string_view source) {
  static constexpr std::string_view kLoop = "loop";
  Places places;
  for (std::size_t at = source.find(kLoop); at != std::string_view::npos;
       at = source.find(kLoop, at + kLoop.size()))
    if (!source.substr(at + kLoop.size()).starts_with('.')) return ~places;
  if (source.find(kLoop) == std::string_view::npos) return places;
  for (std::size_t i = 0; i < kPlaces.size(); ++i)
    places[i] = source.find(kPlaces.at(i)) != std::string_view::npos;
  return places;
}

// As jinja::for_statement with one variable and no filter: without the scope that it makes for each
// item to try the filter.
struct Loop final : jinja::for_statement {
  using for_statement::for_statement;
  Places places;

  jinja::value execute_impl(jinja::context& context) const override {
    const auto* name = dynamic_cast<const jinja::identifier*>(loopvar.get());
    if (name == nullptr || context.is_get_stats ||
        jinja::is_stmt<jinja::select_expression>(iterable))
      return for_statement::execute_impl(context);
    jinja::context scope(context);
    const std::vector<jinja::value> items = items_of(iterable->execute(scope));
    auto parts = mk_val<jinja::value_array>();
    bool none = true;
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (places.any()) scope.set_val("loop", place(items, i));
      scope.set_val(name->val, items[i]);
      try {
        for (const statement_ptr& part : body) parts->push_back(part->execute(scope));
      } catch (const jinja::continue_statement::signal&) {
        continue;
      } catch (const jinja::break_statement::signal&) {
        break;
      }
      none = false;
    }
    if (none)
      for (const statement_ptr& part : default_block) parts->push_back(part->execute(context));
    jinja::value_string text = mk_val<jinja::value_string>();
    jinja::gather_string_parts_recursive(parts, text);
    return text;
  }

 private:
  static std::vector<jinja::value> items_of(const jinja::value& walked) {
    if (walked->is_undefined()) return {};
    if (jinja::is_val<jinja::value_array>(walked)) return walked->as_array();
    if (!jinja::is_val<jinja::value_object>(walked))
      throw std::runtime_error("Expected iterable or object type in for loop: got " +
                               walked->type());
    std::vector<jinja::value> keys;
    for (const auto& pair : walked->as_ordered_object()) keys.push_back(pair.first);
    return keys;
  }

  jinja::value_object place(const std::vector<jinja::value>& items, std::size_t i) const {
    const std::size_t count = items.size();
    auto loop = mk_val<jinja::value_object>();
    loop->has_builtins = false;
    const auto set = [&](std::size_t which, const auto& value) {
      if (places[which]) loop->insert(kPlaces.at(which), value());
    };
    const auto number = [&](std::size_t which, std::size_t n) {
      set(which, [&] { return mk_val<jinja::value_int>(static_cast<std::int64_t>(n)); });
    };
    number(0, i + 1);
    number(1, i);
    number(2, count - i);
    number(3, count - i - 1);
    set(4, [&] { return mk_val<jinja::value_bool>(i == 0); });
    set(5, [&] { return mk_val<jinja::value_bool>(i == count - 1); });
    number(6, count);
    const auto beside = [&](std::size_t which, bool is, std::size_t at) {
      set(which, [&]() -> jinja::value {
        return is ? items[at] : mk_val<jinja::value_undefined>(kPlaces.at(which));
      });
    };
    beside(7, i > 0, i - 1);
    beside(8, i < count - 1, i + 1);
    return loop;
  }
};

void quicken_all(jinja::statements& all, Places places);

// What is left as it is: names that the engine reads itself, as those of members, filters, tests
// and arguments.
void quicken_one(statement_ptr& one, Places places) {
  if (!one) return;
  if (auto* name = jinja::cast_stmt<jinja::identifier>(one)) {
    auto ours = std::make_unique<Variable>(name->val);
    ours->pos = name->pos;
    one = std::move(ours);
  } else if (auto* loop = jinja::cast_stmt<jinja::for_statement>(one)) {
    quicken_one(loop->iterable, places);
    quicken_all(loop->body, places);
    quicken_all(loop->default_block, places);
    auto ours = std::make_unique<Loop>(std::move(loop->loopvar), std::move(loop->iterable),
                                       std::move(loop->body), std::move(loop->default_block));
    ours->pos = loop->pos;
    ours->places = places;
    one = std::move(ours);
  } else if (auto* branch = jinja::cast_stmt<jinja::if_statement>(one)) {
    quicken_one(branch->test, places);
    quicken_all(branch->body, places);
    quicken_all(branch->alternate, places);
  } else if (auto* set = jinja::cast_stmt<jinja::set_statement>(one)) {
    quicken_one(set->val, places);
    quicken_all(set->body, places);
  } else if (auto* macro = jinja::cast_stmt<jinja::macro_statement>(one)) {
    quicken_all(macro->body, places);
  } else if (auto* member = jinja::cast_stmt<jinja::member_expression>(one)) {
    quicken_one(member->object, places);
    if (member->computed) quicken_one(member->property, places);
  } else if (auto* call = jinja::cast_stmt<jinja::call_expression>(one)) {
    quicken_one(call->callee, places);
    quicken_all(call->args, places);
  } else if (auto* pair = jinja::cast_stmt<jinja::binary_expression>(one)) {
    quicken_one(pair->left, places);
    quicken_one(pair->right, places);
  } else if (auto* filter = jinja::cast_stmt<jinja::filter_expression>(one)) {
    quicken_one(filter->operand, places);
  } else if (auto* select = jinja::cast_stmt<jinja::select_expression>(one)) {
    quicken_one(select->lhs, places);
    quicken_one(select->test, places);
  } else if (auto* test = jinja::cast_stmt<jinja::test_expression>(one)) {
    quicken_one(test->operand, places);
  } else if (auto* unary = jinja::cast_stmt<jinja::unary_expression>(one)) {
    quicken_one(unary->argument, places);
  } else if (auto* either = jinja::cast_stmt<jinja::ternary_expression>(one)) {
    quicken_one(either->condition, places);
    quicken_one(either->true_expr, places);
    quicken_one(either->false_expr, places);
  }
}

void quicken_all(jinja::statements& all, Places places) {
  for (statement_ptr& one : all) quicken_one(one, places);
}

}  // namespace

void quicken(jinja::program& program, std::string_view source) {
  quicken_all(program.body, places_in(source));
}

}  // namespace choir
