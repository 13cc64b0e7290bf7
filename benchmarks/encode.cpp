// Times Embedder::encode on a text file: texts and tokens a second, and the share of the time that tokenizing
// takes.
#include <chrono>
#include <cstdlib>
#include <iostream>

#include <decovec/decovec.hpp>

#include "timing.hpp"

int main(int argc, char** argv) {
  if (argc < 3 || argc > 4) {
    std::cerr << "usage: benchmark_encode MODEL_FOLDER TEXT_FILE [BATCH_TOKENS]\n";
    return 2;
  }
  try {
    const auto model = decovec::Embedder::load(argv[1]);
    const std::vector<std::string> texts = decovec::read_lines(argv[2]);
    const decovec::EncodeOptions options = {.truncate = decovec::Truncate::right,
                                            .batch_tokens = argc == 4 ? std::atoll(argv[3]) : 4096};
    const std::vector<std::string> few(texts.begin(),
                                       texts.begin() + std::min<std::ptrdiff_t>(64, std::ssize(texts)));
    model.encode(few, options);  // warm up
    int64_t tokens = 0;
    const double tokenizing = seconds_of([&] {
      for (const std::string& text : texts) {
        tokens += static_cast<int64_t>(model.sequence("", text, decovec::Truncate::right).ids.size());
      }
    });
    const double encoding = seconds_of([&] { model.encode(texts, options); });
    std::cout << texts.size() << " texts, " << tokens
              << " tokens: " << static_cast<double>(texts.size()) / encoding << " texts/s, "
              << static_cast<double>(tokens) / encoding << " tokens/s; tokenizing on one thread took "
              << tokenizing << " s of " << encoding << " s\n";
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
