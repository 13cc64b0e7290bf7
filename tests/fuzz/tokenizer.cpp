// A tokenizer's files. What is saved again tokenizes the same.
#include "decovec/text/tokenizer.hpp"

#include <vector>

#include "fuzz/fuzz.hpp"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace decovec;
  static const fuzz::Folder folder, saved("saved");
  if (!folder.unpack(fuzz::text_of(data, size))) return 0;
  return fuzz::check({folder.path().native()}, [&] {
    const SequenceRule rule = read_sequence_rule(folder.path());
    const auto tokenizer = Tokenizer::load(folder.path());
    std::vector<std::vector<int64_t>> ids;
    const std::vector<std::string> texts = {
        "", " It's  12 o'clock\n", "caf\u00e9 e\u0323\u0301 \uac01\u11a8 \u4e2d\u6587\u3000\U0001f600",
        "aaaaaaaaaaaaaaaaaaaaaaaaaab", "<s> <eos>\t</s>"};
    for (const std::string& text : texts) ids.push_back(tokenizer->ids(text));
    saved.clear();
    try {
      save_tokenizer(*tokenizer, rule, saved.path());
    } catch (const std::invalid_argument&) {  // a rule that asks for tokens which are not there
      return;
    }
    const auto loaded = Tokenizer::load(saved.path());
    for (size_t i = 0; i < texts.size(); ++i)
      if (loaded->ids(texts[i]) != ids[i]) std::abort();
  });
}
