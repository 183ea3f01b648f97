#include "engine/word_split.h"

#include <unicode.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <locale>
#include <map>
#include <memory>
#include <optional>
#include <regex>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "base/guarded.h"

namespace choir {
namespace {

using Words = std::vector<std::string>;
using Codepoints = std::vector<std::uint32_t>;
using Lengths = std::vector<std::size_t>;

// Those that the engine's function takes apart by code of its own, which needs no compiling.
constexpr std::array kByCode = {
    std::string_view(R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S))"),
    std::string_view(
        R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"),
    std::string_view(
        R"((?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"),
    std::string_view(
        R"((?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"),
    std::string_view(
        R"((?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"),
    std::string_view(R"(\p{Han}+)"),
    std::string_view(R"(\p{AFMoE_digits})"),
    std::string_view(R"([^\n]+|[\n]+)"),
    std::string_view(R"(\d{1,3}(?=(?:\d{3})*\b))")};

// Matches nothing, in front of each digit from which a multiple of three digits is left. std::regex
// reads the rest of them at each, so 50,000 digits took a minute.
constexpr std::string_view kTriples = R"((?=(\d{3})+(?!\d)))";

// std::regex knows no Unicode: each character that is not ASCII becomes one byte that stands for
// its category, and so do the categories in an expression.
struct Category {
  std::uint16_t flag;
  char byte;
  std::string_view ascii;  // its characters below 128, as a range of an expression
};
constexpr std::array kCategories = {
    Category{unicode_cpt_flags::NUMBER, '\xD1', "0-9"},
    Category{unicode_cpt_flags::LETTER, '\xD2', "A-Za-z"},
    Category{unicode_cpt_flags::PUNCTUATION, '\xD3', R"(!-#%-*,-/:-;?-@\[-\]_\{\})"},
    Category{unicode_cpt_flags::ACCENT_MARK, '\xD4', ""},
    Category{unicode_cpt_flags::SYMBOL, '\xD5', R"(\$\+<->^`\|\~)"}};
constexpr char kOtherCategory = '\xD0';
constexpr char kWideBlank = 0x0B;  // for blanks that are not ASCII
constexpr std::array kNames = {
    std::pair{std::string_view(R"(\p{N})"), 0U},  std::pair{std::string_view(R"(\p{L})"), 1U},
    std::pair{std::string_view(R"(\p{P})"), 2U},  std::pair{std::string_view(R"(\p{M})"), 3U},
    std::pair{std::string_view(R"(\p{S})"), 4U},  std::pair{std::string_view(R"(\p{Lu})"), 1U},
    std::pair{std::string_view(R"(\p{Ll})"), 1U}, std::pair{std::string_view(R"(\p{Lt})"), 1U},
    std::pair{std::string_view(R"(\p{Lm})"), 1U}, std::pair{std::string_view(R"(\p{Lo})"), 1U}};

std::string collapsed_expression(std::string_view expression) {
  std::string out;
  bool inside = false;  // of [], which cannot be nested
  for (std::size_t i = 0; i < expression.size(); ++i) {
    const char c = expression[i];
    const bool escaped = i > 0 && expression[i - 1] == '\\';
    if ((c == '[' || (c == ']' && inside)) && !escaped) {
      inside = c == '[';
      out += c;
      continue;
    }
    const auto name = std::ranges::find_if(
        kNames, [&](const auto& n) { return expression.substr(i).starts_with(n.first); });
    if (name == kNames.end()) {
      out += c;
      continue;
    }
    const Category& category = kCategories.at(name->second);
    if (!inside) out += '[';
    out += category.byte;
    out += category.ascii;
    if (!inside) out += ']';
    i += name->first.size() - 1;
  }
  return out;
}

// One expression, ready to be applied. Matching is const, so threads share it.
struct Expression {
  Words alone;  // itself, for the engine's function
  bool by_code = false;
  bool triples = false;
  bool by_category = false;
  std::regex narrow;  // by_category
  std::wregex wide;   // else
};

template <class Regex, class Text>
void compile(Regex& regex, const Text& text) {
  // Not the process's locale, which may change: tokens must not.
  regex.imbue(std::locale::classic());
  regex.assign(text, std::regex_constants::optimize | std::regex_constants::nosubs);
}

Expression compiled(const std::string& text) {
  Expression out;
  out.alone = {text};
  out.by_code = std::ranges::find(kByCode, text) != kByCode.end();
  out.triples = text == kTriples;
  if (out.by_code || out.triples) return out;
  out.by_category = std::ranges::any_of(
      kNames, [&](const auto& n) { return text.find(n.first) != std::string::npos; });
  if (out.by_category) {
    if (std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) >= 0x80; }))
      throw std::regex_error(std::regex_constants::error_collate);
    compile(out.narrow, collapsed_expression(text));
  } else {
    const auto points = unicode_cpts_from_utf8(text);
    compile(out.wide, std::wstring(points.begin(), points.end()));
  }
  return out;
}

struct Kind {
  std::vector<Expression> expressions;
  bool by_engine = true;  // it needs no compiling, or cannot be compiled
};

Kind compiled(const Words& expressions) {
  Kind kind;
  try {
    for (const std::string& text : expressions) kind.expressions.push_back(compiled(text));
  } catch (const std::regex_error&) {
    return {};  // the engine will say so
  }
  kind.by_engine =
      std::ranges::all_of(kind.expressions, [](const Expression& e) { return e.by_code; });
  return kind;
}

using Kinds = std::map<Words, std::shared_ptr<const Kind>>;
Guarded<Kinds>& kinds() {
  static auto& all = *new Guarded<Kinds>;  // the process may exit while threads tokenize
  return all;
}

std::shared_ptr<const Kind> kind_of(const Words& expressions) {
  auto known = kinds().with([&](const Kinds& all) -> std::shared_ptr<const Kind> {
    const auto found = all.find(expressions);
    return found == all.end() ? nullptr : found->second;
  });
  if (known) return known;
  const auto made = std::make_shared<const Kind>(compiled(expressions));
  return kinds().with([&](Kinds& all) { return all.emplace(expressions, made).first->second; });
}

// The text as expressions of both kinds want it, each made when it is first wanted.
class Text {
 public:
  explicit Text(const Codepoints& points) : points_(points) {}

  const std::string& narrow() {
    if (narrow_) return *narrow_;
    narrow_.emplace(points_.size(), '\0');
    for (std::size_t i = 0; i < points_.size(); ++i) (*narrow_)[i] = collapsed(points_[i]);
    return *narrow_;
  }
  const std::wstring& wide() {
    if (wide_) return *wide_;
    wide_.emplace(points_.begin(), points_.end());
    for (std::size_t i = 0; i < points_.size(); ++i)
      if (points_[i] > 0x7F && unicode_cpt_flags_from_cpt(points_[i]).is_whitespace)
        (*wide_)[i] = kWideBlank;
    return *wide_;
  }

 private:
  static char collapsed(std::uint32_t point) {
    if (point < 0x80) return static_cast<char>(point);
    const unicode_cpt_flags flags = unicode_cpt_flags_from_cpt(point);
    if (flags.is_whitespace) return kWideBlank;
    for (const Category& category : kCategories)
      if (flags.category_flag() == category.flag) return category.byte;
    return kOtherCategory;
  }

  const Codepoints& points_;
  std::optional<std::string> narrow_;
  std::optional<std::wstring> wide_;
};

template <class Characters, class Regex>
Lengths cut(const Characters& text, const Regex& regex, const Lengths& parts) {
  using Iterator = typename Characters::const_iterator;
  Lengths out;
  out.reserve(parts.size());
  auto begin = text.begin();
  for (const std::size_t part : parts) {
    const auto end = begin + static_cast<std::ptrdiff_t>(part);
    std::ptrdiff_t at = 0;
    for (std::regex_iterator<Iterator> match(begin, end, regex), none; match != none; ++match) {
      if (match->position() > at) out.push_back(static_cast<std::size_t>(match->position() - at));
      out.push_back(static_cast<std::size_t>(match->length()));
      at = match->position() + match->length();
    }
    const auto rest = static_cast<std::ptrdiff_t>(part) - at;
    if (rest > 0) out.push_back(static_cast<std::size_t>(rest));
    begin = end;
  }
  return out;
}

// As `cut` by kTriples does it; an empty match is a length of 0.
Lengths cut_before_triples(const Codepoints& points, const Lengths& parts) {
  const auto is_digit = [&](std::size_t i) { return points[i] >= '0' && points[i] <= '9'; };
  Lengths out;
  std::size_t at = 0;  // what is before it is in `out`
  std::size_t end = 0;
  for (const std::size_t part : parts) {
    end += part;
    for (std::size_t i = at; i < end;) {
      std::size_t rest = i;
      while (rest < end && is_digit(rest)) ++rest;
      for (; i < rest; ++i) {
        if ((rest - i) % 3 != 0) continue;
        if (i > at) out.push_back(i - at);
        out.push_back(0);
        at = i;
      }
      i = rest + 1;  // behind the digits is something else, or the end
    }
    if (end > at) out.push_back(end - at);
    at = end;
  }
  return out;
}

std::string utf8(const Codepoints& points, std::size_t begin, std::size_t count) {
  std::string out;
  out.reserve(count);
  for (std::size_t i = begin; i < begin + count; ++i)
    if (points[i] < 0x80) {
      out += static_cast<char>(points[i]);
    } else {
      out += unicode_cpt_to_utf8(points[i]);
    }
  return out;
}

Words words_by_engine(const Codepoints& points, const Expression& expression, const Lengths& parts,
                      bool byte_encode) {
  Words words;
  std::size_t begin = 0;
  for (const std::size_t part : parts) {
    Words some = split_words_by_engine(utf8(points, begin, part), expression.alone, byte_encode);
    words.insert(words.end(), std::move_iterator(some.begin()), std::move_iterator(some.end()));
    begin += part;
  }
  return words;
}

Lengths cut_by_engine(const Codepoints& points, const Expression& expression,
                      const Lengths& parts) {
  Lengths out;
  for (const std::string& word : words_by_engine(points, expression, parts, false))
    out.push_back(unicode_cpts_from_utf8(word).size());
  return out;
}

const std::array<std::string, 256>& printable_bytes() {
  static const auto& all = *new auto([] {
    std::array<std::string, 256> bytes;
    for (unsigned byte = 0; byte < bytes.size(); ++byte)
      bytes.at(byte) = unicode_byte_to_utf8(static_cast<std::uint8_t>(byte));
    return bytes;
  }());
  return all;
}

Words words_of(const Codepoints& points, const Lengths& lengths, bool byte_encode) {
  const auto& printable = printable_bytes();
  Words words;
  words.reserve(lengths.size());
  std::size_t begin = 0;
  for (const std::size_t length : lengths) {
    std::string word = utf8(points, begin, length);
    begin += length;
    if (!byte_encode) {
      words.push_back(std::move(word));
      continue;
    }
    std::string& encoded = words.emplace_back();
    encoded.reserve(2 * word.size());
    for (const char byte : word) encoded += printable[static_cast<unsigned char>(byte)];
  }
  return words;
}

Words cut_into_words(const std::string& text, const Words& expressions, bool byte_encode) {
  const auto kind = kind_of(expressions);
  if (kind->by_engine) return split_words_by_engine(text, expressions, byte_encode);
  const Codepoints points = unicode_cpts_from_utf8(text);
  Text forms(points);
  Lengths parts = {points.size()};
  for (const Expression& expression : kind->expressions) {
    if (expression.by_code && &expression == &kind->expressions.back())
      return words_by_engine(points, expression, parts, byte_encode);
    if (expression.by_code) {
      parts = cut_by_engine(points, expression, parts);
    } else if (expression.triples) {
      parts = cut_before_triples(points, parts);
    } else if (expression.by_category) {
      parts = cut(forms.narrow(), expression.narrow, parts);
    } else {
      parts = cut(forms.wide(), expression.wide, parts);
    }
  }
  return words_of(points, parts, byte_encode);
}

// Words that keep their bytes have their blanks written otherwise before they come here. The engine
// ends the process when it merges a pair of which one has a blank, so it is refused here.
void refuse_blanks(const Words& words) {
  for (const std::string& word : words)
    if (word.size() > 1 && word.find(' ') != std::string::npos)
      throw std::runtime_error(
          "the file's tokenizer leaves blanks in words; its keys tokenizer.ggml.model and "
          "tokenizer.ggml.pre do not belong together");
}

}  // namespace

std::vector<std::string> split_words(const std::string& text,
                                     const std::vector<std::string>& expressions,
                                     bool byte_encode) {
  Words words = cut_into_words(text, expressions, byte_encode);
  if (!byte_encode) refuse_blanks(words);
  return words;
}

std::vector<std::vector<std::string>> split_kinds() {
  return kinds().with([](const Kinds& all) {
    std::vector<std::vector<std::string>> expressions;
    for (const auto& [key, kind] : all) expressions.push_back(key);
    return expressions;
  });
}

}  // namespace choir
