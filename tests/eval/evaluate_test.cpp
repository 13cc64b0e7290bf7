#include <gtest/gtest.h>
#include <mutex>
#include <set>

#include <ATen/ATen.h>

#include "decovec/eval/tasks.hpp"
#include "eval/measure.hpp"
#include "io/temporary_folder.hpp"

namespace decovec {
namespace {

// A byte is an id. Remembers what it was asked for, which tells the prompt that was used.
class ByteTokenizer : public Tokenizer {
 public:
  std::vector<int64_t> ids(std::string_view text) const override {
    const std::lock_guard guard(mutex_);
    seen_.emplace(text);
    std::vector<int64_t> ids;
    for (const char byte : text) ids.push_back(static_cast<unsigned char>(byte));
    return ids;
  }
  int64_t size() const override { return 258; }
  std::optional<int64_t> bos() const override { return 256; }
  std::optional<int64_t> eos() const override { return 257; }

  bool is_special(int64_t id) const override { return id >= 256; }
  void save(const SequenceRule&, const std::filesystem::path&) const override {}

  std::set<std::string> take() const { return std::exchange(seen_, {}); }

 private:
  mutable std::mutex mutex_;
  mutable std::set<std::string> seen_;
};

class Evaluate : public testing::Test {
 protected:
  Evaluate() {
    std::filesystem::create_directories(folder / "birds/qrels");
    put(folder / "birds/corpus.jsonl",
        "{\"_id\": \"d1\", \"title\": \"\", \"text\": \"owl\"}\n{\"_id\": \"d2\", \"title\": \"A\", "
        "\"text\": \"hen\"}\n"
        "{\"_id\": \"d3\", \"text\": \"kiwi\"}\n");
    put(folder / "birds/queries.jsonl",
        "{\"_id\": \"q\", \"text\": \"who\"}\n{\"_id\": \"p\", \"text\": \"unjudged\"}\n");
    put(folder / "birds/qrels/test.tsv", "query-id\tcorpus-id\tscore\nq\td3\t1\n");
    std::filesystem::create_directory(folder / "topics");
    put(folder / "topics/test.jsonl",
        "{\"text\": \"aa\", \"label\": \"a\"}\n{\"text\": \"aaa\", \"label\": \"a\"}\n{\"text\": \"zz\", "
        "\"label\": \"z\"}\n");
    std::filesystem::create_directory(folder / "pairs");
    put(folder / "pairs/sts.jsonl",
        "{\"sentence1\": \"ab\", \"sentence2\": \"abc\", \"score\": 4}\n"
        "{\"sentence1\": \"xy\", \"sentence2\": \"12\", \"score\": 1}\n"
        "{\"sentence1\": \"m\", \"sentence2\": \"mm\", \"score\": 5}\n");
  }

  std::set<std::string> texts_seen(const char* task, const EvaluateOptions& options = {}) {
    tokenizer->take();
    evaluate(model, folder / task, options);
    return tokenizer->take();
  }

  TemporaryFolder folder;
  std::shared_ptr<ByteTokenizer> tokenizer = std::make_shared<ByteTokenizer>();
  Embedder model = Embedder::create({.vocab_size = 258,
                                     .hidden_size = 16,
                                     .intermediate_size = 24,
                                     .layers = 1,
                                     .heads = 2,
                                     .kv_heads = 1,
                                     .head_dim = 8},
                                    tokenizer, {.pooling = Pooling::mean});
};

void expect_same(const TaskReport& a, const TaskReport& b) {
  EXPECT_EQ(a.task, b.task);
  EXPECT_EQ(a.kind, b.kind);
  ASSERT_EQ(a.metrics.size(), b.metrics.size());
  for (size_t i = 0; i < a.metrics.size(); ++i) {
    EXPECT_EQ(a.metrics[i].first, b.metrics[i].first);
    EXPECT_DOUBLE_EQ(a.metrics[i].second, b.metrics[i].second);
  }
}

TEST_F(Evaluate, MeasuresTheModelsVectors) {
  const RetrievalTask birds = load_retrieval(folder / "birds");
  expect_same(evaluate(model, folder / "birds"),
              measure(birds, model.encode(birds.queries), model.encode(birds.documents), 1000));
  const ClusteringTask topics = load_clustering(folder / "topics");
  expect_same(evaluate(model, folder / "topics"), measure(topics, model.encode(topics.texts)));
  const SimilarityTask pairs = load_similarity(folder / "pairs");
  expect_same(evaluate(model, folder / "pairs"),
              measure(pairs, model.encode(pairs.first), model.encode(pairs.second)));
  std::filesystem::copy(folder / "topics/test.jsonl", folder / "topics/train.jsonl");
  const ClassificationTask labels = load_classification(folder / "topics");
  expect_same(evaluate(model, folder / "topics"),
              measure(labels, model.encode(labels.train), model.encode(labels.test)));
}

TEST_F(Evaluate, ChoosesThePrompt) {
  using Texts = std::set<std::string>;
  EXPECT_EQ(texts_seen("birds"), (Texts{"who", "owl", "A hen", "kiwi"}));
  model.prompts = {{"query", "Q:"}, {"document", "D:"}, {"topics", "T:"}, {"other", "O:"}};
  EXPECT_EQ(texts_seen("birds"), (Texts{"Q:who", "D:owl", "D:A hen", "D:kiwi"}));
  EXPECT_EQ(texts_seen("topics"), (Texts{"T:aa", "T:aaa", "T:zz"}));
  EXPECT_EQ(texts_seen("pairs"), (Texts{"ab", "abc", "xy", "12", "m", "mm"}));
  // Documents are encoded as they were in training, whatever the queries are asked as.
  EXPECT_EQ(texts_seen("birds", {.prompt_name = "other"}), (Texts{"O:who", "D:owl", "D:A hen", "D:kiwi"}));
  EXPECT_EQ(texts_seen("topics", {.encode = {.prompt = "X:"}, .prompt_name = "other"}),
            (Texts{"X:aa", "X:aaa", "X:zz"}));
  EXPECT_EQ(texts_seen("topics", {.encode = {.prompt = ""}}), (Texts{"aa", "aaa", "zz"}));
  model.prompts.erase("document");
  EXPECT_EQ(texts_seen("birds"), (Texts{"Q:who", "owl", "A hen", "kiwi"}));
  model.default_prompt = "other";
  EXPECT_EQ(texts_seen("birds"), (Texts{"Q:who", "O:owl", "O:A hen", "O:kiwi"}));
  EXPECT_EQ(evaluate(model, folder / "topics").prompt, "T:");
  EXPECT_EQ(evaluate(model, folder / "birds").prompt, "Q:");
  EXPECT_EQ(evaluate(model, folder / "birds", {.encode = {.prompt = "X:"}}).prompt, "X:");
  EXPECT_THROW(evaluate(model, folder / "topics", {.prompt_name = "none"}), std::invalid_argument);
}

TEST_F(Evaluate, NamesTheTextThatIsTooLong) {
  const auto error = [&](const char* task, int64_t length) {
    return message_of<std::invalid_argument>(
        [&] { evaluate(model, folder / task, {.encode = {.max_length = length}}); });
  };
  EXPECT_TRUE(has(error("birds", 5), "birds: document 'd2': "));
  EXPECT_TRUE(has(error("birds", 3), "birds: query 'q': "));
  EXPECT_TRUE(has(error("topics", 3), "topics: test.jsonl:2: 'text': "));
  EXPECT_TRUE(has(error("pairs", 3), "pairs: sts.jsonl:1: 'sentence2': "));
  EXPECT_NO_THROW(
      evaluate(model, folder / "birds", {.encode = {.max_length = 3, .truncate = Truncate::right}}));
}

TEST_F(Evaluate, TellsItsProgress) {
  std::map<std::string, std::pair<int64_t, int64_t>> last;
  const auto note = [&](const std::string& what, int64_t done, int64_t total) { last[what] = {done, total}; };
  evaluate(model, folder / "birds", {.on_progress = note});
  EXPECT_EQ(last["birds: queries"], (std::pair<int64_t, int64_t>{1, 1}));
  EXPECT_EQ(last["birds: documents"], (std::pair<int64_t, int64_t>{3, 3}));
  EXPECT_THROW(evaluate(model, folder / "birds", {.top = 99}), std::invalid_argument);
  EXPECT_THROW(evaluate(model, folder / "nowhere"), std::runtime_error);
}

TEST(Measure, RetrievalByCosineWithTiesByIdDescending) {
  RetrievalTask task;
  task.name = "toy";
  task.document_ids = {"a", "b", "c"};
  task.documents = {"", "", ""};
  task.query_ids = {"x", "y"};
  task.queries = {"", ""};
  task.judgements = {{{"a", 1}}, {{"c", 1}, {"missing", 1}}};
  // a and b are one direction with different lengths, so they tie: b comes first, though a is row 0.
  const at::Tensor documents = at::tensor({4.f, 0.f, 1.f, 0.f, 0.f, 2.f}).view({3, 2});
  const at::Tensor queries = at::tensor({2.f, 0.f, 0.f, 3.f}).view({2, 2});
  const TaskReport report = measure(task, queries, documents, 1000);
  EXPECT_EQ(report.task, "toy");
  EXPECT_EQ(report.kind, "retrieval");
  ASSERT_EQ(report.metrics.size(), 3u);
  const double second = 1 / std::log2(3.0);
  EXPECT_EQ(report.metrics[0].first, "ndcg@10");
  EXPECT_NEAR(report.metrics[0].second, (second + 1 / (1 + second)) / 2, 1e-12);
  EXPECT_EQ(report.metrics[1].first, "mrr@10");
  EXPECT_NEAR(report.metrics[1].second, (0.5 + 1) / 2, 1e-12);
  EXPECT_EQ(report.metrics[2].first, "recall@100");
  EXPECT_NEAR(report.metrics[2].second, (1 + 0.5) / 2, 1e-12);

  const TaskReport same =
      score_retrieval(task, {{{"c", 0.f}, {"a", 1.f}, {"b", 1.f}}, {{"a", 0.f}, {"c", 1.f}}});
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(same.metrics[i], report.metrics[i]);
  EXPECT_THROW(score_retrieval(task, {}), std::invalid_argument);
}

TEST(Measure, Bm25RankingsHaveDocumentIds) {
  RetrievalTask task;
  task.document_ids = {"a", "b", "c"};
  task.documents = {"a cat", "two dogs", "cats and cats"};
  task.queries = {"cat", "birds"};
  const std::vector<Ranking> rankings = bm25_rankings(task);
  ASSERT_EQ(rankings.size(), 2u);
  ASSERT_EQ(rankings[0].size(), 2u);
  EXPECT_EQ(rankings[0][0].first, "c");
  EXPECT_EQ(rankings[0][1].first, "a");
  EXPECT_TRUE(rankings[1].empty());
  EXPECT_EQ(bm25_rankings(task, 1)[0].size(), 1u);
}

TEST(Measure, LabelsAndScores) {
  const at::Tensor groups = at::tensor({0.f, 1.f, 0.f, 1.1f, 5.f, 0.f, 5.f, 0.1f}).view({4, 2});
  const TaskReport clusters = measure(ClusteringTask{"c", {"", "", "", ""}, {0, 0, 1, 1}}, groups);
  EXPECT_EQ(clusters.metrics, (decltype(clusters.metrics){{"v_measure", 1.0}}));
  const ClassificationTask labels{"l", {"", "", "", ""}, {"", "", "", ""}, {0, 0, 1, 1}, {0, 1, 1, 2}};
  EXPECT_EQ(measure(labels, groups, groups).metrics, (decltype(clusters.metrics){{"accuracy", 0.5}}));
  // Cosines 1, 0 and -1, whatever the lengths.
  const at::Tensor first = at::tensor({1.f, 0.f, 2.f, 0.f, 3.f, 0.f}).view({3, 2});
  const at::Tensor second = at::tensor({1.f, 0.f, 0.f, 9.f, -7.f, 0.f}).view({3, 2});
  const SimilarityTask pairs{"s", {"", "", ""}, {"", "", ""}, {5, 3, 4}};
  EXPECT_NEAR(measure(pairs, first, second).metrics[0].second, 0.5, 1e-12);
}

TEST(Report, IsAnAlignedTable) {
  const std::vector<TaskReport> reports = {
      {"birds", "retrieval", {{"ndcg@10", 0.66612}, {"recall@100", 1}}},
      {"größe", "similarity", {{"spearman", -0.0512}}},
  };
  EXPECT_EQ(table(reports),
            "| task  | kind       | ndcg@10 | recall@100 | spearman |\n"
            "|-------|------------|--------:|-----------:|---------:|\n"
            "| birds | retrieval  |   66.61 |     100.00 |          |\n"
            "| größe | similarity |         |            |    -5.12 |\n");
  EXPECT_EQ(table({}), "| task | kind |\n|------|------|\n");
}

TEST(Report, IsJson) {
  const std::vector<TaskReport> reports = {{"a\"\xff", "similarity", {{"spearman", std::nan("")}}},
                                           {"b", "retrieval", {{"ndcg@10", 0.25}, {"mrr@10", 1}}, "Q: "}};
  const auto json = nlohmann::ordered_json::parse(to_json(reports));
  EXPECT_EQ(json[0]["task"], "a\"\xef\xbf\xbd");
  EXPECT_TRUE(json[0]["metrics"]["spearman"].is_null());
  EXPECT_EQ(json[1].dump(),
            "{\"task\":\"b\",\"kind\":\"retrieval\",\"prompt\":\"Q: "
            "\",\"metrics\":{\"ndcg@10\":0.25,\"mrr@10\":1.0}}");
  EXPECT_EQ(to_json({}), "[]");
}

// The floor of BM25 with these options on BEIR's SciFact: nDCG@10 66.6, recall@100 90.3, the same from a
// plain Python statement scored by pytrec_eval (66.61, 90.26).
TEST(Bm25, ReachesItsKnownFiguresOnSciFact) {
  const char* data = std::getenv("DECOVEC_DATA");
  if (data == nullptr) GTEST_SKIP() << "DECOVEC_DATA does not name a folder of data sets";
  const std::filesystem::path folder = std::filesystem::path(data) / "scifact";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is missing";
  const RetrievalTask task = load_retrieval(folder);
  EXPECT_EQ(task.documents.size(), 5183u);
  EXPECT_EQ(task.queries.size(), 300u);
  const TaskReport report = score_retrieval(task, bm25_rankings(task));
  EXPECT_NEAR(100 * report.metrics[0].second, 66.61, 0.02);
  EXPECT_NEAR(100 * report.metrics[2].second, 90.26, 0.02);
}

}  // namespace
}  // namespace decovec
