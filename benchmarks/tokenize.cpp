// Times Tokenizer::ids on the lines of a text file, on one thread and on several: megabytes and ids a second.
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <thread>

#include <decovec/decovec.hpp>

#include "timing.hpp"

int main(int argc, char** argv) {
  if (argc < 3 || argc > 4) {
    std::cerr << "usage: benchmark_tokenize MODEL_FOLDER TEXT_FILE [THREADS]\n";
    return 2;
  }
  try {
    std::shared_ptr<const decovec::Tokenizer> tokenizer;
    const double loading = seconds_of([&] { tokenizer = decovec::Tokenizer::load(argv[1]); });
    const std::vector<std::string> texts = decovec::read_lines(argv[2]);
    const int threads = argc == 4 ? std::atoi(argv[3]) : 1;
    size_t bytes = 0;
    for (const std::string& text : texts) bytes += text.size();

    std::atomic<size_t> ids = 0, next = 0;
    const auto work = [&] {
      constexpr size_t kBlock = 256;
      for (size_t begin = next.fetch_add(kBlock); begin < texts.size(); begin = next.fetch_add(kBlock)) {
        size_t count = 0;
        for (size_t i = begin; i < std::min(begin + kBlock, texts.size()); ++i)
          count += tokenizer->ids(texts[i]).size();
        ids += count;
      }
    };
    const double seconds = seconds_of([&] {
      std::vector<std::thread> others;
      for (int i = 1; i < threads; ++i) others.emplace_back(work);
      work();
      for (std::thread& other : others) other.join();
    });
    std::cout << texts.size() << " texts, " << ids << " ids, loaded in " << loading << " s, tokenized in "
              << seconds << " s, " << static_cast<double>(bytes) / seconds / 1e6 << " MB/s\n";
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
