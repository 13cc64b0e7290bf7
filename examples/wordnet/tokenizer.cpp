#include "tokenizer.hpp"

#include <fmt/format.h>
#include <fstream>
#include <sentencepiece_trainer.h>
#include <stdexcept>
#include <unordered_map>

namespace wordnet {
namespace {

class Texts : public sentencepiece::SentenceIterator {
 public:
  explicit Texts(const std::vector<std::string>& texts) : texts_(texts) {}
  bool done() const override { return next_ == texts_.size(); }
  void Next() override { ++next_; }
  const std::string& value() const override { return texts_[next_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const std::vector<std::string>& texts_;
  size_t next_ = 0;
};

}  // namespace

void train_tokenizer(const std::vector<std::string>& texts, int64_t vocabulary,
                     const std::filesystem::path& file) {
  Texts iterator(texts);
  const std::unordered_map<std::string, std::string> settings = {{"model_type", "bpe"},
                                                                 {"vocab_size", std::to_string(vocabulary)},
                                                                 {"character_coverage", "1.0"},
                                                                 {"byte_fallback", "true"},
                                                                 {"normalization_rule_name", "identity"},
                                                                 {"remove_extra_whitespaces", "false"},
                                                                 {"add_dummy_prefix", "true"},
                                                                 {"unk_id", "0"},
                                                                 {"bos_id", "1"},
                                                                 {"eos_id", "2"},
                                                                 {"num_threads", "1"},
                                                                 {"minloglevel", "3"}};
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(settings, &iterator, &model);
  if (!status.ok())
    throw std::runtime_error(fmt::format("{}: sentencepiece: {}", file.string(), status.ToString()));
  std::ofstream out(file, std::ios::binary);
  out << model;
  out.close();
  if (!out)
    throw std::runtime_error(file.string() +
                             ": cannot be written; is the disk full or the folder read-only?");
}

}  // namespace wordnet
