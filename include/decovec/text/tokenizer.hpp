#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace decovec {

struct SequenceRule;

/// Turns text into ids. One interface for every kind of tokenizer file; immutable, so calls are thread-safe.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// Reads the tokenizer of a model folder: tokenizer.json as the Hugging Face tokenizers library 0.23.3
  /// reads it, or tokenizer.model (sentencepiece) where there is none; with the added tokens of
  /// tokenizer_config.json and added_tokens.json. Throws std::runtime_error, by name, for what decovec does
  /// not have.
  static std::shared_ptr<const Tokenizer> load(const std::filesystem::path& folder);
  /// A bare sentencepiece model file, with no added tokens but its own control and user-defined pieces.
  static std::shared_ptr<const Tokenizer> from_sentencepiece(const std::filesystem::path& file);

  /// The ids of a text alone, nothing put before or after it. Special and added tokens inside the text become
  /// their ids; each stretch between them is tokenized by itself. Throws std::invalid_argument for text that
  /// is not UTF-8, or longer than 64 MiB.
  virtual std::vector<int64_t> ids(std::string_view text) const = 0;

  /// Ids are in [0, size()).
  virtual int64_t size() const = 0;
  virtual std::optional<int64_t> bos() const = 0;
  virtual std::optional<int64_t> eos() const = 0;
  /// True for BOS, EOS, the unknown token and every other special token: ids that stand for no text.
  virtual bool is_special(int64_t id) const = 0;

  /// What `save_tokenizer` does.
  virtual void save(const SequenceRule& rule, const std::filesystem::path& folder) const = 0;
};

/// What is put after a text's last piece.
enum class EndOfText {
  none,
  kept,  ///< EOS, kept when a text is cut at the maximal length (a tokenizer's template)
  cut,   ///< EOS as part of the text, lost when a text is cut (NV-Embed's literal "</s>")
};

/// Which states of an instruction's tokens are pooled. All of them are always attended to.
enum class InstructionPooling {
  pooled,
  /// NV-Embed: as many positions are left out, from the first (BOS) on, as the instruction alone has pieces.
  nv_embed,
  /// sentence-transformers' include_prompt = false: as many as the tokenized prompt has ids, BOS counted, EOS
  /// not.
  sentence_transformers,
  /// LLM2Vec: the last positions are pooled, as many as the text alone has pieces, with what the rule puts
  /// behind it; a text without any pools all.
  llm2vec,
};

/// How a text becomes a sequence of ids: what a model was trained with, saved with it.
struct SequenceRule {
  bool bos = true;                                              ///< BOS before the text
  EndOfText eos = EndOfText::none;                              ///< EOS after it
  InstructionPooling instruction = InstructionPooling::pooled;  ///< which positions are pooled
  int64_t max_length = 512;                                     ///< ids at most, special ones counted
  /// Put around instruction and text, as part of them (LLM2Vec's chat turn).
  std::string before = {}, after = {};
};

/// What to do with a text longer than the maximal length.
enum class Truncate {
  error,  ///< refuse it
  right,  ///< drop its end
};

struct TokenSequence {
  std::vector<int64_t> ids;
  int64_t pool_begin = 0;  ///< the first pooled position; ids.size() where none is pooled
  bool truncated = false;
};

/// Tokenizes before + instruction + text + after as one string, by the rule. LLM2Vec's instructions are
/// stripped and followed by a space, and white space at the end of a text is stripped where the rule puts
/// something behind it. `max_length` 0 means the rule's; a longer one is allowed. Throws
/// std::invalid_argument for a text too long (Truncate::error), and where the rule asks for a BOS or EOS that
/// the tokenizer does not have.
TokenSequence make_sequence(const Tokenizer& tokenizer, const SequenceRule& rule,
                            std::string_view instruction, std::string_view text,
                            Truncate truncate = Truncate::error, int64_t max_length = 0);

/// What a folder's tokenizer files say about BOS, EOS and length; `unstated` holds where they say nothing.
/// BOS and EOS come from the template in tokenizer.json, and before it from add_bos_token and add_eos_token
/// of tokenizer_config.json: true always, false where transformers 4 took the token away, as models were
/// trained with them. Without tokenizer.json, where one flag stands the other is true for BOS and false for
/// EOS. The length is model_max_length, else the truncation of tokenizer.json. Throws std::runtime_error,
/// also for a template with other tokens.
SequenceRule read_sequence_rule(const std::filesystem::path& folder, const SequenceRule& unstated = {});

/// Writes what `Tokenizer::load`, transformers and sentence-transformers need into an existing folder:
/// tokenizer.json, tokenizer_config.json, special_tokens_map.json and tokenizer.model (the bytes that were
/// loaded). They put BOS and a kept EOS around a text; a cut EOS is the caller's to append. A tokenizer.json
/// that was loaded is written with the bytes it had, but for the template where the rule asks for another.
/// Throws std::runtime_error where a sentencepiece model has a setting that tokenizer.json cannot express
/// exactly, and names it.
void save_tokenizer(const Tokenizer& tokenizer, const SequenceRule& rule,
                    const std::filesystem::path& folder);

}  // namespace decovec
