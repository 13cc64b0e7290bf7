// wordnet_data: WordNet's data files to training sets, evaluation tasks, a tokenizer and a corpus to search.
//
//     wordnet_data build/quickstart/data
//
//     train/{broader,category,topic,related}.jsonl   for `decovec train`
//     test/{...}, dev/{...}                          for `decovec evaluate`
//     tokenizer.model                                for a recipe's [model.new]
//     concepts.txt                                   for `decovec search`
#include <CLI/CLI.hpp>
#include <cstdio>
#include <fmt/format.h>
#include <fstream>

#include "data_sets.hpp"
#include "json_lines.hpp"
#include "tokenizer.hpp"

namespace {

namespace fs = std::filesystem;

void write_training_sets(const std::vector<decovec::Dataset>& sets, const fs::path& folder) {
  fs::create_directories(folder);
  for (const decovec::Dataset& set : sets) {
    wordnet::JsonLines lines(folder / (set.name() + ".jsonl"));
    for (int64_t i = 0; i < set.size(); ++i) {
      const decovec::Example example = set.example(i);
      lines.add({{"query", example.query}, {"pos", example.positives}, {"neg", example.negatives}});
    }
    lines.close();
    fmt::print("train/{}.jsonl: {} examples\n", set.name(), set.size());
  }
}

void write_corpus(const wordnet::Collection& collection, const fs::path& file) {
  std::ofstream out(file, std::ios::binary);
  for (const int64_t parent : collection.parents)
    out << wordnet::document(collection.concepts[static_cast<size_t>(parent)]) << '\n';
  out.close();
  if (!out)
    throw std::runtime_error(file.string() +
                             ": cannot be written; is the disk full or the folder read-only?");
}

// What the tokenizer learns from: the training concepts, and often enough the words that every prompt has.
std::vector<std::string> tokenizer_texts(const wordnet::Collection& collection) {
  std::vector<std::string> texts;
  for (size_t i = 0; i < collection.concepts.size(); ++i)
    if (collection.split[i] == wordnet::Split::train)
      texts.push_back(wordnet::document(collection.concepts[i]));
  texts.insert(texts.end(), 1000, "Instruct: Query:");
  return texts;
}

void write_all(const wordnet::Collection& collection, decovec::RandomKey key, int64_t vocabulary,
               const fs::path& folder) {
  fs::create_directories(folder);
  wordnet::train_tokenizer(tokenizer_texts(collection), vocabulary, folder / "tokenizer.model");
  write_training_sets(wordnet::training_sets(collection, key), folder / "train");
  wordnet::write_tasks(collection, wordnet::Split::dev, key, folder / "dev");
  wordnet::write_tasks(collection, wordnet::Split::test, key, folder / "test");
  write_corpus(collection, folder / "concepts.txt");
}

void run(const fs::path& source, const fs::path& output, uint64_t seed, int64_t vocabulary) {
  if (fs::exists(output))
    throw std::runtime_error(output.string() + ": already there; remove it or name another folder");
  const decovec::RandomKey key = decovec::RandomKey(seed).with("wordnet");
  const wordnet::Collection collection = wordnet::collect(wordnet::read(source), key);
  fmt::print("{}: {} concepts, {} of them broader than another\n", source.string(),
             collection.concepts.size(), collection.parents.size());
  const fs::path unfinished = output.string() + ".unfinished";  // so that the output is whole or not there
  fs::remove_all(unfinished);
  write_all(collection, key, vocabulary, unfinished);
  fs::rename(unfinished, output);
  fmt::print("{}: written\n", output.string());
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Makes training sets, evaluation tasks, a tokenizer and a corpus of WordNet");
  fs::path output, source = "/usr/share/wordnet";
  uint64_t seed = 1;
  int64_t vocabulary = 8000;
  app.add_option("OUTPUT", output, "Folder to write")->required();
  app.add_option("--wordnet", source, "Folder of data.noun, data.verb, data.adj, data.adv")
      ->capture_default_str();
  app.add_option("--seed", seed, "Draws the split and the samples")->capture_default_str();
  app.add_option("--vocabulary", vocabulary, "Pieces of the tokenizer")->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  try {
    run(source, output, seed, vocabulary);
  } catch (const std::exception& error) {
    fmt::print(stderr, "wordnet_data: {}\n", error.what());
    return 1;
  }
}
