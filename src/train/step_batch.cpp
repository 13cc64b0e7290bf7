#include "train/step_batch.hpp"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "decovec/world/random.hpp"
#include "io/error.hpp"
#include "io/json.hpp"
#include "world/parallel.hpp"

namespace decovec {
namespace {

/// What the relation wants to know of a row.
struct RowFacts {
  uint64_t query = 0;
  std::vector<uint64_t> documents, answers;  // texts by hash, answers also by id
};

/// The rows with their texts gone, but for those of `own`, and what the texts were.
struct DrawnRows {
  std::vector<DrawnRow> rows;
  std::vector<RowFacts> facts;
};

/// Assigning "" would keep the memory.
void release(std::string& text) { std::string().swap(text); }

DrawnRows draw(const std::vector<TrainingSet>& sets, const std::vector<BatchRow>& rows, RowRange own) {
  DrawnRows drawn{std::vector<DrawnRow>(rows.size()), std::vector<RowFacts>(rows.size())};
  parallel_for(0, static_cast<int64_t>(rows.size()), /*grain_size=*/16, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const auto place = static_cast<size_t>(r);
      const TrainingSet& set = sets[static_cast<size_t>(rows[place].dataset)];
      DrawnRow& row = drawn.rows[place];
      row = set.source->draw(rows[place].example, rows[place].key);
      RowFacts& facts = drawn.facts[place];
      facts.query = text_hash(set.query_prompt, row.query);
      facts.answers = std::exchange(row.answer_ids, {});
      for (const std::string& answer : std::exchange(row.answers, {}))
        facts.answers.push_back(text_hash(set.document_prompt, answer));
      for (const DrawnDocument& document : row.documents)
        facts.documents.push_back(text_hash(set.document_prompt, document.text));
      if (r >= own.begin && r < own.end) continue;
      release(row.query);
      for (DrawnDocument& document : row.documents) release(document.text);
    }
  });
  return drawn;
}

Relation relation_of(const std::vector<TrainingSet>& sets, const std::vector<BatchRow>& rows,
                     DrawnRows& drawn, RandomKey key) {
  RelationFacts facts;
  facts.key = key;
  for (size_t r = 0; r < rows.size(); ++r) {
    const bool shares = sets[static_cast<size_t>(rows[r].dataset)].in_batch_negatives;
    facts.pool.push_back(shares ? 0 : -1);
    facts.set.push_back(static_cast<int32_t>(rows[r].dataset));
    facts.query_text.push_back(drawn.facts[r].query);
    facts.answers.push_back(std::move(drawn.facts[r].answers));
    for (const DrawnDocument& document : drawn.rows[r].documents) {
      facts.owner.push_back(static_cast<int64_t>(r));
      facts.role.push_back(document.role);
      facts.score.push_back(document.score);
      facts.id.push_back(document.id);
    }
    const std::vector<uint64_t>& texts = drawn.facts[r].documents;
    facts.text.insert(facts.text.end(), texts.begin(), texts.end());
  }
  return Relation(std::move(facts));
}

}  // namespace

uint64_t text_hash(std::string_view instruction, std::string_view text) {
  return random_bits(RandomKey(0).with(std::string(instruction).append(text)));
}

std::vector<uint64_t> sequence_keys(const StepBatch& batch, RandomKey key) {
  std::vector<uint64_t> keys;
  std::unordered_map<int64_t, uint64_t> texts;  // of a row so far
  for (const int64_t row : batch.row_of)
    keys.push_back(random_bits(key.with(static_cast<uint64_t>(row)).with(texts[row]++)));
  return keys;
}

StepBatch assemble(const std::vector<TrainingSet>& sets, std::vector<BatchRow> rows, RowRange own,
                   const SequenceFunction& sequence, RandomKey key) {
  StepBatch batch;
  batch.rows = std::move(rows);
  batch.own = own;
  DrawnRows drawn = draw(sets, batch.rows, own);
  batch.relation = relation_of(sets, batch.rows, drawn, key);

  struct Text {
    const std::string &instruction, &text;
  };
  std::vector<Text> texts;  // of this rank
  const auto set_of = [&](int64_t row) -> const TrainingSet& {
    return sets[static_cast<size_t>(batch.rows[static_cast<size_t>(row)].dataset)];
  };
  const auto add_text = [&](int64_t row, const std::string& instruction, const std::string& text) {
    texts.push_back({instruction, text});
    batch.row_of.push_back(row);
  };
  for (int64_t row = own.begin; row < own.end; ++row)
    add_text(row, set_of(row).query_prompt, drawn.rows[static_cast<size_t>(row)].query);
  for (int64_t row = own.begin; row < own.end; ++row)
    for (const DrawnDocument& document : drawn.rows[static_cast<size_t>(row)].documents)
      add_text(row, set_of(row).document_prompt, document.text);

  batch.sequences.resize(texts.size());
  parallel_for(0, static_cast<int64_t>(texts.size()), /*grain_size=*/64, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i)
      batch.sequences[i] = sequence(texts[i].instruction, texts[i].text);
  });
  for (size_t i = 0; i < texts.size(); ++i) {
    const TokenSequence& ids = batch.sequences[i];
    if (ids.pool_begin >= static_cast<int64_t>(ids.ids.size())) {
      fail(
          "train: data set '{}', example {}: text {}: none of its tokens is pooled, so it cannot be learned; "
          "{}",
          set_of(batch.row_of[i]).source->name, drawn.rows[static_cast<size_t>(batch.row_of[i])].example + 1,
          shown(Json(texts[i].text)),
          ids.truncated ? "its prompt leaves it no room: shorten the prompt or raise max_length"
                        : "remove the example, or give it a text");
    }
    batch.tokens += static_cast<int64_t>(ids.ids.size());
    batch.truncated += ids.truncated;
  }
  return batch;
}

}  // namespace decovec
