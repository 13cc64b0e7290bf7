// WordNet's concepts, read from its data files. Format: wndb(5WN), lexnames(5WN).
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace wordnet {

/// A set of words that mean the same thing (a synset).
struct Concept {
  std::string id;                  ///< part of speech and offset, "n02084071"
  int64_t file = 0;                ///< lexicographer file: an index into `file_names`
  std::vector<std::string> words;  ///< "domestic dog"; at least one
  std::string definition;          ///< the gloss without its example sentences
  std::vector<int64_t> broader;    ///< hypernyms, of instances too: indices of concepts
  std::vector<int64_t> topics;     ///< what subject it belongs to (law, music): indices of concepts
};

/// Reads data.noun, data.verb, data.adj and data.adv. Throws std::runtime_error that names file and line.
std::vector<Concept> read(const std::filesystem::path& folder);

/// "noun.animal" and the 44 others, by their number.
const std::vector<std::string>& file_names();

/// "dog, domestic dog: a member of the genus Canis ..." with at most five of the words.
std::string document(const Concept& item);

/// All concepts above one, nearest first, each once.
std::vector<int64_t> ancestors(const std::vector<Concept>& concepts, int64_t index);

}  // namespace wordnet
