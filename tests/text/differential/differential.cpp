// Answers tests/text/differential/differential.py: for each line of standard input, a JSON object with a
// "normalizer" or a "pre_tokenizer" and a list of "texts", writes what decovec makes of them on one line.
#include <iostream>
#include <string>

#include "io/json.hpp"
#include "text/normalizer.hpp"
#include "text/pre_tokenizer.hpp"

namespace {

using namespace decovec;

Json answer(const JsonObject& request) {
  Json result = Json::array();
  if (request.has("normalizer")) {
    const auto normalizer = Normalizer::parse(request.object("normalizer"));
    for (const Json& text : request.raw()["texts"])
      result.push_back(normalizer.apply(text.get<std::string>()));
  } else {
    const auto pre_tokenizer = PreTokenizer::parse(request.object("pre_tokenizer"));
    Pieces pieces;
    for (const Json& text : request.raw()["texts"]) {
      pieces.assign(text.get<std::string>(), true);
      pre_tokenizer.split(pieces);
      Json& list = result.emplace_back(Json::array());
      for (size_t i = 0; i < pieces.size(); ++i) list.push_back(std::string(pieces[i]));
    }
  }
  return result;
}

}  // namespace

int main() {
  std::ios::sync_with_stdio(false);
  for (std::string line; std::getline(std::cin, line);) {
    Json result;
    try {
      result = answer({parse_json(line, "standard input"), "standard input"});
    } catch (const std::exception& error) {
      result = {{"error", error.what()}};
    }
    std::cout << result.dump() << "\n" << std::flush;
  }
}
