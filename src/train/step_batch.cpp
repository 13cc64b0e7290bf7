#include "train/step_batch.hpp"

#include <algorithm>
#include <cmath>

#include "decovec/world/random.hpp"
#include "io/error.hpp"
#include "io/json.hpp"
#include "world/parallel.hpp"

namespace decovec {

RowRange rows_of_rank(int64_t rows, int rank, int ranks) {
  return {rows * rank / ranks, rows * (rank + 1) / ranks};
}

uint64_t text_hash(std::string_view instruction, std::string_view text) {
  return random_bits(RandomKey(0).with(std::string(instruction).append(text)));
}

StepBatch assemble(const std::vector<TrainingSet>& sets, const std::vector<BatchRow>& rows, RowRange own,
                   const SequenceFunction& sequence, RandomKey key) {
  StepBatch batch;
  batch.own = own;
  RelationFacts facts;
  facts.key = key;
  struct Text {
    const std::string &instruction, &text;
  };
  std::vector<Text> texts;  // of this rank
  std::vector<Example> examples(rows.size());
  parallel_for(0, static_cast<int64_t>(rows.size()), /*grain_size=*/64, [&](int64_t begin, int64_t end) {
    for (auto r = static_cast<size_t>(begin); r < static_cast<size_t>(end); ++r)
      examples[r] = sets[static_cast<size_t>(rows[r].dataset)].dataset->example(rows[r].example);
  });
  const auto add_text = [&](int64_t row, const std::string& instruction, const std::string& text) {
    if (row < own.begin || row >= own.end) return;
    texts.push_back({instruction, text});
    batch.row_of.push_back(row);
  };
  const auto for_each_row = [&](auto&& use) {
    for (size_t r = 0; r < rows.size(); ++r)
      use(static_cast<int64_t>(r), sets[static_cast<size_t>(rows[r].dataset)], examples[r]);
  };

  for_each_row([&](int64_t row, const TrainingSet& set, const Example& example) {
    add_text(row, set.query_prompt, example.query);
    facts.pool.push_back(set.in_batch_negatives ? 0 : -1);
    facts.set.push_back(static_cast<int32_t>(rows[static_cast<size_t>(row)].dataset));
    facts.query_text.push_back(text_hash(set.query_prompt, example.query));
    std::vector<uint64_t>& answers = facts.answers.emplace_back();
    for (const std::string& positive : example.positives)
      answers.push_back(text_hash(set.document_prompt, positive));
  });
  for_each_row([&](int64_t row, const TrainingSet& set, const Example& example) {
    const BatchRow& drawn = rows[static_cast<size_t>(row)];
    const auto add_document = [&](const std::vector<std::string>& list, const std::vector<double>& scores,
                                  int64_t place, Role role) {
      const std::string& text = list[static_cast<size_t>(place)];
      facts.score.push_back(scores.empty() ? std::nan("") : scores[static_cast<size_t>(place)]);
      facts.owner.push_back(row);
      facts.role.push_back(role);
      facts.text.push_back(text_hash(set.document_prompt, text));
      add_text(row, set.document_prompt, text);
    };
    add_document(example.positives, example.positive_scores, drawn.positive, Role::positive);
    for (int64_t negative : drawn.negatives)
      add_document(example.negatives, example.negative_scores, negative, Role::negative);
  });
  batch.relation = Relation(std::move(facts));

  batch.sequences.resize(texts.size());
  parallel_for(0, static_cast<int64_t>(texts.size()), /*grain_size=*/64, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i)
      batch.sequences[i] = sequence(texts[i].instruction, texts[i].text);
  });
  for (size_t i = 0; i < texts.size(); ++i) {
    const TokenSequence& ids = batch.sequences[i];
    if (ids.pool_begin >= static_cast<int64_t>(ids.ids.size())) {
      const BatchRow& row = rows[static_cast<size_t>(batch.row_of[i])];
      fail(
          "train: data set '{}', example {}: text {}: none of its tokens is pooled, so it cannot be learned; "
          "{}",
          sets[static_cast<size_t>(row.dataset)].dataset->name(), row.example + 1, shown(Json(texts[i].text)),
          ids.truncated ? "its prompt leaves it no room: shorten the prompt or raise max_length"
                        : "remove the example, or give it a text");
    }
    batch.tokens += static_cast<int64_t>(ids.ids.size());
    batch.truncated += ids.truncated;
  }
  return batch;
}

}  // namespace decovec
