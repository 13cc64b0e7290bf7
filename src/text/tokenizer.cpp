#include "decovec/text/tokenizer.hpp"

#include "io/error.hpp"
#include "io/file.hpp"
#include "io/json.hpp"
#include "text/sentencepiece_tokenizer.hpp"

namespace decovec {

namespace fs = std::filesystem;

namespace {

// BOS and EOS as the template of tokenizer.json puts them around a text; the rule stays as it is without a
// template.
void read_template(const JsonObject& tokenizer, SequenceRule& rule) {
  if (!tokenizer.has("post_processor")) return;
  const JsonObject processor = tokenizer.object("post_processor");
  if (processor.string("type") != "TemplateProcessing") return;
  std::string order;  // B for a token before the text, T for the text, E for a token after it
  const Json parts = processor.raw().value("single", Json());
  for (const Json& part : parts.is_array() ? parts : Json::array()) {
    if (part.contains("Sequence")) {
      order += 'T';
    } else {
      order += order.find('T') == std::string::npos ? 'B' : 'E';
    }
  }
  if (order != "T" && order != "BT" && order != "TE" && order != "BTE") {
    fail("{}: 'single': expected a text with at most one token before and one after it, got {}",
         processor.where(), shown(parts));
  }
  rule.bos = order.starts_with('B');
  rule.eos = order.ends_with('E') ? EndOfText::kept : EndOfText::none;
}

}  // namespace

std::shared_ptr<const Tokenizer> Tokenizer::load(const fs::path& folder) {
  return at_boundary("Tokenizer::load", [&]() -> std::shared_ptr<const Tokenizer> {
    const fs::path file = folder / "tokenizer.model";
    if (!fs::exists(file)) {
      if (fs::exists(folder / "tokenizer.json"))
        fail(
            "{}: found tokenizer.json, expected tokenizer.model (sentencepiece), the only kind of tokenizer "
            "that decovec reads",
            folder.string());
      fail("{}: no tokenizer.model (sentencepiece) in this folder", folder.string());
    }
    auto model = parse_sentencepiece_model(read_file(file), file.string());
    auto tokens = read_special_tokens(folder, model);
    return std::make_shared<SentencePieceTokenizer>(std::move(model), std::move(tokens), file.string());
  });
}

std::shared_ptr<const Tokenizer> Tokenizer::from_sentencepiece(const fs::path& file) {
  return at_boundary("Tokenizer::from_sentencepiece", [&]() -> std::shared_ptr<const Tokenizer> {
    auto model = parse_sentencepiece_model(read_file(file), file.string());
    auto tokens = special_tokens_of(model);
    return std::make_shared<SentencePieceTokenizer>(std::move(model), std::move(tokens), file.string());
  });
}

SequenceRule read_sequence_rule(const fs::path& folder, const SequenceRule& unstated) {
  return at_boundary("read_sequence_rule", [&] {
    SequenceRule rule = unstated;
    const fs::path file = folder / "tokenizer_config.json";
    const JsonObject config =
        fs::exists(file) ? JsonObject::read(file) : JsonObject(Json::object(), file.string());
    // A huge number (1e30) is how transformers writes that there is no limit.
    constexpr int64_t kNoLimit = int64_t{1} << 30;
    if (config.number("model_max_length", static_cast<double>(kNoLimit)) < static_cast<double>(kNoLimit))
      rule.max_length = config.integer("model_max_length", 1, kNoLimit);
    if (config.has("add_bos_token") || config.has("add_eos_token")) {
      rule.bos = config.boolean("add_bos_token", true);
      rule.eos = config.boolean("add_eos_token", false) ? EndOfText::kept : EndOfText::none;
    } else if (fs::exists(folder / "tokenizer.json")) {
      read_template(JsonObject::read(folder / "tokenizer.json"), rule);
    }
    return rule;
  });
}

void save_tokenizer(const Tokenizer& tokenizer, const SequenceRule& rule, const fs::path& folder) {
  at_boundary("save_tokenizer", [&] { tokenizer.save(rule, folder); });
}

}  // namespace decovec
