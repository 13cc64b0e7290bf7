// Typed reading of a TOML table with errors that name the place. Heavy (toml++): for recipes alone.
#pragma once
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
// The parser asserts that a header like [!] does not come, and then goes on to say that it is wrong.
#define TOML_ASSERT(expression) static_assert(true)
#include <toml++/toml.h>
#include <utility>
#include <vector>

#include "io/error.hpp"
#include "io/json.hpp"

namespace decovec {

// The source path of values that came by an override starts with this; they have no line.
constexpr std::string_view override_mark = "--set ";

/// Where a value stands: "recipe.toml:12", or the override it came by.
inline std::string place(const toml::node& node) {
  const toml::source_region& source = node.source();
  if (!source.path) return "recipe";
  if (source.path->starts_with(override_mark)) return *source.path;
  return fmt::format("{}:{}", *source.path, source.begin.line);
}

/// A short rendering of a value for error messages.
inline std::string shown(const toml::node& node) {
  if (const auto* text = node.as_string()) return shown(Json(text->get()));
  if (const auto* number = node.as_integer()) return fmt::format("{}", number->get());
  if (const auto* number = node.as_floating_point()) return fmt::format("{}", number->get());
  if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
  if (node.is_table()) return "a table";
  return node.is_array() ? "a list" : "a date or time";
}

/// A table's fields, read by name into variables that keep their values where a key is absent. `finish`
/// refuses the keys that nobody asked for.
class TomlFields {
 public:
  /// `what` says whose fields they are ("stage 'retrieval'"); the root's is empty.
  TomlFields(const toml::table& table, std::string what) : table_(table), what_(std::move(what)) {}

  /// The value under a key, which becomes a known one; nullptr where it is absent.
  const toml::node* find(std::string_view key) {
    if (std::find(known_.begin(), known_.end(), key) == known_.end()) known_.emplace_back(key);
    return table_.get(key);
  }

  void text(std::string_view key, std::string& value) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    if (!node->is_string()) wrong(*node, key, "a string");
    value = node->as_string()->get();
  }

  /// A name: a string that is not empty.
  void name(std::string_view key, std::string& value) {
    text(key, value);
    if (value.empty()) wrong(key, "a string that is not empty");
  }

  void flag(std::string_view key, bool& value) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    if (!node->is_boolean()) wrong(*node, key, "true or false");
    value = node->as_boolean()->get();
  }

  void integer(std::string_view key, int64_t& value, int64_t minimum, int64_t maximum = int64_t{1} << 40) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const auto* number = node->as_integer();
    if (number == nullptr || number->get() < minimum || number->get() > maximum) {
      wrong(*node, key, fmt::format("an integer from {} to {}", minimum, maximum));
    }
    value = number->get();
  }

  /// A finite number of `minimum` or more.
  void number(std::string_view key, double& value, double minimum) {
    read_number(key, value, fmt::format("a number of {} or more", minimum),
                [=](double given) { return given >= minimum; });
  }
  void finite(std::string_view key, double& value) {
    read_number(key, value, "a finite number", [](double) { return true; });
  }
  void fraction(std::string_view key, double& value) {
    read_number(key, value, "a number from 0 to 1", [](double given) { return given >= 0 && given <= 1; });
  }
  void share(std::string_view key, double& value) {
    read_number(key, value, "a number from 0 to below 1",
                [](double given) { return given >= 0 && given < 1; });
  }
  void positive(std::string_view key, double& value) {
    read_number(key, value, "a number above 0", [](double given) { return given > 0; });
  }

  void texts(std::string_view key, std::vector<std::string>& values) {
    list(key, values, "a list of one or more strings", [](const toml::node& element, std::string& value) {
      if (element.is_string()) value = element.as_string()->get();
      return element.is_string();
    });
  }

  void integers(std::string_view key, std::vector<int64_t>& values, int64_t minimum) {
    list(key, values, fmt::format("a list of one or more integers of {} or more", minimum),
         [&](const toml::node& element, int64_t& value) {
           const auto* number = element.as_integer();
           if (number != nullptr) value = number->get();
           return number != nullptr && value >= minimum;
         });
  }
  void numbers(std::string_view key, std::vector<double>& values, double minimum) {
    list(key, values, fmt::format("a list of one or more numbers of {} or more", minimum),
         [&](const toml::node& element, double& value) {
           if (const auto* integer = element.as_integer()) value = static_cast<double>(integer->get());
           if (const auto* number = element.as_floating_point()) value = number->get();
           return element.is_number() && std::isfinite(value) && value >= minimum;
         });
  }

  /// A path; relative ones count from `folder`.
  void path(std::string_view key, std::filesystem::path& value, const std::filesystem::path& folder) {
    if (table_.get(key) == nullptr) return static_cast<void>(find(key));
    std::string given;
    name(key, given);
    value = (folder / given).lexically_normal();
  }

  /// One of the names of an enumeration.
  template <class T>
  void choice(std::string_view key, T& value,
              const std::vector<std::pair<std::string_view, std::type_identity_t<T>>>& choices) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    std::string expected;
    for (const auto& [name, choice] : choices) {
      if (node->is_string() && node->as_string()->get() == name) {
        value = choice;
        return;
      }
      expected += fmt::format("{}\"{}\"", expected.empty() ? "" : " or ", name);
    }
    wrong(*node, key, expected);
  }

  /// A list of names of an enumeration.
  template <class T>
  void choices(std::string_view key, std::vector<T>& values,
               const std::vector<std::pair<std::string_view, std::type_identity_t<T>>>& choices) {
    std::vector<std::string_view> names;
    for (const auto& choice : choices) names.push_back(choice.first);
    list(key, values, fmt::format("a list of one or more of {}", fmt::join(names, ", ")),
         [&](const toml::node& element, T& value) {
           for (const auto& [name, choice] : choices) {
             if (!element.is_string() || element.as_string()->get() != name) continue;
             value = choice;
             return true;
           }
           return false;
         });
  }

  /// A table of a value that may be left open: `read` gets its fields and fills a T where the key is there.
  template <class T, class Read>
  void table(std::string_view key, std::optional<T>& value, Read&& read) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    if (!node->is_table()) wrong(*node, key, "a table");
    TomlFields fields(*node->as_table(), prefix() + std::string(key));
    T given{};
    read(fields, given);
    fields.finish();
    value = given;
  }

  /// For a value that may be left open: `read` fills a T where the key is there.
  template <class T, class Read>
  void optional(std::string_view key, std::optional<T>& value, Read&& read) {
    if (table_.get(key) == nullptr) return static_cast<void>(find(key));
    T given{};
    read(given);
    value = given;
  }

  /// The keys that were asked for so far.
  const std::vector<std::string>& known() const { return known_; }
  /// "key = value, ..." of the keys from the `first` of `known` on that are there.
  std::string described(size_t first) const {
    std::ostringstream text;
    for (size_t i = first; i < known_.size(); ++i) {
      const toml::node* node = table_.get(known_[i]);
      if (node == nullptr) continue;
      text << (text.tellp() > 0 ? ", " : "") << known_[i] << " = ";
      node->visit([&](const auto& value) { text << value; });
    }
    return std::move(text).str();
  }

  /// Gives what `check` says against values that do not go together the table's place.
  template <class Check>
  void check(Check&& check) const {
    try {
      check();
    } catch (const std::invalid_argument& error) {
      fail("{}: {}{}", place(table_), prefix(), error.what());
    }
  }

  /// Refuses keys that were not read.
  void finish() const {
    for (const auto& [key, node] : table_) {
      if (std::find(known_.begin(), known_.end(), key.str()) != known_.end()) continue;
      fail("{}: {}unknown key '{}', expected one of {}", place(node), prefix(), key.str(),
           fmt::join(known_, ", "));
    }
  }

  /// Refuses a value.
  [[noreturn]] void wrong(const toml::node& node, std::string_view key, std::string_view expected) const {
    fail("{}: {}'{}': expected {}, got {}", place(node), prefix(), key, expected, shown(node));
  }
  /// Refuses what is, or is not, under a key.
  [[noreturn]] void wrong(std::string_view key, std::string_view expected) const {
    if (const toml::node* node = table_.get(key)) wrong(*node, key, expected);
    fail("{}: {}'{}' is missing, expected {}", place(table_), prefix(), key, expected);
  }

 private:
  std::string prefix() const { return what_.empty() ? "" : what_ + ": "; }

  // Fills `values` with what `read` makes of each element; it says whether an element is right.
  template <class T, class Read>
  void list(std::string_view key, std::vector<T>& values, std::string_view expected, Read&& read) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    if (!node->is_array() || node->as_array()->empty()) wrong(*node, key, expected);
    values.clear();
    for (const toml::node& element : *node->as_array())
      if (!read(element, values.emplace_back())) wrong(element, key, expected);
  }

  template <class Allowed>
  void read_number(std::string_view key, double& value, std::string_view expected, Allowed&& allowed) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    if (!node->is_number()) wrong(*node, key, expected);
    const double given = node->is_integer() ? static_cast<double>(node->as_integer()->get())
                                            : node->as_floating_point()->get();
    if (!std::isfinite(given) || !allowed(given)) wrong(*node, key, expected);
    value = given;
  }

  const toml::table& table_;
  std::string what_;
  std::vector<std::string> known_;
};

}  // namespace decovec
