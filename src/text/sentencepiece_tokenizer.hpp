// The Tokenizer of a sentencepiece model, through the sentencepiece library.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "decovec/text/tokenizer.hpp"
#include "text/added_tokens.hpp"
#include "text/sentencepiece_model.hpp"
#include "text/special_tokens.hpp"

namespace sentencepiece {
class SentencePieceProcessor;
}

namespace decovec {

class SentencePieceTokenizer : public Tokenizer {
 public:
  /// `where` names the model file in errors.
  SentencePieceTokenizer(SentencePieceModel model, SpecialTokens tokens, const std::string& where);
  ~SentencePieceTokenizer() override;

  std::vector<int64_t> ids(std::string_view text) const override;
  int64_t size() const override { return size_; }
  std::optional<int64_t> bos() const override { return bos_; }
  std::optional<int64_t> eos() const override { return eos_; }
  bool is_special(int64_t id) const override;
  void save(const SequenceRule& rule, const std::filesystem::path& folder) const override;

  const SentencePieceModel& model() const { return model_; }
  const AddedTokens& added_tokens() const { return added_; }

 private:
  SentencePieceModel model_;
  AddedTokens added_;
  std::unique_ptr<sentencepiece::SentencePieceProcessor> processor_;
  int64_t size_ = 0;
  std::optional<int64_t> bos_, eos_;
};

}  // namespace decovec
