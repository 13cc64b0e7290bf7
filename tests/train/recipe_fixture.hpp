// Recipes in a folder of their own, and what is wrong with them.
#pragma once
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <string>
#include <unistd.h>
#include <vector>

#include "decovec/train/recipe.hpp"

namespace decovec::test {

namespace fs = std::filesystem;
using Texts = std::vector<std::string>;

// A recipe of every part; the tests change it by replacing pieces.
inline const std::string whole = R"(model = "base"
output = "out/../tuned"
[embedder]
pooling = "mean"
[[data]]
name = "pairs"
files = ["a.jsonl", "b.jsonl"]
[[data]]
name = "v1.topics"
files = ["a.jsonl"]
[[stage]]
name = "retrieval"
data = ["pairs"]
steps = 20
[[stage]]
name = "blend"
)";

inline const std::string new_model = R"([model.new]
tokenizer = "tokens.model"
hidden_size = 96
intermediate_size = 256
layers = 2
heads = 4
)";

class RecipeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string test = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    folder_ = fs::temp_directory_path() / fmt::format("decovec_recipe_{}_{}", test, ::getpid());
    fs::create_directories(folder_);
    for (const char* name : {"a.jsonl", "b.jsonl"}) std::ofstream(folder_ / name) << "\n";
  }
  void TearDown() override { fs::remove_all(folder_); }

  Recipe load(const std::string& text, const Texts& overrides = {}) const {
    std::ofstream(folder_ / "r.toml", std::ios::binary) << text;
    return Recipe::load(folder_ / "r.toml", overrides);
  }

  // The error of a recipe, without the folder.
  std::string error(const std::string& text, const Texts& overrides = {}) const {
    try {
      load(text, overrides);
    } catch (const std::runtime_error& error) {
      return without_folder(error.what());
    }
    return "no error";
  }

  // The std::invalid_argument of an override.
  std::string rejection(const std::string& override_text) const {
    try {
      load(whole, {override_text});
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "no rejection";
  }

  std::string without_folder(std::string text) const {
    const std::string prefix = folder_.string() + "/";
    for (size_t at; (at = text.find(prefix)) != std::string::npos;) text.erase(at, prefix.size());
    return text;
  }

  fs::path folder_;
};

inline std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

}  // namespace decovec::test
