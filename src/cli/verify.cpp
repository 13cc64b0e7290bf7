#include <limits>

#include <ATen/ATen.h>

#include "cli/options.hpp"
#include "cli/terminal.hpp"
#include "io/error.hpp"
#include "io/file.hpp"
#include "io/json_keys.hpp"

namespace decovec::cli {
namespace {

constexpr const char* kReferenceFile = "decovec_reference.json";

struct Options {
  ModelOptions model;
  std::filesystem::path reference;
  int64_t batch_tokens = EncodeOptions{}.batch_tokens;
};

// Texts under one prompt, and what they must become.
struct Case {
  std::optional<std::string> prompt_name;  // a name in the folder, or
  std::optional<std::string> prompt;       // the text itself; neither: as without an option
  std::vector<std::string> texts;
  std::vector<std::vector<int64_t>> ids;  // empty: not stated
  at::Tensor vectors;                     // [texts, D]
};

struct Reference {
  std::string where, dtype, made_by;
  double tolerance = 0;
  std::vector<Case> cases;
};

[[noreturn]] void wrong(const JsonObject& object, const char* key, const char* expected) {
  fail("{}: '{}': expected {}, got {}", object.where(), key, expected,
       shown(object.raw().value(key, Json())));
}

const Json& list(const JsonObject& object, const char* key, const char* expected) {
  const auto found = object.raw().find(key);
  if (found == object.raw().end() || !found->is_array()) wrong(object, key, expected);
  return *found;
}

at::Tensor matrix(const JsonObject& object, size_t rows) {
  constexpr const char* kExpected = "a list of as many numbers for each text";
  const Json& vectors = list(object, "vectors", kExpected);
  std::vector<float> values;
  size_t columns = 0;
  for (const Json& vector : vectors) {
    if (!vector.is_array() || vector.empty()) wrong(object, "vectors", kExpected);
    if (columns == 0) columns = vector.size();
    if (vector.size() != columns) wrong(object, "vectors", kExpected);
    for (const Json& value : vector) {
      if (!value.is_number()) wrong(object, "vectors", kExpected);
      values.push_back(value.get<float>());
    }
  }
  if (vectors.size() != rows) wrong(object, "vectors", kExpected);
  return at::tensor(values).view({static_cast<int64_t>(rows), static_cast<int64_t>(columns)});
}

std::vector<std::vector<int64_t>> id_lists(const JsonObject& object, size_t rows) {
  if (!object.has("ids")) return {};
  constexpr const char* kExpected = "a list of integers for each text";
  std::vector<std::vector<int64_t>> ids;
  for (const Json& row : list(object, "ids", kExpected)) {
    ids.emplace_back();
    if (!row.is_array()) wrong(object, "ids", kExpected);
    for (const Json& id : row) {
      if (!id.is_number_integer()) wrong(object, "ids", kExpected);
      ids.back().push_back(id.get<int64_t>());
    }
  }
  if (ids.size() != rows) wrong(object, "ids", kExpected);
  return ids;
}

Case read_case(const JsonObject& object) {
  refuse_unknown_keys(object, {"prompt_name", "prompt", "texts", "ids", "vectors"});
  Case one;
  if (object.has("prompt_name")) one.prompt_name = object.string("prompt_name");
  if (object.has("prompt")) one.prompt = object.string("prompt");
  constexpr const char* kExpected = "at least one text";
  for (const Json& text : list(object, "texts", kExpected)) {
    if (!text.is_string()) wrong(object, "texts", kExpected);
    one.texts.push_back(text.get<std::string>());
  }
  if (one.texts.empty()) wrong(object, "texts", kExpected);
  one.ids = id_lists(object, one.texts.size());
  one.vectors = matrix(object, one.texts.size());
  return one;
}

Reference read_reference(const std::filesystem::path& file) {
  const JsonObject object = JsonObject::read(file);
  refuse_unknown_keys(object, {"dtype", "tolerance", "made_by", "cases"});
  Reference reference{.where = file.string(), .dtype = object.string("dtype"), .made_by = {}, .cases = {}};
  if (reference.dtype != "float32" && reference.dtype != "bfloat16" && reference.dtype != "float16")
    wrong(object, "dtype", "float32, bfloat16 or float16");
  reference.tolerance = object.number("tolerance");
  if (!(reference.tolerance >= 0)) wrong(object, "tolerance", "a number of 0 or more");
  const Json versions = object.raw().value("made_by", Json::object());
  for (const auto& [name, version] : versions.items())
    reference.made_by += fmt::format("{}{} {}", reference.made_by.empty() ? "" : ", ", name,
                                     version.is_string() ? version.get<std::string>() : shown(version));
  const Json& cases = list(object, "cases", "at least one case");
  if (cases.empty()) wrong(object, "cases", "at least one case");
  for (size_t i = 0; i < cases.size(); ++i)
    reference.cases.push_back(read_case({cases[i], fmt::format("{}: case {}", file.string(), i)}));
  return reference;
}

// The first text whose ids are others, or none.
std::optional<size_t> other_ids(const Embedder& model, const Case& one, const std::string& instruction) {
  for (size_t i = 0; i < one.ids.size(); ++i)
    if (model.sequence(instruction, one.texts[i], Truncate::right).ids != one.ids[i]) return i;
  return std::nullopt;
}

int run(const Options& options) {
  const bool given = !options.reference.empty();
  const std::filesystem::path file = given ? options.reference : options.model.folder / kReferenceFile;
  if (!given && std::filesystem::is_directory(options.model.folder) && !file_exists(file))
    fail(
        "{}: the folder holds no reference vectors; write them with scripts/make_reference.py {}, or name a "
        "file with --reference",
        file.string(), options.model.folder.string());
  const Reference reference = read_reference(file);
  ModelOptions as_made = options.model;
  if (as_made.dtype == "auto") as_made.dtype = reference.dtype;
  const Embedder model = load_model(as_made);

  std::string table = fmt::format("{}: {} vectors{}{}\n", reference.where, reference.dtype,
                                  reference.made_by.empty() ? "" : " of ", reference.made_by);
  table += fmt::format("{:<24}{:>8}{:>22}   {}\n", "prompt", "texts", "largest difference", "ids");
  double furthest = 0;
  bool same_ids = true;
  for (const Case& one : reference.cases) {
    EncodeOptions encode{
        .prompt = one.prompt, .truncate = Truncate::right, .batch_tokens = options.batch_tokens};
    if (one.prompt_name) encode.prompt = model.prompt(*one.prompt_name);
    const at::Tensor vectors = model.encode(one.texts, encode);
    if (vectors.size(1) != one.vectors.size(1))
      fail("{}: expected vectors of {} columns, the model gives {}", reference.where, one.vectors.size(1),
           vectors.size(1));
    // nan and inf must not pass: they are no distance
    const double difference =
        (vectors - one.vectors)
            .abs()
            .nan_to_num(std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity())
            .max()
            .item<double>();
    const std::string instruction = encode.prompt.value_or(
        model.default_prompt.empty() ? std::string() : model.prompt(model.default_prompt));
    const std::optional<size_t> other = other_ids(model, one, instruction);
    const std::string name =
        one.prompt_name ? *one.prompt_name : (one.prompt ? one_line(*one.prompt, 22) : "(none given)");
    table += fmt::format("{:<24}{:>8}{:>22.3g}   {}\n", name, one.texts.size(), difference,
                         one.ids.empty() ? "not stated"
                         : other         ? fmt::format("differ in text {}", *other)
                                         : "equal");
    furthest = std::max(furthest, difference);
    same_ids = same_ids && !other;
  }
  write_stdout(table);
  if (same_ids && furthest <= reference.tolerance) return 0;
  log_error(fmt::format("{}: {}", reference.where,
                        same_ids ? fmt::format("a vector differs by {:.3g}, at most {:.3g} are allowed",
                                               furthest, reference.tolerance)
                                 : "texts become other ids; the tokenizer's files are read differently"));
  return 1;
}

}  // namespace

Run add_verify(CLI::App& program) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      program.add_subcommand("verify", "Compare a model's vectors with those that its folder holds");
  add_model_options(*command, options->model, true);
  command
      ->add_option("--reference", options->reference,
                   fmt::format("Reference vectors [DIR/{}]", kReferenceFile))
      ->option_text("FILE");
  add_batch_option(*command, options->batch_tokens);
  command->footer(R"(
The file holds texts, prompts, the vectors another library made of them, the dtype it computed in, and how much
they may differ (docs/verify.md); scripts/make_reference.py writes it with sentence-transformers. --dtype auto is
the file's. Status 1 where a vector differs by more, or a text becomes other ids.

Example:
  decovec verify my-embedder)");
  return [options] { return run(*options); };
}

}  // namespace decovec::cli
