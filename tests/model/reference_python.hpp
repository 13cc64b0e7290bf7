// Folders that decovec saved, as sentence-transformers and transformers read them (check_saved_folder.py).
#pragma once
#include <cstdlib>
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "decovec/model/embedder.hpp"
#include "io/file.hpp"
#include "model/model_folder.hpp"

namespace decovec::test {

/// The Python with sentence-transformers 6 and transformers 5, or null.
inline const char* reference_python() { return std::getenv("DECOVEC_REFERENCE_PYTHON"); }

constexpr const char* kNoReferencePython =
    "DECOVEC_REFERENCE_PYTHON names no Python with sentence-transformers 6";

/// Saves models and writes down their vectors; then one process compares all of them.
class SavedFolders {
 public:
  /// The vectors of `texts` under each of `prompts`; null is the model's default.
  void add(const std::string& name, const Embedder& model, const std::vector<std::string>& texts,
           const std::vector<Json>& prompts) {
    const fs::path folder = folder_.path() / std::to_string(count_++);
    model.save(folder / "saved");
    std::string lines;
    for (const Json& prompt : prompts) {
      EncodeOptions options{.truncate = Truncate::right};
      if (!prompt.is_null()) options.prompt = prompt.get<std::string>();
      const at::Tensor vectors = model.encode(texts, options);
      for (int64_t i = 0; i < vectors.size(0); ++i) {
        const float* row = vectors[i].const_data_ptr<float>();
        lines += Json{{"text", texts[static_cast<size_t>(i)]},
                      {"prompt", prompt},
                      {"embedding", std::vector<float>(row, row + vectors.size(1))}}
                     .dump() +
                 "\n";
      }
    }
    write_file(folder / "vectors.jsonl", lines);
    arguments_ += fmt::format(" '{}' '{}' '{}'", name, (folder / "saved").string(),
                              (folder / "vectors.jsonl").string());
  }

  void compare() const {
    const fs::path script = test_data().parent_path() / "model/check_saved_folder.py";
    const fs::path output = folder_.path() / "output";
    const std::string command = fmt::format("HF_HUB_OFFLINE=1 '{}' '{}'{} > '{}' 2>&1", reference_python(),
                                            script.string(), arguments_, output.string());
    EXPECT_EQ(std::system(command.c_str()), 0) << read_file(output);
    std::printf("%s", read_file(output).c_str());
  }

 private:
  TemporaryFolder folder_;
  std::string arguments_;
  int count_ = 0;
};

}  // namespace decovec::test
