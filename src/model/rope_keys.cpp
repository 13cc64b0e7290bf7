#include "model/rope_keys.hpp"

#include <algorithm>

#include "io/error.hpp"

namespace decovec {
namespace {

constexpr std::pair<std::string_view, RopeType> kTypes[] = {
    {"default", RopeType::plain}, {"linear", RopeType::linear},     {"dynamic", RopeType::dynamic},
    {"yarn", RopeType::yarn},     {"longrope", RopeType::longrope}, {"llama3", RopeType::llama3},
};

// Every key that is read from a rope object, and one of some published files that means nothing.
constexpr std::string_view kKnown[] = {
    "rope_type",        "type",        "rope_theta",       "partial_rotary_factor",
    "factor",           "beta_fast",   "beta_slow",        "original_max_position_embeddings",
    "attention_factor", "mscale",      "mscale_all_dim",   "truncate",
    "low_freq_factor",  "long_factor", "high_freq_factor", "short_factor",
    "finetuned",
};

constexpr const char* kOriginal = "original_max_position_embeddings";

std::string_view name_of(RopeType wanted) {
  for (const auto& [name, type] : kTypes) {
    if (type == wanted) return name;
  }
  return {};
}

bool has_original(RopeType type) {
  return type == RopeType::yarn || type == RopeType::longrope || type == RopeType::llama3;
}

RopeType read_type(const JsonObject& from, bool always_longrope) {
  const std::string stated = from.string(from.has("rope_type") ? "rope_type" : "type", "default");
  if (always_longrope && (stated == "su" || stated == "yarn")) return RopeType::longrope;
  std::string known;
  for (const auto& [name, type] : kTypes) {
    if (name == stated) return type;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", name);
  }
  fail("{}: rope type '{}' is not supported; expected {}", from.where(), stated, known);
}

void refuse_unknown(const JsonObject& from) {
  for (const auto& entry : from.raw().items()) {
    if (std::find(std::begin(kKnown), std::end(kKnown), entry.key()) == std::end(kKnown)) {
      fail("{}: '{}' is not supported, and would change the positions", from.where(), entry.key());
    }
  }
}

// What a type reads beside theta.
void scaling_keys(ConfigKeys& keys, Rope& rope) {
  switch (rope.type) {
    case RopeType::plain:
      return;
    case RopeType::longrope:
      keys.numbers("short_factor", rope.short_factors);
      keys.numbers("long_factor", rope.long_factors);
      keys.number("factor", rope.factor);
      return keys.number("attention_factor", rope.attention_factor);
    case RopeType::yarn:
      keys.number("beta_fast", rope.beta_fast, rope.beta_fast);
      keys.number("beta_slow", rope.beta_slow, rope.beta_slow);
      keys.flag("truncate", rope.truncate, rope.truncate);
      keys.number("attention_factor", rope.attention_factor);
      keys.number("mscale", rope.mscale);
      keys.number("mscale_all_dim", rope.mscale_all_dim);
      break;
    case RopeType::llama3:
      keys.number("low_freq_factor", rope.low_frequency_factor);
      keys.number("high_freq_factor", rope.high_frequency_factor);
      break;
    case RopeType::linear:
    case RopeType::dynamic:
      break;
  }
  if (keys.reading()) keys.from().number("factor");  // which these types cannot do without
  keys.number("factor", rope.factor);
}

Rope read_rope(const JsonObject& from, double theta, int64_t original_positions,
               const RopeDefaults& defaults) {
  refuse_unknown(from);
  Rope rope{.type = read_type(from, defaults.always_longrope), .theta = from.number("rope_theta", theta)};
  ConfigKeys keys(from);
  scaling_keys(keys, rope);
  if (has_original(rope.type)) rope.original_positions = from.integer_or(kOriginal, original_positions, 1);
  return rope;
}

// A rope object of the older layout. transformers 4 wants no more than three keys in Phi3's, and looks for
// longrope's original length beside it; of other types it wants rope_type, and before 4.45 type.
OrderedJson old_layout(Rope rope) {
  if (rope.type == RopeType::plain) return {};
  ConfigKeys keys;
  const std::string_view name = name_of(rope.type);
  keys.written()["type"] = name;
  if (rope.type != RopeType::longrope) keys.written()["rope_type"] = name;
  scaling_keys(keys, rope);
  if (has_original(rope.type) && rope.type != RopeType::longrope) {
    keys.written()[kOriginal] = rope.original_positions;
  }
  return keys.written();
}

OrderedJson new_layout(const Rope& rope) {
  OrderedJson json = old_layout(rope);
  json["rope_type"] = name_of(rope.type);
  json.erase("type");
  json["rope_theta"] = rope.theta;
  if (has_original(rope.type)) json[kOriginal] = rope.original_positions;
  return json;
}

// The object under the key; an empty one where it is absent, null or empty.
JsonObject object_or_empty(const JsonObject& from, const std::string& key) {
  return from.has(key) ? from.object(key)
                       : JsonObject(Json::object(), fmt::format("{}: '{}'", from.where(), key));
}

void write(OrderedJson& to, const ModelConfig& config, const RopeDefaults& defaults) {
  const Rope& rope = config.rope;
  to["rope_theta"] = rope.theta;
  to["rope_scaling"] = old_layout(rope);
  to["rope_parameters"] = new_layout(rope);
  if (rope.type == RopeType::longrope || defaults.original_positions) {
    to[kOriginal] = rope.type == RopeType::plain ? *defaults.original_positions : rope.original_positions;
  }
  if (defaults.partial) to["partial_rotary_factor"] = config.partial_rotary_factor;
  if (!config.sliding_rope) return;
  to["rope_local_base_freq"] = config.sliding_rope->theta;
  to["rope_parameters"] = {{"full_attention", new_layout(rope)},
                           {"sliding_attention", new_layout(*config.sliding_rope)}};
}

void read(const JsonObject& from, ModelConfig& config, const RopeDefaults& defaults) {
  // As in transformers 5: rope_scaling, the older key, wins where both are there.
  const JsonObject scaling = object_or_empty(from, "rope_scaling");
  const JsonObject parameters = object_or_empty(from, "rope_parameters");
  const double theta = from.number("rope_theta", defaults.theta);
  if (defaults.sliding_theta) {
    for (const auto& entry : parameters.raw().items()) {
      if (entry.key() != "full_attention" && entry.key() != "sliding_attention") {
        fail("{}: '{}': expected full_attention and sliding_attention", parameters.where(), entry.key());
      }
    }
    const JsonObject full = object_or_empty(parameters, "full_attention");
    Json merged = full.raw();
    merged.update(scaling.raw());
    if (scaling.has("type") && !scaling.has("rope_type")) merged.erase("rope_type");
    config.rope = read_rope({merged, full.where()}, theta, config.max_positions, defaults);
    config.sliding_rope = read_rope(object_or_empty(parameters, "sliding_attention"),
                                    from.number("rope_local_base_freq", *defaults.sliding_theta),
                                    config.max_positions, defaults);
    return;
  }
  const JsonObject& rope = scaling.raw().empty() ? parameters : scaling;
  config.rope = read_rope(rope, theta, config.max_positions, defaults);
  if (has_original(config.rope.type) && (from.has(kOriginal) || defaults.original_positions)) {
    config.rope.original_positions =
        from.integer_or(kOriginal, defaults.original_positions.value_or(config.max_positions), 1);
  }
  config.partial_rotary_factor =
      rope.number("partial_rotary_factor", from.number("partial_rotary_factor", 1.0));
  if (!defaults.partial && config.partial_rotary_factor != 1) {
    fail("{}: 'partial_rotary_factor': expected 1 in this family, got {}", from.where(),
         config.partial_rotary_factor);
  }
}

}  // namespace

void rope_keys(ConfigKeys& keys, ModelConfig& config, const RopeDefaults& defaults) {
  if (keys.reading()) {
    read(keys.from(), config, defaults);
  } else {
    write(keys.written(), config, defaults);
  }
}

}  // namespace decovec
