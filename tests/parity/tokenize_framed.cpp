// The ids of texts that hold any character: what compare_ids.py runs.
//
// tokenize_framed FOLDER: stdin has a byte count (32 bits) and so many bytes for each text, stdout gets a
// count and so many ids (32 bits each) for each text. With --sequence the ids are those of make_sequence, BOS
// and EOS included.
#include <cstdint>
#include <cstdio>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include <decovec/text/tokenizer.hpp>

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3 || (argc == 3 && std::string(argv[2]) != "--sequence")) {
    std::cerr << "usage: tokenize_framed FOLDER [--sequence]\n";
    return 2;
  }
  try {
    const auto tokenizer = decovec::Tokenizer::load(argv[1]);
    const decovec::SequenceRule rule = decovec::read_sequence_rule(argv[1]);
    std::string text;
    for (uint32_t size = 0; std::fread(&size, sizeof size, 1, stdin) == 1;) {
      text.resize(size);
      if (std::fread(text.data(), 1, size, stdin) != size) return 1;
      const std::vector<int64_t> ids =
          argc == 2
              ? tokenizer->ids(text)
              : decovec::make_sequence(*tokenizer, rule, "", text, decovec::Truncate::error, 1 << 30).ids;
      std::vector<uint32_t> out = {static_cast<uint32_t>(ids.size())};
      out.insert(out.end(), ids.begin(), ids.end());
      std::fwrite(out.data(), sizeof(uint32_t), out.size(), stdout);
    }
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
