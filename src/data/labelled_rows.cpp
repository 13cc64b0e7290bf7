#include <algorithm>
#include <memory>
#include <tuple>
#include <utility>

#include "data/faults.hpp"
#include "data/row_source.hpp"
#include "io/json.hpp"
#include "world/draws.hpp"

namespace decovec {
namespace {

// Texts by label: `order` holds the examples, label after label, from `begin[label]` on.
struct LabelIndex {
  std::vector<uint32_t> order;
  std::vector<int64_t> begin;
  std::vector<uint64_t> id;           // of each label
  std::vector<uint32_t> place_label;  // [order]: the label there
};

struct HashedExample {
  uint64_t label = 0, text = 0;
  uint32_t example = 0;
};

// The labels and texts of all examples, by hash.
std::vector<HashedExample> hashed_examples(const Dataset& dataset) {
  check_numbers_fit(dataset);
  std::vector<HashedExample> hashed(static_cast<size_t>(dataset.size()));
  enum Fault : int8_t { none, labels, empty, negatives };
  std::vector<Fault> fault(hashed.size(), none);
  for_each_example(dataset, [&](int64_t i, const Example& example) {
    const auto place = static_cast<size_t>(i);
    if (example.positives.size() != 1)
      fault[place] = labels;
    else if (example.positives[0].empty())
      fault[place] = empty;
    else if (!example.negatives.empty())
      fault[place] = negatives;
    else
      hashed[place] = {hash_of(example.positives[0]), hash_of(example.query), static_cast<uint32_t>(i)};
  });
  Faults several, without, with_negatives;
  for (size_t i = 0; i < fault.size(); ++i) {
    const auto at = static_cast<int64_t>(i);
    if (fault[i] == none) continue;
    const Example example = dataset.example(at);
    if (fault[i] == labels) several.add(at, counted(example.positives.size(), "label"));
    if (fault[i] == empty) without.add(at, fmt::format("text {} with \"\"", shown(Json(example.query))));
    if (fault[i] == negatives) with_negatives.add(at, counted(example.negatives.size(), "negative"));
  }
  several.refuse(dataset, "one label for each text");
  without.refuse(dataset, "a label for each text");
  with_negatives.refuse(dataset, "texts with labels, whose negatives are texts of other labels");
  return hashed;
}

// Leaves one example of each text, the first. Throws where a text has two labels.
void keep_texts_once(const Dataset& dataset, std::vector<HashedExample>& hashed) {
  std::sort(hashed.begin(), hashed.end(), [](const HashedExample& a, const HashedExample& b) {
    return std::tie(a.text, a.example) < std::tie(b.text, b.example);
  });
  Faults faults;
  size_t kept = 0;
  for (const HashedExample& each : hashed) {
    if (kept > 0 && hashed[kept - 1].text == each.text) {
      const HashedExample& first = hashed[kept - 1];
      if (first.label == each.label) continue;
      const Example example = dataset.example(each.example), before = dataset.example(first.example);
      faults.add(each.example, fmt::format("text {} has {}, and {} in example {}", shown(Json(example.query)),
                                           shown(Json(example.positives[0])),
                                           shown(Json(before.positives[0])), first.example + 1));
    } else {
      hashed[kept++] = each;
    }
  }
  faults.refuse(dataset, "one label for each text");
  hashed.resize(kept);
}

LabelIndex index_labels(const Dataset& dataset) {
  std::vector<HashedExample> hashed = hashed_examples(dataset);
  keep_texts_once(dataset, hashed);
  std::sort(hashed.begin(), hashed.end(), [](const HashedExample& a, const HashedExample& b) {
    return std::tie(a.label, a.example) < std::tie(b.label, b.example);
  });
  LabelIndex index;
  for (const HashedExample& each : hashed) {
    if (index.id.empty() || index.id.back() != each.label) {
      index.begin.push_back(static_cast<int64_t>(index.order.size()));
      index.id.push_back(each.label);
    }
    index.order.push_back(each.example);
    index.place_label.push_back(static_cast<uint32_t>(index.id.size() - 1));
  }
  index.begin.push_back(static_cast<int64_t>(index.order.size()));
  const auto label_at = [&](size_t label) {
    return shown(Json(dataset.example(index.order[static_cast<size_t>(index.begin[label])]).positives[0]));
  };
  if (index.id.size() < 2)
    fail("data set '{}': expected texts of two labels or more, got {} of {}", dataset.name(),
         counted(hashed.size(), "text"), counted(index.id.size(), "label"));
  size_t alone = 0, first_alone = 0;
  for (size_t label = index.id.size(); label-- > 0;) {
    if (index.begin[label + 1] - index.begin[label] > 1) continue;
    ++alone;
    first_alone = label;
  }
  if (alone > 0)
    fail(
        "data set '{}': expected two different texts or more of each label, since a text's positive "
        "is another one of its label, got one of {} of {} labels, {} among them; add texts or remove these",
        dataset.name(), alone, index.id.size(), label_at(first_alone));
  for (uint64_t& id : index.id) id = id_of(dataset, id);
  return index;
}

}  // namespace

RowSource labelled_rows(const Dataset& dataset, int64_t negatives) {
  const auto index = std::make_shared<const LabelIndex>(index_labels(dataset));
  const auto draw = [dataset, negatives, index](int64_t place, RandomKey key) {
    const auto text_at = [&](int64_t at) {
      return dataset.example(index->order[static_cast<size_t>(at)]).query;
    };
    const auto id_at = [&](int64_t at) { return index->id[index->place_label[static_cast<size_t>(at)]]; };
    const uint32_t label = index->place_label[static_cast<size_t>(place)];
    const int64_t begin = index->begin[label], end = index->begin[label + 1];
    DrawnRow row{
        .example = index->order[static_cast<size_t>(place)], .query = text_at(place), .documents = {}};
    row.answer_ids = {index->id[label]};
    // One of the others of the label, then of the texts outside of it.
    int64_t positive = begin + static_cast<int64_t>(random_below(key.with("positive"),
                                                                 static_cast<uint64_t>(end - begin - 1)));
    if (positive >= place) ++positive;
    row.documents.push_back({.text = text_at(positive), .role = Role::positive, .id = index->id[label]});
    const int64_t outside = static_cast<int64_t>(index->order.size()) - (end - begin);
    for (int64_t negative : random_sample(key.with("negatives"), negatives, outside)) {
      if (negative >= begin) negative += end - begin;
      row.documents.push_back({.text = text_at(negative), .role = Role::curated, .id = id_at(negative)});
    }
    return row;
  };
  return {.name = dataset.name(),
          .size = static_cast<int64_t>(index->order.size()),
          .draw = draw,
          .has_negatives = negatives > 0};
}

}  // namespace decovec
