// What a tokenizer.json puts around a text.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "io/json.hpp"

namespace decovec {

struct TemplateToken {
  std::string content;
  int64_t id = 0;

  bool operator==(const TemplateToken&) const = default;
};

/// The tokens around one text.
struct Template {
  std::optional<TemplateToken> before, after;

  bool operator==(const Template&) const = default;
};

/// Reads a "post_processor" (which may be null): TemplateProcessing, ByteLevel, which concerns offsets alone,
/// or a Sequence of them. None without a template. Throws std::runtime_error for other types, and for
/// templates with more than one token before or after the text.
std::optional<Template> read_post_processor(const Json& json, const std::string& where);

/// The TemplateProcessing that puts these tokens around a text, and around each text of a pair.
OrderedJson template_processing(const Template& tokens);

/// A "post_processor" with the template in the place of its TemplateProcessing, or behind all else.
OrderedJson with_template(const Json& json, const Template& tokens);

}  // namespace decovec
