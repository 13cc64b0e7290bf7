#include "wordnet/wordnet.hpp"

#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <gtest/gtest.h>
#include <set>
#include <unistd.h>

#include <decovec/eval/tasks.hpp>
#include <decovec/text/tokenizer.hpp>

#include "wordnet/data_sets.hpp"
#include "wordnet/tokenizer.hpp"

namespace wordnet {
namespace {

namespace fs = std::filesystem;
using decovec::RandomKey;

class Folder : public ::testing::Test {
 protected:
  Folder() : path_(fs::temp_directory_path() / fmt::format("decovec_wordnet_test_{}", getpid())) {
    fs::remove_all(path_);
    fs::create_directories(path_);
    for (const char* part : {"data.noun", "data.verb", "data.adj", "data.adv"})
      write(part, "  1 a licence\n");
  }
  ~Folder() override { fs::remove_all(path_); }

  void write(const std::string& name, const std::string& text) const { std::ofstream(path_ / name) << text; }
  std::string error_of(const std::string& noun) const {
    write("data.noun", noun);
    try {
      read(path_);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  }

  fs::path path_;
};

using ReadWordNet = Folder;

TEST_F(ReadWordNet, TakesWordsDefinitionAndRelations) {
  write("data.noun",
        "  1 a licence\n"
        "00001740 03 n 01 entity 0 001 ~ 00002452 n 0000 | that which exists  \n"
        "00002452 05 n 02 domestic_dog 0 Canis_familiaris 1 003 @ 00001740 n 0000 @i 00001740 n 0000 "
        ";c 00001740 n 0000 | a member of the genus; barks; \"the dog barked\"; \"a \"good\" dog\"  \n");
  write("data.verb", "00001741 29 v 01 breathe 0 000 02 + 02 00 + 08 00 | draw air | in  \n");
  write("data.adj", "00001742 00 s 01 galore(ip) 0 001 & 00001742 a 0000 | existing in abundance  \n");
  const std::vector<Concept> concepts = read(path_);
  ASSERT_EQ(concepts.size(), 4u);
  EXPECT_EQ(concepts[1].id, "n00002452");
  EXPECT_EQ(file_names()[static_cast<size_t>(concepts[1].file)], "noun.animal");
  EXPECT_EQ(concepts[1].words, (std::vector<std::string>{"domestic dog", "Canis familiaris"}));
  EXPECT_EQ(concepts[1].definition, "a member of the genus; barks");
  EXPECT_EQ(concepts[1].broader, std::vector<int64_t>{0});
  EXPECT_EQ(concepts[1].topics, std::vector<int64_t>{0});
  EXPECT_EQ(document(concepts[1]), "domestic dog, Canis familiaris: a member of the genus; barks");
  EXPECT_EQ(concepts[2].definition, "draw air | in");
  EXPECT_EQ(concepts[3].id, "a00001742");
  EXPECT_EQ(concepts[3].words, std::vector<std::string>{"galore"});
}

TEST_F(ReadWordNet, RefusesBrokenLinesWithFileAndLine) {
  const std::string good = "00001740 03 n 01 entity 0 000 | that which exists\n";
  EXPECT_EQ(error_of(good), "");
  for (const std::string& bad :
       {std::string("00001740\n"), std::string("00001740 99 n 01 entity 0 000 | x\n"),
        std::string("0000174x 03 n 01 entity 0 000 | x\n"),
        std::string("00001740 03 q 01 entity 0 000 | x\n"),
        std::string("00001740 03 v 01 entity 0 000 | x\n"), std::string("00001740 03 n 00 000 | x\n"),
        std::string("00001740 03 n ff entity 0 000 | x\n"),
        std::string("00001740 03 n 01 entity 0 009 | x\n"), std::string("00001740 03 n 01 entity 0 -1 | x\n"),
        std::string("00001740 03 n 01 entity 0 000\n"), std::string("00001740 03 n 01 entity 0 000 | \n"),
        std::string("\n"), good}) {
    const std::string error = error_of(good + bad);
    EXPECT_NE(error.find("data.noun:2: "), std::string::npos) << bad << error;
  }
  EXPECT_NE(error_of("00001740 03 n 01 entity 0 001 @ 00009999 n 0000 | x\n").find("n00009999"),
            std::string::npos);
  fs::remove(path_ / "data.adv");
  EXPECT_NE(error_of(good).find("data.adv"), std::string::npos);
}

TEST(Concepts, AncestorsAreNearestFirstAndEndInACycle) {
  std::vector<Concept> concepts(4);
  concepts[0].broader = {1, 2};
  concepts[1].broader = {3};
  concepts[2].broader = {3};
  concepts[3].broader = {0};
  EXPECT_EQ(ancestors(concepts, 0), (std::vector<int64_t>{1, 2, 3, 0}));
}

// A small WordNet: two files, a tree in each, a subject for every third concept, some definitions twice.
std::vector<Concept> small_wordnet() {
  std::vector<Concept> concepts;
  for (int64_t i = 0; i < 1200; ++i) {
    Concept item;
    item.id = fmt::format("n{:08}", i);
    item.file = i % 2 == 0 ? 5 : 20;
    item.words = {fmt::format("word{}", i)};
    item.definition = fmt::format("a {} of the {} kind, number {}", i % 2 == 0 ? "beast" : "herb", i % 30,
                                  i % 100 == 99 ? i - 2 : i);
    if (i >= 60) item.broader = {i % 60};
    if (i % 3 == 0) item.topics = {i % 4};
    concepts.push_back(item);
  }
  return concepts;
}

struct Texts {
  std::set<std::string> training, held_out;
};

Texts texts_by_split(const Collection& collection) {
  Texts texts;
  for (size_t i = 0; i < collection.concepts.size(); ++i) {
    auto& side = collection.split[i] == Split::train ? texts.training : texts.held_out;
    side.insert(collection.concepts[i].definition);
    side.insert(document(collection.concepts[i]));
  }
  return texts;
}

TEST(Collect, PutsEqualDefinitionsInOneSplit) {
  const Collection collection = collect(small_wordnet(), RandomKey(1));
  std::map<std::string, Split> split;
  std::map<Split, int64_t> sizes;
  for (size_t i = 0; i < collection.concepts.size(); ++i) {
    const auto [entry, fresh] = split.emplace(collection.concepts[i].definition, collection.split[i]);
    EXPECT_EQ(entry->second, collection.split[i]) << entry->first;
    ++sizes[collection.split[i]];
  }
  EXPECT_NEAR(static_cast<double>(sizes[Split::dev]), 120, 50);
  EXPECT_NEAR(static_cast<double>(sizes[Split::test]), 120, 50);
  EXPECT_EQ(collection.parents.size(), 60u);
}

TEST(TrainingSets, HoldNoTextOfAHeldOutConcept) {
  const Collection collection = collect(small_wordnet(), RandomKey(1));
  const Texts texts = texts_by_split(collection);
  for (const decovec::Dataset& set : training_sets(collection, RandomKey(2))) {
    EXPECT_GT(set.size(), 0) << set.name();
    for (int64_t i = 0; i < set.size(); ++i) {
      const decovec::Example example = set.example(i);
      ASSERT_FALSE(example.positives.empty());
      EXPECT_FALSE(example.negatives.empty());
      std::vector<std::string> all = example.negatives;
      all.insert(all.end(), example.positives.begin(), example.positives.end());
      EXPECT_EQ(std::set<std::string>(all.begin(), all.end()).size(), all.size())
          << set.name() << ": a text twice";
      all.push_back(example.query);
      for (const std::string& text : all) {
        EXPECT_TRUE(texts.training.contains(text)) << set.name() << ": " << text;
        EXPECT_FALSE(texts.held_out.contains(text)) << set.name() << ": " << text;
      }
    }
  }
}

using Tasks = Folder;

TEST_F(Tasks, AreReadByEvaluateAndHeldOut) {
  const Collection collection = collect(small_wordnet(), RandomKey(1));
  std::set<std::string> held_out;
  for (size_t i = 0; i < collection.concepts.size(); ++i)
    if (collection.split[i] == Split::test) held_out.insert(collection.concepts[i].definition);
  write_tasks(collection, Split::test, RandomKey(2), path_, {.pairs = 10});

  const decovec::RetrievalTask broader = decovec::load_retrieval(path_ / "broader");
  EXPECT_EQ(broader.documents.size(), 60u);
  EXPECT_EQ(broader.documents[7], document(collection.concepts[7]));
  ASSERT_FALSE(broader.queries.empty());
  for (size_t q = 0; q < broader.queries.size(); ++q) {
    EXPECT_TRUE(held_out.contains(broader.queries[q]));
    EXPECT_EQ(broader.judgements[q].size(), 1u);
  }

  const decovec::ClassificationTask category = decovec::load_classification(path_ / "category");
  for (const std::string& text : category.test) EXPECT_TRUE(held_out.contains(text));
  for (const std::string& text : category.train) EXPECT_FALSE(held_out.contains(text));

  const decovec::ClusteringTask topic = decovec::load_clustering(path_ / "topic");
  ASSERT_FALSE(topic.texts.empty());
  for (const std::string& text : topic.texts) EXPECT_TRUE(held_out.contains(text));

  const decovec::SimilarityTask related = decovec::load_similarity(path_ / "related");
  std::map<double, int64_t> degrees;
  for (size_t p = 0; p < related.scores.size(); ++p) {
    EXPECT_TRUE(held_out.contains(related.first[p]) && held_out.contains(related.second[p]));
    ++degrees[related.scores[p]];
  }
  EXPECT_GT(degrees[3], 0);
  EXPECT_EQ(degrees[2], 10);
  EXPECT_EQ(degrees[1], 10);
  EXPECT_EQ(degrees[0], 10);
}

TEST_F(Tasks, DoNotGiveTheSubjectAway) {
  Concept item;
  item.definition = "(law) a court (of appeal)";
  EXPECT_EQ(topic_text(item), "a court (of appeal)");
  item.definition = "(unclosed";
  EXPECT_EQ(topic_text(item), "(unclosed");
}

using QuickstartTokenizer = Folder;

TEST_F(QuickstartTokenizer, HasTheSpecialIdsAndSpellsUnseenLetters) {
  std::vector<std::string> texts;
  for (const Concept& item : small_wordnet()) texts.push_back(document(item));
  train_tokenizer(texts, 400, path_ / "tokenizer.model");
  const auto tokenizer = decovec::Tokenizer::from_sentencepiece(path_ / "tokenizer.model");
  EXPECT_EQ(tokenizer->size(), 400);
  EXPECT_EQ(tokenizer->bos(), 1);
  EXPECT_EQ(tokenizer->eos(), 2);
  for (const int64_t id : tokenizer->ids("a beast of Ω")) EXPECT_NE(id, 0);
}

}  // namespace
}  // namespace wordnet
