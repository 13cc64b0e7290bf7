// The README's first example: texts to vectors, and their similarity.
#include <ATen/core/Formatting.h>

#include <decovec/decovec.hpp>
#include <iostream>

int main(int argc, char** argv) {
  if (argc != 2) return std::cerr << "usage: embed MODEL_FOLDER\n", 2;
  // [README]
  auto model = decovec::Embedder::load(argv[1]);
  auto queries = model.encode({"a small animal kept at home", "to move quickly on foot"}, {.prompt = model.prompt("query")});
  auto documents = model.encode({"pet: a domesticated animal kept for companionship or amusement",
                                 "run: move fast by using one's feet, with one foot off the ground at any given time"},
                                {.prompt = model.prompt("document")});
  std::cout << decovec::similarity(queries, documents) << "\n";
  // [README]
}
