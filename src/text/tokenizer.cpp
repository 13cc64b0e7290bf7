#include "decovec/text/tokenizer.hpp"

#include "io/error.hpp"
#include "io/file.hpp"
#include "io/json.hpp"
#include "text/json_tokenizer.hpp"
#include "text/sentencepiece_tokenizer.hpp"
#include "text/tokenizer_json.hpp"

namespace decovec {

namespace fs = std::filesystem;

namespace {

// Whether transformers 4 built the template anew from add_bos_token and add_eos_token, as models of these
// classes were trained: the classes of Llama, Gemma and Cohere, and tokenizers of a model's own code.
bool flags_decide(const JsonObject& config) {
  const std::string type = config.string("tokenizer_class", "Llama");
  return type.starts_with("Llama") || type.starts_with("CodeLlama") || type.starts_with("Gemma") ||
         type.starts_with("Cohere") || config.has("auto_map");
}

}  // namespace

std::shared_ptr<const Tokenizer> Tokenizer::load(const fs::path& folder) {
  return at_boundary("Tokenizer::load", [&]() -> std::shared_ptr<const Tokenizer> {
    if (file_exists(folder / "tokenizer.json")) return std::make_shared<JsonTokenizer>(folder);
    const fs::path file = folder / "tokenizer.model";
    if (!file_exists(file))
      fail("{}: no tokenizer.json and no tokenizer.model in this folder", folder.string());
    auto model = parse_sentencepiece_model(read_file(file), file.string());
    auto tokens = read_special_tokens(folder, base_vocabulary(model));
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
        file_exists(file) ? JsonObject::read(file) : JsonObject(Json::object(), file.string());
    // A huge number (1e30) is how transformers writes that there is no limit.
    constexpr int64_t kNoLimit = int64_t{1} << 30;
    if (config.number("model_max_length", static_cast<double>(kNoLimit)) < static_cast<double>(kNoLimit))
      rule.max_length = config.integer("model_max_length", 1, kNoLimit);
    if (const std::string side = config.string("truncation_side", "right"); side != "right")
      fail("{}: 'truncation_side': expected right, the only side that decovec cuts, got {}", config.where(),
           side);
    const bool bos_flag = config.has("add_bos_token"), eos_flag = config.has("add_eos_token");
    Template around;
    if (const fs::path json = folder / "tokenizer.json"; file_exists(json)) {
      const TokenizerJsonFrame frame = parse_tokenizer_json_frame(read_file(json), json.string());
      around = frame.around.value_or(Template{});
      if (frame.max_length && !config.has("model_max_length")) rule.max_length = *frame.max_length;
      rule.bos = around.before.has_value();
      rule.eos = around.after ? EndOfText::kept : EndOfText::none;
    } else if (bos_flag || eos_flag) {
      rule.bos = true;
      rule.eos = EndOfText::none;
    }
    const auto flagged = [&](const char* flag, const std::optional<TemplateToken>& in_template) {
      return config.boolean(flag, false) || (in_template && !flags_decide(config));
    };
    if (bos_flag) rule.bos = flagged("add_bos_token", around.before);
    if (eos_flag) rule.eos = flagged("add_eos_token", around.after) ? EndOfText::kept : EndOfText::none;
    return rule;
  });
}

void save_tokenizer(const Tokenizer& tokenizer, const SequenceRule& rule, const fs::path& folder) {
  at_boundary("save_tokenizer", [&] { tokenizer.save(rule, folder); });
}

}  // namespace decovec
