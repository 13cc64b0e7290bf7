#include "text/post_processor.hpp"

#include <vector>

#include "io/error.hpp"

namespace decovec {
namespace {

constexpr int64_t kMaxId = (int64_t{1} << 31) - 1;

// The token that a template's part names, by the template's own table of ids.
TemplateToken special_token(const JsonObject& part, const JsonObject& table) {
  const std::string name = part.object("SpecialToken").string("id");
  const JsonObject entry = table.object(name);
  const Json ids = entry.raw().value("ids", Json()), tokens = entry.raw().value("tokens", Json());
  if (!ids.is_array() || ids.size() != 1 || !tokens.is_array() || tokens.size() != 1 ||
      !tokens[0].is_string())
    fail("{}: expected one of 'ids' and one of 'tokens', got {} and {}", entry.where(), shown(ids),
         shown(tokens));
  const JsonObject only({{"ids", ids[0]}}, entry.where());
  return {.content = tokens[0].get<std::string>(), .id = only.integer("ids", 0, kMaxId)};
}

Template read_template(const JsonObject& processor) {
  const Json parts = processor.raw().value("single", Json());
  const auto refuse = [&] {
    fail("{}: 'single': expected the text $A with at most one token before and one after it, got {}",
         processor.where(), shown(parts));
  };
  if (!parts.is_array()) refuse();
  const JsonObject table = processor.object("special_tokens");
  Template tokens;
  bool text = false;
  for (const Json& json : parts) {
    const JsonObject part(json, processor.where() + ": 'single'");
    if (part.has("Sequence")) {
      if (text || part.object("Sequence").string("id") != "A") refuse();
      text = true;
    } else {
      std::optional<TemplateToken>& place = text ? tokens.after : tokens.before;
      if (place) refuse();
      place = special_token(part, table);
    }
  }
  if (!text) refuse();
  return tokens;
}

}  // namespace

std::optional<Template> read_post_processor(const Json& json, const std::string& where) {
  if (json.is_null()) return std::nullopt;
  const JsonObject processor(json, where);
  const std::string type = processor.string("type");
  if (type == "ByteLevel") return std::nullopt;
  if (type == "TemplateProcessing") return read_template(processor);
  if (type != "Sequence")
    fail("{}: 'type': expected TemplateProcessing, ByteLevel or Sequence, got {}", where, shown(type));
  std::optional<Template> tokens;
  const Json processors = processor.raw().value("processors", Json());
  if (!processors.is_array()) fail("{}: 'processors': expected a list, got {}", where, shown(processors));
  for (size_t i = 0; i < processors.size(); ++i) {
    const auto found = read_post_processor(processors[i], fmt::format("{}: processor {}", where, i));
    if (found && tokens) fail("{}: expected one TemplateProcessing at most, got another", where);
    if (found) tokens = found;
  }
  return tokens;
}

OrderedJson template_processing(const Template& tokens) {
  OrderedJson table = OrderedJson::object();
  const auto sequence = [&](std::string_view which, int type) {
    OrderedJson parts = OrderedJson::array();
    const auto add = [&](const std::optional<TemplateToken>& token) {
      if (!token) return;
      parts.push_back({{"SpecialToken", {{"id", token->content}, {"type_id", type}}}});
      table[token->content] = {{"id", token->content},
                               {"ids", OrderedJson::array({token->id})},
                               {"tokens", OrderedJson::array({token->content})}};
    };
    add(tokens.before);
    parts.push_back({{"Sequence", {{"id", which}, {"type_id", type}}}});
    add(tokens.after);
    return parts;
  };
  const OrderedJson single = sequence("A", 0);
  OrderedJson pair = single;
  for (const OrderedJson& part : sequence("B", 1)) pair.push_back(part);
  return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", table}};
}

OrderedJson with_template(const Json& json, const Template& tokens) {
  const OrderedJson added = template_processing(tokens);
  const std::string type = json.is_object() ? json.value("type", "") : "";
  if (type == "ByteLevel")
    return {{"type", "Sequence"}, {"processors", OrderedJson::array({OrderedJson(json), added})}};
  if (type != "Sequence") return added;
  OrderedJson processors = OrderedJson::array();
  for (const Json& processor : json.at("processors"))
    if (processor.value("type", "") != "TemplateProcessing") processors.push_back(OrderedJson(processor));
  processors.push_back(added);
  return {{"type", "Sequence"}, {"processors", processors}};
}

}  // namespace decovec
