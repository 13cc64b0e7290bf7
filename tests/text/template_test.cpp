#include <filesystem>
#include <gtest/gtest.h>
#include <unistd.h>

#include "decovec/text/tokenizer.hpp"
#include "io/file.hpp"

namespace decovec {
namespace {

namespace fs = std::filesystem;

// The rule of a folder that holds these files (none where empty).
SequenceRule rule_of(const std::string& config, const std::string& single) {
  struct Folder {
    fs::path path = fs::temp_directory_path() / ("decovec-template-" + std::to_string(getpid()));
    Folder() { fs::create_directories(path); }
    ~Folder() { fs::remove_all(path); }
  } folder;
  if (!config.empty()) write_file(folder.path / "tokenizer_config.json", config);
  if (!single.empty()) {
    write_file(folder.path / "tokenizer.json",
               R"({"post_processor": {"type": "TemplateProcessing", "single": )" + single + "}}");
  }
  return read_sequence_rule(folder.path, {.max_length = 99});
}

constexpr const char* kBos = R"({"SpecialToken": {"id": "<s>", "type_id": 0}})";
constexpr const char* kText = R"({"Sequence": {"id": "A", "type_id": 0}})";
constexpr const char* kEos = R"({"SpecialToken": {"id": "</s>", "type_id": 0}})";

std::string list(const std::vector<const char*>& parts) {
  std::string text;
  for (const char* part : parts) {
    if (!text.empty()) text += ',';
    text += part;
  }
  return '[' + text + ']';
}

TEST(SequenceRuleOfAFolder, FollowsTheTemplateWhereNoFlagStands) {
  const SequenceRule both = rule_of("{}", list({kBos, kText, kEos}));
  EXPECT_TRUE(both.bos);
  EXPECT_EQ(both.eos, EndOfText::kept);
  EXPECT_EQ(both.max_length, 99);
  const SequenceRule after = rule_of("", list({kText, kEos}));
  EXPECT_FALSE(after.bos);
  EXPECT_EQ(after.eos, EndOfText::kept);
  const SequenceRule none = rule_of("{}", list({kText}));
  EXPECT_FALSE(none.bos);
  EXPECT_EQ(none.eos, EndOfText::none);
}

TEST(SequenceRuleOfAFolder, FlagsCountBeforeTheTemplate) {
  const SequenceRule rule = rule_of(R"({"add_eos_token": true})", list({kBos, kText}));
  EXPECT_TRUE(rule.bos);
  EXPECT_EQ(rule.eos, EndOfText::kept);
}

TEST(SequenceRuleOfAFolder, OtherTemplatesRefuse) {
  EXPECT_THROW(rule_of("{}", list({kBos, kBos, kText})), std::runtime_error);
  EXPECT_THROW(rule_of("{}", list({kBos})), std::runtime_error);
  EXPECT_THROW(rule_of("{}", "7"), std::runtime_error);
}

}  // namespace
}  // namespace decovec
