// Training sets and evaluation tasks made of WordNet's concepts, with a held-out split by concept.
//
//   broader   a definition finds the documents of its broader concepts       retrieval
//   category  the lexicographer file of a definition                         classification
//   topic     the subject (law, music, ...) of a definition                  clustering
//   related   definitions of broader concepts and of siblings are alike      similarity
//
// A task's name is also the name of its training set and of its prompt.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <decovec/data/dataset.hpp>
#include <decovec/world/random.hpp>

#include "wordnet.hpp"

namespace wordnet {

/// Concepts to learn from, to tune on, to report on.
enum class Split { train, dev, test };

/// The concepts and what is derived from them once. Everything else is indices into `concepts`.
struct Collection {
  std::vector<Concept> concepts;
  std::vector<Split> split;      ///< [concepts]
  std::vector<int64_t> parents;  ///< concepts that have narrower ones: what retrieval searches
  std::vector<int64_t> topic;    ///< [concepts]: the one frequent topic it belongs to, or -1
};

/// Eight, one and one of ten concepts, drawn by the text of the definition (case and subject aside), so that
/// concepts with the same definition are in the same split. `topics`: how many of the most frequent subjects
/// are used.
Collection collect(std::vector<Concept> concepts, decovec::RandomKey key, int64_t topics = 20);

/// The definition without a leading "(law)", which would give the subject away.
std::string topic_text(const Concept& item);

/// Whether two concepts share a broader one, or one is above the other.
bool are_related(const std::vector<Concept>& concepts, int64_t a, int64_t b);

struct TrainingSetOptions {
  int64_t hard_negatives = 4;     ///< of a retrieval example: BM25's best documents that are no answers
  int64_t class_examples = 8000;  ///< examples of each of the other sets
  int64_t class_positives = 4;    ///< members of its class that an example offers
  int64_t class_negatives = 7;    ///< members of other classes that an example offers
};

/// The four sets. No text of a held-out concept is in them.
std::vector<decovec::Dataset> training_sets(const Collection& collection, decovec::RandomKey key,
                                            const TrainingSetOptions& options = {});

struct TaskOptions {
  int64_t queries = 2000;      ///< retrieval: held-out definitions, of concepts without narrower ones
  int64_t class_train = 4000;  ///< classification: definitions of training concepts
  int64_t class_test = 2000;   ///< classification: held-out definitions
  int64_t pairs = 400;         ///< similarity: pairs of each of the four degrees
};

/// Writes the four task folders, measured on a held-out split, in the forms of `decovec evaluate`.
void write_tasks(const Collection& collection, Split split, decovec::RandomKey key,
                 const std::filesystem::path& folder, const TaskOptions& options = {});

}  // namespace wordnet
