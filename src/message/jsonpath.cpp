// SPDX-License-Identifier: Apache-2.0
#include "message/jsonpath.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/json.h"
#include "message/jsonpath_ast.h"

namespace sluice::message {
namespace {

using namespace path;  // NOLINT: the grammar's own words
using scan::Kind;
using Index = JsonTree::Index;

constexpr std::size_t kBudget = 1'000'000;
constexpr std::size_t kMaxSubject = 64 * 1024;  // longer texts match no regular expression

std::optional<double> number_of(std::string_view text) {
  if (!scan::is_number(text)) return std::nullopt;
  double d = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), d);
  if (error == std::errc::result_out_of_range) return text.front() == '-' ? -HUGE_VAL : HUGE_VAL;
  if (error != std::errc{}) return std::nullopt;
  return d;
}

std::string spell(double d) {
  if (!std::isfinite(d)) return "null";
  char buffer[32];
  bool whole = d == std::floor(d) && std::fabs(d) < 1e15;
  auto end = whole ? std::to_chars(buffer, buffer + sizeof buffer, static_cast<std::int64_t>(d)).ptr
                   : std::to_chars(buffer, buffer + sizeof buffer, d).ptr;
  return {buffer, end};
}

// A value as filters compare it.
struct Operandum {
  enum class Type { missing, literal, number, text, node, list };
  Type type = Type::missing;
  std::string text;
  Index node = 0;  // of an object or array
  std::vector<Operandum> list;
};

class Finder {
 public:
  explicit Finder(const JsonTree& tree) : tree_(tree) {}

  std::vector<JsonPath::Value> find(const JsonPath::Steps& steps, Index from) {
    std::vector<Index> found = {from};
    for (const auto& step : steps.list) {
      if (step.function != Function::none) return apply(step.function, steps, found);
      std::vector<Index> next;
      for (Index node : found)
        walk(step, node, next);
      found = std::move(next);
      if (over_) return {};
    }
    std::vector<JsonPath::Value> values;
    values.reserve(found.size());
    for (Index node : found)
      values.push_back({node, {}});
    return values;
  }
  [[nodiscard]] bool over() const { return over_; }

 private:
  bool spend() {
    if (++spent_ > kBudget) over_ = true;
    return !over_;
  }

  void walk(const Step& step, Index node, std::vector<Index>& out) {
    if (!step.deep) return select(step, node, false, out);
    for (Index i = node; i < tree_.nodes[node].end && spend(); ++i) {
      if (tree_.nodes[i].is_container()) select(step, i, true, out);
    }
  }
  void select(const Step& step, Index node, bool deep, std::vector<Index>& out) {
    for (const auto& selector : step.selectors) {
      if (!spend()) return;
      select(selector, node, deep, out);
    }
  }
  void select(const Selector& selector, Index node, bool deep, std::vector<Index>& out) {
    switch (selector.type) {
      case Selector::Type::name:
        if (auto found = member(node, selector.name)) out.push_back(*found);
        break;
      case Selector::Type::wildcard:
        tree_.children(node, [&](Index i) {
          out.push_back(i);
          return spend();
        });
        break;
      case Selector::Type::index:
        spent_ += tree_.nodes[node].kind == Kind::array ? tree_.count(node) : 0;
        if (auto found = spend() ? tree_.item(node, *selector.from) : std::nullopt) out.push_back(*found);
        break;
      case Selector::Type::slice:
        slice(selector, node, out);
        break;
      case Selector::Type::filter:
        filter(*selector.filter, node, deep, out);
        break;
    }
  }
  // As JsonTree::member, counted against the budget.
  std::optional<Index> member(Index of, std::string_view name) {
    std::optional<Index> found;
    if (tree_.nodes[of].kind != Kind::object) return found;
    tree_.children(of, [&](Index i) {
      if (tree_.nodes[i].named(name)) found = i;
      return spend();
    });
    return found;
  }
  void slice(const Selector& selector, Index node, std::vector<Index>& out) {
    if (tree_.nodes[node].kind != Kind::array) return;
    std::vector<Index> items;
    tree_.children(node, [&](Index i) {
      items.push_back(i);
      return spend();
    });
    auto size = static_cast<std::int64_t>(items.size());
    auto step = selector.step.value_or(1);
    if (step == 0) return;
    auto bound = [&](std::optional<std::int64_t> given, std::int64_t fallback) {
      if (!given) return fallback;
      auto at = *given < 0 ? *given + size : *given;
      return step > 0 ? std::clamp<std::int64_t>(at, 0, size) : std::clamp<std::int64_t>(at, -1, size - 1);
    };
    auto from = bound(selector.from, step > 0 ? 0 : size - 1);
    auto to = bound(selector.to, step > 0 ? size : -1);
    for (auto i = from; step > 0 ? i < to : i > to; i += step)
      out.push_back(items[static_cast<std::size_t>(i)]);
  }
  // An array's items are asked one by one, an object is asked itself. Going through a subtree, the containers within an
  // array get their own turn where they are objects.
  void filter(const Expression& expression, Index node, bool deep, std::vector<Index>& out) {
    if (tree_.nodes[node].kind == Kind::object) {
      if (holds(expression, node)) out.push_back(node);
      return;
    }
    tree_.children(node, [&](Index i) {
      bool own_turn = deep && tree_.nodes[i].kind == Kind::object;
      if (!own_turn && holds(expression, i)) out.push_back(i);
      return spend();
    });
  }

  bool holds(const Expression& e, Index current) {
    if (!spend()) return false;
    auto part_holds = [&](const Expression& part) { return holds(part, current); };
    switch (e.op) {
      case Operator::all:
        return std::all_of(e.parts.begin(), e.parts.end(), part_holds);
      case Operator::any:
        return std::any_of(e.parts.begin(), e.parts.end(), part_holds);
      case Operator::negate:
        return !holds(e.parts.front(), current);
      case Operator::exists:
        return exists(e.left, current);
      case Operator::matches:
        return matches(read(e.left, current), *e.right.regex);
      default:
        return compare(e.op, read(e.left, current), read(e.right, current));
    }
  }
  bool exists(const Operand& operand, Index current) {
    return !find(*operand.path, operand.absolute ? 0 : current).empty();
  }

  static bool definite(const JsonPath::Steps& steps) {
    return std::all_of(steps.list.begin(), steps.list.end(), [](const Step& step) {
      if (step.function != Function::none) return true;
      if (step.deep || step.selectors.size() != 1) return false;
      auto type = step.selectors.front().type;
      return type == Selector::Type::name || type == Selector::Type::index;
    });
  }
  Operandum read(const Operand& operand, Index current) {
    Operandum value;
    value.text = operand.text;
    switch (operand.type) {
      case Operand::Type::text:
        value.type = Operandum::Type::text;
        break;
      case Operand::Type::number:
        value.type = Operandum::Type::number;
        break;
      case Operand::Type::literal:
        value.type = Operandum::Type::literal;
        break;
      case Operand::Type::list:
        value.type = Operandum::Type::list;
        for (const auto& item : operand.list)
          value.list.push_back(read(item, current));
        break;
      case Operand::Type::path: {
        auto found = find(*operand.path, operand.absolute ? 0 : current);
        if (definite(*operand.path)) return found.empty() ? Operandum{} : read(found.front());
        value.type = Operandum::Type::list;
        for (const auto& item : found)
          value.list.push_back(read(item));
        break;
      }
      case Operand::Type::regex:
        break;
    }
    return value;
  }
  Operandum read(const JsonPath::Value& found) const {
    if (found.node) return read(*found.node);
    Operandum value;
    value.type = Operandum::Type::number;
    value.text = found.computed;
    return value;
  }
  [[nodiscard]] Operandum read(Index node) const {
    const auto& n = tree_.nodes[node];
    Operandum value;
    value.node = node;
    switch (n.kind) {
      case Kind::string:
        value.type = Operandum::Type::text;
        break;
      case Kind::number:
        value.type = Operandum::Type::number;
        break;
      case Kind::literal:
        value.type = Operandum::Type::literal;
        break;
      default:
        value.type = Operandum::Type::node;
        return value;
    }
    value.text = n.text();
    return value;
  }
  // The items of a list or of an array in the document.
  std::vector<Operandum> items(const Operandum& value) {
    if (value.type == Operandum::Type::list) return value.list;
    std::vector<Operandum> out;
    if (value.type != Operandum::Type::node || tree_.nodes[value.node].kind != Kind::array) return out;
    tree_.children(value.node, [&](Index i) {
      out.push_back(read(i));
      return spend();
    });
    return out;
  }

  bool matches(const Operandum& value, const re2::RE2& regex) {
    if (value.type == Operandum::Type::list || value.type == Operandum::Type::node) {
      auto all = items(value);
      return std::any_of(all.begin(), all.end(), [&](const auto& item) {
        return item.type != Operandum::Type::node && item.type != Operandum::Type::list && matches(item, regex);
      });
    }
    if (value.type == Operandum::Type::missing || value.text.size() > kMaxSubject) return false;
    // The text counts for its length, so that many long ones end at the bound, too.
    spent_ += value.text.size() / 16;
    return spend() && re2::RE2::FullMatch(value.text, regex);
  }

  bool compare(Operator op, const Operandum& left, const Operandum& right) {
    switch (op) {
      case Operator::equal:
        return equal(left, right);
      case Operator::not_equal:
        return !equal(left, right);
      case Operator::less:
        return order(left, right) == -1;
      case Operator::greater:
        return order(left, right) == 1;
      case Operator::less_equal:
        return order(left, right) == -1 || equal(left, right);
      case Operator::greater_equal:
        return order(left, right) == 1 || equal(left, right);
      case Operator::in:
        return left.type != Operandum::Type::missing && one_of(left, items(right));
      case Operator::not_in:
        return left.type != Operandum::Type::missing && !one_of(left, items(right));
      case Operator::contains:
        return contains(left, right);
      case Operator::size:
        return size_of(left) == number_of(right.text);
      case Operator::empty:
        return size_of(left) && (*size_of(left) == 0) == (right.text == "true");
      default:
        return compare_lists(op, left, right);
    }
  }
  bool one_of(const Operandum& value, const std::vector<Operandum>& list) {
    return std::any_of(list.begin(), list.end(), [&](const auto& item) { return equal(value, item); });
  }
  bool contains(const Operandum& left, const Operandum& right) {
    if (left.type == Operandum::Type::text) {
      return right.type == Operandum::Type::text && left.text.find(right.text) != std::string::npos;
    }
    return one_of(right, items(left));
  }
  bool compare_lists(Operator op, const Operandum& left, const Operandum& right) {
    auto of = items(left);
    auto in = items(right);
    auto found = std::count_if(of.begin(), of.end(), [&](const auto& item) { return one_of(item, in); });
    if (op == Operator::subset_of) return found == static_cast<std::ptrdiff_t>(of.size());
    return (found > 0) == (op == Operator::any_of);
  }
  std::optional<double> size_of(const Operandum& value) {
    if (value.type == Operandum::Type::text) return static_cast<double>(value.text.size());
    if (value.type == Operandum::Type::list) return static_cast<double>(value.list.size());
    if (value.type == Operandum::Type::node) return static_cast<double>(tree_.count(value.node));
    return std::nullopt;
  }

  // Numbers also where one of them is written as text.
  static bool numeric(const Operandum& left, const Operandum& right, double& a, double& b) {
    bool one = left.type == Operandum::Type::number || right.type == Operandum::Type::number;
    auto scalar = [](const Operandum& v) {
      return v.type == Operandum::Type::number || v.type == Operandum::Type::text;
    };
    if (!one || !scalar(left) || !scalar(right)) return false;
    auto x = number_of(left.text);
    auto y = number_of(right.text);
    if (!x || !y) return false;
    a = *x;
    b = *y;
    return true;
  }
  static std::optional<int> order(const Operandum& left, const Operandum& right) {
    double a = 0;
    double b = 0;
    if (numeric(left, right, a, b)) return a < b ? -1 : a > b ? 1 : 0;
    if (left.type != Operandum::Type::text || right.type != Operandum::Type::text) return std::nullopt;
    return left.text < right.text ? -1 : left.text > right.text ? 1 : 0;
  }
  bool equal(const Operandum& left, const Operandum& right) {
    using Type = Operandum::Type;
    if (!spend() || left.type == Type::missing || right.type == Type::missing) return false;
    double a = 0;
    double b = 0;
    if (numeric(left, right, a, b)) return a == b;
    if (left.type == Type::node && right.type == Type::node) return equal(left.node, right.node);
    bool lists =
        (left.type == Type::list || left.type == Type::node) && (right.type == Type::list || right.type == Type::node);
    if (lists) return equal_lists(left, right);
    return left.type == right.type && left.text == right.text;
  }
  bool equal_lists(const Operandum& left, const Operandum& right) {
    auto is_object = [&](const Operandum& v) {
      return v.type == Operandum::Type::node && tree_.nodes[v.node].kind == Kind::object;
    };
    if (is_object(left) || is_object(right)) return false;
    auto a = items(left);
    auto b = items(right);
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [&](const auto& x, const auto& y) { return equal(x, y); });
  }
  bool equal(Index left, Index right) {
    const auto& a = tree_.nodes[left];
    const auto& b = tree_.nodes[right];
    if (!spend() || a.kind != b.kind) return false;
    if (a.value == b.value) return true;
    if (!a.is_container()) return equal(read(left), read(right));
    if (tree_.count(left) != tree_.count(right)) return false;
    Index other = right + 1;
    bool same = true;
    tree_.children(left, [&](Index i) {
      if (a.kind == Kind::object) {
        auto found = member(
            right, tree_.nodes[i].key_escaped ? scan::unescape(tree_.nodes[i].key) : std::string(tree_.nodes[i].key));
        same = found && equal(i, *found);
      } else {
        same = equal(i, other);
        other = tree_.nodes[other].end;
      }
      return same;
    });
    return same;
  }

  // A function sees the array a definite path leads to, else the list of what was found.
  std::vector<JsonPath::Value> apply(Function function, const JsonPath::Steps& steps, const std::vector<Index>& found) {
    std::vector<Index> items = found;
    JsonPath::Steps before = steps;
    before.list.pop_back();
    bool single = definite(before);
    if (single && found.empty()) return {};
    if (single) {
      const auto& node = tree_.nodes[found.front()];
      if (function == Function::length) return length(found.front());
      if (function == Function::keys) return keys(found.front());
      if (node.kind != Kind::array) return {};
      items.clear();
      tree_.children(found.front(), [&](Index i) {
        items.push_back(i);
        return spend();
      });
    }
    if (function == Function::length) return {{std::nullopt, std::to_string(items.size())}};
    if (items.empty() || function == Function::keys) return {};
    if (function == Function::first) return {{items.front(), {}}};
    if (function == Function::last) return {{items.back(), {}}};
    return aggregate(function, items);
  }
  std::vector<JsonPath::Value> length(Index node) {
    const auto& n = tree_.nodes[node];
    if (n.is_container()) return {{std::nullopt, std::to_string(tree_.count(node))}};
    if (n.kind != Kind::string) return {};
    auto text = n.text();
    auto characters = std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
    return {{std::nullopt, std::to_string(characters)}};
  }
  std::vector<JsonPath::Value> keys(Index node) {
    if (tree_.nodes[node].kind != Kind::object) return {};
    std::string text = "[";
    tree_.children(node, [&](Index i) {
      if (text.size() > 1) text += ',';
      (text += '"').append(tree_.nodes[i].key) += '"';
      return spend();
    });
    return {{std::nullopt, text + "]"}};
  }
  std::vector<JsonPath::Value> aggregate(Function function, const std::vector<Index>& items) {
    double sum = 0;
    double least = HUGE_VAL;
    double most = -HUGE_VAL;
    std::size_t count = 0;
    for (Index i : items) {
      auto n = tree_.nodes[i].is_container() ? std::nullopt : number_of(tree_.nodes[i].text());
      if (!n) continue;
      ++count;
      sum += *n;
      least = std::min(least, *n);
      most = std::max(most, *n);
    }
    if (count == 0) return {};
    double result = function == Function::min ? least : function == Function::max ? most : sum;
    if (function == Function::avg) result = sum / static_cast<double>(count);
    return {{std::nullopt, spell(result)}};
  }

  const JsonTree& tree_;
  std::size_t spent_ = 0;
  bool over_ = false;
};

}  // namespace

std::vector<JsonPath::Value> JsonPath::find(const JsonTree& tree) const {
  Finder finder(tree);
  auto found = finder.find(*steps_, 0);
  if (finder.over()) found.clear();
  return found;
}

}  // namespace sluice::message
