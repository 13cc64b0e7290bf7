#include "text/sentencepiece_tokenizer.hpp"

#include <algorithm>
#include <exception>
#include <sentencepiece_processor.h>
#include <utility>

#include "io/error.hpp"
#include "text/text_input.hpp"
#include "text/tokenizer_folder.hpp"

// Exported by the sentencepiece library, but in none of the headers that Debian ships.
namespace sentencepiece::logging {
void SetMinLogLevel(int level);
}

namespace decovec {
namespace {

void silence_sentencepiece() {
  constexpr int kFatal = 3;
  [[maybe_unused]] static const bool once = (sentencepiece::logging::SetMinLogLevel(kFatal), true);
}

std::optional<int64_t> known(int id) { return id < 0 ? std::nullopt : std::optional<int64_t>(id); }

}  // namespace

SentencePieceTokenizer::SentencePieceTokenizer(SentencePieceModel model, SpecialTokens tokens,
                                               const std::string& where)
    : model_(std::move(model)),
      added_(std::move(tokens.added)),
      processor_(std::make_unique<sentencepiece::SentencePieceProcessor>()) {
  silence_sentencepiece();
  try {
    const auto status = processor_->LoadFromSerializedProto(model_.bytes);
    if (!status.ok()) fail("{}", status.ToString());
  } catch (const std::exception& error) {
    fail("{}: sentencepiece refuses the model: {}", where, error.what());
  }
  if (processor_->GetPieceSize() != static_cast<int>(model_.pieces.size()))
    fail("{}: expected {} pieces, got {} from sentencepiece", where, model_.pieces.size(),
         processor_->GetPieceSize());
  size_ = static_cast<int64_t>(model_.pieces.size());
  if (!added_.by_id().empty()) size_ = std::max(size_, added_.by_id().back().id + 1);
  bos_ = tokens.bos ? tokens.bos : known(processor_->bos_id());
  eos_ = tokens.eos ? tokens.eos : known(processor_->eos_id());
}

SentencePieceTokenizer::~SentencePieceTokenizer() = default;

std::vector<int64_t> SentencePieceTokenizer::ids(std::string_view text) const {
  return at_boundary("Tokenizer::ids", [&] {
    check_text(text);
    std::vector<int64_t> ids;
    std::vector<int> pieces;
    added_.split(
        text,
        [&](std::string_view stretch) {
          const auto status = processor_->Encode(stretch, &pieces);
          if (!status.ok()) fail("Tokenizer::ids: sentencepiece: {}", status.ToString());
          ids.insert(ids.end(), pieces.begin(), pieces.end());
        },
        [&](const AddedToken& token) { ids.push_back(token.id); });
    return ids;
  });
}

bool SentencePieceTokenizer::is_special(int64_t id) const {
  const AddedToken* token = added_.find(id);
  return token != nullptr && token->special;
}

void SentencePieceTokenizer::save(const SequenceRule& rule, const std::filesystem::path& folder) const {
  write_tokenizer_folder(*this, rule, folder);
}

}  // namespace decovec
