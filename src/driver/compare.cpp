// SPDX-License-Identifier: Apache-2.0
#include "driver/compare.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cmath>
#include <regex>
#include <string_view>
#include <utility>

#include "base/codec.h"
#include "base/json.h"
#include "driver/date_text.h"

namespace sluice::driver {
namespace {

using boost::json::array;
using boost::json::object;
using boost::json::value;

constexpr std::string_view kAnyTime = "XXXX-XX-XXTXX:XX:XX.XXXZ";
constexpr std::string_view kAnyNumber = "SKIP_NUMBER";
// V8, by which most examples were made, gives 10.889999999999999 for Math.pow(3.3, 2), JavaScriptCore 10.89.
constexpr double kLastDigits = 1e-13;

std::string text_of(const value& v) {
  return v.is_string() ? std::string(v.get_string()) : json::write(v);
}

array texts(const value* list) {
  array out;
  if (list == nullptr || list->is_null()) return out;
  if (!list->is_array()) {
    out.emplace_back(text_of(*list));
    return out;
  }
  for (const auto& item : list->get_array())
    out.emplace_back(text_of(item));
  return out;
}

void hex_to_list(object& holder) {
  const auto* bytes = holder.if_contains("bytes");
  if (bytes == nullptr || !bytes->is_string()) return;
  const auto raw = from_hex(bytes->get_string());
  if (!raw) return;
  array list;
  for (const char c : *raw)
    list.emplace_back(static_cast<std::int64_t>(static_cast<unsigned char>(c)));
  holder["bytes"] = std::move(list);
}

bool is_decoding(Example::Kind kind) {
  return kind == Example::Kind::uplink || kind == Example::Kind::downlink_decode;
}

// A place in the two values.
struct Path {
  std::string text;
  std::string_view last;
  bool dotted = false;  // a key on the way has a dot in it: rules 3 and 4 do not reach there

  [[nodiscard]] Path below(std::string_view key) const {
    return {text.empty() ? std::string(key) : text + "." + std::string(key), key,
            dotted || key.find('.') != std::string_view::npos};
  }
};

class Comparison {
 public:
  explicit Comparison(bool with_patterns) : with_patterns_(with_patterns) {}

  void compare(const value& expected, const value& got, const Path& path) {
    if (expected.is_object() && got.is_object()) return compare_objects(expected.get_object(), got.get_object(), path);
    if (expected.is_array() && got.is_array()) return compare_arrays(expected.get_array(), got.get_array(), path);
    if (same_leaf(expected, got, path)) return;
    differences_.push_back({path.text, expected, got, {}});
  }

  void compare_objects(const object& expected, const object& got, const Path& path) {
    for (const auto& member : expected) {
      const auto below = path.below(member.key());
      if (const auto* other = got.if_contains(member.key())) {
        compare(member.value(), *other, below);
      } else {
        differences_.push_back({below.text, member.value(), {}, {}});
      }
    }
    for (const auto& member : got) {
      if (expected.contains(member.key())) continue;
      differences_.push_back({path.below(member.key()).text, {}, member.value(), {}});
    }
  }

  void compare_arrays(const array& expected, const array& got, const Path& path) {
    for (std::size_t i = 0; i < std::max(expected.size(), got.size()); ++i) {
      const auto position = std::to_string(i);
      const auto below = path.below(position);
      if (i < expected.size() && i < got.size()) {
        compare(expected[i], got[i], below);
      } else if (i < expected.size()) {
        differences_.push_back({below.text, expected[i], {}, {}});
      } else {
        differences_.push_back({below.text, {}, got[i], {}});
      }
    }
  }

  void add(Difference difference) { differences_.push_back(std::move(difference)); }
  std::vector<Difference> take() { return std::move(differences_); }

 private:
  bool same_leaf(const value& expected, const value& got, const Path& path) const {
    if (expected.is_number() && got.is_number()) return same_number(expected, got);
    if (expected.kind() == got.kind() && expected == got) return true;
    return with_patterns_ && !path.dotted && !expected.is_null() && fits(expected, got, path.last);
  }

  static bool same_number(const value& expected, const value& got) {
    if (expected == got) return true;
    // Integers beyond 2^53 are the doubles that JavaScript reads them as.
    const auto a = expected.to_number<double>(), b = got.to_number<double>();
    if (a == b) return true;
    const bool whole = a == std::floor(a) && b == std::floor(b);
    return !whole && std::abs(a - b) <= kLastDigits * std::max(std::abs(a), std::abs(b));
  }

  static bool fits(const value& expected, const value& got, std::string_view key) {
    if (expected.is_string()) {
      const std::string_view wanted = expected.get_string();
      if (wanted == kAnyTime) return got.is_string() && read_date(got.get_string());
      if (wanted == kAnyNumber) return is_any_number(got);
    }
    static constexpr std::string_view kTimes[] = {"date", "time", "datetime", "timestamp"};
    for (const auto name : kTimes) {
      if (equals_ignoring_case(key, name)) return same_second(expected, got);
    }
    return false;
  }

  static bool is_any_number(const value& got) {
    if (got.is_null() || got.is_structured()) return false;
    const auto text = text_of(got);
    static const std::regex kForm("[0-9]+( |.[0-9]+)");
    // Bounded: a longer text is no number, and std::regex recurses over what it reads.
    return text.size() <= 256 && !is_iso_text(text) && std::regex_search(text, kForm);
  }

  static std::optional<UnixMillis> date_of(const value& v) {
    if (v.is_string()) return read_date_day_first(v.get_string());
    if (v.is_number()) return static_cast<UnixMillis>(std::min(std::max(v.to_number<double>(), -8.64e15), 8.64e15));
    return {};
  }

  // Two numbers are just numbers: 12 minutes are not 15, although both are the same second of 1970.
  static bool same_second(const value& expected, const value& got) {
    if (expected.is_number() && got.is_number()) return false;
    const auto a = date_of(expected), b = date_of(got);
    const auto second = [](UnixMillis ms) { return ms >= 0 ? ms / 1000 : -((999 - ms) / 1000); };
    return a && b && second(*a) == second(*b);
  }

  bool with_patterns_;
  std::vector<Difference> differences_;
};

// Whether the text names a zone: only then is it one instant for everybody.
bool has_offset(std::string_view text) {
  if (text.ends_with('Z') || text.ends_with('z')) return true;
  static const std::regex kOffset("[+-][0-9]{2}:?[0-9]{2}$");
  const std::string end(text.substr(text.size() - std::min<std::size_t>(6, text.size())));
  // A date alone ends in "-11-21", which is no offset.
  return text.find(':') != std::string_view::npos && std::regex_search(end, kOffset);
}

void compare_record_times(object& expected, object& got, const Path& path, Comparison& comparison) {
  auto* wanted = expected.if_contains("eventTime");
  if (wanted == nullptr || !wanted->is_string()) return;
  const std::string text(wanted->get_string());
  const auto place = path.below("eventTime");
  if (!has_offset(text) || !read_date(text)) {
    comparison.add({place.text, *wanted, {}, "the example is wrong: an eventTime needs Z or an offset"});
    expected.erase("eventTime");
    got.erase("eventTime");
    return;
  }
  auto* came = got.if_contains("eventTime");
  if (came != nullptr && came->is_string() && read_date(came->get_string()) == read_date(text)) *came = text;
}

}  // namespace

object Difference::to_json() const {
  object out{{"path", path}};
  if (expected) out["expected"] = *expected;
  if (got) out["got"] = *got;
  if (!note.empty()) out["note"] = note;
  return out;
}

value in_result_form(value result, Example::Kind kind) {
  if (kind == Example::Kind::points) return result;
  if (is_decoding(kind)) {
    const auto* o = result.if_object();
    const bool enveloped = o != nullptr && (o->contains("data") || o->contains("errors") || o->contains("warnings"));
    if (!enveloped) result = object{{"data", std::move(result)}};
  } else if (!result.is_object()) {
    result = object{{"bytes", std::move(result)}};
  }
  auto& o = result.get_object();
  hex_to_list(o);
  for (const char* list : {"errors", "warnings"})
    o[list] = texts(o.if_contains(list));
  return result;
}

std::vector<Difference> compare_results(value expected, value got, Example::Kind kind) {
  expected = in_result_form(std::move(expected), kind);
  got = in_result_form(std::move(got), kind);
  if (expected.is_object() && got.is_object() && kind != Example::Kind::points) {
    const auto& errors = expected.get_object()["errors"];
    if (!errors.get_array().empty()) {
      for (const char* name : {"data", "bytes", "fPort"}) {
        expected.get_object().erase(name);
        if (!got.get_object()["errors"].get_array().empty()) got.get_object().erase(name);
      }
    }
  }
  Comparison comparison(kind == Example::Kind::uplink);
  comparison.compare(expected, got, {});
  return comparison.take();
}

std::vector<Difference> compare_points(const object& expected, const object& got) {
  Comparison comparison(false);
  for (const auto& member : expected) {
    const Path path = Path{}.below(member.key());
    if (member.value().is_null()) continue;
    const auto* other = got.if_contains(member.key());
    if (other == nullptr || !other->is_object()) {
      comparison.add({path.text, member.value(), other == nullptr ? std::nullopt : std::optional(*other), {}});
      continue;
    }
    object came = other->get_object();
    const auto* full = member.value().if_object();
    if (full == nullptr || !(full->contains("unitId") || full->contains("record") || full->contains("records"))) {
      const auto* record = came.if_contains("records");
      if (record == nullptr) record = came.if_contains("record");
      comparison.compare(member.value(), record == nullptr ? value() : *record, path);
      continue;
    }
    object wanted = *full;
    for (const char* added : {"type", "standardNaming"}) {
      if (!wanted.contains(added)) came.erase(added);
    }
    auto* records = wanted.if_contains("records");
    auto* came_records = came.if_contains("records");
    if (records != nullptr && records->is_array() && came_records != nullptr && came_records->is_array()) {
      auto &list = records->get_array(), &came_list = came_records->get_array();
      for (std::size_t i = 0; i < std::min(list.size(), came_list.size()); ++i) {
        if (!list[i].is_object() || !came_list[i].is_object()) continue;
        compare_record_times(list[i].get_object(), came_list[i].get_object(),
                             path.below("records").below(std::to_string(i)), comparison);
      }
    }
    comparison.compare(wanted, came, path);
  }
  for (const auto& member : got) {
    if (!expected.contains(member.key())) comparison.add({Path{}.below(member.key()).text, {}, member.value(), {}});
  }
  return comparison.take();
}

}  // namespace sluice::driver
