#include "wordnet.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <stdexcept>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <decovec/io/lines.hpp>

namespace wordnet {
namespace {

struct Part {
  char letter;
  const char* file;
};
constexpr std::array<Part, 4> kParts = {
    {{'n', "data.noun"}, {'v', "data.verb"}, {'a', "data.adj"}, {'r', "data.adv"}}};

// The space-separated fields of a line, taken one by one.
class Fields {
 public:
  Fields(std::string_view line, std::string where) : rest_(line), where_(std::move(where)) {}

  [[noreturn]] void fail(const std::string& what) const {
    throw std::runtime_error(where_ + ": " + what + "; is this a WordNet 3 data file?");
  }
  std::string_view word(const char* name) {
    const size_t end = std::min(rest_.find(' '), rest_.size());
    const std::string_view field = rest_.substr(0, end);
    if (field.empty()) fail(fmt::format("{}: expected a field, got none", name));
    rest_.remove_prefix(std::min(end + 1, rest_.size()));
    return field;
  }
  int64_t number(const char* name, int base, int64_t maximum) {
    const std::string_view field = word(name);
    int64_t value = -1;
    const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value, base);
    if (error != std::errc() || end != field.data() + field.size() || value < 0 || value > maximum)
      fail(fmt::format("{}: expected a number of base {} in [0, {}], got '{}'", name, base, maximum, field));
    return value;
  }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
  std::string where_;
};

// "n02084071"; the data files write satellite adjectives as 's', and they stand in data.adj.
std::string make_id(Fields& fields, std::string_view part, std::string_view offset) {
  const char letter = part == "s" ? 'a' : part.front();
  const bool known = part.size() == 1 && std::string_view("nvar").find(letter) != std::string_view::npos;
  const bool digits = std::all_of(offset.begin(), offset.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!known || offset.size() != 8 || !digits)
    fields.fail(
        fmt::format("synset: expected 8 digits and one of n, v, a, s, r, got '{}' and '{}'", offset, part));
  return letter + std::string(offset);
}

// "take_a_breath" is "take a breath"; adjectives end in a marker of position, "galore(ip)".
std::string plain_word(std::string_view word) {
  for (const std::string_view marker : {"(a)", "(p)", "(ip)"})
    if (word.ends_with(marker)) word.remove_suffix(marker.size());
  std::string plain(word);
  std::replace(plain.begin(), plain.end(), '_', ' ');
  return plain;
}

// A gloss is definitions and then quoted examples, apart by "; ".
std::string definition_of(std::string_view gloss) {
  std::string_view definition = gloss.substr(0, gloss.find("; \""));
  const auto blank = [](char c) { return c == ' ' || c == ';' || c == '\r'; };
  while (!definition.empty() && blank(definition.back())) definition.remove_suffix(1);
  while (!definition.empty() && blank(definition.front())) definition.remove_prefix(1);
  return std::string(definition);
}

struct Pointers {
  std::vector<std::string> broader, topics;  // ids
};

Concept read_concept(Fields& fields, Pointers& pointers) {
  Concept item;
  const std::string_view offset = fields.word("synset_offset");
  item.file = fields.number("lex_filenum", 10, static_cast<int64_t>(file_names().size()) - 1);
  item.id = make_id(fields, fields.word("ss_type"), offset);
  const int64_t words = fields.number("w_cnt", 16, 255);
  for (int64_t i = 0; i < words; ++i) {
    item.words.push_back(plain_word(fields.word("word")));
    fields.number("lex_id", 16, 255);
  }
  if (item.words.empty()) fields.fail("w_cnt: expected 1 or more, got 0");
  const int64_t count = fields.number("p_cnt", 10, 999);
  for (int64_t i = 0; i < count; ++i) {
    const std::string_view symbol = fields.word("pointer_symbol");
    const std::string_view target = fields.word("pointer's synset_offset");
    std::string id = make_id(fields, fields.word("pointer's pos"), target);
    fields.number("source/target", 16, 0xffff);
    if (symbol == "@" || symbol == "@i") pointers.broader.push_back(std::move(id));
    if (symbol == ";c") pointers.topics.push_back(std::move(id));
  }
  const size_t bar = fields.rest().find("| ");  // verb frames stand before it
  if (bar == std::string_view::npos) fields.fail("gloss: expected '| ' and a definition, got none");
  item.definition = definition_of(fields.rest().substr(bar + 2));
  if (item.definition.empty()) fields.fail("gloss: expected a definition, got none");
  return item;
}

}  // namespace

std::vector<Concept> read(const std::filesystem::path& folder) {
  std::vector<Concept> concepts;
  std::vector<Pointers> pointers;
  std::unordered_map<std::string, int64_t> index;
  for (const Part& part : kParts) {
    const std::filesystem::path file = folder / part.file;
    decovec::for_each_line(file, [&](std::string_view line, int64_t number) {
      if (line.starts_with("  ")) return;  // the licence stands at the top
      Fields fields(line, fmt::format("{}:{}", file.string(), number));
      pointers.emplace_back();
      concepts.push_back(read_concept(fields, pointers.back()));
      const std::string& id = concepts.back().id;
      if (id.front() != part.letter)
        fields.fail(fmt::format("ss_type: expected '{}', got '{}'", part.letter, id.front()));
      if (!index.emplace(id, static_cast<int64_t>(concepts.size()) - 1).second)
        fields.fail(fmt::format("synset_offset: {} stands here twice", id));
    });
  }
  for (size_t i = 0; i < concepts.size(); ++i) {
    const auto resolve = [&](const std::vector<std::string>& ids, std::vector<int64_t>& found) {
      for (const std::string& id : ids) {
        const auto at = index.find(id);
        if (at == index.end())
          throw std::runtime_error(fmt::format(
              "{}: synset {} points to {}, which no data file holds; are all four from one WordNet?",
              folder.string(), concepts[i].id, id));
        if (std::find(found.begin(), found.end(), at->second) == found.end()) found.push_back(at->second);
      }
    };
    resolve(pointers[i].broader, concepts[i].broader);
    resolve(pointers[i].topics, concepts[i].topics);
  }
  return concepts;
}

const std::vector<std::string>& file_names() {
  static const std::vector<std::string> names = {
      "adj.all",          "adj.pert",           "adv.all",
      "noun.Tops",        "noun.act",           "noun.animal",
      "noun.artifact",    "noun.attribute",     "noun.body",
      "noun.cognition",   "noun.communication", "noun.event",
      "noun.feeling",     "noun.food",          "noun.group",
      "noun.location",    "noun.motive",        "noun.object",
      "noun.person",      "noun.phenomenon",    "noun.plant",
      "noun.possession",  "noun.process",       "noun.quantity",
      "noun.relation",    "noun.shape",         "noun.state",
      "noun.substance",   "noun.time",          "verb.body",
      "verb.change",      "verb.cognition",     "verb.communication",
      "verb.competition", "verb.consumption",   "verb.contact",
      "verb.creation",    "verb.emotion",       "verb.motion",
      "verb.perception",  "verb.possession",    "verb.social",
      "verb.stative",     "verb.weather",       "adj.ppl"};
  return names;
}

std::string document(const Concept& item) {
  const size_t words = std::min<size_t>(item.words.size(), 5);
  return fmt::format("{}: {}",
                     fmt::join(item.words.begin(), item.words.begin() + static_cast<int64_t>(words), ", "),
                     item.definition);
}

std::vector<int64_t> ancestors(const std::vector<Concept>& concepts, int64_t index) {
  std::vector<int64_t> found = concepts[static_cast<size_t>(index)].broader;
  for (size_t next = 0; next < found.size(); ++next)
    for (const int64_t above : concepts[static_cast<size_t>(found[next])].broader)
      if (std::find(found.begin(), found.end(), above) == found.end()) found.push_back(above);
  return found;
}

}  // namespace wordnet
