// SPDX-License-Identifier: Apache-2.0
#include <charconv>

#include "message/jsonpath_ast.h"

namespace sluice::message {
namespace {

using namespace path;  // NOLINT: the grammar's own words

constexpr std::size_t kMaxText = 4096;
constexpr int kMaxNesting = 16;
constexpr std::int64_t kMaxProgram = 1 << 20;  // bytes a regular expression may take, RE2's own unit

struct NamedOperator {
  std::string_view word;
  Operator op;
};
// Longer spellings stand before their prefixes.
constexpr NamedOperator kOperators[] = {
    {"===", Operator::equal},    {"!==", Operator::not_equal},  {"==", Operator::equal},
    {"!=", Operator::not_equal}, {"<=", Operator::less_equal},  {">=", Operator::greater_equal},
    {"=~", Operator::matches},   {"<", Operator::less},         {">", Operator::greater},
    {"in", Operator::in},        {"nin", Operator::not_in},     {"subsetof", Operator::subset_of},
    {"anyof", Operator::any_of}, {"noneof", Operator::none_of}, {"contains", Operator::contains},
    {"size", Operator::size},    {"empty", Operator::empty},
};

struct NamedFunction {
  std::string_view word;
  Function function;
};
constexpr NamedFunction kFunctions[] = {
    {"length", Function::length}, {"size", Function::length}, {"min", Function::min},
    {"max", Function::max},       {"sum", Function::sum},     {"avg", Function::avg},
    {"first", Function::first},   {"last", Function::last},   {"keys", Function::keys},
};

bool letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// Recursive descent; the first fault stops it.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  std::shared_ptr<const JsonPath::Steps> parse() {
    if (!take('$')) return fail("a path begins with '$'");
    auto steps = path(0, false);
    if (!steps) return nullptr;
    if (at_ != text_.size()) return fail("unexpected text after the path");
    return steps;
  }
  [[nodiscard]] std::size_t at() const { return at_; }
  [[nodiscard]] const std::string& what() const { return what_; }

 private:
  std::nullptr_t fail(std::string what) {
    if (what_.empty()) what_ = std::move(what);
    return nullptr;
  }
  [[nodiscard]] char peek(std::size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }
  bool take(char c) {
    if (peek() != c || at_ == text_.size()) return false;
    ++at_;
    return true;
  }
  bool take(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }
  void space() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) {
      ++at_;
    }
  }

  // The steps after `$` or `@`. Within a filter a bare name ends where an operator begins.
  std::shared_ptr<const JsonPath::Steps> path(int depth, bool in_filter) {
    if (depth > kMaxNesting) return fail("nested deeper than 16 levels");
    auto steps = std::make_shared<JsonPath::Steps>();
    for (;;) {
      Step step;
      auto before = at_;
      // White space is allowed before a bracket only, and only where a bracket follows.
      space();
      if (peek() != '[' && !(peek() == '.' && before != at_)) at_ = before;
      if (take("..")) {
        step.deep = true;
        if (peek() == '[' ? !bracket(step, depth) : !dotted(step, in_filter)) return nullptr;
      } else if (take('.')) {
        if (!dotted(step, in_filter)) return nullptr;
      } else if (peek() == '[') {
        if (!bracket(step, depth)) return nullptr;
      } else {
        return steps;
      }
      if (!steps->list.empty() && steps->list.back().function != Function::none)
        return fail("nothing follows a function");
      steps->list.push_back(std::move(step));
    }
  }

  // What follows a dot: `*`, a name, or a function's call.
  bool dotted(Step& step, bool in_filter) {
    Selector selector;
    if (take('*')) {
      step.selectors.push_back(selector);
      return true;
    }
    std::string_view stops =
        in_filter ? std::string_view(".[( \t\r\n)]=!<>&|,'\"{}") : std::string_view(".[( \t\r\n)]'\"");
    auto from = at_;
    while (at_ < text_.size() && stops.find(text_[at_]) == std::string_view::npos)
      ++at_;
    selector.name = text_.substr(from, at_ - from);
    if (selector.name.empty()) return fail("expected a name or '*' after '.'") != nullptr;
    if (take('(')) return call(step, selector.name);
    selector.type = Selector::Type::name;
    step.selectors.push_back(std::move(selector));
    return true;
  }
  bool call(Step& step, std::string_view name) {
    space();
    if (!take(')')) return fail("a function takes no arguments here") != nullptr;
    for (const auto& known : kFunctions) {
      if (known.word == name) step.function = known.function;
    }
    if (step.function == Function::none || step.deep)
      return fail("unknown function '" + std::string(name) + "()'") != nullptr;
    return true;
  }

  bool bracket(Step& step, int depth) {
    take('[');
    do {
      space();
      Selector selector;
      if (!select(selector, depth)) return false;
      step.selectors.push_back(std::move(selector));
      space();
    } while (take(','));
    if (!take(']')) return fail("expected ',' or ']'") != nullptr;
    return true;
  }
  bool select(Selector& selector, int depth) {
    if (take('*')) return true;
    if (peek() == '\'' || peek() == '"') {
      selector.type = Selector::Type::name;
      return quoted(selector.name);
    }
    if (take('?')) {
      selector.type = Selector::Type::filter;
      auto filter = std::make_shared<Expression>();
      space();
      if (!any(*filter, depth + 1)) return false;
      selector.filter = std::move(filter);
      return true;
    }
    return indexes(selector);
  }
  bool indexes(Selector& selector) {
    if (!integer(selector.from)) return false;
    space();
    if (!take(':')) {
      selector.type = Selector::Type::index;
      return selector.from || fail("expected a name in quotes, an index, a slice, '*' or a filter") != nullptr;
    }
    selector.type = Selector::Type::slice;
    space();
    if (!integer(selector.to)) return false;
    space();
    if (!take(':')) return true;
    space();
    return integer(selector.step);
  }
  // An integer as JSON spells it, or nothing; false where it is none that fits.
  bool integer(std::optional<std::int64_t>& out) {
    auto from = at_;
    take('-');
    while (scan::detail::digit(peek()))
      ++at_;
    if (at_ == from) return true;
    auto spelled = text_.substr(from, at_ - from);
    std::int64_t n = 0;
    auto [end, error] = std::from_chars(spelled.data(), spelled.data() + spelled.size(), n);
    bool exact = n < (std::int64_t{1} << 53) && n > -(std::int64_t{1} << 53);
    if (error != std::errc{} || end != spelled.data() + spelled.size() || !exact || !scan::is_number(spelled) ||
        spelled == "-0") {
      return fail("expected an integer") != nullptr;
    }
    out = n;
    return true;
  }

  // A name or text in single or double quotes with JSON's escapes and \'.
  bool quoted(std::string& out) {
    char quote = text_[at_++];
    std::string raw;
    while (at_ < text_.size() && text_[at_] != quote) {
      char c = text_[at_++];
      if (static_cast<unsigned char>(c) < 0x20) return fail("a control character in a text") != nullptr;
      if (c != '\\') {
        raw += c;
        continue;
      }
      char next = peek();
      ++at_;
      if (next == '\'' || next == '"') {
        if (next != quote) return fail("an unknown escape") != nullptr;
        raw += next == '"' ? "\\\"" : "'";
      } else if (!escape(next, raw)) {
        return false;
      }
    }
    if (!take(quote)) return fail("a text without its closing quote") != nullptr;
    out = scan::unescape(raw);
    return true;
  }
  bool escape(char next, std::string& raw) {
    if (next == '\0' || std::string_view("\\/bfnrtu").find(next) == std::string_view::npos) {
      return fail("an unknown escape") != nullptr;
    }
    if (next == 'u') {
      for (std::size_t i = 0; i < 4; ++i) {
        if (!scan::detail::hex_digit(peek(i))) return fail("a broken \\u escape") != nullptr;
      }
    }
    raw += '\\';
    raw += next;
    return true;
  }

  // any := all { "||" all };  all := one { "&&" one }
  bool any(Expression& out, int depth) { return chain(out, depth, "||", Operator::any); }
  bool chain(Expression& out, int depth, std::string_view word, Operator op) {
    if (depth > kMaxNesting) return fail("nested deeper than 16 levels") != nullptr;
    std::vector<Expression> parts;
    do {
      space();
      Expression part;
      if (op == Operator::any ? !chain(part, depth, "&&", Operator::all) : !one(part, depth)) return false;
      parts.push_back(std::move(part));
      space();
    } while (take(word));
    if (parts.size() == 1) {
      out = std::move(parts.front());
    } else {
      out.op = op;
      out.parts = std::move(parts);
    }
    return true;
  }
  bool one(Expression& out, int depth) {
    if (peek() == '!') {
      ++at_;
      space();
      Expression inner;
      if (depth >= kMaxNesting) return fail("nested deeper than 16 levels") != nullptr;
      if (peek() == '(' ? !one(inner, depth + 1) : !existence(inner, depth + 1)) return false;
      out.op = Operator::negate;
      out.parts.push_back(std::move(inner));
      return true;
    }
    if (take('(')) {
      if (!any(out, depth + 1)) return false;
      space();
      return take(')') || fail("expected ')'") != nullptr;
    }
    return comparison(out, depth);
  }
  bool existence(Expression& out, int depth) {
    if (peek() != '@' && peek() != '$') return fail("'!' stands before a path or '('") != nullptr;
    return operand(out.left, depth);
  }
  bool comparison(Expression& out, int depth) {
    if (!operand(out.left, depth)) return false;
    auto before = at_;
    space();
    auto op = compare_word();
    if (!op) {
      at_ = before;
      if (out.left.type != Operand::Type::path) return fail("a literal must be compared with something") != nullptr;
      return true;
    }
    out.op = *op;
    space();
    if (!operand(out.right, depth)) return false;
    if ((out.op == Operator::matches) != (out.right.type == Operand::Type::regex)) {
      return fail("a regular expression /.../ stands right of =~") != nullptr;
    }
    return true;
  }
  std::optional<Operator> compare_word() {
    for (const auto& known : kOperators) {
      auto end = at_ + known.word.size();
      if (text_.substr(at_, known.word.size()) != known.word) continue;
      if (letter(known.word.front()) && end < text_.size() && letter(text_[end])) continue;
      at_ = end;
      return known.op;
    }
    return std::nullopt;
  }
  bool operand(Operand& out, int depth) {
    char c = peek();
    if (c == '@' || c == '$') {
      ++at_;
      out.type = Operand::Type::path;
      out.absolute = c == '$';
      out.path = path(depth + 1, true);
      return out.path != nullptr;
    }
    if (c == '\'' || c == '"') {
      out.type = Operand::Type::text;
      return quoted(out.text);
    }
    if (c == '/') return regex(out);
    if (c == '[') return list(out, depth + 1);
    for (std::string_view word : {"true", "false", "null"}) {
      if (take(word)) {
        out.text = word;
        return true;
      }
    }
    auto from = at_;
    while (scan::detail::digit(peek()) || letter(peek()) || peek() == '-' || peek() == '+' || peek() == '.')
      ++at_;
    out.type = Operand::Type::number;
    out.text = text_.substr(from, at_ - from);
    if (scan::is_number(out.text)) return true;
    at_ = from;
    return fail("expected a path, text in quotes, number, list, true, false or null") != nullptr;
  }
  bool list(Operand& out, int depth) {
    if (depth > kMaxNesting) return fail("nested deeper than 16 levels") != nullptr;
    out.type = Operand::Type::list;
    take('[');
    space();
    if (take(']')) return true;
    do {
      space();
      Operand item;
      if (!operand(item, depth)) return false;
      if (item.type == Operand::Type::regex) return fail("a list holds no regular expressions") != nullptr;
      out.list.push_back(std::move(item));
      space();
    } while (take(','));
    return take(']') || fail("expected ',' or ']'") != nullptr;
  }
  bool regex(Operand& out) {
    take('/');
    std::string expression;
    while (at_ < text_.size() && text_[at_] != '/') {
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) {
        if (text_[at_ + 1] != '/') expression += '\\';
        ++at_;
      }
      expression += text_[at_++];
    }
    if (!take('/')) return fail("a regular expression without its closing '/'") != nullptr;
    re2::RE2::Options options(re2::RE2::Quiet);
    options.set_max_mem(kMaxProgram);
    std::string flags;
    while (letter(peek())) {
      char flag = text_[at_++];
      // i, m and s mean the same in RE2; d and u ask for what RE2 does anyway.
      if (std::string_view("ims").find(flag) != std::string_view::npos) {
        flags += flag;
      } else if (std::string_view("duU").find(flag) == std::string_view::npos) {
        return fail(std::string("the regular expression flag '") + flag + "' is not supported") != nullptr;
      }
    }
    if (!flags.empty()) expression = "(?" + flags + ")" + expression;
    auto compiled = std::make_shared<re2::RE2>(expression, options);
    if (!compiled->ok()) return fail("regular expression: " + compiled->error()) != nullptr;
    out.type = Operand::Type::regex;
    out.regex = std::move(compiled);
    return true;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::string what_;
};

}  // namespace

Result<JsonPath> JsonPath::parse(std::string_view text) {
  if (text.size() > kMaxText)
    return Error{ErrorKind::bad_config, "a JSONPath is over 4096 characters long", "com-4000"};
  Parser parser(text);
  JsonPath path;
  path.steps_ = parser.parse();
  if (!path.steps_) {
    return Error{ErrorKind::bad_config,
                 "JSONPath at character " + std::to_string(parser.at() + 1) + ": " + parser.what(), "com-4000"};
  }
  return path;
}

}  // namespace sluice::message
