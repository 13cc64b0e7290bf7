// "key=value" texts that change a recipe's TOML before it is read. Heavy (toml++): include it in one source.
#pragma once
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "decovec/io/lines.hpp"
#include "train/toml_fields.hpp"

namespace decovec {

/// The first byte that is not ASCII and stands in no string and no comment, where TOML has none; npos without
/// one. The parser must not meet it: its table of white space holds for other characters alone.
inline size_t find_stray_byte(std::string_view text) {
  for (size_t at = text.starts_with("\xef\xbb\xbf") ? 3 : 0; at < text.size(); ++at) {
    const char byte = text[at];
    if (static_cast<unsigned char>(byte) >= 0x80) return at;
    if (byte == '#') {
      at = std::min(text.find('\n', at), text.size());
    } else if (byte == '"' || byte == '\'') {
      const std::string fence(3, byte);
      const bool lines = text.substr(at).starts_with(fence);
      const std::string_view end = lines ? std::string_view(fence) : std::string_view(fence).substr(2);
      for (at += end.size(); at < text.size() && !text.substr(at).starts_with(end); ++at) {
        if (text[at] == '\n' && !lines) break;
        if (text[at] == '\\' && byte == '"') ++at;
      }
      at += end.size() - 1;
    }
  }
  return std::string_view::npos;
}

/// Parses TOML. Throws std::runtime_error with file and line for wrong syntax.
inline toml::table parse_toml(std::string_view text, const std::string& where) {
  if (const size_t at = find_stray_byte(text); at != text.npos)
    fail("{}:{}: expected ASCII outside of strings, got other characters; put quotes around them", where,
         1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
  try {
    return toml::parse(text, where);
  } catch (const toml::parse_error& error) {
    fail("{}:{}: {}", where, error.source().begin.line, error.description());
  }
}

/// The value of an override: as TOML if it is that (a shell takes the quotes of a TOML string away, so also
/// without them), else the text itself. It is the only entry of a table.
inline toml::table parse_value(std::string_view text, const std::string& whole) {
  const std::string where = std::string(override_mark) + whole;
  for (const char* quote : {"", "\""}) {
    if (*quote != '\0' && text.find('"') != std::string_view::npos) continue;
    const std::string written = fmt::format("value = {0}{1}{0}", quote, text);
    if (find_stray_byte(written) != written.npos) continue;
    try {
      toml::table table = toml::parse(written, where);
      if (table.size() == 1) return table;  // a line break in the text would begin another entry
    } catch (const toml::parse_error&) {
    }
  }
  if (!is_utf8(text)) reject("{}: expected UTF-8", where);
  return parse_toml("value = " + Json(text).dump(), where);
}

/// The table that a path leads to: the name of one of `[[kind]]`, and perhaps keys of tables in it.
inline toml::table& table_at(toml::table& root, std::string_view kind, std::string_view path,
                             const std::string& whole) {
  toml::table* target = nullptr;
  std::vector<std::string> names;
  size_t length = 0;  // of the name, which may hold dots
  if (toml::array* array = root.get_as<toml::array>(kind)) {
    for (toml::node& element : *array) {
      toml::table* table = element.as_table();
      const auto* name = table == nullptr ? nullptr : table->get_as<std::string>("name");
      if (name == nullptr) continue;
      names.push_back(name->get());
      const std::string& found = names.back();
      if (found.size() <= length || (path != found && !path.starts_with(found + "."))) continue;
      target = table;
      length = found.size();
    }
  }
  if (target == nullptr)
    reject("{}{}: no {} has the name '{}', expected one of {}", override_mark, whole, kind, path,
           fmt::join(names, ", "));
  for (std::string_view rest = path.substr(length); !rest.empty();) {
    rest.remove_prefix(1);
    const std::string_view key = rest.substr(0, rest.find('.'));
    const auto [entry, fresh] = target->emplace<toml::table>(key);
    target = entry->second.as_table();
    if (fresh) target->is_inline(true);  // as it is described
    if (target == nullptr) reject("{}{}: '{}' is no table", override_mark, whole, key);
    rest.remove_prefix(key.size());
  }
  return *target;
}

/// Applies "key=value": a key of the recipe, or embedder.KEY, lora.KEY, model.new.KEY, data.NAME.KEY,
/// stage.NAME.KEY, evaluation.NAME.KEY (names may hold dots, keys do not), or a key of a table in one of the
/// last three, stage.NAME.TABLE.KEY. Whether the key and the value are right is seen when the recipe is read.
/// Throws std::invalid_argument for an address that leads nowhere.
inline void apply_override(toml::table& root, const std::string& whole) {
  const size_t equals = whole.find('=');
  const size_t last = whole.find_last_not_of(' ', equals == std::string::npos ? equals : equals - 1);
  if (equals == std::string::npos || equals == 0 || last == std::string::npos) {
    reject("{}{}: expected key=value", override_mark, whole);
  }
  const std::string address = whole.substr(0, last + 1);
  const size_t dot = address.rfind('.');
  const std::string parent = dot == std::string::npos ? "" : address.substr(0, dot);
  const std::string key = dot == std::string::npos ? address : address.substr(dot + 1);

  toml::table* target = nullptr;
  if (parent.empty() && dot == std::string::npos) {
    target = &root;
  } else if (parent == "embedder" || parent == "lora") {
    target = root.emplace<toml::table>(parent).first->second.as_table();
  } else if (parent == "model.new") {
    if (toml::table* model = root.get_as<toml::table>("model")) target = model->get_as<toml::table>("new");
    if (target == nullptr) reject("{}{}: the recipe has no [model.new]", override_mark, whole);
  } else {
    for (const std::string_view kind : {"data", "stage", "evaluation"}) {
      if (parent.starts_with(fmt::format("{}.", kind))) {
        target = &table_at(root, kind, std::string_view(parent).substr(kind.size() + 1), whole);
      }
    }
  }
  if (target == nullptr) {
    reject(
        "{}{}: no such place, expected KEY, embedder.KEY, lora.KEY, model.new.KEY, data.NAME.KEY, "
        "stage.NAME.KEY or evaluation.NAME.KEY before the =",
        override_mark, whole);
  }
  toml::table value = parse_value(std::string_view(whole).substr(equals + 1), whole);
  target->insert_or_assign(key, std::move(*value.get("value")));
}

}  // namespace decovec
