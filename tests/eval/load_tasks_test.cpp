#include <gtest/gtest.h>

#include "decovec/eval/tasks.hpp"
#include "eval/task_folder.hpp"
#include "io/temporary_folder.hpp"

namespace decovec {
namespace {

constexpr const char* kQrelsHeader = "query-id\tcorpus-id\tscore\n";

class RetrievalFolder : public TemporaryFolder {
 public:
  RetrievalFolder() {
    std::filesystem::create_directory(*this / "qrels");
    put(*this / "corpus.jsonl",
        "{\"_id\": \"d1\", \"title\": \" On cats\", \"text\": \"They purr. \"}\n"
        "{\"_id\": \"d2\", \"title\": \"\", \"text\": \" as it is \", \"metadata\": {\"x\": [1]}}\n"
        "{\"_id\": \"d3\", \"text\": \"no title\"}\n");
    put(*this / "queries.jsonl",
        "{\"_id\": \"q1\", \"text\": \"one\"}\n{\"_id\": \"q2\", \"text\": \"two\"}\n"
        "{\"_id\": \"q3\", \"text\": \"three\"}\n{\"_id\": \"q4\", \"text\": \"four\"}\n");
    judge("q4\td2\t2\nq1\td1\t1\nq1\td3\t0\nq2\td1\t0\nq4\tgone\t1\nq4\td1\t-1\n");
  }
  void judge(const std::string& lines) { put(*this / "qrels/test.tsv", kQrelsHeader + lines); }
  std::string error() {
    return message_of([&] { load_retrieval(path()); });
  }
};

TEST(LoadRetrieval, ReadsWhatWasJudgedInTheOrderOfTheQueries) {
  const RetrievalFolder folder;
  const RetrievalTask task = load_retrieval(folder.path());
  EXPECT_EQ(task.name, folder.path().filename());
  EXPECT_EQ(task.document_ids, (std::vector<std::string>{"d1", "d2", "d3"}));
  EXPECT_EQ(task.documents, (std::vector<std::string>{"On cats They purr.", " as it is ", "no title"}));
  EXPECT_EQ(task.query_ids, (std::vector<std::string>{"q1", "q4"}));  // q2: nothing relevant; q3: not judged
  EXPECT_EQ(task.queries, (std::vector<std::string>{"one", "four"}));
  ASSERT_EQ(task.judgements.size(), 2u);
  EXPECT_EQ(task.judgements[0], (Judgements{{"d1", 1}, {"d3", 0}}));
  EXPECT_EQ(task.judgements[1], (Judgements{{"d2", 2}, {"gone", 1}, {"d1", -1}}));
}

TEST(LoadRetrieval, NamesFileLineAndFieldOfWrongJudgements) {
  RetrievalFolder folder;
  const struct {
    const char *lines, *part;
  } wrong[] = {
      {"q1\td1\n", "test.tsv:2: expected three fields"},
      {"q1\td1\t1\t1\n", "test.tsv:2: expected three fields"},
      {"q1\td1\t1\n\n", "test.tsv:3: expected three fields"},
      {"q1 d1 1\n", "test.tsv:2: expected three fields"},
      {"q1\td1\t1.5\n", "test.tsv:2: 'score': expected an integer, got \"1.5\""},
      {"q1\td1\t\n", "test.tsv:2: 'score'"},
      {"q1\td1\t99999999999\n", "test.tsv:2: 'score'"},
      {"q9\td1\t1\n", "test.tsv:2: 'query-id': \"q9\" is not in queries.jsonl"},
      {"q1\td1\t1\nq1\td1\t0\n", "test.tsv:3: 'corpus-id': \"d1\" was judged for \"q1\" before"},
      {"q1\td1\t0\n", "test.tsv: expected a query with a relevant document"},
      {"", "test.tsv: expected a query with a relevant document"},
      {"q1\t\xff\t1\n", "test.tsv:2: the line is not UTF-8"},
  };
  for (const auto& [lines, part] : wrong) {
    folder.judge(lines);
    EXPECT_TRUE(has(folder.error(), part)) << lines;
  }
  put(folder / "qrels/test.tsv", "q1\td1\t1\n");
  EXPECT_TRUE(has(folder.error(), "test.tsv:1: expected the header"));
  put(folder / "qrels/test.tsv", "");
  EXPECT_TRUE(has(folder.error(), "test.tsv: expected a header line"));
  std::filesystem::remove(folder / "qrels/test.tsv");
  EXPECT_TRUE(has(folder.error(), "test.tsv: "));
}

TEST(LoadRetrieval, NamesFileLineAndFieldOfWrongTexts) {
  const struct {
    const char *file, *lines, *part;
  } wrong[] = {
      {"corpus.jsonl", "", "corpus.jsonl: expected one line or more"},
      {"corpus.jsonl", "{\"_id\": \"a\", \"text\": \"x\"}\n[]\n", "corpus.jsonl:2: expected a JSON object"},
      {"corpus.jsonl", "{\"_id\": \"a\", \"text\": \"x\"\n", "corpus.jsonl:1: "},
      {"corpus.jsonl", "{\"_id\": 1, \"text\": \"x\"}\n", "corpus.jsonl:1: '_id': expected a string"},
      {"corpus.jsonl", "{\"_id\": \"a\"}\n", "corpus.jsonl:1: 'text' is missing"},
      {"corpus.jsonl", "{\"_id\": \"a\", \"title\": 3, \"text\": \"x\"}\n", "corpus.jsonl:1: 'title'"},
      {"corpus.jsonl", "{\"_id\": \"a\", \"text\": \"x\"}\n{\"_id\": \"a\", \"text\": \"y\"}\n",
       "corpus.jsonl:2: '_id': \"a\" stands in an earlier line too"},
      {"queries.jsonl", "{\"_id\": \"q1\", \"text\": \"x\"}\n{\"_id\": \"q1\", \"text\": \"x\"}\n",
       "queries.jsonl:2: '_id'"},
      {"queries.jsonl", "{\"_id\": \"q1\", \"text\": null}\n", "queries.jsonl:1: 'text'"},
  };
  for (const auto& [file, lines, part] : wrong) {
    RetrievalFolder folder;
    put(folder / file, lines);
    EXPECT_TRUE(has(folder.error(), part)) << lines;
  }
}

TEST(LoadLabelled, NumbersLabelsAsTheyAppear) {
  const TemporaryFolder folder;
  put(folder / "train.jsonl", "{\"text\": \"a\", \"label\": 7}\n{\"text\": \"b\", \"label\": -1}\n");
  put(folder / "test.jsonl",
      "{\"text\": \"c\", \"label\": -1}\n{\"text\": \"\", \"label\": 3}\n{\"text\": \"d\", \"label\": 7}\n");
  const ClassificationTask task = load_classification(folder.path());
  EXPECT_EQ(task.train, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(task.test, (std::vector<std::string>{"c", "", "d"}));
  EXPECT_EQ(task.train_labels, (std::vector<int64_t>{0, 1}));
  EXPECT_EQ(task.test_labels, (std::vector<int64_t>{1, 2, 0}));
  EXPECT_EQ(load_clustering(folder.path()).labels, (std::vector<int64_t>{0, 1, 2}));
  put(folder / "test.jsonl", "{\"text\": \"c\", \"label\": \"x\"}\n{\"text\": \"d\", \"label\": \"7\"}\n");
  EXPECT_EQ(load_clustering(folder.path()).labels, (std::vector<int64_t>{0, 1}));
}

TEST(LoadLabelled, NamesFileLineAndField) {
  const TemporaryFolder folder;
  const auto error = [&](const char* lines) {
    put(folder / "test.jsonl", lines);
    return message_of([&] { load_clustering(folder.path()); });
  };
  EXPECT_TRUE(has(error(""), "test.jsonl: expected one line or more"));
  EXPECT_TRUE(
      has(error("{\"text\": \"a\"}\n"), "test.jsonl:1: 'label': expected a string or an integer, got null"));
  EXPECT_TRUE(has(error("{\"text\": \"a\", \"label\": 1.5}\n"), "test.jsonl:1: 'label'"));
  EXPECT_TRUE(has(error("{\"text\": \"a\", \"label\": 1}\n{\"text\": \"a\", \"label\": \"1\"}\n"),
                  "test.jsonl:2: 'label': expected an integer, as in the lines before, got \"1\""));
  EXPECT_TRUE(has(error("{\"text\": [\"a\"], \"label\": 1}\n"), "test.jsonl:1: 'text': expected a string"));

  put(folder / "train.jsonl", "{\"text\": \"a\", \"label\": 1}\n{\"text\": \"b\", \"label\": 1}\n");
  put(folder / "test.jsonl", "{\"text\": \"a\", \"label\": 1}\n");
  EXPECT_TRUE(has(message_of([&] { load_classification(folder.path()); }),
                  "train.jsonl: 'label': expected two different ones or more"));
}

TEST(LoadSimilarity, ReadsPairsAndNamesFileLineAndField) {
  const TemporaryFolder folder;
  put(folder / "sts.jsonl",
      "{\"sentence1\": \"a\", \"sentence2\": \"b\", \"score\": 2.5}\r\n"
      "{\"sentence1\": \"c\", \"sentence2\": \"\", \"score\": 0}\r\n");
  const SimilarityTask task = load_similarity(folder.path());
  EXPECT_EQ(task.first, (std::vector<std::string>{"a", "c"}));
  EXPECT_EQ(task.second, (std::vector<std::string>{"b", ""}));
  EXPECT_EQ(task.scores, (std::vector<double>{2.5, 0}));
  put(folder / "sts.jsonl", "{\"sentence1\": \"a\", \"sentence2\": \"b\", \"score\": \"5\"}\n");
  EXPECT_TRUE(has(message_of([&] { load_similarity(folder.path()); }), "sts.jsonl:1: 'score'"));
}

TEST(TaskFolder, IsToldByItsFiles) {
  const TemporaryFolder folder;
  EXPECT_TRUE(
      has(message_of([&] { task_kind(folder.path()); }), "not a task folder, expected one of: corpus.jsonl"));
  put(folder / "train.jsonl", "");
  EXPECT_THROW(task_kind(folder.path()), std::runtime_error);
  put(folder / "test.jsonl", "");
  EXPECT_EQ(task_kind(folder.path()), TaskKind::classification);
  std::filesystem::remove(folder / "train.jsonl");
  EXPECT_EQ(task_kind(folder.path()), TaskKind::clustering);
  put(folder / "sts.jsonl", "");
  EXPECT_TRUE(has(message_of([&] { task_kind(folder.path()); }), "more than one of"));
  std::filesystem::remove(folder / "test.jsonl");
  EXPECT_EQ(task_kind(folder.path()), TaskKind::similarity);
  std::filesystem::remove(folder / "sts.jsonl");
  put(folder / "corpus.jsonl", "");
  EXPECT_EQ(task_kind(folder.path()), TaskKind::retrieval);
  EXPECT_TRUE(has(message_of([&] { task_kind(folder / "nowhere"); }), "no such folder"));
  EXPECT_THROW(task_kind(folder / "corpus.jsonl"), std::runtime_error);
}

TEST(TaskFolder, HasItsOwnName) {
  EXPECT_EQ(task_name("a/b"), "b");
  EXPECT_EQ(task_name("a/b/"), "b");
  EXPECT_EQ(task_name("a/b/."), "b");
  EXPECT_EQ(task_name("a/b/../c"), "c");
  EXPECT_EQ(task_name("."), std::filesystem::current_path().filename());
}

}  // namespace
}  // namespace decovec
